//! The table of events.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::{Db, DbError, Session};

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
    LIST_EVENTS = same {
        "SELECT id, event_id, event_type, api_version, job, occurred_at, received_at, correlation_id FROM events
         WHERE id < $1 ORDER BY id DESC LIMIT $2"
    }
    /// By an index of its own: of a rare type the newest can be far back.
    LIST_EVENTS_OF_TYPE = same {
        "SELECT id, event_id, event_type, api_version, job, occurred_at, received_at, correlation_id FROM events
         WHERE event_type = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
    }
    LIST_UNKNOWN = same {
        "SELECT id, event_id, event_type, api_version, job, occurred_at, received_at, correlation_id FROM events
         WHERE job IS NULL AND (CAST($1 AS TEXT) IS NULL OR event_type = $1) AND (CAST($2 AS BIGINT) IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3"
    }
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
    pub event_id: String,
    pub event_type: String,
    pub api_version: Option<String>,
    pub job: Option<String>,
    pub occurred_at: Option<DateTime<Utc>>,
    pub received_at: DateTime<Utc>,
    pub correlation_id: String,
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

/// Which events to list, the newest first.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub event_type: Option<String>,
    /// Only events of types that no job knows.
    pub unknown: bool,
    /// Only events older than this one: the last id of the page before.
    pub before: Option<EventId>,
    pub limit: u32,
}

pub async fn show(db: &Db, id: EventId) -> Result<Option<EventRow>, DbError> {
    SHOW_EVENT.bind(id.0).optional(&mut db.read().await?).await
}

pub async fn list(db: &Db, filter: &EventFilter) -> Result<Vec<EventSummary>, DbError> {
    let before = filter.before.map(|id| id.0);
    let query = match filter.event_type.as_deref() {
        kind if filter.unknown => LIST_UNKNOWN.bind(kind).bind(before),
        Some(kind) => LIST_EVENTS_OF_TYPE.bind(kind).bind(before.unwrap_or(i64::MAX)),
        None => LIST_EVENTS.bind(before.unwrap_or(i64::MAX)),
    };
    let query = query.bind(filter.limit.clamp(1, 1_000));
    query.all(&mut db.read().await?).await
}

pub async fn count(db: &Db) -> Result<Vec<EventCount>, DbError> {
    count_in(&mut db.read().await?).await
}

/// Reads all of them.
pub(crate) async fn count_in(session: &mut Session) -> Result<Vec<EventCount>, DbError> {
    COUNT_EVENTS.query().all(session).await
}
