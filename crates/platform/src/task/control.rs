//! What people do to single tasks: cancel, change, take out of a line. Each act is one short transaction with its
//! entries in the audit, and says of every task what became of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::{TaskId, TaskState, TaskTx, Tasks};
use crate::audit::{self, Act, Actor};
use crate::db::DbError;
use crate::job::Priority;
use crate::ring::Bell;

/// The most tasks to give to one act: each is one transaction.
pub const CONTROL_BATCH: usize = 500;

crate::statements! {
    /// Differs by necessity: SQLite has one writer and no row locks.
    LOCK_TASKS = split {
        postgres:
        "SELECT id, kind, queue, priority, run_at, state, ordering_key FROM tasks
         WHERE id IN (SELECT unnest(CAST($1 AS BIGINT[]))) ORDER BY id FOR UPDATE",
        sqlite:
        "SELECT id, kind, queue, priority, run_at, state, ordering_key FROM tasks
         WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id",
    }
    /// A task that waits ends here; one that runs is told, and ends with its attempt.
    CANCEL = parts {
        "UPDATE tasks SET cancel_requested_at = COALESCE(cancel_requested_at, $2),
                state = CASE WHEN state = 'pending' THEN 'cancelled' ELSE state END,
                finished_at = CASE WHEN state = 'pending' THEN $2 ELSE finished_at END,
                blocked = FALSE
         WHERE id IN " (any "$1") " AND finished_at IS NULL"
    }
    CHANGE = parts {
        "UPDATE tasks SET priority = COALESCE($2, priority), queue = COALESCE($4, queue),
                put_off_from = CASE WHEN CAST($3 AS TIMESTAMPTZ) IS NULL THEN put_off_from END, run_at = COALESCE($3, run_at)
         WHERE id IN " (any "$1") " AND state = 'pending'
         RETURNING id, queue, priority, blocked, run_at"
    }
    LEAVE_LINE = parts {
        "UPDATE tasks SET ordering_key = NULL WHERE id IN " (any "$1") " AND died_at IS NOT NULL"
    }
    /// Running tasks of a worker that somebody wants to end.
    FIND_CANCELLING = same {
        "SELECT id, attempt FROM tasks
         WHERE cancel_requested_at IS NOT NULL AND finished_at IS NULL AND worker = $1 AND state = 'running'
         ORDER BY id LIMIT 1000"
    }
    SELECT_UNFINISHED = same {
        "SELECT id FROM tasks
         WHERE finished_at IS NULL AND NOT blocked AND (CAST($1 AS TEXT) IS NULL OR queue = $1)
           AND (CAST($2 AS TEXT) IS NULL OR kind = $2) AND (CAST($3 AS TEXT) IS NULL OR state = $3)
           AND (CAST($4 AS TEXT) IS NULL OR correlation_id = $4)
         UNION ALL
         SELECT id FROM tasks
         WHERE blocked AND finished_at IS NULL AND (CAST($1 AS TEXT) IS NULL OR queue = $1)
           AND (CAST($2 AS TEXT) IS NULL OR kind = $2) AND (CAST($3 AS TEXT) IS NULL OR state = $3)
           AND (CAST($4 AS TEXT) IS NULL OR correlation_id = $4)
         ORDER BY id LIMIT $5"
    }
}

/// What became of one task that somebody wanted to act on.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It is as asked.
    Done,
    /// It runs; its job is told within a second and has one more to end.
    Told,
    /// The act does not apply to it: why, and what does.
    Refused { why: String },
}

/// An act's outcome for one task.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Acted {
    pub id: TaskId,
    /// Absent when there is no such task.
    pub kind: Option<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What to change about tasks that wait. What is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub priority: Option<Priority>,
    pub run_at: Option<DateTime<Utc>>,
    pub queue: Option<String>,
}

/// Which tasks that have not ended an act is for.
#[derive(Clone, Debug, Default)]
pub struct Unfinished {
    pub queue: Option<String>,
    pub kind: Option<String>,
    pub state: Option<TaskState>,
    pub correlation_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Locked {
    id: TaskId,
    kind: String,
    queue: String,
    priority: i32,
    run_at: DateTime<Utc>,
    #[sqlx(try_from = "String")]
    state: TaskState,
    ordering_key: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Changed {
    id: TaskId,
    queue: String,
    priority: i32,
    blocked: bool,
    run_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Id {
    id: TaskId,
}

impl Tasks {
    /// Cancels tasks: those that wait end at once, those that run are told and end with their attempt.
    pub async fn cancel(&self, ids: &[TaskId], actor: &Actor) -> Result<Vec<Acted>, DbError> {
        self.cancel_those(ids, &Unfinished::default(), actor).await
    }

    /// [`Tasks::cancel`] of those that still match what they were chosen by.
    pub async fn cancel_those(
        &self,
        ids: &[TaskId],
        only: &Unfinished,
        actor: &Actor,
    ) -> Result<Vec<Acted>, DbError> {
        let mut tx = self.begin().await?;
        let acted = tx.cancel(ids, only, actor).await?;
        tx.commit().await?;
        Ok(acted)
    }

    /// Changes priority, time or queue of tasks that wait.
    pub async fn change(
        &self,
        ids: &[TaskId],
        change: &Change,
        actor: &Actor,
    ) -> Result<Vec<Acted>, DbError> {
        self.change_those(ids, &Unfinished::default(), change, actor).await
    }

    /// [`Tasks::change`] of those that still match what they were chosen by.
    pub async fn change_those(
        &self,
        ids: &[TaskId],
        only: &Unfinished,
        change: &Change,
        actor: &Actor,
    ) -> Result<Vec<Acted>, DbError> {
        let mut tx = self.begin().await?;
        let acted = tx.change(ids, only, change, actor).await?;
        tx.commit().await?;
        Ok(acted)
    }

    /// Takes dead letters out of the lines they hold up, for good: retried later, such a task runs outside its line.
    pub async fn skip(&self, ids: &[TaskId], actor: &Actor) -> Result<Vec<Acted>, DbError> {
        let mut tx = self.begin().await?;
        let acted = tx.skip(ids, actor).await?;
        tx.commit().await?;
        Ok(acted)
    }

    /// Tasks that have not ended, by id; at most `limit`.
    pub async fn unfinished(&self, filter: &Unfinished, limit: u32) -> Result<Vec<TaskId>, DbError> {
        let query = SELECT_UNFINISHED
            .bind(filter.queue.as_deref())
            .bind(filter.kind.as_deref())
            .bind(filter.state.map(TaskState::as_str))
            .bind(filter.correlation_id.as_deref())
            .bind(limit);
        let rows: Vec<Id> = query.all(&mut self.db.read().await?).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Running tasks of `worker` that somebody wants to end, with their fencing tokens.
    pub(crate) async fn cancelling(
        &self,
        worker: &super::WorkerId,
    ) -> Result<Vec<super::lease::HeldRow>, DbError> {
        FIND_CANCELLING.bind(worker.as_str()).all(&mut self.db.read().await?).await
    }
}

impl TaskTx {
    /// [`Tasks::cancel_those`] inside a caller's transaction.
    pub async fn cancel(
        &mut self,
        ids: &[TaskId],
        only: &Unfinished,
        actor: &Actor,
    ) -> Result<Vec<Acted>, DbError> {
        let now = self.clock.now();
        let found = self.lock_tasks(ids).await?;
        let acted = judge(ids, &found, only, |task| match task.state {
            TaskState::Pending => Outcome::Done,
            TaskState::Running => Outcome::Told,
            ended => Outcome::Refused { why: format!("it has ended ({ended}); there is nothing to cancel") },
        });
        let chosen = chosen(&acted, &found);
        let ids: Vec<i64> = chosen.iter().map(|task| task.id.0).collect();
        CANCEL.bind(ids).bind(now).execute(&mut self.session).await?;
        let ended = chosen.iter().filter(|task| task.state == TaskState::Pending);
        self.free_lines(&ended.filter_map(|task| task.ordering_key.as_deref()).collect()).await?;
        let acts = chosen.iter().map(|task| Act {
            action: "task.cancel",
            subject: format!("task:{}", task.id),
            before: Some(json!({ "state": task.state })),
            after: Some(match task.state {
                TaskState::Pending => json!({ "state": TaskState::Cancelled }),
                _ => json!({ "state": task.state, "cancel_requested_at": now }),
            }),
        });
        audit::record(&mut self.session, now, actor, &acts.collect::<Vec<_>>()).await?;
        Ok(acted)
    }

    async fn change(
        &mut self,
        ids: &[TaskId],
        only: &Unfinished,
        change: &Change,
        actor: &Actor,
    ) -> Result<Vec<Acted>, DbError> {
        let now = self.clock.now();
        let found = self.lock_tasks(ids).await?;
        let acted = judge(ids, &found, only, |task| match task.state {
            TaskState::Pending => Outcome::Done,
            TaskState::Running => {
                Outcome::Refused { why: "it is running; cancel it, or wait for its end".to_owned() }
            }
            TaskState::Dead => {
                Outcome::Refused { why: "it is a dead letter; retry it with `dead retry`".to_owned() }
            }
            ended => Outcome::Refused { why: format!("it has ended ({ended})") },
        });
        let chosen = chosen(&acted, &found);
        let query = CHANGE
            .bind(chosen.iter().map(|task| task.id.0).collect::<Vec<i64>>())
            .bind(change.priority.map(Priority::level))
            .bind(change.run_at)
            .bind(change.queue.as_deref());
        let changed: Vec<Changed> = query.all(&mut self.session).await?;
        let now_stands: BTreeMap<TaskId, Value> = changed
            .iter()
            .map(|task| {
                (task.id, json!({ "queue": task.queue, "priority": task.priority, "run_at": task.run_at }))
            })
            .collect();
        for task in changed.into_iter().filter(|task| task.run_at <= now && !task.blocked) {
            let priority = Priority::from_level(task.priority);
            self.bells.push(Bell { queue: task.queue, priority, id: task.id });
        }
        let acts = chosen.iter().map(|task| Act {
            action: "task.change",
            subject: format!("task:{}", task.id),
            before: Some(json!({ "queue": task.queue, "priority": task.priority, "run_at": task.run_at })),
            after: now_stands.get(&task.id).cloned(),
        });
        audit::record(&mut self.session, now, actor, &acts.collect::<Vec<_>>()).await?;
        Ok(acted)
    }

    async fn skip(&mut self, ids: &[TaskId], actor: &Actor) -> Result<Vec<Acted>, DbError> {
        let now = self.clock.now();
        let found = self.lock_tasks(ids).await?;
        let acted =
            judge(ids, &found, &Unfinished::default(), |task| match (task.state, &task.ordering_key) {
                (TaskState::Dead, Some(_)) => Outcome::Done,
                (TaskState::Dead, None) => {
                    Outcome::Refused { why: "it is in no line and holds up nobody".to_owned() }
                }
                (state, _) => {
                    Outcome::Refused { why: format!("it is {state}; only a dead letter can be skipped") }
                }
            });
        let chosen = chosen(&acted, &found);
        let ids: Vec<i64> = chosen.iter().map(|task| task.id.0).collect();
        LEAVE_LINE.bind(ids).execute(&mut self.session).await?;
        let keys: BTreeSet<&str> = chosen.iter().filter_map(|task| task.ordering_key.as_deref()).collect();
        self.free_lines(&keys).await?;
        let acts = chosen.iter().map(|task| Act {
            action: "task.skip",
            subject: format!("task:{}", task.id),
            before: Some(json!({ "ordering_key": task.ordering_key })),
            after: Some(json!({ "ordering_key": null })),
        });
        audit::record(&mut self.session, now, actor, &acts.collect::<Vec<_>>()).await?;
        Ok(acted)
    }

    /// Keeps workers and others from changing these tasks until the end of this transaction.
    async fn lock_tasks(&mut self, ids: &[TaskId]) -> Result<BTreeMap<TaskId, Locked>, DbError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let rows: Vec<Locked> = LOCK_TASKS.bind(ids).all(&mut self.session).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}

impl Unfinished {
    /// Why a task that was chosen is not meant any more. Its kind and correlation never change.
    fn refuses(&self, task: &Locked) -> Option<Outcome> {
        let why = match (self.state, &self.queue) {
            (Some(state), _) if state != task.state => {
                format!("it is {} by now and not {state} any more", task.state)
            }
            (_, Some(queue)) if *queue != task.queue => {
                format!("it is in queue {} by now and not in {queue} any more", task.queue)
            }
            _ => return None,
        };
        Some(Outcome::Refused { why })
    }
}

/// What the act means for each task asked for.
fn judge(
    ids: &[TaskId],
    found: &BTreeMap<TaskId, Locked>,
    only: &Unfinished,
    rule: impl Fn(&Locked) -> Outcome,
) -> Vec<Acted> {
    let nothing =
        || Outcome::Refused { why: "there is no such task; `tasks list` names those there are".to_owned() };
    ids.iter()
        .map(|id| match found.get(id) {
            Some(task) => Acted {
                id: *id,
                kind: Some(task.kind.clone()),
                outcome: only.refuses(task).unwrap_or_else(|| rule(task)),
            },
            None => Acted { id: *id, kind: None, outcome: nothing() },
        })
        .collect()
}

fn chosen<'f>(acted: &[Acted], found: &'f BTreeMap<TaskId, Locked>) -> Vec<&'f Locked> {
    let accepted = acted.iter().filter(|acted| !matches!(acted.outcome, Outcome::Refused { .. }));
    let ids: BTreeSet<TaskId> = accepted.map(|acted| acted.id).collect();
    ids.iter().filter_map(|id| found.get(id)).collect()
}
