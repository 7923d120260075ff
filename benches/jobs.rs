//! No-op jobs: enqueued in batches and one by one, worked off end to end, and how soon an idle worker picks up a
//! single one, with its bell and without.
//!
//! `cargo bench --bench jobs -- [JOBS]`; with `--plain PLACE` one combination, a figure to a line, as
//! `benches/peers` reads it.

mod bench;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bench::{PAYLOAD, Place, machine, millis, percentile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use trunkline_platform::clock::Clock;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Registry};
use trunkline_platform::ring::Ring;
use trunkline_platform::task::{NewTask, Tasks};
use trunkline_platform::worker::{WorkerConfig, Workers};

const BATCH: usize = 1_000;
const CONCURRENCY: usize = 200;
const CALLERS: usize = 16;
const SINGLES: usize = 20_000;
const PICK_UPS: usize = 300;
/// Jobs of which no worker is told.
const UNRUNG: usize = 20;
const PATIENCE: Duration = Duration::from_secs(180);

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

/// What was measured; names as in `benches/peers`.
struct Figures {
    enqueue: f64,
    singles: f64,
    work: f64,
    pickup_p50: Duration,
    pickup_p99: Duration,
    /// The slowest of those whose bell was lost.
    unrung: Duration,
}

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let jobs = words.iter().find_map(|word| word.parse().ok()).unwrap_or(200_000);
    if let Some(at) = words.iter().position(|word| word == "--plain") {
        let name = words.get(at + 1).context("--plain PLACE")?;
        let Figures { enqueue, singles, work, pickup_p50, pickup_p99, .. } = measure(name, jobs).await?;
        println!("singles {singles:.0}\nenqueue {enqueue:.0}\nwork {work:.0}");
        println!("pickup_p50_us {}\npickup_p99_us {}", pickup_p50.as_micros(), pickup_p99.as_micros());
        return Ok(());
    }
    println!("{}; {jobs} no-op jobs, {PAYLOAD} bytes, concurrency {CONCURRENCY}", machine());
    println!(
        "| engines | enqueue/s | one by one/s | end to end/s | pick-up p50 | p99 | bell lost, at most |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for name in Place::ALL {
        let Figures { enqueue, singles, work, pickup_p50, pickup_p99, unrung } = measure(name, jobs).await?;
        let (p50, p99, unrung) = (millis(pickup_p50), millis(pickup_p99), millis(unrung));
        println!("| {name} | {enqueue:.0} | {singles:.0} | {work:.0} | {p50} | {p99} | {unrung} |");
    }
    Ok(())
}

fn task() -> Result<NewTask, serde_json::Error> {
    NewTask::of(&Noop { padding: "x".repeat(PAYLOAD - 14) })
}

async fn measure(name: &str, jobs: usize) -> Result<Figures> {
    let singles = enqueue_singles(&Place::open(name).await?).await?;
    let place = Place::open(name).await?;
    let tasks = &place.tasks;

    let begun = Instant::now();
    for first in (0..jobs).step_by(BATCH) {
        let batch: Vec<NewTask> =
            (first..jobs.min(first + BATCH)).map(|_| task()).collect::<Result<_, _>>()?;
        tasks.enqueue(&batch).await?;
    }
    let enqueue = jobs as f64 / begun.elapsed().as_secs_f64();

    let (started, mut starts) = mpsc::channel(1);
    let counts = Arc::new(Counts { ran: AtomicU64::new(0), started });
    let begun = Instant::now();
    let workers = Workers::start(
        tasks.clone(),
        Arc::new(Registry::new().register::<Noop>()?),
        Arc::clone(&counts),
        &[Noop::QUEUE],
        WorkerConfig { default_concurrency: CONCURRENCY, ..WorkerConfig::default() },
        place.metrics.clone(),
    )
    .await?;
    done(tasks, &counts, jobs, begun).await?;
    let work = jobs as f64 / begun.elapsed().as_secs_f64();

    let deaf = Tasks::new(tasks.db().clone(), Ring::local(), Clock::system());
    let (mut pick_ups, mut unrung) = (Vec::with_capacity(PICK_UPS), Duration::ZERO);
    while starts.try_recv().is_ok() {}
    for single in 1..=PICK_UPS + UNRUNG {
        let door = if single <= PICK_UPS { tasks } else { &deaf };
        door.enqueue(&[task()?]).await?;
        let committed = Instant::now();
        let start = starts.recv().await.unwrap_or(committed);
        let wait = start.saturating_duration_since(committed);
        if single <= PICK_UPS {
            pick_ups.push(wait);
        } else {
            unrung = unrung.max(wait);
        }
        // Idle again before the next one.
        done(tasks, &counts, jobs + single, committed).await?;
    }
    workers.stop().await;
    ensure!(place.metrics.lost_leases.get() == 0, "leases were lost");
    let (pickup_p50, pickup_p99) = (percentile(&mut pick_ups, 0.5), percentile(&mut pick_ups, 0.99));
    Ok(Figures { enqueue, singles, work, pickup_p50, pickup_p99, unrung })
}

/// To the last durable completion, not to the last run.
async fn done(tasks: &Tasks, counts: &Counts, jobs: usize, begun: Instant) -> Result<()> {
    while counts.ran.load(Ordering::Relaxed) < jobs as u64 || tasks.unfinished_due().await? > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        ensure!(begun.elapsed() < PATIENCE, "not done after {PATIENCE:?}");
    }
    Ok(())
}

async fn enqueue_singles(place: &Place) -> Result<f64> {
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let tasks = place.tasks.clone();
            tokio::spawn(async move {
                for _ in 0..SINGLES / CALLERS {
                    tasks.enqueue(&[task()?]).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(SINGLES as f64 / begun.elapsed().as_secs_f64())
}
