//! The pages beside a million tasks and a hundred thousand contacts: how long each takes, and what it costs the program when
//! twenty people look at pages that keep themselves up to date.
//!
//! `cargo bench --bench pages -- [PLACE]`

mod bench;

use std::net::Shutdown;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench::program::Program;
use bench::{Noop, Place, fill, machine, millis, percentile};
use chrono::TimeDelta;
use rand::SeedableRng;
use rand::rngs::StdRng;
use secrecy::ExposeSecret;
use trunkline::access::{Keys, NewKey, Scope};
use trunkline_jobs::contacts::seed;
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;
use trunkline_platform::task::NewTask;
use url::form_urlencoded;

const DONE: i64 = 900_000;
/// Of the done ones, those that are made dead letters.
const DEAD: i64 = 20_000;
const LATER: usize = 100_000;
const BATCH: usize = 1_000;
const CONTACTS: usize = 100_000;
const TIMES: usize = 60;
const VIEWERS: usize = 20;
const WATCHED: Duration = Duration::from_secs(60);

const PAGES: [&str; 19] = [
    "/",
    "/dead",
    "/dead/list",
    "/dead/list?kind=bench.noop&fingerprint=3",
    "/tasks",
    "/tasks?q=state:dead",
    "/tasks?q=state:pending",
    "/tasks?q=kind:bench.noop",
    "/tasks?q=queue:bench",
    "/tasks/500000",
    "/events",
    "/schedules",
    "/queues",
    "/campaigns",
    "/contacts",
    "/calls",
    "/media",
    "/audit",
    "/system",
];

trunkline_platform::statements! {
    DIE = same {
        "UPDATE tasks SET state = 'dead', fingerprint = CAST(id % 20 AS TEXT), last_error = 'error ' || (id % 20), died_at = $2
         WHERE id <= $1"
    }
    ANALYZE = split { postgres: "ANALYZE", sqlite: "ANALYZE" }
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let only = words.iter().find(|word| Place::ALL.contains(&word.as_str()));
    println!("{}; {} tasks, {CONTACTS} contacts; {TIMES} times each", machine(), DONE + LATER as i64);
    for name in ["sqlite", "postgres-redis"].into_iter().filter(|name| only.is_none_or(|only| only == name)) {
        let place = Place::open(name).await?;
        furnish(&place).await?;
        let key = key(&place).await?;
        let program = Program::start(&place, &[])?;
        println!("\n| {name} | median | 95th percentile | KiB |\n| --- | ---: | ---: | ---: |");
        for page in PAGES {
            let (mut times, mut size) = (Vec::new(), 0);
            for _ in 0..TIMES {
                let begun = Instant::now();
                let answer = program.get(page, &key)?;
                times.push(begun.elapsed());
                ensure!(
                    answer.starts_with("HTTP/1.1 200"),
                    "{page}: {}",
                    answer.lines().next().unwrap_or_default()
                );
                size = answer.len() / 1024;
            }
            let (median, most) = (percentile(&mut times, 0.5), percentile(&mut times, 0.95));
            println!("| `{page}` | {} | {} | {size} |", millis(median), millis(most));
        }
        viewers(&program, &key)?;
    }
    Ok(())
}

async fn furnish(place: &Place) -> Result<()> {
    fill(place, DONE).await?;
    let now = place.tasks.clock().now();
    DIE.bind(DEAD).bind(now).execute(&mut place.tasks.db().upkeep().await?).await?;
    // Newer than all of the other kind, which are read past before the first of those.
    let later = NewTask {
        kind: "bench.later",
        run_at: Some(now + TimeDelta::days(10)),
        ..NewTask::of(&Noop::padded())?
    };
    for _ in 0..LATER / BATCH {
        place.tasks.enqueue(&vec![later.clone(); BATCH]).await?;
    }
    seed::seed(place.tasks.db(), &Clock::system(), CONTACTS, 1, |_| {}).await?;
    ANALYZE.query().execute(&mut place.tasks.db().upkeep().await?).await?;
    Ok(())
}

async fn key(place: &Place) -> Result<String> {
    let keys = Keys::new(place.tasks.db().clone(), Clock::system(), StdRng::seed_from_u64(1));
    let new = NewKey {
        name: "bench".to_owned(),
        scopes: Scope::ALL.into_iter().collect(),
        expires_in: Some(TimeDelta::days(1)),
    };
    let actor = Actor { name: "operator:bench".to_owned(), reason: None };
    Ok(keys.create(new, &actor).await?.token.expose_secret().to_owned())
}

/// What the program takes of a core while nobody looks, and while many do: all at the first page, and each at another.
fn viewers(program: &Program, key: &str) -> Result<()> {
    let idle = share(program)?;
    let mut told = format!("nobody looks: {:.2}% of a core", idle * 100.0);
    for (what, pages) in [("the first page", &PAGES[..1]), ("pages of all kinds", &PAGES[..])] {
        let live = |page: &&str| {
            format!(
                "/live?{}",
                form_urlencoded::Serializer::new(String::new()).append_pair("of", page).finish()
            )
        };
        let addresses = pages.iter().cycle().take(VIEWERS).map(live);
        let streams: Vec<_> =
            addresses.map(|address| program.follow(&address, key)).collect::<Result<_, _>>()?;
        let taken = share(program)?;
        told += &format!("; {VIEWERS} look at {what}: {:.2}% more", (taken - idle) * 100.0);
        for stream in streams {
            stream.shutdown(Shutdown::Both)?;
        }
    }
    println!("\n{told}");
    Ok(())
}

fn share(program: &Program) -> Result<f64> {
    let before = program.processor_time()?;
    sleep(WATCHED);
    Ok((program.processor_time()? - before).as_secs_f64() / WATCHED.as_secs_f64())
}
