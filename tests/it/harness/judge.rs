//! The judge of every fault test: what was acknowledged is there, and everything ends, once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use trunkline_jobs::events::{self, EventFilter, EventSummary};
use trunkline_openphone::simulator::Delivery;
use trunkline_platform::db::DbError;
use trunkline_platform::job::Job;
use trunkline_platform::task::{TaskFilter, TaskRow, TaskState, Tasks};

use super::Env;
use super::log::Logged;

/// After so many dead workers a task may be a dead letter through no fault of its own.
const DEATHS: i32 = 3;

pub(crate) async fn every_event(env: &Env) -> Result<Vec<EventSummary>, DbError> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = events::find(&env.db, &EventFilter::default(), before, 1_000).await?;
        all.extend(page.events.into_iter().map(|found| found.event));
        before = page.next;
        if before.is_none() {
            return Ok(all);
        }
    }
}

pub(crate) async fn every_task(tasks: &Tasks) -> Result<Vec<TaskRow>, DbError> {
    let mut all: Vec<TaskRow> = Vec::new();
    loop {
        let before = all.last().map(|task| task.id);
        let page = tasks.list(&TaskFilter { before, limit: 1_000, ..Default::default() }).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Whether no task waits or runs.
pub(crate) async fn all_ended(tasks: &Tasks) -> bool {
    tasks.count_by_kind().await.is_ok_and(|counts| {
        counts.iter().all(|row| !matches!(row.state, TaskState::Pending | TaskState::Running))
    })
}

/// Waits until no task waits or runs. Slow is well; two minutes in which none ends are not, and what is left is shown.
pub(crate) async fn worked_off(tasks: &Tasks) {
    const PATIENCE: Duration = Duration::from_secs(120);
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let counts = tasks.count_by_kind().await.unwrap_or_default();
        let unfinished = |state| matches!(state, TaskState::Pending | TaskState::Running);
        let (left, ended): (Vec<_>, Vec<_>) = counts.into_iter().partition(|row| unfinished(row.state));
        let ended: i64 = ended.iter().map(|row| row.count).sum();
        if left.is_empty() && ended > 0 {
            return;
        }
        if ended > most {
            (most, since) = (ended, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            let rows = every_task(tasks).await.unwrap_or_default();
            let rows: Vec<_> = rows.iter().filter(|task| unfinished(task.state)).take(20).collect();
            panic!("{ended} tasks have ended and for two minutes no other: {left:?}\n{rows:#?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is wrong, one line each: every acknowledged delivery has its event, every event its one task, every task
/// its end, and none was done twice.
pub(crate) async fn wrongs(env: &Env, acknowledged: &[Delivery]) -> Result<Vec<String>, DbError> {
    let mut wrongs = Vec::new();
    let stored = every_event(env).await?;
    let ids: HashSet<&str> = stored.iter().map(|event| event.event_id.as_str()).collect();
    for delivery in acknowledged.iter().filter(|delivery| !ids.contains(delivery.event_id.as_str())) {
        wrongs.push(format!("acknowledged and lost: {delivery:?}"));
    }

    let tasks = env.live_tasks();
    let rows = every_task(&tasks).await?;
    let mut caused = std::collections::HashMap::<&str, usize>::new();
    for task in &rows {
        *caused.entry(task.cause.as_str()).or_default() += 1;
    }
    for event in stored.iter().filter(|event| event.job.is_some()) {
        let count = caused.get(format!("webhook:{}", event.id).as_str()).copied().unwrap_or_default();
        if count != 1 {
            wrongs.push(format!("event {} became {count} tasks", event.id));
        }
    }
    for task in &rows {
        let died_with_its_workers = task.state == TaskState::Dead && task.crashes >= DEATHS;
        let cancelled = task.state == TaskState::Cancelled && task.kind == Logged::NAME;
        if task.state != TaskState::Done && !died_with_its_workers && !cancelled {
            wrongs.push(format!("task {} is {}: {task:?}", task.id, task.state));
        }
        // Only looked at where it can be: every attempt but the last left a row or was given back.
        if task.state == TaskState::Done && task.attempt > 1 {
            let failed = tasks.attempts(task.id).await?.len();
            if failed >= usize::try_from(task.attempt).unwrap_or_default() {
                wrongs.push(format!("task {} was done twice: {task:?}", task.id));
            }
        }
    }
    Ok(wrongs)
}
