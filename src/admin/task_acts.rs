//! What can be done to tasks: enqueue one, cancel or change one that has not ended. Enqueueing shares its path with the list in
//! `tasks`, and a path belongs to one resource.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::Value;
use trunkline_platform::job;
use trunkline_platform::task::{Acted, Change, Enqueued, Outcome, TaskId};

use super::granted::{Granted, Operate};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use crate::mask;

/// How long a key of a request is remembered.
const REMEMBERED: TimeDelta = TimeDelta::hours(24);

pub(super) struct TaskActsApi(pub(super) Desk);

/// How urgent a task is
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum Priority {
    Urgent,
    High,
    Normal,
    Low,
}

/// A task to enqueue
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(super) struct TaskToEnqueue {
    /// The name of its job
    kind: String,
    /// As the schema of the job says
    payload: Any<Value>,
    /// Not before this time
    run_at: Option<DateTime<Utc>>,
    /// By default the job's own
    priority: Option<Priority>,
    /// Only check the payload
    #[oai(default)]
    dry_run: bool,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// What became of a task that was to be enqueued
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum EnqueueOutcome {
    New,
    /// Another holds its unique key, or the same was asked before
    Existing,
    /// The one that holds the unique key has the new payload
    Replaced,
    /// The one that holds the unique key has the new time
    Pushed,
    /// It would be enqueued
    DryRun,
}

/// A task that was enqueued
#[derive(Debug, Object)]
pub(super) struct EnqueuedTask {
    /// Absent in a dry run
    id: Option<i64>,
    outcome: EnqueueOutcome,
}

/// A change of a task that waits. What is absent stays
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct TaskChange {
    priority: Option<Priority>,
    /// Not before this time
    run_at: Option<DateTime<Utc>>,
    queue: Option<String>,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// Why a task is cancelled
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct TaskCancel {
    /// For the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// What became of a task
#[derive(Debug, Object)]
struct TaskActedOn {
    id: i64,
    /// It runs: its job is told to stop
    told: bool,
}

/// Enqueues a task that somebody asks for; a key of the request told before answers with the first one's task.
pub(super) async fn enqueue(
    desk: &Desk,
    by: Granted<Operate>,
    key: Option<String>,
    task: TaskToEnqueue,
) -> Answer<EnqueuedTask> {
    let TaskToEnqueue { kind, payload, run_at, priority, dry_run, reason } = task;
    let checked = desk.jobs.check(&kind, &payload.0);
    let mut task = checked.map_err(|error| Problem::invalid(mask::phones_in(&error.to_string())))?;
    let actor = by.actor(reason);
    task.cause.clone_from(&actor.name);
    task.run_at = run_at;
    task.priority = priority.map_or(task.priority, job::Priority::from);
    if dry_run {
        return Ok(Json(EnqueuedTask { id: None, outcome: EnqueueOutcome::DryRun }));
    }
    let request = key.map(|key| (format!("{}:{key}", by.caller().key), REMEMBERED));
    let request = request.as_ref().map(|(key, period)| (key.as_str(), *period));
    let enqueued = desk.tasks.enqueue_by_hand(&task, request, &actor).await?;
    if let (true, Enqueued::Existing(id)) = (request.is_some(), enqueued) {
        let row = desk.tasks.show(id).await?;
        if row.is_some_and(|row| row.kind != task.kind) {
            return Err(Problem::conflict("this Idempotency-Key was sent with another job before"));
        }
    }
    Ok(Json(EnqueuedTask { id: Some(enqueued.id().0), outcome: enqueued.into() }))
}

#[OpenApi(tag = "Tag::Tasks")]
impl TaskActsApi {
    /// Cancel a task
    ///
    /// One that waits ends at once; the job of one that runs is told to stop.
    #[oai(path = "/tasks/:id/cancel", method = "post", operation_id = "cancel_task")]
    async fn cancel(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<TaskCancel>,
    ) -> Answer<TaskActedOn> {
        told(&self.0.tasks.cancel(&[TaskId(id.0)], &by.actor(body.0.reason)).await?, id.0)
    }

    /// Change a task that waits
    #[oai(path = "/tasks/:id/change", method = "post", operation_id = "change_task")]
    async fn change(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<TaskChange>,
    ) -> Answer<TaskActedOn> {
        let Json(TaskChange { priority, run_at, queue, reason }) = body;
        if priority.is_none() && run_at.is_none() && queue.is_none() {
            return Err(Problem::invalid("nothing to change: say priority, run_at or queue"));
        }
        if let Some(queue) = queue.as_deref().filter(|queue| !self.0.jobs.queue_names().contains(queue)) {
            return Err(Problem::invalid(format!("there is no queue {queue:?}; see list_queues")));
        }
        let change = Change { priority: priority.map(job::Priority::from), run_at, queue };
        told(&self.0.tasks.change(&[TaskId(id.0)], &change, &by.actor(reason)).await?, id.0)
    }
}

fn told(acted: &[Acted], id: i64) -> Answer<TaskActedOn> {
    match acted.first() {
        Some(Acted { kind: None, .. }) | None => Err(Problem::not_found(format!("task {id}"))),
        Some(Acted { outcome: Outcome::Refused { why }, .. }) => {
            Err(Problem::conflict(format!("task {id} was refused: {why}")))
        }
        Some(Acted { outcome, .. }) => Ok(Json(TaskActedOn { id, told: *outcome == Outcome::Told })),
    }
}

impl From<Priority> for job::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Urgent => Self::URGENT,
            Priority::High => Self::HIGH,
            Priority::Normal => Self::NORMAL,
            Priority::Low => Self::LOW,
        }
    }
}

impl From<Enqueued> for EnqueueOutcome {
    fn from(enqueued: Enqueued) -> Self {
        match enqueued {
            Enqueued::New(_) => Self::New,
            Enqueued::Existing(_) => Self::Existing,
            Enqueued::Replaced(_) => Self::Replaced,
            Enqueued::Pushed(_) => Self::Pushed,
        }
    }
}
