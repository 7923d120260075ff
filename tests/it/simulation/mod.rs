//! The state machine of the task table under seeds: claims by poll and by id, leases, crashes, take-over, stale
//! writers who try every write, retries, snoozes, give-backs, follow-ups, unique keys, lines of an ordering key,
//! limits and cancellations, in virtual time and against the real statements. Beside it runs a [`model`] that says what must come of each step.
//!
//! A seed that fails tells its story and the command that plays it again. `TRUNKLINE_SIM_SEED=7` plays one seed,
//! `TRUNKLINE_SIM_SEEDS=100000` the first hundred thousand.

mod model;
mod world;

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};

use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbOptions, Stmt, Text};
use trunkline_platform::ring::Ring;
use trunkline_platform::task::Tasks;

use crate::harness::{Env, start_time};

const SQLITE_SEEDS: u64 = 10_000;
const POSTGRES_SEEDS: u64 = 150;

/// What a simulated crash of the machine may lose is of no interest here.
static NO_WAIT: Stmt = Stmt { name: "NO_WAIT", text: Text::Same("PRAGMA synchronous = OFF") };

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The seeds to play, from the first to before the last.
fn seeds(usual: u64) -> (u64, u64) {
    match variable("TRUNKLINE_SIM_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, variable("TRUNKLINE_SIM_SEEDS").unwrap_or(usual)),
    }
}

/// Plays seeds until there are no more; panics with the story of the first that fails.
async fn play(db: Db, clock: Clock, next: &AtomicU64, end: u64) {
    let tasks = Tasks::new(db, Ring::local(), clock.clone());
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let mut world = world::World::new(&tasks, &clock, seed);
        let outcome = world.play().await;
        if variable("TRUNKLINE_SIM_SEED").is_some() {
            eprintln!("seed {seed}:\n{}", world.story());
        }
        if let Err(wrong) = outcome {
            // The other threads need not go on.
            next.store(end, Ordering::Relaxed);
            panic!(
                "seed {seed}:\n{}\n{wrong}\nplay it again with\n    TRUNKLINE_SIM_SEED={seed} cargo test --workspace --test it simulation -- --nocapture",
                world.story(),
            );
        }
    }
}

#[test]
fn in_ten_thousand_seeds_each_task_has_one_owner_and_one_end() {
    let (first, end) = seeds(SQLITE_SEEDS);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(2, NonZero::get).min(8);
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let folder = tempfile::tempdir_in(&folder).unwrap();
                    let url = format!("sqlite://{}", folder.path().join("simulation.db").display());
                    let options = DbOptions { connections: 1, ..DbOptions::default() };
                    let db = Db::open(&url.parse().unwrap(), &options).await.unwrap();
                    trunkline::schema::migrate(&db).await.unwrap();
                    NO_WAIT.query().execute(&mut db.write_one().await.unwrap()).await.unwrap();
                    play(db, Clock::manual(start_time()), &next, end).await;
                });
            });
        }
    });
}

#[tokio::test]
async fn in_some_seeds_on_postgres_too() {
    let env = Env::postgres().await;
    let (first, end) = seeds(POSTGRES_SEEDS);
    play(env.db.clone(), env.clock.clone(), &AtomicU64::new(first), end).await;
}
