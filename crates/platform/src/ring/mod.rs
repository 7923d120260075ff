//! The ring is a bell, not a store: it tells workers which tasks have just become ready, so that they need
//! not look. Losing all of it costs latency and nothing else, because every worker also claims due tasks
//! straight from the table at least once a second.
//!
//! It is bounded, and a full or absent ring is no error. Pushing never waits; popping has a deadline.

mod local;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use crate::job::{Priority, Queue};
use crate::metrics::Metrics;
use crate::task::TaskId;

pub use self::redis::RedisRingError;

/// Ids kept per queue and priority; what does not fit is left to the table poll.
const CAPACITY: usize = 50_000;

/// "This task can run now."
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bell {
    pub queue: String,
    pub priority: Priority,
    pub id: TaskId,
}

/// Where bells ring: inside this process, or in Redis for every process. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Ring {
    Local(local::LocalRing),
    Redis(Arc<redis::RedisRing>),
}

impl Ring {
    /// A ring inside this process. With several processes on one database the others find tasks by polling.
    pub fn local() -> Self {
        Self::Local(local::LocalRing::default())
    }

    /// A ring in Redis 7 or newer. `prefix` begins every key, so that installations can share a server.
    /// Redis need not be there yet: it is connected to when first needed and again whenever it was lost.
    pub fn redis(url: &str, prefix: &str, metrics: Metrics) -> Result<Self, RedisRingError> {
        Ok(Self::Redis(Arc::new(redis::RedisRing::new(url, prefix, metrics)?)))
    }

    /// Tells the workers about tasks. Never waits and never fails.
    pub fn push(&self, bells: Vec<Bell>) {
        if bells.is_empty() {
            return;
        }
        match self {
            Self::Local(ring) => ring.push(&bells),
            Self::Redis(ring) => ring.push(bells),
        }
    }

    /// One queue's listener. Each fetch loop has its own.
    pub fn listen(&self, queue: Queue) -> Listener {
        match self {
            Self::Local(ring) => Listener::Local(ring.lane(queue.name())),
            Self::Redis(ring) => Listener::Redis(Box::new(ring.listen(queue))),
        }
    }

    /// Whether the ring answers; the in-process one always does.
    pub async fn ping(&self) -> Result<(), RedisRingError> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Redis(ring) => ring.ping().await,
        }
    }
}

/// Waits for the bells of one queue.
#[derive(Debug)]
pub enum Listener {
    Local(local::Lane),
    Redis(Box<redis::RedisListener>),
}

impl Listener {
    /// Up to `max` ids of tasks, the most urgent first; empty when none came within `wait`. Cancelling it can lose
    /// ids, which the table poll then finds.
    pub async fn pop(&mut self, max: usize, wait: Duration) -> Vec<i64> {
        match self {
            Self::Local(lane) => lane.pop(max, wait).await,
            Self::Redis(listener) => listener.pop(max, wait).await,
        }
    }
}
