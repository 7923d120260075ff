//! What the benchmarks share: durable servers of their own, and figures.

#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

#[path = "../../tests/it/servers/mod.rs"]
mod servers;

use std::time::Duration;

use tempfile::TempDir;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbOptions};
use trunkline_platform::metrics::Metrics;
use trunkline_platform::ring::Ring;
use trunkline_platform::task::Tasks;

/// One combination of engines, with every durability setting on.
pub struct Place {
    pub name: &'static str,
    pub tasks: Tasks,
    pub metrics: Metrics,
    _folder: TempDir,
    _postgres: Option<servers::Postgres>,
    _redis: Option<servers::Redis>,
}

impl Place {
    pub async fn sqlite() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}/bench.db", folder.path().display());
        Self::open("SQLite, in process", &url, folder, None, None).await
    }

    pub async fn postgres_and_redis() -> anyhow::Result<Self> {
        let (postgres, redis) = (servers::Postgres::start_durable()?, servers::Redis::start()?);
        postgres.create_database("bench", None).await?;
        let url = postgres.url("bench");
        Self::open("PostgreSQL and Redis", &url, tempfile::tempdir()?, Some(postgres), Some(redis)).await
    }

    pub async fn postgres_alone() -> anyhow::Result<Self> {
        let postgres = servers::Postgres::start_durable()?;
        postgres.create_database("bench", None).await?;
        let url = postgres.url("bench");
        Self::open("PostgreSQL alone", &url, tempfile::tempdir()?, Some(postgres), None).await
    }

    async fn open(
        name: &'static str,
        url: &str,
        folder: TempDir,
        postgres: Option<servers::Postgres>,
        redis: Option<servers::Redis>,
    ) -> anyhow::Result<Self> {
        let db = Db::open(&url.parse()?, &DbOptions::default()).await?;
        trunkline::schema::migrate(&db).await?;
        let metrics = Metrics::new(&prometheus::Registry::new())?;
        let ring = match &redis {
            Some(redis) => Ring::redis(&redis.url(), "bench", metrics.clone())?,
            None => Ring::of_database(&db, metrics.clone()),
        };
        let tasks = Tasks::new(db, ring, Clock::system());
        Ok(Self { name, tasks, metrics, _folder: folder, _postgres: postgres, _redis: redis })
    }
}

/// The value below which `share` of the sorted samples lie.
pub fn percentile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

pub fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// The machine the figures are from.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            text.lines().find(|line| line.starts_with("model name"))?.split(": ").nth(1).map(str::to_owned)
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cpu}, {cores} cores")
}
