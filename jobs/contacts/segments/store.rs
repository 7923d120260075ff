//! The table of segments.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError};

use super::{Filter, FilterError};

const LONGEST_NAME: usize = 50;

trunkline_platform::statements! {
    INSERT_SEGMENT = same {
        "INSERT INTO segments (name, filter, created_by, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
    }
    SHOW_SEGMENT = same { "SELECT name, filter, created_by, created_at FROM segments WHERE name = $1" }
    LIST_SEGMENTS = same {
        "SELECT name, filter, created_by, created_at FROM segments WHERE name > $1 ORDER BY name LIMIT $2"
    }
    DELETE_SEGMENT = same { "DELETE FROM segments WHERE name = $1" }
}

/// A saved filter.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct SegmentRow {
    pub name: String,
    pub filter: String,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Error)]
pub enum SegmentError {
    #[error("{0:?} is no name of a segment: it is small letters, digits, - and _, up to {LONGEST_NAME}")]
    Name(String),
    #[error("there is a segment {0} already: delete it first, or take another name")]
    There(String),
    #[error("there is no segment {0}: see `trunkline segments list`")]
    Unknown(String),
    #[error("the filter of segment {name} cannot be read")]
    Filter { name: String, source: FilterError },
    #[error(transparent)]
    Database(#[from] DbError),
}

impl SegmentRow {
    /// # Errors
    /// When another release wrote what this one cannot read.
    pub fn filter(&self) -> Result<Filter, SegmentError> {
        self.filter.parse().map_err(|source| SegmentError::Filter { name: self.name.clone(), source })
    }
}

/// Saves a filter under a name.
///
/// # Errors
/// When the name is none, or taken.
pub async fn create(
    db: &Db,
    name: &str,
    filter: &Filter,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), SegmentError> {
    let fits = (1..=LONGEST_NAME).contains(&name.len());
    if !fits || !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c)) {
        return Err(SegmentError::Name(name.chars().take(LONGEST_NAME).collect()));
    }
    let text = filter.to_string();
    let mut tx = db.write().await?;
    let insert = INSERT_SEGMENT.bind(name).bind(&text).bind(&actor.name).bind(now);
    if insert.execute(&mut tx).await? == 0 {
        return Err(SegmentError::There(name.to_owned()));
    }
    let after = Some(json!({ "filter": text }));
    let act = Act { action: "segment.create", subject: format!("segment:{name}"), before: None, after };
    audit::record(&mut tx, now, actor, &[act]).await?;
    Ok(tx.commit().await?)
}

/// # Errors
/// When there is no such segment.
pub async fn show(db: &Db, name: &str) -> Result<SegmentRow, SegmentError> {
    let row = SHOW_SEGMENT.bind(name).optional(&mut db.read().await?).await?;
    row.ok_or_else(|| SegmentError::Unknown(name.to_owned()))
}

/// Segments by name, after one.
pub async fn list(db: &Db, after: Option<&str>, limit: u32) -> Result<Vec<SegmentRow>, DbError> {
    let query = LIST_SEGMENTS.bind(after.unwrap_or_default()).bind(limit.clamp(1, 1_000));
    query.all(&mut db.read().await?).await
}

/// # Errors
/// When there is no such segment.
pub async fn delete(db: &Db, name: &str, actor: &Actor, now: DateTime<Utc>) -> Result<(), SegmentError> {
    let mut tx = db.write().await?;
    let row: Option<SegmentRow> = SHOW_SEGMENT.bind(name).optional(&mut tx).await?;
    let row = row.ok_or_else(|| SegmentError::Unknown(name.to_owned()))?;
    DELETE_SEGMENT.bind(name).execute(&mut tx).await?;
    let before = Some(json!({ "filter": row.filter }));
    let act = Act { action: "segment.delete", subject: format!("segment:{name}"), before, after: None };
    audit::record(&mut tx, now, actor, &[act]).await?;
    Ok(tx.commit().await?)
}
