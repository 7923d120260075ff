//! `riverqueue`, fetching as often as it allows.

use std::time::Duration;

use anyhow::Result;
use riverqueue::migrate::PostgresMigrator;
use riverqueue::{BoxError, Client, Job, JobArgs, QueueConfig, WorkContext, WorkOutcome, Workers};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::measure::{Peer, padding, ran};

/// Its fetches are at least this far apart; with as many workers as it takes between two.
const COOLDOWN: Duration = Duration::from_millis(1);
const WORKERS: usize = 1_000;

#[derive(Clone, Serialize, Deserialize, JobArgs)]
#[river(kind = "noop")]
struct Noop {
    padding: String,
}

async fn noop(_: WorkContext, _: Job<Noop>) -> Result<WorkOutcome, BoxError> {
    ran();
    Ok(WorkOutcome::Complete)
}

#[derive(Clone)]
pub(crate) struct River {
    pool: PgPool,
    client: Client,
}

impl River {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new().max_connections(40).connect(url).await?;
        PostgresMigrator::new(pool.clone()).migrate_up().await?;
        let mut workers = Workers::new();
        workers.add_fn(noop)?;
        let client = Client::builder(pool.clone())
            .workers(workers)
            .fetch_cooldown(COOLDOWN)
            .queue("default", QueueConfig::new(WORKERS))
            .build()?;
        Ok(Self { pool, client })
    }
}

impl Peer for River {
    async fn enqueue(&self, jobs: usize) -> Result<()> {
        self.client.insert_many((0..jobs).map(|_| Noop { padding: padding() })).await?;
        Ok(())
    }

    async fn enqueue_one(&self) -> Result<()> {
        self.client.insert(Noop { padding: padding() }).await?;
        Ok(())
    }

    async fn work(&self) -> Result<()> {
        self.client.start()?.detach();
        Ok(())
    }

    async fn unfinished(&self) -> Result<i64> {
        let query = "SELECT COUNT(*) FROM river_job WHERE finalized_at IS NULL";
        Ok(sqlx::query_scalar(query).fetch_one(&self.pool).await?)
    }
}
