//! A task about to be enqueued.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::job::{Job, Priority, Queue};

/// The longest a key is held. Beyond it lie dates that a database cannot hold.
const LONGEST_HOLD: TimeDelta = TimeDelta::days(36_500);

/// What becomes of the task that holds a unique key when a second one comes. Only a task that waits is ever
/// changed; one that runs or has ended stays as it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnConflict {
    /// It stays as it is.
    #[default]
    Keep,
    /// It takes on the payload of the second.
    ReplacePayload,
    /// It takes on the time of the second (to wait until things have calmed down).
    PushTime,
}

/// A task that is not in the table yet. Made from a job by [`NewTask::of`].
#[derive(Clone, Debug)]
pub struct NewTask {
    pub kind: &'static str,
    pub version: u16,
    pub queue: Queue,
    pub priority: Priority,
    /// The job as JSON.
    pub payload: String,
    pub max_attempts: u16,
    /// Not before this time; at once when absent.
    pub run_at: Option<DateTime<Utc>>,
    /// No second task of this kind is made under this key: until this one has ended, or for `unique_for`.
    pub unique_key: Option<String>,
    /// How long the key is held, from the enqueue on and beyond the task's end; until that end when absent.
    pub unique_for: Option<Duration>,
    pub on_conflict: OnConflict,
    /// Tasks of one key, of whatever kind, run in the order they were enqueued, one at a time.
    pub ordering_key: Option<String>,
    /// Tasks of this kind and key share the kind's rate.
    pub rate_key: Option<String>,
    pub correlation_id: Option<String>,
    /// W3C `traceparent` of whoever enqueued it.
    pub trace_context: Option<String>,
    /// What enqueued it: `webhook:…`, `task:…`, `operator:…`.
    pub cause: String,
}

impl NewTask {
    /// # Errors
    /// When the payload cannot be written as JSON.
    pub fn of<J: Job>(job: &J) -> Result<Self, serde_json::Error> {
        Ok(Self {
            kind: J::NAME,
            version: J::VERSION,
            queue: J::QUEUE,
            priority: J::PRIORITY,
            payload: serde_json::to_string(job)?,
            max_attempts: J::RETRY.max_attempts(),
            run_at: None,
            unique_key: job.unique_key(),
            unique_for: J::UNIQUE_FOR,
            on_conflict: J::ON_CONFLICT,
            ordering_key: job.ordering_key(),
            rate_key: job.rate_key(),
            correlation_id: None,
            trace_context: None,
            cause: "program".to_owned(),
        })
    }

    pub fn at(mut self, time: DateTime<Utc>) -> Self {
        self.run_at = Some(time);
        self
    }

    /// Holds `key` for a period instead of until the task's end.
    pub fn unique_for(mut self, key: impl Into<String>, period: Duration) -> Self {
        self.unique_key = Some(key.into());
        self.unique_for = Some(period);
        self
    }

    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }

    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    pub fn correlation_id(mut self, id: &str) -> Self {
        self.correlation_id = Some(id.to_owned());
        self
    }

    pub fn trace_context(mut self, traceparent: Option<String>) -> Self {
        self.trace_context = traceparent;
        self
    }

    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    /// The key it holds until its end.
    pub(super) fn key_until_end(&self) -> Option<&str> {
        self.unique_key.as_deref().filter(|_| self.unique_for.is_none())
    }

    /// The key it holds for a period, and how long.
    pub(super) fn hold(&self) -> Option<(&str, TimeDelta)> {
        let period = self.unique_for?;
        let period = TimeDelta::from_std(period).unwrap_or(LONGEST_HOLD).min(LONGEST_HOLD);
        self.unique_key.as_deref().map(|key| (key, period))
    }
}
