//! Tasks: what is to be done, is being done and was done.

#![expect(clippy::too_many_arguments, reason = "an argument is a parameter of the operation")]

use chrono::{DateTime, Utc};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::Value;
use trunkline_platform::task::{AttemptRow, TaskFilter, TaskId, TaskRow, TaskState};

use super::granted::{Granted, Operate, Read, View};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::task_acts::{self, EnqueuedTask, TaskToEnqueue};
use super::{Answer, Desk, Tag};

pub(super) struct TasksApi(pub(super) Desk);

/// Where a task stands
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "TaskState", remote = "TaskState", rename_all = "snake_case")]
enum State {
    Pending,
    Running,
    Done,
    Dead,
    Cancelled,
    Discarded,
}

/// A task
#[derive(Debug, Object)]
struct Task {
    id: i64,
    /// The name of its job
    kind: String,
    version: i32,
    queue: String,
    /// 0 is the most urgent
    priority: i32,
    state: State,
    payload: Any<Value>,
    /// How often it was tried; `refunds` of them were none
    attempt: i32,
    refunds: i32,
    /// How often its worker died
    crashes: i32,
    max_attempts: i32,
    run_at: DateTime<Utc>,
    worker: Option<String>,
    unique_key: Option<String>,
    ordering_key: Option<String>,
    /// Waits behind another of the same ordering key
    blocked: bool,
    rate_key: Option<String>,
    cancel_requested_at: Option<DateTime<Utc>>,
    /// Shared by everything that followed from one webhook or request
    correlation_id: Option<String>,
    /// What enqueued it
    cause: String,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
}

/// An attempt that did not succeed
#[derive(Debug, Object)]
struct Attempt {
    attempt: i32,
    worker: String,
    started_at: Option<DateTime<Utc>>,
    duration_ms: i64,
    verdict: String,
    error: Option<String>,
}

/// A task with its attempts
#[derive(Debug, Object)]
struct TaskInFull {
    task: Task,
    attempts: Vec<Attempt>,
}

#[OpenApi(tag = "Tag::Tasks")]
impl TasksApi {
    /// List tasks
    ///
    /// The newest first. Numbers and texts are masked; `show` can unmask.
    #[oai(path = "/tasks", method = "get", operation_id = "list_tasks")]
    async fn list(
        &self,
        by: Granted<Read>,
        state: Query<Option<State>>,
        /// The name of the job
        kind: Query<Option<String>>,
        queue: Query<Option<String>>,
        /// Everything that followed from one webhook or request
        correlation_id: Query<Option<String>>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Task>> {
        let state = state.0.map(TaskState::from);
        let listing = Listing::of("tasks", &(state, &kind.0, &queue.0, &correlation_id.0));
        let filter = TaskFilter {
            state,
            before: listing.after(cursor.0.as_deref())?,
            kind: kind.0,
            queue: queue.0,
            correlation_id: correlation_id.0,
            limit: limit.0 + 1,
        };
        let view = by.view(false, "tasks").await?;
        let rows = self.0.tasks.list(&filter).await?;
        Ok(listing.page(rows, limit.0, |row| row.id, |row| Task::of(row, view)))
    }

    /// Enqueue a task
    ///
    /// The payload is checked against the schema of the job. A request that is sent again with the same
    /// `Idempotency-Key` within a day enqueues nothing and answers with the first one's task.
    #[oai(path = "/tasks", method = "post", operation_id = "enqueue_task")]
    async fn enqueue(
        &self,
        by: Granted<Operate>,
        /// Told by this key apart from other requests of the same caller
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 200))]
        key: Header<Option<String>>,
        body: Json<TaskToEnqueue>,
    ) -> Answer<EnqueuedTask> {
        task_acts::enqueue(&self.0, by, key.0, body.0).await
    }

    /// Show a task
    ///
    /// With the attempts that failed. `unmask` takes the scope `pii` and is in the audit.
    #[oai(path = "/tasks/:id", method = "get", operation_id = "show_task")]
    async fn show(
        &self,
        by: Granted<Read>,
        id: Path<i64>,
        #[oai(default)] unmask: Query<bool>,
    ) -> Answer<TaskInFull> {
        let id = TaskId(id.0);
        let row = self.0.tasks.show(id).await?;
        let row = row.ok_or_else(|| Problem::not_found(format!("task {id}")))?;
        let view = by.view(unmask.0, &format!("task:{id}")).await?;
        let attempts = self.0.tasks.attempts(id).await?;
        let attempts = attempts.into_iter().map(|row| Attempt::of(row, view)).collect();
        Ok(Json(TaskInFull { task: Task::of(row, view), attempts }))
    }
}

impl Task {
    fn of(row: TaskRow, view: View) -> Self {
        Self {
            id: row.id.0,
            kind: row.kind,
            version: row.version,
            queue: row.queue,
            priority: row.priority,
            state: row.state.into(),
            payload: Any(view.json(&row.payload)),
            attempt: row.attempt,
            refunds: row.refunds,
            crashes: row.crashes,
            max_attempts: row.max_attempts,
            run_at: row.run_at,
            worker: row.worker,
            unique_key: view.maybe(row.unique_key.as_deref()),
            ordering_key: view.maybe(row.ordering_key.as_deref()),
            blocked: row.blocked,
            rate_key: view.maybe(row.rate_key.as_deref()),
            cancel_requested_at: row.cancel_requested_at,
            correlation_id: row.correlation_id,
            cause: row.cause,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            last_error: view.maybe(row.last_error.as_deref()),
        }
    }
}

impl Attempt {
    fn of(row: AttemptRow, view: View) -> Self {
        Self {
            attempt: row.attempt,
            worker: row.worker,
            started_at: row.started_at,
            duration_ms: row.duration_ms,
            verdict: row.verdict,
            error: view.maybe(row.error.as_deref()),
        }
    }
}
