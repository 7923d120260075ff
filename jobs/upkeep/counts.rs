//! Count what is stored, for those who look at it: counting all events and files takes the longer the more there are,
//! so it is done here once an hour, and a look reads what the last count said. While there is little, a look counts
//! for itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_platform::db::{Db, DbError};

use super::run::{Chore, ChoreError, Run};
use crate::events::{self, EventCount};
use crate::media::{self, MediaCount};

/// Up to so many rows a look counts for itself.
const COUNTED_AT_ONCE: i64 = 100_000;

trunkline_platform::statements! {
    /// No fewer than there are rows; two looks at the ends of the keys.
    ROOM = same {
        "SELECT COALESCE((SELECT MAX(id) FROM events) - (SELECT MIN(id) FROM events), 0)
              + COALESCE((SELECT MAX(id) FROM media) - (SELECT MIN(id) FROM media), 0) AS room"
    }
    LAST_COUNT = same { "SELECT ended_at, detail FROM upkeep_runs WHERE job = $1 ORDER BY id DESC LIMIT 1" }
}

/// Counts what is stored.
#[derive(Debug)]
pub struct CountStored;

/// What is stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Stored {
    pub events: Vec<EventCount>,
    pub media: MediaCount,
    /// When this was counted. Absent: now.
    #[serde(default)]
    pub counted_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Room {
    room: i64,
}

#[derive(sqlx::FromRow)]
struct Counted {
    ended_at: DateTime<Utc>,
    detail: String,
}

impl Chore for CountStored {
    const NAME: &'static str = "upkeep.counts";
    const ABOUT: &'static str = "Counts what is stored, for those who look at it.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let mut session = run.db().patient_read().await?;
        let (events, media) = (events::count_in(&mut session).await?, media::count_in(&mut session).await?);
        run.freed.detail = serde_json::to_value(Stored { events, media, counted_at: None })?;
        Ok(())
    }
}

/// What is stored, counted now while that is quick, or else as the last count said. None: there is too much to count now,
/// and it was never counted.
pub async fn stored(db: &Db) -> Result<Option<Stored>, DbError> {
    let mut session = db.read().await?;
    let room: Room = ROOM.query().one(&mut session).await?;
    if room.room < COUNTED_AT_ONCE {
        let (events, media) = (events::count_in(&mut session).await?, media::count_in(&mut session).await?);
        return Ok(Some(Stored { events, media, counted_at: None }));
    }
    let last: Option<Counted> = LAST_COUNT.bind(CountStored::NAME).optional(&mut session).await?;
    let Some(Counted { ended_at, detail }) = last else { return Ok(None) };
    // What another release wrote in another form is as good as nothing.
    let stored: Option<Stored> = serde_json::from_str(&detail).ok();
    Ok(stored.map(|stored| Stored { counted_at: Some(ended_at), ..stored }))
}
