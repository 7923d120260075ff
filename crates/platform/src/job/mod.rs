//! What a job is: a serialisable struct with a name that never changes, a handful of constants, and `run`.
//!
//! ```
//! use std::time::Duration;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Retry};
//!
//! /// Greets one person.
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Greet { name: String }
//!
//! impl Job for Greet {
//!     type Services = ();
//!     const NAME: &'static str = "example.greet";
//!     const QUEUE: Queue = Queue::new("default");
//!     const RETRY: Retry = Retry::exponential(Duration::from_secs(10), Duration::from_secs(3600)).attempts(12);
//!
//!     async fn run(&self, _cx: &Context<()>) -> Result<Done, Failure> {
//!         if self.name.is_empty() {
//!             return Err(Failure::permanent(anyhow::anyhow!("nobody to greet")));
//!         }
//!         Ok(Done::new())
//!     }
//! }
//! ```

mod context;
mod outcome;
mod payload;
mod registry;
mod retry;
mod schema;
mod wire;

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use context::{Context, TaskMeta};
pub use outcome::{Done, Failure, FailureKind, OrFail};
pub use payload::{Jobs, PayloadError, changes, set_at};
pub use registry::{AnyJob, Registry, RegistryError};
pub use retry::Retry;
pub use schema::{Fault, faults_in, unchecked_keywords};
pub(crate) use wire::Wire;

use crate::task::{OnConflict, Rate};

/// Where tasks wait and which workers take them. Its name is stored with every task.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Queue(&'static str);

impl Queue {
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// Which tasks of a queue go first. There are few levels on purpose: a claim looks at each in turn.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Priority(u8);

impl Priority {
    /// Somebody is waiting.
    pub const URGENT: Self = Self(0);
    pub const HIGH: Self = Self(1);
    pub const NORMAL: Self = Self(2);
    /// Whenever there is time.
    pub const LOW: Self = Self(3);
    /// Every level, the first to go first.
    pub const ALL: [Self; 4] = [Self::URGENT, Self::HIGH, Self::NORMAL, Self::LOW];

    pub const fn level(self) -> u8 {
        self.0
    }

    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "urgent",
            1 => "high",
            2 => "normal",
            _ => "low",
        }
    }

    /// The level a stored number stands for; numbers beyond the last count as the last.
    pub fn from_level(level: i32) -> Self {
        Self::ALL.into_iter().find(|p| i32::from(p.0) >= level).unwrap_or(Self::LOW)
    }
}

/// A word that names no priority.
#[derive(Debug, Error)]
#[error("{0:?} is no priority: there are urgent, high, normal and low")]
pub struct UnknownPriority(String);

impl FromStr for Priority {
    type Err = UnknownPriority;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| UnknownPriority(name.to_owned()))
    }
}

/// Typed work. One file each; the struct is the payload.
///
/// A job can run more than once (its worker may die after the work and before the verdict): write it so that
/// running it twice leaves what running it once leaves.
pub trait Job: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// What the application hands to its jobs: database, clients, stores.
    type Services: Send + Sync + 'static;

    /// The name stored with every task of this job, lower case with dots. It never changes.
    const NAME: &'static str;
    /// The version of the payload this release writes; every older one must still decode.
    const VERSION: u16 = 1;
    const QUEUE: Queue;
    const PRIORITY: Priority = Priority::NORMAL;
    const RETRY: Retry = Retry::exponential(Duration::from_secs(5), Duration::from_secs(3600)).attempts(12);
    /// How long one attempt may take.
    const TIMEOUT: Duration = Duration::from_secs(60);

    /// The most tasks of this job that run at a time, in all processes together; people can set another limit.
    const MAX_RUNNING: Option<u32> = None;
    /// How many tasks of this job may start in a period; people can set another rate.
    const RATE: Option<Rate> = None;

    /// How long [`unique_key`](Job::unique_key) is held, from the enqueue on; until the task's end when absent.
    const UNIQUE_FOR: Option<Duration> = None;
    /// What a second task under the key changes in the one that holds it.
    const ON_CONFLICT: OnConflict = OnConflict::Keep;

    /// While a task with the same name and key waits or runs, or for [`UNIQUE_FOR`](Job::UNIQUE_FOR), no second
    /// one is made.
    fn unique_key(&self) -> Option<String> {
        None
    }

    /// Tasks of one ordering key run in the order they were enqueued, one at a time. A task that failed holds up
    /// those behind it until it succeeds, and a dead letter until a person has decided. Kinds that answer the same
    /// key share the line; begin it with what it is about (`conversation:…`).
    fn ordering_key(&self) -> Option<String> {
        None
    }

    /// Tasks of this job with the same key share [`RATE`](Job::RATE); those without a key share one.
    fn rate_key(&self) -> Option<String> {
        None
    }

    /// Reads a payload of `version`. Give new fields `#[serde(default)]` and this need not be overridden.
    fn decode(version: u16, payload: &str) -> Result<Self, serde_json::Error> {
        let _ = version;
        serde_json::from_str(payload)
    }

    /// Does the work. `?` alone means "try again later"; see [`Failure`] for the exceptions.
    fn run(&self, cx: &Context<Self::Services>) -> impl Future<Output = Result<Done, Failure>> + Send;
}
