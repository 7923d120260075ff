//! What a claim and a verdict cost beside a history of ended tasks, fresh and after churn that the statistics know
//! nothing of. An empty and a filled table are measured in alternation, so that what else the machine does meets both.
//!
//! `cargo bench --bench history -- [MILLIONS…]` (default: 1 5)

mod bench;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench::{Noop, PAYLOAD, Place, fill, machine, millis, percentile};
use chrono::TimeDelta;
use trunkline_platform::job::Job;
use trunkline_platform::task::{Finish, NewTask, Verdict, WorkerId};

/// Tasks of one claim.
const BATCH: usize = 200;
const ROUNDS: usize = 200;
/// Rounds of churn between a fresh table and the second measurement.
const CHURN: usize = 100;

trunkline_platform::statements! {
    NO_AUTOVACUUM = split {
        postgres: "ALTER TABLE tasks SET (autovacuum_enabled = off)",
        sqlite: "SELECT 1",
    }
    ANALYZE = split { postgres: "ANALYZE tasks", sqlite: "ANALYZE tasks" }
}

#[derive(Default)]
struct Samples {
    by_id: Vec<Duration>,
    due: Vec<Duration>,
    finish: Vec<Duration>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut sizes: Vec<i64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1, 5];
    }
    println!("{}; batches of {BATCH}, {PAYLOAD} bytes, {ROUNDS} rounds in alternation, medians", machine());
    println!("| engine | done rows | table | claim by id | claim due | verdicts | beside an empty table |");
    println!("| --- | ---: | --- | ---: | ---: | ---: | --- |");
    compare([Place::open("sqlite").await?, Place::open("sqlite").await?], &sizes).await?;
    compare([Place::open("postgres").await?, Place::open("postgres").await?], &sizes).await
}

async fn compare([empty, full]: [Place; 2], sizes: &[i64]) -> Result<()> {
    for place in [&empty, &full] {
        NO_AUTOVACUUM.query().execute(&mut place.tasks.db().write_one().await?).await?;
        place.tasks.register_worker(&worker(), "bench", TimeDelta::days(1)).await?;
    }
    let mut there = 0;
    for &millions in sizes {
        fill(&full, millions * 1_000_000 - there).await?;
        there = millions * 1_000_000;
        for place in [&empty, &full] {
            ANALYZE.query().execute(&mut place.tasks.db().upkeep().await?).await?;
        }
        for table in ["fresh", "churned"] {
            if table == "churned" {
                for _ in 0..CHURN {
                    round(&empty, &mut Samples::default()).await?;
                    round(&full, &mut Samples::default()).await?;
                }
            }
            let (mut without, mut with) = (Samples::default(), Samples::default());
            for _ in 0..ROUNDS {
                round(&empty, &mut without).await?;
                round(&full, &mut with).await?;
            }
            tell(&full, millions, table, without, with);
        }
    }
    Ok(())
}

fn worker() -> WorkerId {
    WorkerId::new("wk_bench")
}

/// Enqueues two batches, claims one by its ids and one by looking, and ends both.
async fn round(place: &Place, samples: &mut Samples) -> Result<()> {
    let (tasks, worker) = (&place.tasks, worker());
    let task = || NewTask::of(&Noop::padded());
    let batch: Vec<NewTask> = (0..BATCH).map(|_| task()).collect::<Result<_, _>>()?;
    let ids: Vec<i64> = tasks.enqueue(&batch).await?.iter().map(|new| new.id().0).collect();
    let begun = Instant::now();
    let mut claimed = tasks.claim(&worker, Noop::QUEUE, ids).await?;
    samples.by_id.push(begun.elapsed());
    tasks.enqueue(&batch).await?;
    let begun = Instant::now();
    claimed.extend(tasks.claim_due(&worker, Noop::QUEUE, BATCH).await?);
    samples.due.push(begun.elapsed());
    ensure!(claimed.len() == BATCH * 2, "claimed {} of {}", claimed.len(), BATCH * 2);
    let now = tasks.clock().now();
    let verdicts: Vec<Finish> = claimed
        .iter()
        .map(|row| Finish {
            id: row.id,
            attempt: row.attempt,
            verdict: Verdict::Done,
            error: None,
            label: "done",
            worker: worker.as_str().to_owned(),
            started_at: now,
            duration_ms: 1,
            follow_ups: Vec::new(),
        })
        .collect();
    let begun = Instant::now();
    let finished = tasks.finish(&verdicts).await?;
    samples.finish.push(begun.elapsed());
    ensure!(finished.lost.is_empty(), "verdicts were lost");
    Ok(())
}

fn tell(place: &Place, millions: i64, table: &str, mut without: Samples, mut with: Samples) {
    let median = |samples: &mut Vec<Duration>| percentile(samples, 0.5);
    let pairs = [
        (median(&mut with.by_id), median(&mut without.by_id)),
        (median(&mut with.due), median(&mut without.due)),
        (median(&mut with.finish), median(&mut without.finish)),
    ];
    let [by_id, due, finish] = pairs.map(|(with, _)| millis(with));
    let ratios = pairs.map(|(with, without)| format!("{:.2}", with.as_secs_f64() / without.as_secs_f64()));
    println!(
        "| {} | {millions},000,000 | {table} | {by_id} | {due} | {finish} | {} |",
        place.name,
        ratios.join(", ")
    );
}
