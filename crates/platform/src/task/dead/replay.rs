//! Retrying many dead letters with care: one first, then ten, then the rest at a pace, and no more once one of
//! them fails of the same thing again.
//!
//! A failed attempt is enough: whoever replays at night need not wait for twelve tries. Nothing is remembered
//! between runs, for the table knows what is left; so the replay can be stopped at any point, killed as well, and
//! begun again. What died during the run, and so failed again, is not retried by it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::act::{Batch, DeadAct};
use super::list::{Cursor, DeadFilter, DeadRow, Order};
use super::plan::Refused;
use super::{fingerprint, normal_error};
use crate::audit::Actor;
use crate::db::{DbError, Rows};
use crate::task::{TaskId, TaskState, Tasks};

crate::statements! {
    READ_OUTCOMES = parts {
        "SELECT id, state, fingerprint, last_error FROM tasks WHERE id IN " (any "$1")
    }
    FAILED_SINCE = parts {
        "SELECT a.task_id AS id, a.error
         FROM " (rows "$1" as r (id BIGINT, attempt INTEGER))
        " JOIN task_attempts AS a ON a.task_id = r.id AND a.attempt > r.attempt
         ORDER BY a.task_id, a.attempt LIMIT 10000"
    }
}

/// How many tasks in how much time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub tasks: u32,
    pub per: Duration,
}

/// How a replay goes about it.
#[derive(Clone, Debug)]
pub struct Canary {
    /// How many are retried and waited for at a time, before the rest.
    pub stages: Vec<u32>,
    pub pace: Pace,
    /// How long a stage, and the last tasks of all, are waited for.
    pub patience: Duration,
    /// How often the retried tasks are looked at.
    pub look_every: Duration,
    /// The most that are retried and not seen to end.
    pub most_open: usize,
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            stages: vec![1, 10],
            pace: Pace { tasks: 20, per: Duration::from_secs(1) },
            patience: Duration::from_secs(600),
            look_every: Duration::from_millis(250),
            most_open: 500,
        }
    }
}

/// Why a replay ended before all were retried and seen to end.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Stopped {
    /// A task failed of what it had died of.
    Repeat { task: TaskId, fingerprint: String, error: String },
    /// None of a stage succeeded, although none failed of the same thing.
    NoneDone { task: TaskId, error: String },
    /// These did not end in time.
    Undecided { tasks: Vec<TaskId> },
    /// The caller wanted no more.
    Interrupted,
}

/// How far a replay has come.
#[derive(Debug, Default, Serialize)]
pub struct Replayed {
    /// Stages that were passed.
    pub stages: usize,
    pub retried: u64,
    pub done: u64,
    /// Failed of something else; they go on by their own backoff, or are dead letters of another group.
    pub failed_otherwise: u64,
    /// Ended without an effect: cancelled, discarded, deleted.
    pub ended_otherwise: u64,
    /// Retried, and not seen to end.
    pub open: usize,
    /// Could not be retried.
    pub refused: u64,
    pub stopped: Option<Stopped>,
    #[serde(skip)]
    pub refusals: Vec<Refused>,
}

/// The most refusals that are kept to be told.
const MOST_REFUSALS: usize = 100;

/// A retried task whose end is awaited.
struct Open {
    kind: String,
    /// Attempts beyond this one are ours.
    attempt: i32,
    fingerprint: String,
}

#[derive(Serialize)]
struct Since {
    id: TaskId,
    attempt: i32,
}

#[derive(sqlx::FromRow)]
struct Outcome {
    id: TaskId,
    #[sqlx(try_from = "String")]
    state: TaskState,
    fingerprint: Option<String>,
    last_error: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Failed {
    id: TaskId,
    error: Option<String>,
}

struct Run<'t> {
    tasks: &'t Tasks,
    open: BTreeMap<TaskId, Open>,
    told: Replayed,
    /// The last that failed of something else.
    otherwise: Option<(TaskId, String)>,
}

/// Retries the dead letters that a filter finds. `wait` passes the time and answers whether to go on; `progress` is
/// told after every step.
pub async fn replay(
    tasks: &Tasks,
    filter: &DeadFilter,
    plan: &Canary,
    actor: &Actor,
    mut wait: impl AsyncFnMut(Duration) -> bool,
    mut progress: impl FnMut(&Replayed),
) -> Result<Replayed, DbError> {
    tasks.mark_old_deaths().await?;
    let filter = filter.clone().died_until(tasks.clock().now());
    let mut batch = Batch::new(tasks, DeadAct::Retry, actor.clone(), false).only(filter.clone());
    let mut run = Run { tasks, open: BTreeMap::new(), told: Replayed::default(), otherwise: None };
    let (mut after, mut exhausted) = (None, false);
    while !exhausted && run.told.stopped.is_none() {
        let stage = plan.stages.get(run.told.stages).copied();
        let room = plan.most_open.saturating_sub(run.open.len());
        let size = stage.unwrap_or_else(|| plan.pace.step()).min(u32::try_from(room).unwrap_or(u32::MAX));
        let (before, ended) = (run.told.retried, run.ended());
        if size > 0 {
            let rows = tasks.list_dead(&filter, Order::Oldest, after, size).await?;
            exhausted = rows.is_empty();
            after = rows.last().map(|row| Cursor { died_at: row.died_at, id: row.id }).or(after);
            run.retry(&mut batch, rows).await?;
            progress(&run.told);
        }
        match stage {
            Some(_) if run.told.retried > before => {
                run.settle(plan, &mut wait, &mut progress).await?;
                if run.told.stopped.is_none() {
                    run.judge_stage(ended);
                }
            }
            Some(_) => {}
            None if exhausted => {}
            None => {
                if !wait(plan.pace.rest(size)).await {
                    run.told.stopped = Some(Stopped::Interrupted);
                }
                run.look().await?;
                progress(&run.told);
            }
        }
    }
    if run.told.stopped.is_none() {
        run.settle(plan, &mut wait, &mut progress).await?;
    }
    Ok(run.told)
}

impl Pace {
    /// Tasks of one step: about a second's.
    fn step(self) -> u32 {
        let in_a_second = f64::from(self.tasks) / self.per.as_secs_f64().max(0.001);
        // Saturates; never more than a batch takes.
        (in_a_second as u32).clamp(1, 500)
    }

    /// How long to rest after `tasks` of them.
    fn rest(self, tasks: u32) -> Duration {
        self.per.mul_f64(f64::from(tasks.max(1)) / f64::from(self.tasks.max(1)))
    }
}

impl Run<'_> {
    async fn retry(&mut self, batch: &mut Batch<'_>, rows: Vec<DeadRow>) -> Result<(), DbError> {
        if rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<TaskId> = rows.iter().map(|row| row.id).collect();
        let acted = batch.act_on(&ids).await?;
        for row in rows.into_iter().filter(|row| acted.done.contains(&row.id)) {
            let own = || fingerprint(&row.kind, row.last_error.as_deref());
            let open = Open {
                attempt: row.attempt,
                fingerprint: row.fingerprint.clone().unwrap_or_else(own),
                kind: row.kind,
            };
            self.open.insert(row.id, open);
        }
        self.told.retried += acted.done.len() as u64;
        self.told.refused += acted.refused.len() as u64;
        self.told.open = self.open.len();
        let room = MOST_REFUSALS.saturating_sub(self.told.refusals.len());
        self.told.refusals.extend(acted.refused.into_iter().take(room));
        Ok(())
    }

    /// Waits until all that were retried have ended or failed.
    async fn settle(
        &mut self,
        plan: &Canary,
        wait: &mut impl AsyncFnMut(Duration) -> bool,
        progress: &mut impl FnMut(&Replayed),
    ) -> Result<(), DbError> {
        let mut waited = Duration::ZERO;
        loop {
            self.look().await?;
            progress(&self.told);
            if self.open.is_empty() || self.told.stopped.is_some() {
                return Ok(());
            }
            if waited >= plan.patience {
                self.told.stopped = Some(Stopped::Undecided { tasks: self.open.keys().copied().collect() });
                return Ok(());
            }
            if !wait(plan.look_every).await {
                self.told.stopped = Some(Stopped::Interrupted);
                return Ok(());
            }
            waited += plan.look_every;
        }
    }

    fn ended(&self) -> u64 {
        self.told.done + self.told.ended_otherwise
    }

    /// A stage of which nothing succeeded is no reason to go on.
    fn judge_stage(&mut self, ended_before: u64) {
        self.told.stages += 1;
        if self.ended() == ended_before
            && let Some((task, error)) = self.otherwise.take()
        {
            self.told.stopped = Some(Stopped::NoneDone { task, error });
        }
    }

    /// Looks what became of those whose end is awaited.
    async fn look(&mut self) -> Result<(), DbError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let since: Vec<Since> =
            self.open.iter().map(|(id, open)| Since { id: *id, attempt: open.attempt }).collect();
        let ids: Vec<i64> = self.open.keys().map(|id| id.0).collect();
        let mut session = self.tasks.db().read().await?;
        let outcomes: Vec<Outcome> = READ_OUTCOMES.bind(ids).all(&mut session).await?;
        // Looked for after the states, so that a death that is seen is seen with its failure.
        let failures: Vec<Failed> = FAILED_SINCE.bind(Rows::of(&since)?).all(&mut session).await?;
        drop(session);
        for Since { id, .. } in since {
            let Some(open) = self.open.get(&id) else { continue };
            let outcome = outcomes.iter().find(|outcome| outcome.id == id);
            let errors =
                failures.iter().filter(|failed| failed.id == id).map(|failed| failed.error.as_deref());
            let mut failed = None;
            let mut repeat = None;
            for error in errors {
                let error = error.unwrap_or_default();
                if fingerprint(&open.kind, Some(error)) == open.fingerprint {
                    repeat = Some(error.to_owned());
                }
                failed = Some(error.to_owned());
            }
            if let Some(dead) = outcome.filter(|outcome| outcome.state == TaskState::Dead) {
                let error = dead.last_error.clone().unwrap_or_default();
                if dead.fingerprint.as_deref() == Some(open.fingerprint.as_str()) {
                    repeat = Some(error.clone());
                }
                failed = Some(error);
            }
            if let Some(error) = repeat {
                let fingerprint = open.fingerprint.clone();
                self.told.stopped.get_or_insert(Stopped::Repeat { task: id, fingerprint, error });
                self.open.remove(&id);
                continue;
            }
            match outcome.map(|outcome| outcome.state) {
                Some(TaskState::Done) => self.told.done += 1,
                Some(TaskState::Cancelled | TaskState::Discarded) | None => self.told.ended_otherwise += 1,
                Some(TaskState::Pending | TaskState::Running | TaskState::Dead) => {
                    let Some(error) = failed else { continue };
                    self.told.failed_otherwise += 1;
                    self.otherwise = Some((id, normal_error(&error)));
                }
            }
            self.open.remove(&id);
        }
        self.told.open = self.open.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_by_steps_of_about_a_second() {
        let pace = |tasks, seconds| Pace { tasks, per: Duration::from_secs(seconds) };
        assert_eq!((pace(50, 1).step(), pace(50, 1).rest(50)), (50, Duration::from_secs(1)));
        assert_eq!((pace(2, 60).step(), pace(2, 60).rest(1)), (1, Duration::from_secs(30)));
        assert_eq!((pace(5_000, 1).step(), pace(5_000, 1).rest(500)), (500, Duration::from_millis(100)));
    }
}
