//! Looking texts up: "why did this person not get it?" is one query.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use thiserror::Error;
use trunkline_platform::db::{Db, DbError};

/// Of a [`SendRow`].
const COLUMNS: &str = "id, kind, campaign_id, variant, number, sender, body, segments, state, reason, error_code, \
    provider_id, tries, task_id, lookups, evidence, cause, correlation_id, created_at, intended_at, state_at";

trunkline_platform::statements! {
    SHOW_SEND = parts {
        "SELECT " (sql COLUMNS)
        " FROM sends WHERE id = $1"
    }
    /// Of one person, the newest first.
    LIST_SENDS_TO = parts {
        "SELECT " (sql COLUMNS)
        " FROM sends WHERE number = $1 AND (CAST($2 AS TEXT) IS NULL OR state = $2) AND id < $3
         ORDER BY id DESC LIMIT $4"
    }
    LIST_SENDS = parts {
        "SELECT " (sql COLUMNS)
        " FROM sends
         WHERE (CAST($1 AS BIGINT) IS NULL OR campaign_id = $1) AND (CAST($2 AS TEXT) IS NULL OR state = $2) AND id < $3
         ORDER BY id DESC LIMIT $4"
    }
}

/// What a text is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Campaign,
    Reply,
    /// The one text to somebody who asked to get no more.
    OptOutConfirmation,
    /// To somebody who asked who we are.
    HelpAnswer,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Reply => "reply",
            Self::OptOutConfirmation => "optout_confirmation",
            Self::HelpAnswer => "help_answer",
        }
    }
}

/// How far a text is known to have come.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SendState {
    Waiting,
    Intended,
    Accepted,
    Refused,
    Unknown,
    Unresolved,
    Sent,
    Delivered,
    Failed,
    Undelivered,
}

impl SendState {
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Intended,
        Self::Accepted,
        Self::Refused,
        Self::Unknown,
        Self::Unresolved,
        Self::Sent,
        Self::Delivered,
        Self::Failed,
        Self::Undelivered,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Intended => "intended",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Unresolved => "unresolved",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Undelivered => "undelivered",
        }
    }
}

impl fmt::Display for SendState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no state.
#[derive(Debug, Error)]
#[error(
    "{0:?} is no state of a text: there are waiting, intended, accepted, refused, unknown, unresolved, sent, delivered, \
     failed and undelivered"
)]
pub struct UnknownSendState(String);

impl FromStr for SendState {
    type Err = UnknownSendState;

    fn from_str(word: &str) -> Result<Self, UnknownSendState> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| UnknownSendState(word.to_owned()))
    }
}

impl TryFrom<String> for SendState {
    type Error = UnknownSendState;

    fn try_from(word: String) -> Result<Self, UnknownSendState> {
        word.parse()
    }
}

/// A row of the ledger.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct SendRow {
    pub id: i64,
    pub kind: String,
    pub campaign_id: Option<i64>,
    pub variant: Option<String>,
    pub number: String,
    pub sender: String,
    pub body: String,
    pub segments: i64,
    #[sqlx(try_from = "String")]
    pub state: SendState,
    pub reason: Option<String>,
    pub error_code: Option<String>,
    pub provider_id: Option<String>,
    pub tries: i32,
    pub task_id: Option<i64>,
    pub lookups: i32,
    /// JSON: what the last look-up saw.
    pub evidence: Option<String>,
    pub cause: String,
    pub correlation_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub intended_at: Option<DateTime<Utc>>,
    pub state_at: DateTime<Utc>,
}

/// Which texts to list, the newest first.
#[derive(Clone, Debug, Default)]
pub struct SendFilter {
    pub number: Option<String>,
    pub campaign: Option<i64>,
    pub state: Option<SendState>,
    /// Only older ones: the last id of the page before.
    pub before: Option<i64>,
    pub limit: u32,
}

pub async fn show(db: &Db, id: i64) -> Result<Option<SendRow>, DbError> {
    SHOW_SEND.bind(id).optional(&mut db.read().await?).await
}

pub async fn list(db: &Db, filter: &SendFilter) -> Result<Vec<SendRow>, DbError> {
    let query = match &filter.number {
        Some(number) => LIST_SENDS_TO.bind(number),
        None => LIST_SENDS.bind(filter.campaign),
    };
    query
        .bind(filter.state.map(SendState::as_str))
        .bind(filter.before.unwrap_or(i64::MAX))
        .bind(filter.limit.clamp(1, 1_000))
        .all(&mut db.read().await?)
        .await
}
