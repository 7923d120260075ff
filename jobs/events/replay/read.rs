//! Looking at replays.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError};

use crate::events::EventFilter;

/// Of a [`ReplayRow`].
const COLUMNS: &str =
    "id, state, actor, reason, filter, pace, first_event, seen_to, last_event, expected, looked, replayed,
     jobless, next_at, started_at, ended_at, error";

trunkline_platform::statements! {
    LIST_REPLAYS = parts {
        "SELECT " (sql COLUMNS)
        " FROM event_replays WHERE id < $1 ORDER BY id DESC LIMIT $2"
    }
    SHOW_REPLAY = parts {
        "SELECT " (sql COLUMNS)
        " FROM event_replays WHERE id = $1"
    }
}

/// A replay, and how far it is.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ReplayRow {
    pub id: i64,
    /// `running`, `complete`, `cancelled` or `failed`.
    pub state: String,
    pub actor: String,
    pub reason: Option<String>,
    /// JSON: an [`EventFilter`].
    pub filter: String,
    /// Events in a second.
    pub pace: i32,
    /// It looks at the events after this one …
    pub first_event: i64,
    /// … has looked at them up to this one …
    pub seen_to: i64,
    /// … and ends with this one.
    pub last_event: i64,
    /// How many there were when it began; absent when they were too many to be counted then.
    pub expected: Option<i64>,
    pub looked: i64,
    /// Events whose jobs were enqueued.
    pub replayed: i64,
    /// Events as described that have no job.
    pub jobless: i64,
    pub next_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
}

impl ReplayRow {
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// Which events it is of; what a later release stored and this one cannot read is left out.
    pub fn filter(&self) -> EventFilter {
        serde_json::from_str(&self.filter).unwrap_or_default()
    }

    /// How much of what it looks at it has looked at, in hundredths.
    pub fn percent(&self) -> i64 {
        let (seen, all) = (self.seen_to - self.first_event, self.last_event - self.first_event);
        match self.state.as_str() {
            "complete" => 100,
            _ => (seen * 100).checked_div(all).unwrap_or(0),
        }
    }
}

/// Replays, the newest first.
pub async fn list(db: &Db, before: Option<i64>, limit: u32) -> Result<Vec<ReplayRow>, DbError> {
    let query = LIST_REPLAYS.bind(before.unwrap_or(i64::MAX)).bind(limit.clamp(1, 1_000));
    query.all(&mut db.read().await?).await
}

pub async fn show(db: &Db, id: i64) -> Result<Option<ReplayRow>, DbError> {
    SHOW_REPLAY.bind(id).optional(&mut db.read().await?).await
}
