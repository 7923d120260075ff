//! Stored events in the order of their numbers, for whoever follows them. A follower keeps the number of the last one it
//! dealt with and asks for what comes after it; nothing is passed over and nothing comes twice.
//!
//! A number is drawn before its transaction commits. Where several receivers write at once, an event can appear behind one
//! that was read already, and a follower that remembers the greatest number it saw would never see it. So a look has three
//! steps: how far numbers reach; who is writing at that moment; and, once those have ended, what there is up to there. Who
//! draws a number holds a writer's lock on the table from before that until after the commit, so nobody who is not among
//! them can still bring a number below the reach. Writers notice nothing of it.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};
use trunkline_platform::db::{Db, DbError};

use super::store::EventId;

/// How long a look waits for those who write. Far longer than a transaction of ours takes; whoever asks asks again.
const PATIENCE: Duration = Duration::from_secs(2);
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(50);

trunkline_platform::statements! {
    REACH = same { "SELECT COALESCE(MAX(id), 0) AS id FROM events" }
    /// Differs by necessity: SQLite has one writer, so numbers appear in the order they are drawn.
    WRITERS = split {
        postgres:
        "SELECT DISTINCT virtualtransaction AS id FROM pg_locks
         WHERE locktype = 'relation' AND relation = to_regclass('events') AND mode = 'RowExclusiveLock' AND granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        sqlite: "SELECT '' AS id WHERE 1 = 0",
    }
    READ_FEED = same {
        "SELECT id, event_type, scheme, correlation_id, CAST(OCTET_LENGTH(body) + OCTET_LENGTH(headers) AS BIGINT) AS bytes
         FROM events WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3"
    }
    LOAD_FEED = parts {
        "SELECT id, event_type, received_at, headers, body, correlation_id FROM events
         WHERE id IN " (any "$1") " ORDER BY id"
    }
}

#[derive(sqlx::FromRow)]
struct Reach {
    id: EventId,
}

#[derive(sqlx::FromRow)]
struct Writer {
    id: String,
}

/// What a follower decides by whether it wants an event.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Head {
    pub id: EventId,
    pub event_type: String,
    scheme: String,
    pub correlation_id: String,
    /// Of body and headers.
    pub bytes: i64,
}

impl Head {
    /// Whether somebody delivered it, signed. The others we asked for ourselves.
    pub fn was_delivered(&self) -> bool {
        self.scheme != "reconciled"
    }
}

/// A delivery as it came.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Original {
    pub id: EventId,
    pub event_type: String,
    pub received_at: DateTime<Utc>,
    /// JSON: each header's values by its name in lower case.
    pub headers: String,
    pub body: String,
    pub correlation_id: String,
}

/// What was found behind a number.
#[derive(Clone, Debug)]
pub struct Look {
    /// In order, at most as many as were asked for.
    pub heads: Vec<Head>,
    /// Where to go on: nothing up to there will ever appear that is not among what was found.
    pub next: EventId,
}

/// The greatest number there is at the moment; 0 when there is none.
pub async fn reach(db: &Db) -> Result<EventId, DbError> {
    Ok(REACH.query().one::<Reach>(&mut db.read().await?).await?.id)
}

/// What follows `after`. Nothing, when somebody is at writing for so long that it cannot be told yet.
pub async fn look(db: &Db, after: EventId, most: u32) -> Result<Look, DbError> {
    let nothing = Look { heads: Vec::new(), next: after };
    let reach = reach(db).await?;
    if reach <= after || !settled(db).await? {
        return Ok(nothing);
    }
    let query = READ_FEED.bind(after.0).bind(reach.0).bind(most);
    let heads: Vec<Head> = query.all(&mut db.read().await?).await?;
    let next = heads.last().filter(|_| heads.len() >= most as usize).map_or(reach, |last| last.id);
    Ok(Look { heads, next })
}

/// These deliveries, in order.
pub async fn load(db: &Db, ids: &[EventId]) -> Result<Vec<Original>, DbError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    LOAD_FEED.bind(ids).all(&mut db.read().await?).await
}

/// Waits until all who write at this moment have ended. False: not within our patience.
async fn settled(db: &Db) -> Result<bool, DbError> {
    let began = Instant::now();
    let mut left = writers(db).await?;
    let mut wait = FIRST_WAIT;
    while !left.is_empty() {
        if began.elapsed() > PATIENCE {
            tracing::warn!(
                writers = left.len(),
                "a transaction on the events does not end; followers wait for it"
            );
            return Ok(false);
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
        let now = writers(db).await?;
        left.retain(|writer| now.contains(writer));
    }
    Ok(true)
}

async fn writers(db: &Db) -> Result<BTreeSet<String>, DbError> {
    let rows: Vec<Writer> = WRITERS.query().all(&mut db.read().await?).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
