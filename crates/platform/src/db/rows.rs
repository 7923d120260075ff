//! Many rows as one parameter: a JSON array that PostgreSQL reads with `json_to_recordset` and SQLite with
//! `json_each`, so that a batch of any size is one prepared statement and one round trip.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::query::Arg;

/// A batch of rows for a statement's `(rows "$1" as …)` part. Field names are column names; times go
/// through [`sql_time`].
#[derive(Debug)]
pub struct Rows(String);

impl Rows {
    /// # Errors
    /// Only when a field cannot be written as JSON (a map with keys that are not text).
    pub fn of<T: Serialize>(rows: &[T]) -> Result<Self, serde_json::Error> {
        serde_json::to_string(rows).map(Self)
    }
}

impl From<Rows> for Arg {
    fn from(rows: Rows) -> Self {
        Self::Text(Some(rows.0))
    }
}

/// Text that both engines can hold: PostgreSQL takes no NUL character.
pub fn sql_text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Writes a time as both engines read it back, letter for letter as sqlx stores one in SQLite, where times
/// are compared as text.
pub fn sql_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, false)
}
