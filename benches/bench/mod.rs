//! What the benchmarks share: durable servers of their own, and figures.

#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

#[path = "../../tests/it/servers/mod.rs"]
mod servers;

pub mod program;

use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbOptions};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};
use trunkline_platform::metrics::Metrics;
use trunkline_platform::ring::Ring;
use trunkline_platform::task::Tasks;

/// The payload of a job, in bytes.
pub const PAYLOAD: usize = 300;
/// Rows filled in by one statement.
const FILL_BATCH: i64 = 100_000;

trunkline_platform::statements! {
    /// Done tasks as a worker leaves them. Differs by necessity: each engine counts in its own way.
    FILL = split {
        postgres:
        "INSERT INTO tasks (kind, version, queue, priority, payload, state, attempt, max_attempts, run_at, worker,
             cause, created_at, started_at, finished_at)
         SELECT 'bench.noop', 1, 'bench', 2, $2, 'done', 1, 12, $1, 'wk_old', 'webhook:' || i, $1, $1, $1
         FROM generate_series(1, $3) AS i",
        sqlite:
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $3)
         INSERT INTO tasks (kind, version, queue, priority, payload, state, attempt, max_attempts, run_at, worker,
             cause, created_at, started_at, finished_at)
         SELECT 'bench.noop', 1, 'bench', 2, $2, 'done', 1, 12, $1, 'wk_old', 'webhook:' || i, $1, $1, $1 FROM n",
    }
}

/// A job that does nothing.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Noop {
    padding: String,
}

impl Noop {
    /// One whose payload has the size that all have here.
    pub fn padded() -> Self {
        Self { padding: "x".repeat(PAYLOAD - 14) }
    }
}

impl Job for Noop {
    type Services = ();
    const NAME: &'static str = "bench.noop";
    const QUEUE: Queue = Queue::new("bench");

    async fn run(&self, _: &Context<()>) -> Result<Done, Failure> {
        Ok(Done::new())
    }
}

/// One combination of engines, with every durability setting on.
pub struct Place {
    pub name: &'static str,
    pub tasks: Tasks,
    pub metrics: Metrics,
    pub database_url: String,
    pub redis_url: Option<String>,
    _folder: TempDir,
    _postgres: Option<servers::Postgres>,
    _redis: Option<servers::Redis>,
}

impl Place {
    pub const ALL: [&str; 3] = ["sqlite", "postgres-redis", "postgres"];

    pub async fn open(name: &str) -> anyhow::Result<Self> {
        let name = Self::ALL.into_iter().find(|known| *known == name);
        let name = name.with_context(|| format!("the places are {}", Self::ALL.join(", ")))?;
        let folder = tempfile::tempdir()?;
        let postgres = match name {
            "sqlite" => None,
            _ => Some(servers::Postgres::start_durable()?),
        };
        let redis = if name == "postgres-redis" { Some(servers::Redis::start()?) } else { None };
        let url = match &postgres {
            Some(postgres) => {
                postgres.create_database("bench", None).await?;
                postgres.url("bench")
            }
            None => format!("sqlite://{}/bench.db", folder.path().display()),
        };
        let db = Db::open(&url.parse()?, &DbOptions::default()).await?;
        trunkline::schema::migrate(&db).await?;
        let metrics = Metrics::new(&prometheus::Registry::new())?;
        let ring = match &redis {
            Some(redis) => Ring::redis(&redis.url(), "bench", metrics.clone())?,
            None => Ring::of_database(&db, metrics.clone()),
        };
        let tasks = Tasks::new(db, ring, Clock::system());
        Ok(Self {
            name,
            tasks,
            metrics,
            database_url: url,
            redis_url: redis.as_ref().map(servers::Redis::url),
            _folder: folder,
            _postgres: postgres,
            _redis: redis,
        })
    }
}

/// Fills in done tasks.
pub async fn fill(place: &Place, rows: i64) -> anyhow::Result<()> {
    let payload = format!("{{\"padding\":\"{}\"}}", "x".repeat(PAYLOAD - 14));
    let mut left = rows;
    while left > 0 {
        let now = place.tasks.clock().now() - TimeDelta::days(1);
        let query = FILL.bind(now).bind(payload.as_str()).bind(left.min(FILL_BATCH));
        query.execute(&mut place.tasks.db().upkeep().await?).await?;
        left -= FILL_BATCH;
    }
    Ok(())
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
