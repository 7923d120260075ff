//! The life of one task as the command line tells it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use trunkline_platform::task::TaskRow;

use super::output;
use crate::timeline::Moment;

/// The moments, one a line.
pub(super) fn told(moments: &[Moment], now: DateTime<Utc>) -> String {
    let lines = moments.iter().map(|moment| {
        let at = moment.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let what = output::shortened(&moment.what, 200);
        format!("  {at}  {what}  ({})\n", output::relative(moment.at, now))
    });
    lines.collect()
}

/// The tasks that followed, one a line.
pub(super) fn told_follow_ups(tasks: &[TaskRow]) -> String {
    tasks.iter().map(|task| format!("  task {}  {}  {}\n", task.id, task.kind, task.state)).collect()
}

/// The tasks that followed, for programs.
pub(super) fn follow_ups_json(tasks: &[TaskRow]) -> Vec<Value> {
    tasks.iter().map(|task| json!({"id": task.id, "kind": task.kind, "state": task.state})).collect()
}
