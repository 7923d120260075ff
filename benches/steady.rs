//! How soon jobs start that arrive one by one at a steady rate, beside no done tasks and beside many.
//!
//! `cargo bench --bench steady -- [DONE] [PLACE]`

mod bench;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bench::{PAYLOAD, Place, fill, machine, millis, percentile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Registry};
use trunkline_platform::task::NewTask;
use trunkline_platform::worker::{WorkerConfig, Workers};

const PER_SECOND: usize = 10_000;
const STEADY: Duration = Duration::from_secs(10);
const CONCURRENCY: usize = 200;

#[derive(Serialize, Deserialize, JsonSchema)]
struct Arrival {
    /// Microseconds after the beginning.
    at: u64,
    padding: String,
}

struct Arrivals {
    began: Instant,
    waits: mpsc::UnboundedSender<Duration>,
}

impl Job for Arrival {
    type Services = Arrivals;
    const NAME: &'static str = "bench.arrival";
    const QUEUE: Queue = Queue::new("bench");

    async fn run(&self, cx: &Context<Arrivals>) -> Result<Done, Failure> {
        let Arrivals { began, waits } = cx.services();
        let _ = waits.send(began.elapsed().saturating_sub(Duration::from_micros(self.at)));
        Ok(Done::new())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let many = words.iter().find_map(|word| word.parse().ok()).unwrap_or(5_000_000);
    let only = words.iter().find(|word| Place::ALL.contains(&word.as_str()));
    println!("{}; {PER_SECOND} jobs a second for {STEADY:?}", machine());
    println!("| engines | done rows | arrival to start p50 | p99 |");
    println!("| --- | ---: | ---: | ---: |");
    for name in Place::ALL.into_iter().filter(|name| only.is_none_or(|only| only == name)) {
        for done in [0, many] {
            measure(name, done).await?;
        }
    }
    Ok(())
}

async fn measure(name: &str, rows: i64) -> Result<()> {
    let place = Place::open(name).await?;
    fill(&place, rows).await?;
    let mut waits = steady(&place).await?;
    let (p50, p99) = (percentile(&mut waits, 0.5), percentile(&mut waits, 0.99));
    println!("| {name} | {rows} | {} | {} |", millis(p50), millis(p99));
    Ok(())
}

fn task(at: u64) -> Result<NewTask, serde_json::Error> {
    NewTask::of(&Arrival { at, padding: "x".repeat(PAYLOAD - 24) })
}

/// Jobs that arrive one by one at a steady rate, each enqueued by itself.
async fn steady(place: &Place) -> Result<Vec<Duration>> {
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let began = Instant::now();
    let workers = Workers::start(
        place.tasks.clone(),
        Arc::new(Registry::new().register::<Arrival>()?),
        Arc::new(Arrivals { began, waits: sender }),
        &[Arrival::QUEUE],
        WorkerConfig { default_concurrency: CONCURRENCY, ..WorkerConfig::default() },
        place.metrics.clone(),
    )
    .await?;
    let total = PER_SECOND * usize::try_from(STEADY.as_secs())?;
    let start = tokio::time::Instant::now();
    let mut sent = 0;
    while sent < total {
        let due = usize::try_from(start.elapsed().as_micros())? * PER_SECOND / 1_000_000;
        while sent < due.min(total) {
            sent += 1;
            let (tasks, task) = (place.tasks.clone(), task(u64::try_from(began.elapsed().as_micros())?)?);
            tokio::spawn(async move { tasks.enqueue(&[task]).await });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut waits = Vec::with_capacity(total);
    while waits.len() < total {
        let next = tokio::time::timeout(Duration::from_secs(60), inbox.recv()).await;
        waits.push(next.context("jobs did not come in time")?.context("the workers are gone")?);
    }
    workers.stop().await;
    Ok(waits)
}
