//! `apalis-postgres` and `apalis-redis`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use apalis::layers::WorkerBuilderExt as _;
use apalis::prelude::{BoxDynError, TaskSink, WorkerBuilder};
use apalis_postgres::PostgresStorage;
use apalis_redis::RedisStorage;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::measure::{CONCURRENCY, Peer, padding, ran};

const FETCH: usize = 500;

#[derive(Clone, Serialize, Deserialize)]
struct Noop {
    padding: String,
}

fn batch(jobs: usize) -> Vec<Noop> {
    (0..jobs).map(|_| Noop { padding: padding() }).collect()
}

async fn noop(_: Noop) -> Result<(), BoxDynError> {
    ran();
    Ok(())
}

#[derive(Clone)]
pub(crate) struct OnPostgres {
    pool: PgPool,
    storage: PostgresStorage<Noop>,
}

impl OnPostgres {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(40).connect(url).await?;
        PostgresStorage::setup(&pool).await?;
        let config =
            apalis_postgres::Config::default().queue("bench").batch_size(FETCH).lock_tasks(false);
        let storage = PostgresStorage::new(&pool).with_config(config);
        Ok(Self { pool, storage })
    }
}

impl Peer for OnPostgres {
    async fn enqueue(&self, jobs: usize) -> Result<()> {
        Ok(self.storage.clone().push_bulk(batch(jobs)).await?)
    }

    async fn enqueue_one(&self) -> Result<()> {
        Ok(self.storage.clone().push(Noop { padding: padding() }).await?)
    }

    async fn work(&self) -> Result<()> {
        let backend = self.storage.clone().with_pubsub();
        let worker = WorkerBuilder::new("bench").backend(backend).concurrency(CONCURRENCY).build(noop);
        tokio::spawn(async move { worker.run().await.expect("the worker runs") });
        Ok(())
    }

    async fn unfinished(&self) -> Result<i64> {
        let query = "SELECT COUNT(*) FROM apalis.jobs WHERE done_at IS NULL";
        Ok(sqlx::query_scalar(query).fetch_one(&self.pool).await?)
    }
}

/// Redis writes every change to its file and waits for the disk, as the databases do.
#[derive(Clone)]
pub(crate) struct OnRedis {
    storage: RedisStorage<Noop>,
    connection: redis::aio::MultiplexedConnection,
    enqueued: Arc<AtomicI64>,
}

impl OnRedis {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        let config = apalis_redis::Config::default()
            .queue("bench")
            .batch_size(FETCH)
            .lock_tasks(false)
            .emit_events(false);
        let storage = RedisStorage::new(apalis_redis::connect(url).await?).with_config(config);
        Ok(Self { storage, connection, enqueued: Arc::default() })
    }
}

impl Peer for OnRedis {
    async fn enqueue(&self, jobs: usize) -> Result<()> {
        self.storage.clone().push_bulk(batch(jobs)).await?;
        self.enqueued.fetch_add(jobs as i64, Ordering::Relaxed);
        Ok(())
    }

    async fn enqueue_one(&self) -> Result<()> {
        self.storage.clone().push(Noop { padding: padding() }).await?;
        self.enqueued.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn work(&self) -> Result<()> {
        let backend = self.storage.clone();
        let worker = WorkerBuilder::new("bench").backend(backend).concurrency(CONCURRENCY).build(noop);
        tokio::spawn(async move { worker.run().await.expect("the worker runs") });
        Ok(())
    }

    async fn unfinished(&self) -> Result<i64> {
        let done = self.storage.get_config().done_jobs_set();
        let done: i64 = redis::cmd("SCARD").arg(done).query_async(&mut self.connection.clone()).await?;
        Ok(self.enqueued.load(Ordering::Relaxed) - done)
    }
}
