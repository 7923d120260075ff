//! How a replay begins, moves and ends. At most one is under way; the table's unique index says so, in all processes.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{DbError, Session};
use trunkline_platform::task::{NewTask, TaskTx, Tasks};

use super::page::ReplayEvents;
use crate::events::EventFilter;
use crate::events::find::{Survey, survey_in};
use crate::events::scan::{Window, window};

/// Events in a second, unless somebody says otherwise.
pub const USUAL_PACE: u32 = 50;
/// The most events in a second.
pub const LARGEST_PACE: u32 = 1_000;
/// Events that are counted before a replay begins. Of more it is only known how far it is.
pub const MOST_COUNTED: u64 = 20_000;

trunkline_platform::statements! {
    BEGIN_REPLAY = same {
        "INSERT INTO event_replays (state, actor, reason, filter, pace, first_event, seen_to, last_event, expected, looked,
             replayed, jobless, next_at, started_at)
         VALUES ('running', $1, $2, $3, $4, $5, $5, $6, $7, 0, 0, 0, $8, $8) ON CONFLICT DO NOTHING RETURNING id"
    }
    FIND_RUNNING_REPLAY = same { "SELECT id FROM event_replays WHERE state = 'running'" }
    FIND_REPLAY = same {
        "SELECT id, filter, pace, seen_to, last_event, next_at FROM event_replays WHERE id = $1 AND state = 'running'"
    }
    /// Whoever looked at a page that somebody else has turned meanwhile has looked in vain.
    TURN_REPLAY = same {
        "UPDATE event_replays SET seen_to = $3, looked = looked + $4, replayed = replayed + $5, jobless = jobless + $6,
             next_at = $7
         WHERE id = $1 AND seen_to = $2 AND state = 'running'"
    }
    COMPLETE_REPLAY = same {
        "UPDATE event_replays SET state = 'complete', ended_at = $2 WHERE id = $1 AND state = 'running'"
    }
    FAIL_REPLAY = same {
        "UPDATE event_replays SET state = 'failed', ended_at = $2, error = $3 WHERE id = $1 AND state = 'running'"
    }
    CANCEL_REPLAY = same {
        "UPDATE event_replays SET state = 'cancelled', ended_at = $2 WHERE id = $1 AND state = 'running'
         RETURNING id, replayed"
    }
    RESUME_REPLAY = same {
        "UPDATE event_replays SET state = 'running', ended_at = NULL, error = NULL, next_at = $2
         WHERE id = $1 AND state IN ('cancelled', 'failed')
           AND NOT EXISTS (SELECT 1 FROM event_replays AS other WHERE other.state = 'running')
         RETURNING id, replayed"
    }
    STATE_OF_REPLAY = same { "SELECT state FROM event_replays WHERE id = $1" }
}

/// What is to be replayed, and how fast.
#[derive(Clone, Debug)]
pub struct Order {
    pub filter: EventFilter,
    /// Events in a second.
    pub pace: u32,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("a pace is 1 to {LARGEST_PACE} events in a second")]
    Pace,
    #[error("no event is as described")]
    Nothing,
    #[error("replay {0} is under way, and there is one at a time: wait for its end, or cancel it")]
    Running(i64),
    #[error("there is no replay {0}")]
    Unknown(i64),
    #[error("replay {0} is {1}")]
    Ended(i64, String),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// A replay that is under way.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Run {
    pub(super) id: i64,
    filter: String,
    pub(super) pace: i32,
    pub(super) seen_to: i64,
    pub(super) last_event: i64,
    pub(super) next_at: DateTime<Utc>,
}

impl Run {
    pub(super) fn filter(&self) -> Result<EventFilter, serde_json::Error> {
        serde_json::from_str(&self.filter)
    }

    /// What it has still to look at.
    pub(super) fn rest(&self) -> Window {
        Window { after: self.seen_to, last: self.last_event }
    }

    /// How long so many events take.
    pub(super) fn takes(&self, events: usize) -> TimeDelta {
        let pace = i64::from(self.pace).max(1);
        TimeDelta::microseconds(i64::try_from(events).unwrap_or(i64::MAX).saturating_mul(1_000_000) / pace)
    }
}

#[derive(sqlx::FromRow)]
struct Id {
    id: i64,
}

#[derive(sqlx::FromRow)]
struct Stands {
    state: String,
}

#[derive(sqlx::FromRow)]
struct SoFar {
    id: i64,
    replayed: i64,
}

/// Counts what is to be replayed, begins, and returns its number and what was counted. Only what had come by now is
/// replayed.
///
/// # Errors
/// When nothing is as described, or another replay is under way; that one has a task again if its own was lost.
pub async fn begin(tasks: &Tasks, order: &Order, actor: &Actor) -> Result<(i64, Survey), ReplayError> {
    let Order { filter, pace } = order;
    if !(1..=LARGEST_PACE).contains(pace) {
        return Err(ReplayError::Pace);
    }
    let window = window(&mut tasks.db().read().await?, filter).await?;
    let counted = survey_in(tasks.db(), filter, window, MOST_COUNTED, |_| {}).await?;
    if counted.complete && counted.found == 0 {
        return Err(ReplayError::Nothing);
    }
    let now = tasks.clock().now();
    let stored = serde_json::to_string(filter).map_err(DbError::from)?;
    let expected = counted.complete.then(|| i64::try_from(counted.found).unwrap_or(i64::MAX));
    let mut tx = tasks.begin().await?;
    loop {
        let begin = BEGIN_REPLAY
            .bind(actor.name.as_str())
            .bind(actor.reason.as_deref())
            .bind(stored.as_str())
            .bind(*pace)
            .bind(window.after)
            .bind(window.last)
            .bind(expected)
            .bind(now);
        if let Some(Id { id }) = begin.optional(tx.session()).await? {
            enqueue(&mut tx, id, &actor.name).await?;
            let after = json!({
                "filter": filter, "pace": pace, "found": counted.found, "complete": counted.complete,
                "by_type": counted.by_type,
            });
            record(&mut tx, now, actor, "events.replay", id, after).await?;
            tx.commit().await?;
            return Ok((id, counted));
        }
        // What stood in the way can end between the two statements.
        if let Some(Id { id }) = FIND_RUNNING_REPLAY.query().optional(tx.session()).await? {
            enqueue(&mut tx, id, &actor.name).await?;
            tx.commit().await?;
            return Err(ReplayError::Running(id));
        }
    }
}

/// Ends a replay between two pages. What was enqueued goes on. Answers how many events were replayed.
///
/// # Errors
/// When there is none of this number, or it has ended.
pub async fn cancel(tasks: &Tasks, id: i64, actor: &Actor) -> Result<i64, ReplayError> {
    let now = tasks.clock().now();
    let mut tx = tasks.begin().await?;
    let ended: Option<SoFar> = CANCEL_REPLAY.bind(id).bind(now).optional(tx.session()).await?;
    let Some(SoFar { id, replayed }) = ended else { return Err(why_not(tx.session(), id).await?) };
    record(&mut tx, now, actor, "events.replay.cancel", id, json!({"replayed": replayed})).await?;
    tx.commit().await?;
    Ok(replayed)
}

/// Lets a replay that was cancelled or has failed go on from the page it had come to.
///
/// # Errors
/// When there is none of this number, it is complete, or one is under way; that one has a task again if its own was lost.
pub async fn resume(tasks: &Tasks, id: i64, actor: &Actor) -> Result<(), ReplayError> {
    let now = tasks.clock().now();
    let mut tx = tasks.begin().await?;
    let running: Option<Id> = FIND_RUNNING_REPLAY.query().optional(tx.session()).await?;
    if let Some(Id { id }) = running {
        enqueue(&mut tx, id, &actor.name).await?;
        tx.commit().await?;
        return Err(ReplayError::Running(id));
    }
    let resumed: Option<SoFar> = RESUME_REPLAY.bind(id).bind(now).optional(tx.session()).await?;
    let Some(SoFar { id, replayed }) = resumed else { return Err(why_not(tx.session(), id).await?) };
    enqueue(&mut tx, id, &actor.name).await?;
    record(&mut tx, now, actor, "events.replay.resume", id, json!({"replayed": replayed})).await?;
    tx.commit().await?;
    Ok(())
}

async fn why_not(session: &mut Session, id: i64) -> Result<ReplayError, DbError> {
    let stands: Option<Stands> = STATE_OF_REPLAY.bind(id).optional(session).await?;
    Ok(stands.map_or(ReplayError::Unknown(id), |stands| ReplayError::Ended(id, stands.state)))
}

/// The replay's one task; none if it has one.
async fn enqueue(tx: &mut TaskTx, id: i64, cause: &str) -> Result<(), DbError> {
    let task = NewTask::of(&ReplayEvents { replay: id })?.correlation_id(&format!("rp_{id}")).cause(cause);
    tx.enqueue(&[task]).await.map(drop)
}

async fn record(
    tx: &mut TaskTx,
    now: DateTime<Utc>,
    actor: &Actor,
    action: &'static str,
    id: i64,
    after: serde_json::Value,
) -> Result<(), DbError> {
    let act = Act { action, subject: format!("event_replay:{id}"), before: None, after: Some(after) };
    audit::record(tx.session(), now, actor, &[act]).await
}

/// The replay, if it is under way.
pub(super) async fn find(session: &mut Session, id: i64) -> Result<Option<Run>, DbError> {
    FIND_REPLAY.bind(id).optional(session).await
}

/// What a page came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turned {
    pub(super) seen_to: i64,
    pub(super) looked: usize,
    pub(super) replayed: usize,
    pub(super) jobless: usize,
}

/// Moves a replay forward. False: somebody else has, or it has ended.
pub(super) async fn turn(
    tx: &mut Session,
    run: &Run,
    turned: Turned,
    next_at: DateTime<Utc>,
) -> Result<bool, DbError> {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let query = TURN_REPLAY
        .bind(run.id)
        .bind(run.seen_to)
        .bind(turned.seen_to)
        .bind(count(turned.looked))
        .bind(count(turned.replayed))
        .bind(count(turned.jobless))
        .bind(next_at);
    Ok(query.execute(tx).await? == 1)
}

pub(super) async fn complete(tx: &mut Session, run: &Run, now: DateTime<Utc>) -> Result<(), DbError> {
    COMPLETE_REPLAY.bind(run.id).bind(now).execute(tx).await.map(drop)
}

pub(super) async fn fail(
    tx: &mut Session,
    run: &Run,
    error: &str,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    FAIL_REPLAY.bind(run.id).bind(now).bind(error).execute(tx).await.map(drop)
}
