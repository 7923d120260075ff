//! Payloads that people write: checked against the job's schema, then read by the job itself, before they become
//! or change a task.

use serde_json::{Value, json};
use thiserror::Error;

use super::schema::{Fault, faults};
use super::{AnyJob, Job, Queue, Registry};
use crate::task::{Limit, NewTask};

/// The jobs of a release without their types, for whoever handles payloads by the name of the job.
pub trait Jobs: Send + Sync {
    /// A task of this payload, if the job's schema and the job itself take it.
    ///
    /// # Errors
    /// With every fault the schema finds, or with what the job says.
    fn check(&self, kind: &str, payload: &Value) -> Result<NewTask, PayloadError>;

    /// A task of a stored payload.
    ///
    /// # Errors
    /// When the job is not known or cannot read it.
    fn read(&self, kind: &str, version: i32, payload: &str) -> Result<NewTask, PayloadError>;

    /// Whether this release can run a task of this kind and payload version.
    fn can_run(&self, kind: &str, version: i32) -> bool;

    /// The JSON schema of a job's payload. Absent: there is no such job.
    fn schema_of(&self, kind: &str) -> Option<Value>;

    /// Every queue a job uses, in order.
    fn queue_names(&self) -> Vec<&'static str>;

    /// The limit that a job declares of its kind. Absent: there is no such job.
    fn limit_of(&self, kind: &str) -> Option<Limit>;
}

/// Why a payload is none for this job.
#[derive(Debug, Error)]
pub enum PayloadError {
    #[error("this release knows no job {0:?}: see `trunkline jobs list`")]
    UnknownJob(String),
    #[error("the payload does not fit {kind} (see `trunkline jobs schema {kind}`): {}", told(faults))]
    Faults { kind: &'static str, faults: Vec<Fault> },
    #[error("{kind} cannot read the payload: {source}")]
    Unreadable { kind: &'static str, source: serde_json::Error },
}

fn told(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| fault.told_of("the payload")).collect();
    lines.join("; ")
}

impl<S: Send + Sync + 'static> Jobs for Registry<S> {
    fn check(&self, kind: &str, payload: &Value) -> Result<NewTask, PayloadError> {
        let job = self.get(kind).ok_or_else(|| PayloadError::UnknownJob(kind.to_owned()))?;
        let faults = faults(job.schema().as_value(), payload);
        if !faults.is_empty() {
            return Err(PayloadError::Faults { kind: job.name, faults });
        }
        (job.task)(job.version, &payload.to_string())
            .map_err(|source| PayloadError::Unreadable { kind: job.name, source })
    }

    fn can_run(&self, kind: &str, version: i32) -> bool {
        self.knows(kind, version)
    }

    fn schema_of(&self, kind: &str) -> Option<Value> {
        Some(self.get(kind)?.schema().to_value())
    }

    fn queue_names(&self) -> Vec<&'static str> {
        self.queues().into_iter().map(Queue::name).collect()
    }

    fn limit_of(&self, kind: &str) -> Option<Limit> {
        self.get(kind).map(AnyJob::limit)
    }

    fn read(&self, kind: &str, version: i32, payload: &str) -> Result<NewTask, PayloadError> {
        let job = self.get(kind).ok_or_else(|| PayloadError::UnknownJob(kind.to_owned()))?;
        let version = u16::try_from(version).ok().filter(|version| *version <= job.version);
        let version = version.ok_or_else(|| PayloadError::UnknownJob(kind.to_owned()))?;
        (job.task)(version, payload).map_err(|source| PayloadError::Unreadable { kind: job.name, source })
    }
}

pub(super) fn task_of<J: Job>(version: u16, payload: &str) -> Result<NewTask, serde_json::Error> {
    NewTask::of(&J::decode(version, payload)?)
}

/// Sets the value at a JSON pointer. The parent must be there; a new field of an object and `-` or the next place
/// of an array are made. False when there is no such place.
pub fn set_at(document: &mut Value, pointer: &str, value: Value) -> bool {
    if pointer.is_empty() {
        *document = value;
        return true;
    }
    let Some((parent, last)) = pointer.rsplit_once('/') else { return false };
    let last = last.replace("~1", "/").replace("~0", "~");
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.insert(last, value);
            true
        }
        Some(Value::Array(items)) => {
            let place = if last == "-" { Some(items.len()) } else { last.parse().ok() };
            match place {
                Some(place) if place < items.len() => items[place] = value,
                Some(place) if place == items.len() => items.push(value),
                _ => return false,
            }
            true
        }
        _ => false,
    }
}

/// Every place where two documents differ, as a list of `pointer`, `before` and `after`; what is not there is left
/// out.
pub fn changes(before: &Value, after: &Value) -> Value {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    Value::Array(found)
}

fn compare(at: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Value>) {
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                compare(&at, old.get(name), new.get(name), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for place in 0..old.len().max(new.len()) {
                compare(&format!("{at}/{place}"), old.get(place), new.get(place), found);
            }
        }
        (before, after) if before != after => {
            let mut change = json!({"pointer": at});
            if let Some(before) = before {
                change["before"] = before.clone();
            }
            if let Some(after) = after {
                change["after"] = after.clone();
            }
            found.push(change);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_set_where_its_parent_is_there() {
        let mut document = json!({"to": {"number": 1}, "list": [1, 2]});
        for (pointer, value) in
            [("/to/number", json!(2)), ("/to/name", json!("x")), ("/list/0", json!(9)), ("/list/-", json!(3))]
        {
            assert!(set_at(&mut document, pointer, value), "{pointer}");
        }
        assert_eq!(document, json!({"to": {"number": 2, "name": "x"}, "list": [9, 2, 3]}));
        for pointer in ["/nowhere/x", "/list/7", "/list/x", "to", "/to/number/x"] {
            assert!(!set_at(&mut document, pointer, json!(1)), "{pointer}");
        }
        assert!(set_at(&mut document, "", json!(null)));
        assert_eq!(document, json!(null));
    }

    #[test]
    fn what_changed_is_told_by_its_place() {
        let before = json!({"a": 1, "b": [1, 2], "c/d": true, "same": {"x": 1}});
        let after = json!({"a": 2, "b": [1], "e": null, "same": {"x": 1}});
        assert_eq!(
            changes(&before, &after),
            json!([
                {"pointer": "/a", "before": 1, "after": 2},
                {"pointer": "/b/1", "before": 2},
                {"pointer": "/c~1d", "before": true},
                {"pointer": "/e", "after": null},
            ])
        );
    }
}
