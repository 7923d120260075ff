//! The strongest other job systems that install from the crate registry, on the work of our own benchmark:
//! no-op jobs with a payload of 300 bytes, enqueued a thousand at a time, worked off by one process, counted to
//! the last durable completion. Each runs with the best settings that keep its promises.
//!
//! `trunkline-peers run NAME [JOBS]` measures one, on a private server, and prints a figure to a line.
//! `trunkline-peers compare ROUNDS OURS [JOBS]` runs our own benchmark program OURS and all of these in turn,
//! each in a process of its own, and prints one table.

mod apalis;
mod awa;
mod compare;
mod graphile;
mod measure;
mod river;

#[path = "../../../tests/it/servers/mod.rs"]
mod servers;

use anyhow::{Result, bail};

use measure::{measure, measure_singles};

/// Everyone, in the order of the table.
const NAMES: [&str; 5] = ["graphile_worker", "awa", "riverqueue", "apalis-postgres", "apalis-redis"];
const JOBS: usize = 200_000;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let jobs = |word: Option<&&str>| word.map_or(Ok(JOBS), |word| word.parse());
    match words.as_slice() {
        ["run", name, rest @ ..] => run(name, jobs(rest.first())?).await,
        ["compare", rounds, ours, rest @ ..] => compare::compare(rounds.parse()?, ours, jobs(rest.first())?),
        _ => bail!("trunkline-peers run NAME [JOBS] | compare ROUNDS OURS [JOBS]"),
    }
}

async fn run(name: &str, jobs: usize) -> Result<()> {
    if name == "apalis-redis" {
        let redis = servers::Redis::start_durable()?;
        measure_singles(apalis::OnRedis::new(&redis.url_of(1)).await?).await?;
        return measure(apalis::OnRedis::new(&redis.url_of(0)).await?, jobs).await;
    }
    let postgres = servers::Postgres::start_durable()?;
    for database in ["singles", "peer"] {
        postgres.create_database(database, None).await?;
    }
    let (singles, url) = (postgres.url("singles"), postgres.url("peer"));
    match name {
        "graphile_worker" => {
            measure_singles(graphile::Graphile::new(&singles).await?).await?;
            measure(graphile::Graphile::new(&url).await?, jobs).await
        }
        "awa" => {
            measure_singles(awa::Awa::new(&singles).await?).await?;
            measure(awa::Awa::new(&url).await?, jobs).await
        }
        "riverqueue" => {
            measure_singles(river::River::new(&singles).await?).await?;
            measure(river::River::new(&url).await?, jobs).await
        }
        "apalis-postgres" => {
            measure_singles(apalis::OnPostgres::new(&singles).await?).await?;
            measure(apalis::OnPostgres::new(&url).await?, jobs).await
        }
        _ => bail!("there is no peer {name:?}; the peers are {}", NAMES.join(", ")),
    }
}
