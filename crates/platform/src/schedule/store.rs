//! The rows of schedules: how far each was judged, and what became of every tick.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::db::{Db, DbError, Rows, Session, sql_time};
use crate::task::{TaskId, TaskTx};

/// How many firings back an unfinished task is looked for.
const OVERLAP_LOOKS_BACK: i64 = 20;

crate::statements! {
    /// What is new, or ticks differently from now on, or was switched on again, has missed nothing so far.
    KEEP_SCHEDULES = parts {
        "INSERT INTO schedules (name, definition, last_tick, disabled)
         SELECT r.name, r.definition, r.at, r.disabled
         FROM " (rows "$1" as r (name TEXT, definition TEXT, at TIMESTAMPTZ, disabled BOOLEAN))
        " WHERE true ORDER BY r.name
         ON CONFLICT (name) DO UPDATE SET
             last_tick = CASE WHEN schedules.disabled OR schedules.definition <> excluded.definition
                 THEN excluded.last_tick ELSE schedules.last_tick END,
             definition = excluded.definition, disabled = excluded.disabled"
    }
    KEEP_NEW = same {
        "INSERT INTO schedules (name, definition, last_tick, disabled) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO NOTHING"
    }
    LIST_SCHEDULES = same {
        "SELECT name, last_tick, paused_at FROM schedules ORDER BY name LIMIT 10000"
    }
    /// Takes a tick. Only one process can, and only forward.
    TAKE_TICK = same {
        "UPDATE schedules SET last_tick = $2 WHERE name = $1 AND last_tick < $2 AND paused_at IS NULL"
    }
    /// Changes nothing, and holds off the ticks and triggers of other processes until the transaction ends.
    HOLD_SCHEDULE = same { "UPDATE schedules SET last_tick = last_tick WHERE name = $1" }
    /// After the clock was far ahead: what lies between now and then is still to come.
    TURN_BACK = same { "UPDATE schedules SET last_tick = $2 WHERE name = $1 AND last_tick > $3" }
    /// A tick that made a task is never written over.
    RECORD_TICK = same {
        "INSERT INTO schedule_ticks (schedule, tick_at, source, outcome, ticks, fired_at, task_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (schedule, tick_at, source) DO UPDATE SET
             outcome = excluded.outcome, ticks = excluded.ticks, fired_at = excluded.fired_at,
             task_id = excluded.task_id
         WHERE schedule_ticks.task_id IS NULL"
    }
    LIVE_TASKS = same {
        "SELECT t.id FROM (SELECT task_id FROM schedule_ticks
                           WHERE schedule = $1 AND task_id IS NOT NULL ORDER BY tick_at DESC LIMIT $2) AS fired
         JOIN tasks AS t ON t.id = fired.task_id
         WHERE t.finished_at IS NULL ORDER BY t.id"
    }
    PAUSE = same { "UPDATE schedules SET paused_at = $2 WHERE name = $1 AND paused_at IS NULL" }
    RESUME = same {
        "UPDATE schedules SET paused_at = NULL, last_tick = CASE WHEN last_tick < $2 THEN $2 ELSE last_tick END
         WHERE name = $1 AND paused_at IS NOT NULL"
    }
    TICK_HISTORY = same {
        "SELECT h.schedule, h.tick_at, h.source, h.outcome, h.ticks, h.fired_at, h.task_id, t.state AS task_state
         FROM schedule_ticks AS h LEFT JOIN tasks AS t ON t.id = h.task_id
         WHERE (CAST($1 AS TEXT) IS NULL OR h.schedule = $1) AND (CAST($2 AS TIMESTAMPTZ) IS NULL OR h.tick_at < $2)
         ORDER BY h.tick_at DESC, h.schedule LIMIT $3"
    }
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A task was enqueued.
    Fired,
    /// The job's own unique key was held: that task stands for this tick, too.
    Existing,
    SkippedMissed,
    SkippedOverlap,
    SkippedPaused,
}

impl Outcome {
    pub const ALL: [Self; 5] =
        [Self::Fired, Self::Existing, Self::SkippedMissed, Self::SkippedOverlap, Self::SkippedPaused];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Existing => "existing",
            Self::SkippedMissed => "skipped_missed",
            Self::SkippedOverlap => "skipped_overlap",
            Self::SkippedPaused => "skipped_paused",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a schedule stands.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ScheduleState {
    pub name: String,
    /// Up to which time its ticks were judged.
    pub last_tick: DateTime<Utc>,
    pub paused_at: Option<DateTime<Utc>>,
}

/// What became of a tick, or of several that were skipped together.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct TickRow {
    pub schedule: String,
    /// The last of those it stands for.
    pub tick_at: DateTime<Utc>,
    /// `cron` or `manual`.
    pub source: String,
    pub outcome: String,
    /// How many it stands for.
    pub ticks: i64,
    pub fired_at: DateTime<Utc>,
    pub task_id: Option<TaskId>,
    /// Absent when there is no task, or it was cleared away.
    pub task_state: Option<String>,
}

/// A tick's row about to be written.
pub(super) struct Tick<'t> {
    pub(super) schedule: &'t str,
    pub(super) at: DateTime<Utc>,
    pub(super) source: &'static str,
    pub(super) outcome: Outcome,
    pub(super) ticks: i64,
    pub(super) task: Option<TaskId>,
}

#[derive(Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) definition: String,
    pub(super) at: String,
    pub(super) disabled: bool,
}

impl Line {
    pub(super) fn new(schedule: &super::Schedule, now: DateTime<Utc>) -> Self {
        Self {
            name: schedule.name.clone(),
            definition: schedule.definition(),
            at: sql_time(now),
            disabled: !schedule.enabled,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Live {
    id: TaskId,
}

pub(super) async fn keep(session: &mut Session, lines: &[Line]) -> Result<(), DbError> {
    KEEP_SCHEDULES.bind(Rows::of(lines)?).execute(session).await.map(drop)
}

/// Makes the row of a schedule that no scheduler has seen yet.
pub(super) async fn keep_new(
    session: &mut Session,
    schedule: &super::Schedule,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let query =
        KEEP_NEW.bind(schedule.name.as_str()).bind(schedule.definition()).bind(now).bind(!schedule.enabled);
    query.execute(session).await.map(drop)
}

pub(super) async fn states(db: &Db) -> Result<Vec<ScheduleState>, DbError> {
    LIST_SCHEDULES.query().all(&mut db.read().await?).await
}

/// True: this transaction, and no other, has the tick.
pub(super) async fn take(session: &mut Session, name: &str, tick: DateTime<Utc>) -> Result<bool, DbError> {
    Ok(TAKE_TICK.bind(name).bind(tick).execute(session).await? == 1)
}

/// Lets nobody else fire the schedule before this transaction ends, also if no scheduler has seen it yet.
pub(super) async fn hold(
    session: &mut Session,
    schedule: &super::Schedule,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    keep_new(session, schedule, now).await?;
    HOLD_SCHEDULE.bind(schedule.name.as_str()).execute(session).await.map(drop)
}

pub(super) async fn turn_back(
    session: &mut Session,
    name: &str,
    now: DateTime<Utc>,
    beyond: DateTime<Utc>,
) -> Result<bool, DbError> {
    Ok(TURN_BACK.bind(name).bind(now).bind(beyond).execute(session).await? == 1)
}

/// False: the tick has made a task before.
pub(super) async fn record(
    session: &mut Session,
    tick: &Tick<'_>,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let query = RECORD_TICK
        .bind(tick.schedule)
        .bind(tick.at)
        .bind(tick.source)
        .bind(tick.outcome.as_str())
        .bind(tick.ticks)
        .bind(now)
        .bind(tick.task.map(|id| id.0));
    Ok(query.execute(session).await? == 1)
}

/// Tasks of earlier ticks that have not ended.
pub(super) async fn live_tasks(tx: &mut TaskTx, name: &str) -> Result<Vec<TaskId>, DbError> {
    let rows: Vec<Live> = LIVE_TASKS.bind(name).bind(OVERLAP_LOOKS_BACK).all(tx.session()).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

pub(super) async fn pause(session: &mut Session, name: &str, now: DateTime<Utc>) -> Result<bool, DbError> {
    Ok(PAUSE.bind(name).bind(now).execute(session).await? == 1)
}

pub(super) async fn resume(session: &mut Session, name: &str, now: DateTime<Utc>) -> Result<bool, DbError> {
    Ok(RESUME.bind(name).bind(now).execute(session).await? == 1)
}

pub(super) async fn history(
    db: &Db,
    name: Option<&str>,
    before: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<TickRow>, DbError> {
    let query = TICK_HISTORY.bind(name).bind(before).bind(limit.clamp(1, 1_000));
    query.all(&mut db.read().await?).await
}
