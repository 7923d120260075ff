//! End-to-end no-op jobs per second, and how soon an idle worker picks up a single job.
//!
//! `cargo bench --bench jobs -- [JOBS]`

mod bench;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench::{Place, machine, millis, percentile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Registry};
use trunkline_platform::task::NewTask;
use trunkline_platform::worker::{WorkerConfig, Workers};

const PAYLOAD: usize = 300;
const BATCH: usize = 1_000;
const CONCURRENCY: usize = 200;
const SINGLE_JOBS: usize = 500;

#[derive(Serialize, Deserialize, JsonSchema)]
struct Noop {
    padding: String,
}

struct Counts {
    ran: AtomicU64,
    started: mpsc::Sender<Instant>,
}

impl Job for Noop {
    type Services = Counts;
    const NAME: &'static str = "bench.noop";
    const QUEUE: Queue = Queue::new("bench");

    async fn run(&self, cx: &Context<Counts>) -> Result<Done, Failure> {
        cx.services().ran.fetch_add(1, Ordering::Relaxed);
        // Full while nobody measures single jobs.
        let _ = cx.services().started.try_send(Instant::now());
        Ok(Done::new())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let jobs = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(200_000);
    println!("{}; {jobs} no-op jobs, {PAYLOAD} bytes, concurrency {CONCURRENCY}", machine());
    println!("| engines | enqueue/s | end to end/s | pick-up p50 | pick-up p99 |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    measure(Place::sqlite().await?, jobs).await?;
    measure(Place::postgres_and_redis().await?, jobs).await?;
    measure(Place::postgres_alone().await?, jobs).await
}

async fn measure(place: Place, jobs: usize) -> Result<()> {
    let tasks = &place.tasks;
    let task = || NewTask::of(&Noop { padding: "x".repeat(PAYLOAD - 14) });

    let begun = Instant::now();
    for first in (0..jobs).step_by(BATCH) {
        let batch: Vec<NewTask> =
            (first..jobs.min(first + BATCH)).map(|_| task()).collect::<Result<_, _>>()?;
        tasks.enqueue(&batch).await?;
    }
    let enqueue = jobs as f64 / begun.elapsed().as_secs_f64();

    let (started, mut starts) = mpsc::channel(1);
    let counts = Arc::new(Counts { ran: AtomicU64::new(0), started });
    let registry = Arc::new(Registry::new().register::<Noop>()?);
    let config = WorkerConfig { default_concurrency: CONCURRENCY, ..WorkerConfig::default() };
    let begun = Instant::now();
    let workers = Workers::start(
        tasks.clone(),
        registry,
        Arc::clone(&counts),
        &[Noop::QUEUE],
        config,
        place.metrics.clone(),
    )
    .await?;
    // To the last durable completion, not to the last run.
    while counts.ran.load(Ordering::Relaxed) < jobs as u64 || tasks.unfinished_due().await? > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        ensure!(begun.elapsed() < Duration::from_secs(300), "not done after five minutes");
    }
    let worked = jobs as f64 / begun.elapsed().as_secs_f64();

    let mut pick_ups = Vec::with_capacity(SINGLE_JOBS);
    while starts.try_recv().is_ok() {}
    for _ in 0..SINGLE_JOBS {
        let mut tx = tasks.begin().await?;
        tx.enqueue(&[task()?]).await?;
        tx.commit().await?;
        let committed = Instant::now();
        let start = starts.recv().await.unwrap_or(committed);
        pick_ups.push(start.saturating_duration_since(committed));
        // Idle again before the next one.
        while tasks.unfinished_due().await? > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    workers.stop().await;
    println!(
        "| {} | {enqueue:.0} | {worked:.0} | {} | {} |",
        place.name,
        millis(percentile(&mut pick_ups, 0.5)),
        millis(percentile(&mut pick_ups, 0.99))
    );
    ensure!(place.metrics.lost_leases.get() == 0, "leases were lost");
    Ok(())
}
