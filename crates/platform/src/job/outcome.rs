//! How an attempt ends. Success is data: the tasks that follow are inserted in the transaction that completes
//! this one. Failure says whether to try again.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::job::TaskMeta;
use crate::task::NewTask;

/// The work is done.
#[derive(Debug, Default)]
pub struct Done {
    pub(crate) follow_ups: Vec<NewTask>,
}

impl Done {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task that is enqueued if, and only if, this completion counts.
    pub fn then(mut self, task: NewTask) -> Self {
        self.follow_ups.push(task);
        self
    }

    /// The tasks that follow, for tests of a job.
    pub fn follow_ups(&self) -> &[NewTask] {
        &self.follow_ups
    }
}

/// The attempt did not succeed. Any error turns into "try again later" by `?`; the exceptions are marked.
///
/// It is no `std::error::Error` itself, so that `?` can take every error there is.
#[derive(Debug)]
pub struct Failure {
    pub kind: FailureKind,
    pub error: anyhow::Error,
}

/// What happens to the task after the failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureKind {
    /// Try again after the job's backoff.
    Retry,
    /// Try again, but not before this long: somebody told us so (`Retry-After`).
    RetryAfter(Duration),
    /// Not a failure: look again at that time, and this attempt does not count.
    Snooze(DateTime<Utc>),
    /// Trying again cannot help: a dead letter at once.
    Permanent,
    /// The work is no longer wanted: end it without a dead letter.
    Discard,
}

impl Failure {
    pub fn permanent(error: impl Into<anyhow::Error>) -> Self {
        Self { kind: FailureKind::Permanent, error: error.into() }
    }

    pub fn retry_after(error: impl Into<anyhow::Error>, wait: Duration) -> Self {
        Self { kind: FailureKind::RetryAfter(wait), error: error.into() }
    }

    pub fn snooze_until(time: DateTime<Utc>, reason: &'static str) -> Self {
        Self { kind: FailureKind::Snooze(time), error: anyhow::Error::msg(reason) }
    }

    pub fn discard(reason: &'static str) -> Self {
        Self { kind: FailureKind::Discard, error: anyhow::Error::msg(reason) }
    }

    /// Whether it makes this task a dead letter.
    pub fn is_final(&self, task: &TaskMeta) -> bool {
        match self.kind {
            FailureKind::Permanent => true,
            FailureKind::Retry | FailureKind::RetryAfter(_) => task.is_last_attempt(),
            FailureKind::Snooze(_) | FailureKind::Discard => false,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { kind: FailureKind::Retry, error: error.into() }
    }
}

/// Marks the exceptions on a result: `decode(body).permanent()?`.
pub trait OrFail<T> {
    /// Trying again cannot help.
    fn permanent(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn permanent(self) -> Result<T, Failure> {
        self.map_err(Failure::permanent)
    }
}
