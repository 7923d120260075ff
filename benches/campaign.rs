//! A campaign to a million people: how long its flight plan takes and its start, and the memory of both.
//!
//! The plan is made as if it started at night, so that everybody waits for the morning: that is the most there is to
//! keep in mind. The start is from the command until the last recipient is written down, in a program that has all
//! roles and sends meanwhile, if people may be texted at that time of day.
//!
//! `cargo bench --bench campaign -- [PEOPLE] [PLACE]`

mod bench;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::program::{Program, run};
use bench::{Place, machine};
use trunkline_jobs::campaigns::flight;
use trunkline_jobs::campaigns::show;
use trunkline_jobs::contacts::seed;
use trunkline_openphone::factory::Factory;
use trunkline_openphone::simulator::{Simulator, SimulatorConfig};
use trunkline_platform::clock::Clock;

/// Neither a start nor a plan may take longer.
const PATIENCE: Duration = Duration::from_secs(1_800);
const TEXT: &str = "Hi {{first_name|there}}, the spring sale begins today. Reply STOP to opt out";

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let people = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let only = words.iter().find(|word| Place::ALL.contains(&word.as_str()));
    println!("{}; {people} people", machine());
    println!(
        "| engines | flight plan | at most | start | at most | with the plan it keeps | statements over a second |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for name in Place::ALL.into_iter().filter(|name| only.is_none_or(|only| only == name)) {
        measure(&Place::open(name).await?, people).await?;
    }
    Ok(())
}

async fn measure(place: &Place, people: usize) -> Result<()> {
    let (db, clock) = (place.tasks.db(), Clock::system());
    seed::seed(db, &clock, people, 1, |_| ()).await?;
    let simulated = Clock::system();
    let mut config = SimulatorConfig::new(Arc::new(move || simulated.now()));
    config.api_key = "simulated-api-key".into();
    let provider = Simulator::start(config).await?;
    let factory = Factory::new(0);
    let mut create =
        vec!["campaigns", "create", "spring", "--text", TEXT, "--everyone", "--daily-cap", "10000"];
    create.extend(["--by", "benchmark", "--json"]);
    create.extend(factory.world().lines.iter().flat_map(|line| ["--from", line.id.as_str()]));
    let (told, _) = run(place, &[], &create)?;
    let id = serde_json::from_str::<serde_json::Value>(&told)?["id"].as_i64().context("no id")?;
    let id_text = id.to_string();

    let night = (clock.now().date_naive() + chrono::Days::new(1)).and_hms_opt(8, 0, 0).context("no night")?;
    let begun = Instant::now();
    let (plan, plan_memory) =
        run(place, &[], &["campaigns", "plan", &id_text, "--at", &night.and_utc().to_rfc3339(), "--json"])?;
    let planned = begun.elapsed();
    let plan: flight::FlightPlan = serde_json::from_str(&plan)?;
    ensure!(plan.recipients == people as u64, "{} of {people} people are in the plan", plan.recipients);

    let url = provider.url().to_string();
    let settings =
        [("TRUNKLINE_OPENPHONE_API_URL", url.as_str()), ("TRUNKLINE_OPENPHONE_API_KEY", "simulated-api-key")];
    let program = Program::start(place, &settings)?;
    let begun = Instant::now();
    run(place, &settings, &["campaigns", "start", &id_text, "--by", "benchmark"])?;
    let frozen =
        async || -> Result<bool> { Ok(show(db, id).await?.context("no campaign")?.frozen_at.is_some()) };
    wait(frozen).await?;
    let (started, start_memory) = (begun.elapsed(), program.memory("VmHWM")?);
    wait(async || Ok(flight::kept(db, id).await?.is_some())).await?;
    let most = program.memory("VmHWM")?;
    let slow = program.metric("trunkline_db_slow_statements_total")?;
    let recipients = show(db, id).await?.context("no campaign")?.recipients;
    ensure!(recipients == people as i64, "{recipients} of {people} people were written down");
    println!(
        "| {} | {:.1} s | {plan_memory} MB | {:.1} s | {start_memory} MB | {most} MB | {slow} |",
        place.name,
        planned.as_secs_f64(),
        started.as_secs_f64(),
    );
    Ok(())
}

async fn wait(holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !holds().await? {
        ensure!(begun.elapsed() < PATIENCE, "not done after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
