//! What a person does to dead letters: retry, edit and retry, discard. A batch is one transaction, in which the
//! audit is written as well. What cannot be done to one of them is refused with its reason, and the others go on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::list::{self, Cursor, DeadFilter, DeadRow, MOST, Order};
use crate::audit::{self, Act, Actor};
use crate::db::{DbError, Rows, Session, sql_text};
use crate::job::{Jobs, PayloadError, Priority, changes, set_at};
use crate::ring::Bell;
use crate::task::{TaskId, TaskState, TaskTx, Tasks};

/// How often a batch is begun again because somebody else was in the way.
const TRIES: u32 = 5;
/// Tasks of one transaction when all that match a filter are meant.
const BATCH: u32 = 500;

crate::statements! {
    /// The attempt is the fencing token and never falls: what was used up is given back as refunds.
    RETRY_DEAD = parts {
        "UPDATE tasks SET state = 'pending', run_at = $2, refunds = attempt, crashes = 0, finished_at = NULL,
                died_at = NULL, fingerprint = NULL
         WHERE id IN " (any "$1") " AND died_at IS NOT NULL
         RETURNING id, queue, priority"
    }
    EDIT_DEAD = parts {
        "UPDATE tasks SET payload = r.payload, version = r.version, unique_key = r.unique_key, state = 'pending',
                run_at = $2, refunds = tasks.attempt, crashes = 0, finished_at = NULL, died_at = NULL,
                fingerprint = NULL
         FROM " (rows "$1" as r (id BIGINT, version INTEGER, payload TEXT, unique_key TEXT))
        " WHERE tasks.id = r.id AND tasks.died_at IS NOT NULL
         RETURNING tasks.id, tasks.queue, tasks.priority"
    }
    DISCARD_DEAD = parts {
        "UPDATE tasks SET state = 'discarded', finished_at = $2, died_at = NULL, fingerprint = NULL
         WHERE id IN " (any "$1") " AND died_at IS NOT NULL
         RETURNING id, queue, priority"
    }
    STATES = parts { "SELECT id, state FROM tasks WHERE id IN " (any "$1") }
    KEY_HOLDERS = parts {
        "SELECT h.id, h.kind, h.unique_key
         FROM " (rows "$1" as r (kind TEXT, unique_key TEXT))
        " JOIN tasks AS h ON h.kind = r.kind AND h.unique_key = r.unique_key AND h.finished_at IS NULL"
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

/// How a payload is changed.
#[derive(Clone, Debug)]
pub enum Edit {
    Replace(Value),
    /// JSON pointers and what shall stand there.
    Set(Vec<(String, Value)>),
}

/// To which dead letters.
#[derive(Clone, Debug)]
pub enum Target {
    Ids(Vec<TaskId>),
    Filter(DeadFilter),
}

/// Why nothing was done to a task.
#[derive(Debug, Error)]
pub enum Refusal {
    #[error("there is no such task")]
    NotThere,
    #[error("it is {0} and no dead letter: nothing needs to be done")]
    NotDead(TaskState),
    #[error("task {0} holds its unique key: retry this one when that one has ended, or discard it")]
    KeyHeld(TaskId),
    #[error("its payload is no JSON, so nothing can be set in it: give a whole one (--payload)")]
    NoJson,
    #[error("there is no {0} to set: name a place whose parent is there")]
    NoPlace(String),
    #[error("{0}")]
    Payload(PayloadError),
}

#[derive(Debug)]
pub struct Refused {
    pub id: TaskId,
    pub why: Refusal,
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
pub struct Acted {
    pub done: Vec<TaskId>,
    pub refused: Vec<Refused>,
    pub edited: Vec<Edited>,
}

/// Acts on dead letters, batch by batch. Dropped between two batches, nothing is half done.
pub struct Batch<'t> {
    tasks: &'t Tasks,
    act: DeadAct,
    actor: Actor,
    dry_run: bool,
    /// Unique keys that this run has given away: in a dry run the table does not tell.
    taken: HashMap<(String, String), TaskId>,
}

/// A dead letter to which the act can be done.
struct Planned {
    row: DeadRow,
    edit: Option<PlannedEdit>,
}

struct PlannedEdit {
    version: u16,
    payload: String,
    unique_key: Option<String>,
    changes: Value,
}

#[derive(Serialize)]
struct EditLine<'p> {
    id: TaskId,
    version: u16,
    payload: std::borrow::Cow<'p, str>,
    unique_key: Option<std::borrow::Cow<'p, str>>,
}

#[derive(Serialize)]
struct KeyLine<'p> {
    kind: &'p str,
    unique_key: &'p str,
}

#[derive(sqlx::FromRow)]
struct Changed {
    id: TaskId,
    queue: String,
    priority: i32,
}

#[derive(sqlx::FromRow)]
struct Stands {
    id: TaskId,
    #[sqlx(try_from = "String")]
    state: TaskState,
}

#[derive(sqlx::FromRow)]
struct Holder {
    id: TaskId,
    kind: String,
    unique_key: String,
}

impl DeadAct {
    fn name(&self) -> &'static str {
        match self {
            Self::Retry => "task.retry",
            Self::Edit(..) => "task.edit",
            Self::Discard => "task.discard",
        }
    }

    fn revives(&self) -> bool {
        !matches!(self, Self::Discard)
    }
}

impl<'t> Batch<'t> {
    pub fn new(tasks: &'t Tasks, act: DeadAct, actor: Actor, dry_run: bool) -> Self {
        Self { tasks, act, actor, dry_run, taken: HashMap::new() }
    }

    /// Acts on all of a target, and tells after each transaction what became of its tasks. What dies in the
    /// meantime is left alone.
    pub async fn run(
        &mut self,
        target: &Target,
        mut told: impl FnMut(&Acted) -> bool,
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
    pub async fn act_on(&mut self, ids: &[TaskId]) -> Result<Acted, DbError> {
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

    async fn rehearse(&self, ids: &[i64]) -> Result<(Acted, Vec<Planned>), DbError> {
        let mut session = self.tasks.db().read().await?;
        let (planned, refused) = self.plan(&mut session, ids).await?;
        let done = planned.iter().map(|one| one.row.id).collect();
        Ok((Acted { done, refused, edited: edited(&planned) }, planned))
    }

    async fn perform(&self, ids: &[i64]) -> Result<(Acted, Vec<Planned>), DbError> {
        let mut tx = self.tasks.begin().await?;
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
        Ok((Acted { done, refused, edited: edited(&planned) }, planned))
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

    /// Which of the tasks the act can be done to, and why not to the others.
    async fn plan(
        &self,
        session: &mut Session,
        ids: &[i64],
    ) -> Result<(Vec<Planned>, Vec<Refused>), DbError> {
        let rows = list::read(session, ids.to_vec()).await?;
        let missing: Vec<i64> =
            ids.iter().copied().filter(|id| !rows.iter().any(|row| row.id.0 == *id)).collect();
        let mut refused = not_dead(session, &missing).await?;
        let mut planned = Vec::with_capacity(rows.len());
        for row in rows {
            match self.edit(&row) {
                Ok(edit) => planned.push(Planned { row, edit }),
                Err(why) => refused.push(Refused { id: row.id, why }),
            }
        }
        if self.act.revives() {
            self.refuse_held(session, &mut planned, &mut refused).await?;
        }
        Ok((planned, refused))
    }

    fn edit(&self, row: &DeadRow) -> Result<Option<PlannedEdit>, Refusal> {
        let DeadAct::Edit(edit, jobs) = &self.act else { return Ok(None) };
        let before: Result<Value, _> = serde_json::from_str(&row.payload);
        let after = match edit {
            Edit::Replace(payload) => payload.clone(),
            Edit::Set(places) => {
                let mut payload = before.as_ref().map_err(|_| Refusal::NoJson)?.clone();
                for (pointer, value) in places {
                    if !set_at(&mut payload, pointer, value.clone()) {
                        return Err(Refusal::NoPlace(pointer.clone()));
                    }
                }
                payload
            }
        };
        let task = jobs.check(&row.kind, &after).map_err(Refusal::Payload)?;
        // A key that the job itself made of the old payload is made anew; one that somebody chose stays.
        let own_key = match jobs.read(&row.kind, row.version, &row.payload) {
            Ok(old) => old.key_until_end() == row.unique_key.as_deref(),
            Err(_) => true,
        };
        let unique_key =
            if own_key { task.key_until_end().map(str::to_owned) } else { row.unique_key.clone() };
        let before = before.unwrap_or_else(|_| Value::String(row.payload.clone()));
        let changes = changes(&before, &serde_json::from_str(&task.payload).unwrap_or(after));
        Ok(Some(PlannedEdit { version: task.version, payload: task.payload, unique_key, changes }))
    }

    /// Takes out those whose unique key another task holds, or would hold after this run.
    async fn refuse_held(
        &self,
        session: &mut Session,
        planned: &mut Vec<Planned>,
        refused: &mut Vec<Refused>,
    ) -> Result<(), DbError> {
        let lines: Vec<KeyLine<'_>> = planned
            .iter()
            .filter_map(|one| Some(KeyLine { kind: &one.row.kind, unique_key: one.key()? }))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        let holders: Vec<Holder> = KEY_HOLDERS.bind(Rows::of(&lines)?).all(session).await?;
        let mut taken = self.taken.clone();
        taken.extend(holders.into_iter().map(|holder| ((holder.kind, holder.unique_key), holder.id)));
        let mut kept = Vec::with_capacity(planned.len());
        for one in planned.drain(..) {
            let key = one.key().map(|key| (one.row.kind.clone(), key.to_owned()));
            match key.map(|key| taken.entry(key)) {
                Some(Entry::Occupied(holder)) => {
                    refused.push(Refused { id: one.row.id, why: Refusal::KeyHeld(*holder.get()) });
                    continue;
                }
                Some(Entry::Vacant(free)) => {
                    free.insert(one.row.id);
                }
                None => {}
            }
            kept.push(one);
        }
        *planned = kept;
        Ok(())
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

impl Planned {
    /// The key it will hold.
    fn key(&self) -> Option<&str> {
        match &self.edit {
            Some(edit) => edit.unique_key.as_deref(),
            None => self.row.unique_key.as_deref(),
        }
    }

    fn line(&self) -> Option<EditLine<'_>> {
        let edit = self.edit.as_ref()?;
        Some(EditLine {
            id: self.row.id,
            version: edit.version,
            payload: sql_text(&edit.payload),
            unique_key: edit.unique_key.as_deref().map(sql_text),
        })
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

fn edited(planned: &[Planned]) -> Vec<Edited> {
    let of = |one: &Planned| Some(Edited { id: one.row.id, changes: one.edit.as_ref()?.changes.clone() });
    planned.iter().filter_map(of).collect()
}

/// Why these, which are no dead letters, are none.
async fn not_dead(session: &mut Session, ids: &[i64]) -> Result<Vec<Refused>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let states: Vec<Stands> = STATES.bind(ids.to_vec()).all(session).await?;
    let why = |id: i64| match states.iter().find(|row| row.id.0 == id) {
        Some(row) => Refusal::NotDead(row.state),
        None => Refusal::NotThere,
    };
    Ok(ids.iter().map(|&id| Refused { id: TaskId(id), why: why(id) }).collect())
}

impl std::fmt::Debug for DeadAct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
