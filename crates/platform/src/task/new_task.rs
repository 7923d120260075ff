//! A task about to be enqueued.

use chrono::{DateTime, Utc};

use crate::job::{Job, Priority, Queue};

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
    pub unique_key: Option<String>,
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
            correlation_id: None,
            trace_context: None,
            cause: "program".to_owned(),
        })
    }

    pub fn at(mut self, time: DateTime<Utc>) -> Self {
        self.run_at = Some(time);
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
}
