//! What a person does to dead letters: retry, edit and retry, discard. A batch is one transaction, in which the
//! audit is written as well. What cannot be done to one of them is refused with its reason, and the others go on.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::edit::Edit;
use super::list::{Cursor, DeadFilter, MOST, Order};
use super::plan::{EditLine, Planned, Refused, edited, not_dead};
use crate::audit::{self, Act, Actor};
use crate::db::{DbError, Rows};
use crate::job::{Jobs, Priority};
use crate::ring::Bell;
use crate::task::{TaskId, TaskState, TaskTx, Tasks};

/// How often a batch is begun again because somebody else was in the way.
const TRIES: u32 = 5;
/// Tasks of one transaction when all that match a filter are meant.
const BATCH: u32 = 500;

crate::statements! {
    /// What is decided by is what is acted on. Differs by necessity: SQLite has one writer and no row locks.
    LOCK_DEAD = split {
        postgres:
        "SELECT id FROM tasks WHERE id IN (SELECT unnest(CAST($1 AS BIGINT[]))) AND died_at IS NOT NULL
         ORDER BY id FOR UPDATE",
        sqlite: "SELECT value AS id FROM json_each($1) LIMIT 0",
    }
    /// The attempt is the fencing token and never falls: what was used up is given back as refunds.
    RETRY_DEAD = parts {
        "UPDATE tasks SET state = 'pending', run_at = $2, refunds = attempt, crashes = 0, finished_at = NULL,
                died_at = NULL, fingerprint = NULL
         WHERE id IN " (any "$1") " AND died_at IS NOT NULL
         RETURNING id, queue, priority"
    }
    EDIT_DEAD = parts {
        "UPDATE tasks SET payload = r.payload, version = r.version, unique_key = r.unique_key,
                rate_key = r.rate_key, state = 'pending',
                run_at = $2, refunds = tasks.attempt, crashes = 0, finished_at = NULL, died_at = NULL,
                fingerprint = NULL
         FROM " (rows "$1" as r (id BIGINT, version INTEGER, payload TEXT, unique_key TEXT, rate_key TEXT))
        " WHERE tasks.id = r.id AND tasks.died_at IS NOT NULL
         RETURNING tasks.id, tasks.queue, tasks.priority"
    }
    DISCARD_DEAD = parts {
        "UPDATE tasks SET state = 'discarded', finished_at = $2, died_at = NULL, fingerprint = NULL
         WHERE id IN " (any "$1") " AND died_at IS NOT NULL
         RETURNING id, queue, priority"
    }
}

/// What is done.
#[derive(Clone)]
pub enum DeadAct {
    Retry,
    /// Change the payload, then retry.
    Edit(Edit, Arc<dyn Jobs>),
    /// End it without effect.
    Discard,
}

/// To which dead letters.
#[derive(Clone, Debug)]
pub enum Target {
    Ids(Vec<TaskId>),
    Filter(DeadFilter),
}

/// A payload before and after.
#[derive(Clone, Debug, Serialize)]
pub struct Edited {
    pub id: TaskId,
    /// Each place that differs: `pointer`, `before`, `after`.
    pub changes: Value,
}

/// What was done to a batch, or would be.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    pub done: Vec<TaskId>,
    pub refused: Vec<Refused>,
    pub edited: Vec<Edited>,
}

/// Acts on dead letters, batch by batch. Dropped between two batches, nothing is half done.
pub struct Batch<'t> {
    tasks: &'t Tasks,
    pub(super) act: DeadAct,
    actor: Actor,
    dry_run: bool,
    /// What a task must still be when it is locked: between the look that found it and the lock it can have been retried
    /// and have died of something else.
    pub(super) only: Option<DeadFilter>,
    /// Unique keys that this run has given away: in a dry run the table does not tell.
    pub(super) taken: HashMap<(String, String), TaskId>,
}

#[derive(sqlx::FromRow)]
struct Changed {
    id: TaskId,
    queue: String,
    priority: i32,
}

impl DeadAct {
    fn name(&self) -> &'static str {
        match self {
            Self::Retry => "task.retry",
            Self::Edit(..) => "task.edit",
            Self::Discard => "task.discard",
        }
    }

    pub(super) fn revives(&self) -> bool {
        !matches!(self, Self::Discard)
    }
}

impl<'t> Batch<'t> {
    pub fn new(tasks: &'t Tasks, act: DeadAct, actor: Actor, dry_run: bool) -> Self {
        Self { tasks, act, actor, dry_run, only: None, taken: HashMap::new() }
    }

    /// Acts only on what this filter finds at that moment.
    #[must_use]
    pub fn only(self, filter: DeadFilter) -> Self {
        Self { only: Some(filter), ..self }
    }

    /// Acts on all of a target, and tells after each transaction what became of its tasks. What dies in the
    /// meantime is left alone.
    pub async fn run(
        &mut self,
        target: &Target,
        mut told: impl FnMut(&BatchOutcome) -> bool,
    ) -> Result<(), DbError> {
        match target {
            Target::Ids(ids) => {
                for ids in ids.chunks(BATCH as usize) {
                    let acted = self.act_on(ids).await?;
                    if !told(&acted) {
                        break;
                    }
                }
            }
            Target::Filter(filter) => {
                let filter = filter.clone().died_until(self.tasks.clock().now());
                self.only = Some(filter.clone());
                let mut after = None;
                loop {
                    let rows = self.tasks.list_dead(&filter, Order::Oldest, after, BATCH).await?;
                    let Some(last) = rows.last() else { break };
                    after = Some(Cursor { died_at: last.died_at, id: last.id });
                    let ids: Vec<TaskId> = rows.iter().map(|row| row.id).collect();
                    let acted = self.act_on(&ids).await?;
                    if !told(&acted) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Acts on these tasks in one transaction.
    pub async fn act_on(&mut self, ids: &[TaskId]) -> Result<BatchOutcome, DbError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).take(MOST as usize).collect();
        let mut tries = 1;
        loop {
            let outcome = if self.dry_run { self.rehearse(&ids).await } else { self.perform(&ids).await };
            match outcome {
                // Somebody took the same tasks or their key at this moment: the next look tells.
                Err(DbError::Busy { .. } | DbError::Constraint { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
                Ok((acted, planned)) => {
                    for one in planned.iter().filter(|one| acted.done.contains(&one.row.id)) {
                        self.take_key(one);
                    }
                    return Ok(acted);
                }
            }
        }
    }

    async fn rehearse(&self, ids: &[i64]) -> Result<(BatchOutcome, Vec<Planned>), DbError> {
        let mut session = self.tasks.db().read().await?;
        let (planned, refused) = self.plan(&mut session, ids).await?;
        let done = planned.iter().map(|one| one.row.id).collect();
        Ok((BatchOutcome { done, refused, edited: edited(&planned) }, planned))
    }

    async fn perform(&self, ids: &[i64]) -> Result<(BatchOutcome, Vec<Planned>), DbError> {
        let mut tx = self.tasks.begin().await?;
        LOCK_DEAD.bind(ids.to_vec()).execute(&mut tx.session).await?;
        let (mut planned, mut refused) = self.plan(&mut tx.session, ids).await?;
        let now = tx.clock.now();
        let changed = self.apply(&mut tx, &planned, now).await?;
        let reached = |id: TaskId| changed.iter().any(|row| row.id == id);
        // Somebody else was quicker between our look and our act.
        let missed: Vec<i64> =
            planned.iter().map(|one| one.row.id.0).filter(|id| !reached(TaskId(*id))).collect();
        refused.extend(not_dead(&mut tx.session, &missed).await?);
        planned.retain(|one| reached(one.row.id));
        if !self.act.revives() {
            let lines = planned.iter().filter_map(|one| one.row.ordering_key.as_deref());
            tx.free_lines(&lines.collect()).await?;
        }
        let acts: Vec<Act> = planned.iter().map(|one| self.entry(one, now)).collect();
        audit::record(&mut tx.session, now, &self.actor, &acts).await?;
        if self.act.revives() {
            tx.bells.extend(changed.into_iter().map(|row| Bell {
                queue: row.queue,
                priority: Priority::from_level(row.priority),
                id: row.id,
            }));
        }
        tx.commit().await?;
        let done = planned.iter().map(|one| one.row.id).collect();
        Ok((BatchOutcome { done, refused, edited: edited(&planned) }, planned))
    }

    async fn apply(
        &self,
        tx: &mut TaskTx,
        planned: &[Planned],
        now: DateTime<Utc>,
    ) -> Result<Vec<Changed>, DbError> {
        if planned.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = planned.iter().map(|one| one.row.id.0).collect();
        let query = match &self.act {
            DeadAct::Retry => RETRY_DEAD.bind(ids).bind(now),
            DeadAct::Discard => DISCARD_DEAD.bind(ids).bind(now),
            DeadAct::Edit(..) => {
                let lines: Vec<EditLine<'_>> = planned.iter().filter_map(Planned::line).collect();
                EDIT_DEAD.bind(Rows::of(&lines)?).bind(now)
            }
        };
        query.all(&mut tx.session).await
    }

    /// Only a rehearsal has to remember: in earnest the table knows.
    fn take_key(&mut self, one: &Planned) {
        if self.dry_run
            && self.act.revives()
            && let Some(key) = one.key()
        {
            self.taken.insert((one.row.kind.clone(), key.to_owned()), one.row.id);
        }
    }

    fn entry(&self, one: &Planned, now: DateTime<Utc>) -> Act {
        let row = &one.row;
        let mut before = json!({
            "state": TaskState::Dead, "died_at": row.died_at, "tries": row.attempt - row.refunds,
            "crashes": row.crashes, "fingerprint": row.fingerprint, "error": row.last_error,
        });
        let mut after = match self.act {
            DeadAct::Discard => json!({"state": TaskState::Discarded}),
            DeadAct::Retry | DeadAct::Edit(..) => json!({"state": TaskState::Pending, "run_at": now}),
        };
        if let Some(edit) = &one.edit {
            let parsed =
                |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
            before["payload"] = parsed(&row.payload);
            before["version"] = row.version.into();
            after["payload"] = parsed(&edit.payload);
            after["version"] = edit.version.into();
            after["changes"] = edit.changes.clone();
        }
        Act {
            action: self.act.name(),
            subject: format!("task:{}", row.id),
            before: Some(before),
            after: Some(after),
        }
    }
}

impl DeadFilter {
    /// Nothing that died after `now`.
    pub(super) fn died_until(mut self, now: DateTime<Utc>) -> Self {
        let cutoff = now + TimeDelta::microseconds(1);
        self.until = Some(self.until.map_or(cutoff, |until| until.min(cutoff)));
        self
    }
}

impl std::fmt::Debug for DeadAct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
