//! The table of events.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::{Db, DbError, Session};

use super::filter::EventState;
use super::intake::Source;

trunkline_platform::statements! {
    /// In the order of their keys, so that two receivers told of the same deliveries do not wait for each other.
    pub(super) INSERT_EVENTS = parts {
        "INSERT INTO events (dedupe_key, scheme, event_id, event_type, api_version, job, occurred_at, received_at,
                             headers, body, correlation_id)
         SELECT r.dedupe_key, r.scheme, r.event_id, r.event_type, r.api_version, r.job, r.occurred_at,
                r.received_at, r.headers, r.body, r.correlation_id
         FROM " (rows "$1" as r (dedupe_key TEXT, scheme TEXT, event_id TEXT, event_type TEXT,
            api_version TEXT, job TEXT, occurred_at TIMESTAMPTZ, received_at TIMESTAMPTZ, headers TEXT, body TEXT,
            correlation_id TEXT))
        " WHERE true ORDER BY r.dedupe_key
         ON CONFLICT (dedupe_key) DO NOTHING
         RETURNING id, dedupe_key"
    }
    SHOW_EVENT = same {
        "SELECT id, dedupe_key, scheme, event_id, event_type, api_version, job, occurred_at, received_at, headers,
                body, correlation_id
         FROM events WHERE id = $1"
    }
    /// What a job needs of its event.
    pub(super) LOAD_EVENT = same { "SELECT received_at, body FROM events WHERE id = $1" }
    COUNT_EVENTS = same {
        "SELECT event_type, job, COUNT(*) AS count, COUNT(DISTINCT event_id) AS happenings FROM events
         GROUP BY event_type, job ORDER BY event_type, job LIMIT 1000"
    }
}

/// The number of a stored event.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct EventId(pub i64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct InsertedEvent {
    pub(super) id: EventId,
    pub(super) dedupe_key: String,
}

/// A stored event with its body.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct EventRow {
    pub id: EventId,
    pub dedupe_key: String,
    pub scheme: String,
    pub event_id: String,
    pub event_type: String,
    pub api_version: Option<String>,
    pub job: Option<String>,
    pub occurred_at: Option<DateTime<Utc>>,
    pub received_at: DateTime<Utc>,
    pub headers: String,
    pub body: String,
    pub correlation_id: String,
}

/// A stored event without its body.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct EventSummary {
    pub id: EventId,
    /// How it came: `standard`, `legacy`, or `reconciled` when we asked for it.
    pub scheme: String,
    pub event_id: String,
    pub event_type: String,
    pub api_version: Option<String>,
    pub job: Option<String>,
    pub occurred_at: Option<DateTime<Utc>>,
    pub received_at: DateTime<Utc>,
    pub correlation_id: String,
}

impl EventRow {
    pub fn summary(&self) -> EventSummary {
        EventSummary {
            id: self.id,
            scheme: self.scheme.clone(),
            event_id: self.event_id.clone(),
            event_type: self.event_type.clone(),
            api_version: self.api_version.clone(),
            job: self.job.clone(),
            occurred_at: self.occurred_at,
            received_at: self.received_at,
            correlation_id: self.correlation_id.clone(),
        }
    }
}

impl EventSummary {
    /// What its tasks name as their cause: how it came, and that it was replayed.
    pub(super) fn causes(&self) -> [String; 2] {
        let door = if self.scheme == Source::Reconciled.as_str() { "reconcile" } else { "webhook" };
        [format!("{door}:{}", self.id), super::replay::cause(self.id)]
    }
}

/// An event that is as it was described.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct FoundEvent {
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub event: EventSummary,
    /// What became of it; absent where nobody asked.
    #[sqlx(skip)]
    pub state: Option<EventState>,
    /// The body as it came; absent where nobody asked.
    #[serde(skip)]
    pub body: Option<String>,
}

/// How many events of a type are stored.
#[derive(Clone, Debug, Deserialize, Serialize, sqlx::FromRow)]
pub struct EventCount {
    pub event_type: String,
    /// Absent: kept, but no job knows this type.
    pub job: Option<String>,
    /// Deliveries stored.
    pub count: i64,
    /// Distinct events they told of.
    pub happenings: i64,
}

pub async fn show(db: &Db, id: EventId) -> Result<Option<EventRow>, DbError> {
    SHOW_EVENT.bind(id.0).optional(&mut db.read().await?).await
}

pub async fn count(db: &Db) -> Result<Vec<EventCount>, DbError> {
    count_in(&mut db.read().await?).await
}

/// Reads all of them.
pub(crate) async fn count_in(session: &mut Session) -> Result<Vec<EventCount>, DbError> {
    COUNT_EVENTS.query().all(session).await
}
