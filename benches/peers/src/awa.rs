//! `awa` on its queue storage, enqueued by `COPY`, with the worker of its own benchmark.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use awa::{Client, InsertOpts, JobArgs, JobResult, QueueConfig, QueueStorage, QueueStorageConfig};
use serde::{Deserialize, Serialize};
use sqlx08::PgPool;
use sqlx08::postgres::PgPoolOptions;

use crate::measure::{Peer, padding, ran};

const QUEUE: &str = "bench";
/// With so many it completes in four batches at a time instead of one.
const WORKERS: u32 = 1_024;

#[derive(Serialize, Deserialize, JobArgs)]
struct Noop {
    padding: String,
}

#[derive(Clone)]
pub(crate) struct Awa {
    pool: PgPool,
    storage: Arc<QueueStorage>,
}

fn opts() -> InsertOpts {
    InsertOpts { queue: QUEUE.to_owned(), ..InsertOpts::default() }
}

impl Awa {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(40).connect(url).await?;
        awa::migrations::run(&pool).await?;
        let storage = QueueStorage::new(QueueStorageConfig::default())?;
        storage.install(&pool).await?;
        Ok(Self { pool, storage: Arc::new(storage) })
    }
}

impl Peer for Awa {
    async fn enqueue(&self, jobs: usize) -> Result<()> {
        let batch: Result<Vec<_>, _> =
            (0..jobs).map(|_| awa::model::insert::params_with(&Noop { padding: padding() }, opts())).collect();
        self.storage.enqueue_params_copy(&self.pool, &batch?).await?;
        Ok(())
    }

    async fn enqueue_one(&self) -> Result<()> {
        awa::insert_with(&self.pool, &Noop { padding: padding() }, opts()).await?;
        Ok(())
    }

    async fn work(&self) -> Result<()> {
        let queue = QueueConfig {
            max_workers: WORKERS,
            poll_interval: Duration::from_millis(50),
            deadline_duration: Duration::ZERO,
            ..QueueConfig::default()
        };
        let client = Client::builder(self.pool.clone())
            .queue(QUEUE, queue)
            .register::<Noop, _, _>(|_, _| async {
                ran();
                Ok(JobResult::Completed)
            })
            .build()?;
        client.start().await?;
        // Ends with the process.
        std::mem::forget(client);
        Ok(())
    }

    async fn unfinished(&self) -> Result<i64> {
        let counts = self.storage.queue_counts(&self.pool, QUEUE).await?;
        Ok(counts.available + counts.running)
    }
}
