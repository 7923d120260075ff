//! Changing the payload of a dead letter. What the job makes of its payload, its keys, is made anew; what somebody
//! chose stays. A task never changes its line: ids tell the order there, and its own would come before those who wait.

use serde_json::Value;

use super::list::DeadRow;
use super::plan::Refusal;
use crate::job::{Jobs, changes, set_at};

/// How a payload is changed.
#[derive(Clone, Debug)]
pub enum Edit {
    Replace(Value),
    /// JSON pointers and what shall stand there.
    Set(Vec<(String, Value)>),
}

/// A payload that fits, and what comes with it.
pub(super) struct PlannedEdit {
    pub(super) version: u16,
    pub(super) payload: String,
    pub(super) unique_key: Option<String>,
    pub(super) rate_key: Option<String>,
    pub(super) changes: Value,
}

impl Edit {
    /// What becomes of a dead letter's payload.
    pub(super) fn of(&self, row: &DeadRow, jobs: &dyn Jobs) -> Result<PlannedEdit, Refusal> {
        let before: Result<Value, _> = serde_json::from_str(&row.payload);
        let after = match self {
            Self::Replace(payload) => payload.clone(),
            Self::Set(places) => {
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
        let (mut unique_key, mut rate_key) = (row.unique_key.clone(), row.rate_key.clone());
        let old = jobs.read(&row.kind, row.version, &row.payload).ok();
        if old.as_ref().is_none_or(|old| old.key_until_end() == row.unique_key.as_deref()) {
            unique_key = task.key_until_end().map(str::to_owned);
        }
        if old.as_ref().is_none_or(|old| old.rate_key == row.rate_key) {
            rate_key.clone_from(&task.rate_key);
        }
        // Without a line it may have been taken out of one.
        let own_line = old.map_or(row.ordering_key.is_some(), |old| old.ordering_key == row.ordering_key);
        if own_line && task.ordering_key != row.ordering_key {
            return Err(Refusal::OtherLine);
        }
        let before = before.unwrap_or_else(|_| Value::String(row.payload.clone()));
        let changes = changes(&before, &serde_json::from_str(&task.payload).unwrap_or(after));
        let version = task.version;
        Ok(PlannedEdit { version, payload: task.payload, unique_key, rate_key, changes })
    }
}
