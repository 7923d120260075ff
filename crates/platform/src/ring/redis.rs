//! The ring in Redis: a list per queue and priority, pushed by one actor per process and popped by `BLMPOP`
//! on a connection of each listener's own. Every call has a deadline; after a failure Redis is left alone for
//! a moment, and the table poll does the work meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::{Bell, CAPACITY};
use crate::job::{Priority, Queue};
use crate::metrics::Metrics;

/// Batches of bells waiting to be pushed.
const PENDING_PUSHES: usize = 1_024;
/// The most bells of one round trip.
const PUSH_BATCH: usize = 5_000;
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
const CALL_DEADLINE: Duration = Duration::from_millis(500);
/// How long Redis is left alone after a failure.
const COOL_DOWN: Duration = Duration::from_millis(500);

#[derive(Debug, Error)]
pub enum RedisRingError {
    #[error("the Redis URL cannot be used")]
    Url(#[source] RedisError),
    #[error("Redis did not answer as it should")]
    Call(#[from] RedisError),
    #[error("Redis did not answer in time")]
    Deadline,
}

#[derive(Clone, Debug)]
pub struct RedisRing {
    client: Client,
    prefix: String,
    pushes: mpsc::Sender<Vec<Bell>>,
    /// Batches that were neither pushed nor dropped yet.
    unrung: watch::Sender<usize>,
    metrics: Metrics,
}

impl RedisRing {
    pub(super) fn new(url: &str, prefix: &str, metrics: Metrics) -> Result<Self, RedisRingError> {
        let client = Client::open(url).map_err(RedisRingError::Url)?;
        let (pushes, inbox) = mpsc::channel(PENDING_PUSHES);
        let unrung = watch::Sender::new(0);
        let ring = Self { client, prefix: prefix.to_owned(), pushes, unrung, metrics };
        tokio::spawn(
            Pusher {
                line: Line::new(ring.client.clone()),
                prefix: ring.prefix.clone(),
                unrung: ring.unrung.clone(),
                metrics: ring.metrics.clone(),
            }
            .run(inbox),
        );
        Ok(ring)
    }

    pub(super) fn push(&self, bells: Vec<Bell>) {
        self.unrung.send_modify(|count| *count += 1);
        if let Err(refused) = self.pushes.try_send(bells) {
            self.unrung.send_modify(|count| *count -= 1);
            self.metrics.ring_dropped.inc_by(refused.into_inner().len() as u64);
        }
    }

    /// How many batches are on their way.
    pub(super) fn unrung(&self) -> watch::Receiver<usize> {
        self.unrung.subscribe()
    }

    pub(super) fn listen(&self, queue: Queue) -> RedisListener {
        let keys = Priority::ALL.map(|priority| key(&self.prefix, queue.name(), priority)).to_vec();
        RedisListener { line: Line::new(self.client.clone()), keys, metrics: self.metrics.clone() }
    }

    pub(super) async fn len(&self, queue: Queue, priority: Priority) -> usize {
        let mut len = redis::cmd("LLEN");
        len.arg(key(&self.prefix, queue.name(), priority));
        self.ask(&len).await
    }

    pub(super) async fn take(&self, queue: Queue, priority: Priority, max: usize) -> Vec<i64> {
        let mut take = redis::cmd("LPOP");
        take.arg(key(&self.prefix, queue.name(), priority)).arg(max);
        self.ask::<Option<Vec<i64>>>(&take).await.unwrap_or_default()
    }

    /// Asks on a connection of its own; nothing is an answer, too.
    async fn ask<T: redis::FromRedisValue + Default>(&self, cmd: &redis::Cmd) -> T {
        match Line::new(self.client.clone()).call(cmd, CALL_DEADLINE).await {
            Ok(answer) => answer,
            Err(_) => {
                self.metrics.ring_errors.inc();
                T::default()
            }
        }
    }

    pub(super) async fn ping(&self) -> Result<(), RedisRingError> {
        Line::new(self.client.clone()).call(&redis::cmd("PING"), CALL_DEADLINE).await
    }
}

fn key(prefix: &str, queue: &str, priority: Priority) -> String {
    format!("{prefix}:ring:{queue}:{}", priority.level())
}

/// Pushes what the process enqueued, many batches in one round trip.
struct Pusher {
    line: Line,
    prefix: String,
    unrung: watch::Sender<usize>,
    metrics: Metrics,
}

impl Pusher {
    async fn run(mut self, mut inbox: mpsc::Receiver<Vec<Bell>>) {
        while let Some(mut bells) = inbox.recv().await {
            let mut batches = 1;
            while bells.len() < PUSH_BATCH
                && let Ok(more) = inbox.try_recv()
            {
                bells.extend(more);
                batches += 1;
            }
            if let Err(error) = self.push(&bells).await {
                self.metrics.ring_dropped.inc_by(bells.len() as u64);
                self.metrics.ring_errors.inc();
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    bells = bells.len(),
                    "bells dropped"
                );
            }
            self.unrung.send_modify(|count| *count -= batches);
        }
    }

    async fn push(&mut self, bells: &[Bell]) -> Result<(), RedisRingError> {
        let mut by_key: HashMap<(&str, Priority), Vec<i64>> = HashMap::new();
        for bell in bells {
            by_key.entry((&bell.queue, bell.priority)).or_default().push(bell.id.0);
        }
        let mut pipe = redis::pipe();
        for ((queue, priority), ids) in by_key {
            let key = key(&self.prefix, queue, priority);
            pipe.cmd("RPUSH").arg(&key).arg(ids).ignore();
            // Keeps the oldest: what is cut off here is found by the table poll.
            pipe.cmd("LTRIM").arg(&key).arg(0).arg(CAPACITY - 1).ignore();
        }
        self.line.pipe(&pipe, CALL_DEADLINE).await
    }
}

/// Waits for the bells of one queue.
#[derive(Debug)]
pub struct RedisListener {
    line: Line,
    keys: Vec<String>,
    metrics: Metrics,
}

impl RedisListener {
    pub(super) async fn pop(&mut self, max: usize, wait: Duration) -> Vec<i64> {
        let started = Instant::now();
        // A wait of zero would be for ever.
        let seconds = wait.as_secs_f64().max(0.001);
        let mut pop = redis::cmd("BLMPOP");
        pop.arg(seconds).arg(self.keys.len()).arg(&self.keys).arg("LEFT").arg("COUNT").arg(max.max(1));
        let popped: Result<Option<(String, Vec<i64>)>, _> = self.line.call(&pop, wait + CALL_DEADLINE).await;
        match popped {
            Ok(popped) => popped.map(|(_, ids)| ids).unwrap_or_default(),
            Err(error) => {
                self.metrics.ring_errors.inc();
                tracing::debug!(error = &error as &dyn std::error::Error, "the ring is away");
                sleep(wait.saturating_sub(started.elapsed())).await;
                Vec::new()
            }
        }
    }
}

/// One connection with deadlines, made when needed, thrown away after any failure.
#[derive(Debug)]
struct Line {
    client: Client,
    connection: Option<MultiplexedConnection>,
    not_before: Option<Instant>,
    /// Whether the last call failed: only changes are worth a line in the log.
    away: bool,
}

impl Line {
    fn new(client: Client) -> Self {
        Self { client, connection: None, not_before: None, away: false }
    }

    async fn call<T: redis::FromRedisValue>(
        &mut self,
        cmd: &redis::Cmd,
        deadline: Duration,
    ) -> Result<T, RedisRingError> {
        let mut connection = self.connected().await?;
        let answer = timeout(deadline, cmd.query_async(&mut connection)).await;
        self.keep(connection, answer)
    }

    async fn pipe(&mut self, pipe: &redis::Pipeline, deadline: Duration) -> Result<(), RedisRingError> {
        let mut connection = self.connected().await?;
        let answer = timeout(deadline, pipe.query_async(&mut connection)).await;
        self.keep(connection, answer)
    }

    async fn connected(&mut self) -> Result<MultiplexedConnection, RedisRingError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return Err(RedisRingError::Deadline);
        }
        // A blocking pop must not run into the driver's own response time-out; the deadline is ours.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_DEADLINE))
            .set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        match timeout(CONNECT_DEADLINE, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.cool_down(RedisRingError::Call(error))),
            Err(_) => Err(self.cool_down(RedisRingError::Deadline)),
        }
    }

    fn keep<T>(
        &mut self,
        connection: MultiplexedConnection,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<T, RedisRingError> {
        match answer {
            Ok(Ok(value)) => {
                self.connection = Some(connection);
                if std::mem::take(&mut self.away) {
                    tracing::info!("Redis is back");
                }
                Ok(value)
            }
            Ok(Err(error)) => Err(self.cool_down(RedisRingError::Call(error))),
            Err(_) => Err(self.cool_down(RedisRingError::Deadline)),
        }
    }

    fn cool_down(&mut self, error: RedisRingError) -> RedisRingError {
        self.not_before = Some(Instant::now() + COOL_DOWN);
        if !std::mem::replace(&mut self.away, true) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "Redis is away; tasks are found by looking at the table until it is back"
            );
        }
        error
    }
}
