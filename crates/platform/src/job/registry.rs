//! Which jobs this release knows, by name.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::{Context, Done, Failure, Job, Priority, Queue, Retry, payload};
use crate::task::{Limit, NewTask, Rate};

/// The jobs of an application. Filled once at start; a mistake in it stops the start.
pub struct Registry<S> {
    jobs: BTreeMap<&'static str, AnyJob<S>>,
}

/// A registered job without its type.
pub struct AnyJob<S> {
    pub name: &'static str,
    pub version: u16,
    pub queue: Queue,
    pub priority: Priority,
    pub retry: Retry,
    pub timeout: Duration,
    /// The limits the job declares.
    pub max_running: Option<u32>,
    pub rate: Option<Rate>,
    schema: fn() -> schemars::Schema,
    /// A task of a payload of that version.
    pub(super) task: fn(u16, &str) -> Result<NewTask, serde_json::Error>,
    run: RunFn<S>,
}

type RunFn<S> = Arc<dyn Fn(u16, String, Context<S>) -> RunFuture + Send + Sync>;
type RunFuture = Pin<Box<dyn Future<Output = Result<Done, Failure>> + Send>>;

#[derive(Debug, Error)]
pub enum RegistryError {
    #[error("two jobs are called {0}")]
    Duplicate(&'static str),
    #[error("{1} is no name for a job ({0}): use lower case words joined by dots")]
    Name(&'static str, &'static str),
}

impl<S> Default for Registry<S> {
    fn default() -> Self {
        Self { jobs: BTreeMap::new() }
    }
}

impl<S: Send + Sync + 'static> Registry<S> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a job.
    pub fn register<J: Job<Services = S>>(mut self) -> Result<Self, RegistryError> {
        if !is_name(J::NAME) {
            return Err(RegistryError::Name(type_name::<J>(), J::NAME));
        }
        let job = AnyJob {
            name: J::NAME,
            version: J::VERSION,
            queue: J::QUEUE,
            priority: J::PRIORITY,
            retry: J::RETRY,
            timeout: J::TIMEOUT,
            max_running: J::MAX_RUNNING,
            rate: J::RATE,
            schema: || schemars::schema_for!(J),
            task: payload::task_of::<J>,
            run: Arc::new(|version, payload, cx| {
                Box::pin(async move {
                    let job = J::decode(version, &payload).map_err(|error| {
                        Failure::permanent(anyhow::Error::new(error).context(format!(
                            "the payload of {} (version {version}) cannot be decoded",
                            J::NAME
                        )))
                    })?;
                    job.run(&cx).await
                })
            }),
        };
        match self.jobs.insert(J::NAME, job) {
            None => Ok(self),
            Some(_) => Err(RegistryError::Duplicate(J::NAME)),
        }
    }

    pub fn get(&self, name: &str) -> Option<&AnyJob<S>> {
        self.jobs.get(name)
    }

    /// Whether this release can run a task of this kind and payload version.
    pub fn knows(&self, name: &str, version: i32) -> bool {
        self.get(name).is_some_and(|job| i32::from(job.version) >= version)
    }

    pub fn jobs(&self) -> impl Iterator<Item = &AnyJob<S>> {
        self.jobs.values()
    }

    /// Every queue a registered job uses, in order of name.
    pub fn queues(&self) -> BTreeSet<Queue> {
        self.jobs.values().map(|job| job.queue).collect()
    }
}

impl<S> AnyJob<S> {
    /// The limits the job declares.
    pub fn limit(&self) -> Limit {
        Limit { paused: false, max_running: self.max_running, rate: self.rate }
    }

    /// The JSON schema of the payload this release writes.
    pub fn schema(&self) -> schemars::Schema {
        (self.schema)()
    }

    /// A task of this job with a payload that somebody wrote by hand, as this release reads and writes it.
    ///
    /// # Errors
    /// When the job cannot read the payload.
    pub fn task(&self, payload: &str) -> Result<NewTask, serde_json::Error> {
        (self.task)(self.version, payload)
    }

    pub(crate) fn run(&self, version: u16, payload: String, cx: Context<S>) -> RunFuture {
        (self.run)(version, payload, cx)
    }
}

impl<S> std::fmt::Debug for Registry<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.jobs.keys()).finish()
    }
}

fn is_name(name: &str) -> bool {
    name.split('.').all(|word| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    })
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Noop {}

    impl Job for Noop {
        type Services = ();
        const NAME: &'static str = "test.noop";
        const QUEUE: Queue = Queue::new("test");

        async fn run(&self, _: &Context<()>) -> Result<Done, Failure> {
            Ok(Done::new())
        }
    }

    #[test]
    fn a_duplicate_name_is_refused() {
        let twice = Registry::new().register::<Noop>().and_then(Registry::register::<Noop>);
        assert!(matches!(twice, Err(RegistryError::Duplicate("test.noop"))));
    }

    #[test]
    fn names_are_lower_case_words_joined_by_dots() {
        for good in ["media.download", "call.recording_stored", "a1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Media.download", "media..download", ".a", "a b"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
