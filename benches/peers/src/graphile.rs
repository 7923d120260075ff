//! `graphile_worker` with its local queue and batched completion, sized as in its own benchmark of 200,000 jobs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use graphile_worker::{IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions, WorkerUtils};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::measure::{Peer, padding, ran};

const SCHEMA: &str = "graphile_worker";

#[derive(Clone, Serialize, Deserialize)]
struct Noop {
    padding: String,
}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        ran();
        Ok::<(), String>(())
    }
}

#[derive(Clone)]
pub(crate) struct Graphile {
    pool: PgPool,
    utils: Arc<WorkerUtils>,
}

impl Graphile {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(100).connect(url).await?;
        let utils = WorkerUtils::new(pool.clone(), SCHEMA);
        utils.migrate().await?;
        Ok(Self { pool, utils: Arc::new(utils) })
    }
}

impl Peer for Graphile {
    async fn enqueue(&self, jobs: usize) -> Result<()> {
        let spec = JobSpec::default();
        let batch: Vec<_> = (0..jobs).map(|_| (Noop { padding: padding() }, &spec)).collect();
        self.utils.add_jobs::<Noop>(&batch).await?;
        Ok(())
    }

    async fn enqueue_one(&self) -> Result<()> {
        self.utils.add_job(Noop { padding: padding() }, JobSpec::default()).await?;
        Ok(())
    }

    async fn work(&self) -> Result<()> {
        let worker = WorkerOptions::default()
            .pg_pool(self.pool.clone())
            .schema(SCHEMA)
            .concurrency(500)
            .poll_interval(Duration::from_secs(1))
            .complete_job_batch_delay(Duration::from_millis(5))
            .local_queue(LocalQueueConfig::default().with_size(5_000))
            .define_job::<Noop>()
            .init()
            .await?;
        tokio::spawn(async move { worker.run().await.expect("the worker runs") });
        Ok(())
    }

    async fn unfinished(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT COUNT(*) FROM graphile_worker._private_jobs").fetch_one(&self.pool).await?)
    }
}
