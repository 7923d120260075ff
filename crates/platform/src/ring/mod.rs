//! The ring is a bell, not a store: it tells workers which tasks have just become ready, so that they need
//! not look. Losing all of it costs latency and nothing else, because every worker also claims due tasks
//! straight from the table at least once a second.
//!
//! It is bounded, and a full or absent ring is no error. Pushing never waits; popping has a deadline.

mod local;
mod postgres;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::db::Db;
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

/// Where bells ring: inside this process, or through PostgreSQL or Redis for every process. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Ring {
    Local(local::LocalRing),
    Postgres(Arc<postgres::PostgresRing>),
    Redis(Arc<redis::RedisRing>),
}

/// Why the ring does not answer.
#[derive(Debug, Error)]
pub enum RingError {
    #[error("the connection that listens for new tasks is away")]
    Deaf,
    #[error(transparent)]
    Redis(#[from] RedisRingError),
}

impl Ring {
    /// A ring inside this process. With several processes on one database the others find tasks by polling.
    pub fn local() -> Self {
        Self::Local(local::LocalRing::default())
    }

    /// The ring that needs no server beside the database: `NOTIFY` on PostgreSQL, on SQLite the ring of this
    /// process, which there is the only one. It connects when it can and again whenever it was lost.
    pub fn of_database(db: &Db, metrics: Metrics) -> Self {
        match db.listen_options() {
            Some(connect) => Self::Postgres(Arc::new(postgres::PostgresRing::new(connect, metrics))),
            None => Self::local(),
        }
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
            Self::Postgres(ring) => ring.push(&bells),
            Self::Redis(ring) => ring.push(bells),
        }
    }

    /// Waits until the bells pushed so far have rung elsewhere, but no longer than `deadline`: for processes that
    /// are about to end. A bell that did not ring is no error.
    pub async fn flush(&self, deadline: Duration) {
        let mut unrung = match self {
            Self::Local(_) => return,
            Self::Postgres(ring) => ring.unrung(),
            Self::Redis(ring) => ring.unrung(),
        };
        let _ = tokio::time::timeout(deadline, unrung.wait_for(|count| *count == 0)).await;
    }

    /// One queue's listener. Each fetch loop has its own.
    pub fn listen(&self, queue: Queue) -> Listener {
        match self {
            Self::Local(ring) => Listener::Local(ring.lane(queue.name())),
            Self::Postgres(ring) => Listener::Local(ring.lane(queue.name())),
            Self::Redis(ring) => Listener::Redis(Box::new(ring.listen(queue))),
        }
    }

    /// How many ids a queue has in the ring at a priority; none while it is away.
    pub async fn len(&self, queue: Queue, priority: Priority) -> usize {
        match self {
            Self::Local(ring) => ring.len(queue.name(), priority),
            Self::Postgres(ring) => ring.local().len(queue.name(), priority),
            Self::Redis(ring) => ring.len(queue, priority).await,
        }
    }

    /// Takes up to `max` ids from the front without waiting; none while the ring is away.
    pub async fn take(&self, queue: Queue, priority: Priority, max: usize) -> Vec<i64> {
        match self {
            Self::Local(ring) => ring.take(queue.name(), priority, max),
            Self::Postgres(ring) => ring.local().take(queue.name(), priority, max),
            Self::Redis(ring) => ring.take(queue, priority, max).await,
        }
    }

    /// Whether the ring answers; the in-process one always does.
    pub async fn ping(&self) -> Result<(), RingError> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Postgres(ring) => ring.listens().then_some(()).ok_or(RingError::Deaf),
            Self::Redis(ring) => Ok(ring.ping().await?),
        }
    }
}

/// What a listener heard.
#[derive(Debug, Eq, PartialEq)]
pub enum Heard {
    /// These became ready, the most urgent first; none when nothing was heard in time.
    Tasks(Vec<i64>),
    /// Another process made tasks ready and did not say which: look at the table.
    Look,
}

/// Waits for the bells of one queue.
#[derive(Debug)]
pub enum Listener {
    Local(local::Lane),
    Redis(Box<redis::RedisListener>),
}

impl Listener {
    /// Waits up to `wait` for up to `max` tasks. Cancelling it can lose bells, which the table poll makes up for.
    pub async fn pop(&mut self, max: usize, wait: Duration) -> Heard {
        match self {
            Self::Local(lane) => lane.pop(max, wait).await,
            Self::Redis(listener) => Heard::Tasks(listener.pop(max, wait).await),
        }
    }
}
