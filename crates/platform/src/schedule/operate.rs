//! What people do to schedules. Each act is written into the book in its own transaction.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::file::Schedule;
use super::judge;
use super::runner::{fire, task_of};
use super::store::{self, Outcome, ScheduleState, Tick, TickRow};
use crate::audit::{self, Act, Actor};
use crate::db::{Db, DbError};
use crate::task::{TaskId, Tasks};

/// How the schedules stand that the database knows.
pub async fn states(db: &Db) -> Result<Vec<ScheduleState>, DbError> {
    store::states(db).await
}

/// What became of ticks, the newest first: of one schedule or of all, before a time or up to the newest.
pub async fn history(
    db: &Db,
    name: Option<&str>,
    before: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<TickRow>, DbError> {
    store::history(db, name, before, limit).await
}

/// Stops a schedule from ticking in every process. False: it was paused already.
pub async fn pause(tasks: &Tasks, schedule: &Schedule, actor: &Actor) -> Result<bool, DbError> {
    let now = tasks.clock().now();
    let mut tx = tasks.begin().await?;
    store::keep_new(tx.session(), schedule, now).await?;
    if !store::pause(tx.session(), &schedule.name, now).await? {
        return Ok(false);
    }
    let act = act("schedule.pause", schedule, json!({"paused": false}), json!({"paused": true}));
    audit::record(tx.session(), now, actor, &[act]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Lets a schedule tick again from now on. What it skipped meanwhile is noted and not made up for. None: it was not
/// paused. Otherwise how many ticks were skipped.
pub async fn resume(tasks: &Tasks, schedule: &Schedule, actor: &Actor) -> Result<Option<i64>, DbError> {
    let now = tasks.clock().now();
    let before = states(tasks.db()).await?.into_iter().find(|state| state.name == schedule.name);
    let Some((since, last_tick)) = before.and_then(|state| Some((state.paused_at?, state.last_tick))) else {
        return Ok(None);
    };
    let skipped = judge::ticks(&schedule.when, last_tick.max(since), now);
    let mut tx = tasks.begin().await?;
    if !store::resume(tx.session(), &schedule.name, now).await? {
        return Ok(None);
    }
    let ticks = i64::try_from(skipped.len()).unwrap_or(i64::MAX);
    if let Some(&at) = skipped.back() {
        let outcome = Outcome::SkippedPaused;
        let row = Tick { schedule: &schedule.name, at, source: "cron", outcome, ticks, task: None };
        store::record(tx.session(), &row, now).await?;
    }
    let before = json!({"paused": true, "since": since});
    let after = json!({"paused": false, "ticks_skipped": ticks});
    audit::record(tx.session(), now, actor, &[act("schedule.resume", schedule, before, after)]).await?;
    tx.commit().await?;
    Ok(Some(ticks))
}

/// Fires a schedule now, also one that is paused or switched off. Its rule about overlap and the job's own unique
/// key hold; the answer says what became of it.
pub async fn trigger(
    tasks: &Tasks,
    schedule: &Schedule,
    actor: &Actor,
) -> Result<(Outcome, Option<TaskId>), DbError> {
    let now = tasks.clock().now();
    let mut tx = tasks.begin().await?;
    store::hold(tx.session(), schedule, now).await?;
    let mut task = task_of(schedule, now);
    task.cause.clone_from(&actor.name);
    let (outcome, id) = fire(&mut tx, schedule, task).await?;
    let mut row = Tick { schedule: &schedule.name, at: now, source: "manual", outcome, ticks: 1, task: id };
    // Somebody else's trigger can have the same microsecond.
    while !store::record(tx.session(), &row, now).await? {
        row.at += TimeDelta::microseconds(1);
    }
    let after = json!({"outcome": outcome, "task": id});
    let act =
        Act { action: "schedule.trigger", subject: subject(schedule), before: None, after: Some(after) };
    audit::record(tx.session(), now, actor, &[act]).await?;
    tx.commit().await?;
    Ok((outcome, id))
}

fn subject(schedule: &Schedule) -> String {
    format!("schedule:{}", schedule.name)
}

fn act(
    action: &'static str,
    schedule: &Schedule,
    before: serde_json::Value,
    after: serde_json::Value,
) -> Act {
    Act { action, subject: subject(schedule), before: Some(before), after: Some(after) }
}
