//! What a running job may use.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::job::Wire;
use crate::task::{NewTask, Progress, TaskId};

/// The task a job runs for.
#[derive(Clone, Debug)]
pub struct TaskMeta {
    pub id: TaskId,
    pub kind: String,
    /// Which try this is, from 1.
    pub attempt: u32,
    pub max_attempts: u32,
    /// The fencing token of this attempt: a write that a stale worker must not make compares it with the task's
    /// `attempt`.
    pub token: i32,
    /// Goes from the webhook through every task it causes to the call to the provider.
    pub correlation_id: String,
    pub created_at: DateTime<Utc>,
}

impl TaskMeta {
    /// Whether a failure of this try is the last.
    pub fn is_last_attempt(&self) -> bool {
        self.attempt >= self.max_attempts
    }
}

/// A wait up to this long is waited within a job: a task that is put off is found only when the table is looked at.
const SHORT: TimeDelta = TimeDelta::seconds(3);

/// Everything a job is handed: its services, its task, the time, a seed, and the sign to stop.
#[derive(Debug)]
pub struct Context<S> {
    services: Arc<S>,
    task: TaskMeta,
    clock: Clock,
    seed: u64,
    wire: Wire,
}

impl<S> Context<S> {
    pub(crate) fn new(services: Arc<S>, task: TaskMeta, clock: Clock, seed: u64, wire: Wire) -> Self {
        Self { services, task, clock, seed, wire }
    }

    pub fn services(&self) -> &S {
        &self.services
    }

    pub fn task(&self) -> &TaskMeta {
        &self.task
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Waits, in the middle of a job, until a time not far ahead; a longer wait is a task's. False, and at once: the clock
    /// is moved by hand, as in tests. Waiting ends early, and true, when the job is cancelled.
    pub async fn wait_until(&self, time: DateTime<Utc>) -> bool {
        tokio::select! {
            () = self.wire.cancelled.cancelled() => true,
            waited = self.clock.sleep_until(time) => waited,
        }
    }

    /// Whether it waited until then. Not when that is far off: that wait is the task's. Nor when the clock is moved by hand, or the job
    /// was cancelled.
    pub async fn wait_shortly(&self, time: DateTime<Utc>) -> bool {
        time - self.now() <= SHORT && self.wait_until(time).await && !self.cancelled().is_cancelled()
    }

    /// Randomness for this attempt; the same attempt of the same task gets the same seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Cancelled when the result of this attempt no longer counts (somebody cancelled the task, the lease is lost) or
    /// the process stops. A job that does not heed it is dropped where it stands a second later.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.wire.cancelled
    }

    /// Says how far the job is, for whoever looks at the task. Say it as often as you like: it is written twice a
    /// second at the most, and only the last word.
    pub fn progress(&self, done: u64, total: Option<u64>, note: Option<String>) {
        self.wire.say(Progress { done, total, note });
    }

    /// A task caused by this one: it carries on the correlation id and names this task as its cause.
    pub fn follow_up<J: crate::job::Job>(&self, job: &J) -> Result<NewTask, serde_json::Error> {
        Ok(NewTask::of(job)?
            .correlation_id(&self.task.correlation_id)
            .cause(format!("task:{}", self.task.id)))
    }
}
