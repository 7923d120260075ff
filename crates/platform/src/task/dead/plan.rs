//! To which dead letters an act can be done, and why not to the others.

use std::collections::hash_map::Entry;

use serde::Serialize;
use thiserror::Error;

use super::act::{Batch, DeadAct, Edited};
use super::edit::PlannedEdit;
use super::list::{self, DeadRow};
use crate::db::{DbError, Rows, Session, sql_text};
use crate::job::PayloadError;
use crate::task::{TaskId, TaskState};

crate::statements! {
    STATES = parts { "SELECT id, state FROM tasks WHERE id IN " (any "$1") }
    KEY_HOLDERS = parts {
        "SELECT h.id, h.kind, h.unique_key
         FROM " (rows "$1" as r (kind TEXT, unique_key TEXT))
        " JOIN tasks AS h ON h.kind = r.kind AND h.unique_key = r.unique_key AND h.finished_at IS NULL"
    }
}

/// Why nothing was done to a task.
#[derive(Debug, Error)]
pub enum Refusal {
    #[error("there is no such task")]
    NotThere,
    #[error("it is {0} and no dead letter: nothing needs to be done")]
    NotDead(TaskState),
    #[error("it died again since the list was made and is not what was asked for any more: look again")]
    OtherDeath,
    #[error("task {0} holds its unique key: retry this one when that one has ended, or discard it")]
    KeyHeld(TaskId),
    #[error("its payload is no JSON, so nothing can be set in it: give a whole one (--payload)")]
    NoJson,
    #[error("there is no {0} to set: name a place whose parent is there")]
    NoPlace(String),
    #[error(
        "its ordering key would change, and a task never changes its line: discard it and enqueue a new one"
    )]
    OtherLine,
    #[error("{0}")]
    Payload(PayloadError),
}

#[derive(Debug)]
pub struct Refused {
    pub id: TaskId,
    pub why: Refusal,
}

/// A dead letter to which the act can be done.
pub(super) struct Planned {
    pub(super) row: DeadRow,
    pub(super) edit: Option<PlannedEdit>,
}

#[derive(Serialize)]
pub(super) struct EditLine<'p> {
    id: TaskId,
    version: u16,
    payload: std::borrow::Cow<'p, str>,
    unique_key: Option<std::borrow::Cow<'p, str>>,
    rate_key: Option<std::borrow::Cow<'p, str>>,
}

#[derive(Serialize)]
struct KeyLine<'p> {
    kind: &'p str,
    unique_key: &'p str,
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

impl Batch<'_> {
    /// Which of the tasks the act can be done to, and why not to the others.
    pub(super) async fn plan(
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
            if self.only.as_ref().is_some_and(|filter| !filter.finds(&row)) {
                refused.push(Refused { id: row.id, why: Refusal::OtherDeath });
                continue;
            }
            match self.edited(&row) {
                Ok(edit) => planned.push(Planned { row, edit }),
                Err(why) => refused.push(Refused { id: row.id, why }),
            }
        }
        if self.act.revives() {
            self.refuse_held(session, &mut planned, &mut refused).await?;
        }
        Ok((planned, refused))
    }

    fn edited(&self, row: &DeadRow) -> Result<Option<PlannedEdit>, Refusal> {
        let DeadAct::Edit(edit, jobs) = &self.act else { return Ok(None) };
        edit.of(row, jobs.as_ref()).map(Some)
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
}

impl Planned {
    /// The key it will hold.
    pub(super) fn key(&self) -> Option<&str> {
        match &self.edit {
            Some(edit) => edit.unique_key.as_deref(),
            None => self.row.unique_key.as_deref(),
        }
    }

    pub(super) fn line(&self) -> Option<EditLine<'_>> {
        let edit = self.edit.as_ref()?;
        Some(EditLine {
            id: self.row.id,
            version: edit.version,
            payload: sql_text(&edit.payload),
            unique_key: edit.unique_key.as_deref().map(sql_text),
            rate_key: edit.rate_key.as_deref().map(sql_text),
        })
    }
}

pub(super) fn edited(planned: &[Planned]) -> Vec<Edited> {
    let of = |one: &Planned| Some(Edited { id: one.row.id, changes: one.edit.as_ref()?.changes.clone() });
    planned.iter().filter_map(of).collect()
}

/// Why these, which are no dead letters, are none.
pub(super) async fn not_dead(session: &mut Session, ids: &[i64]) -> Result<Vec<Refused>, DbError> {
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
