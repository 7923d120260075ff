//! The program as a process: how long from its start until it is ready on an existing database, and the memory
//! it takes with all roles, idle and with a backlog of a million tasks before it.
//!
//! `cargo bench --bench process -- [TASKS] [PLACE]`

mod bench;

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use bench::program::Program;
use bench::{Place, machine, percentile};
use trunkline_jobs::contacts::ContactUpdated;
use trunkline_jobs::events::{Accepted, Delivery, Source, accept};
use trunkline_openphone::event::{Envelope, EventType, Generation};
use trunkline_openphone::factory::Factory;
use trunkline_openphone::signature::Scheme;
use trunkline_platform::clock::Clock;
use trunkline_platform::task::NewTask;

const STARTS: usize = 7;
const IDLE: Duration = Duration::from_secs(5);
const BACKLOG: Duration = Duration::from_secs(20);
const BATCH: usize = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let tasks = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let only = words.iter().find(|word| Place::ALL.contains(&word.as_str()));
    println!("{}; a backlog of {tasks} tasks", machine());
    println!("| engines | start to ready | idle | at most, with the backlog |");
    println!("| --- | ---: | ---: | ---: |");
    for name in Place::ALL.into_iter().filter(|name| only.is_none_or(|only| only == name)) {
        let place = Place::open(name).await?;
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            starts.push(Program::start(&place, &[])?.ready);
        }
        let program = Program::start(&place, &[])?;
        sleep(IDLE);
        let idle = program.memory("VmRSS")?;
        drop(program);
        fill(&place, tasks).await?;
        let program = Program::start(&place, &[])?;
        sleep(BACKLOG);
        let most = program.memory("VmHWM")?;
        let ready = percentile(&mut starts, 0.5).as_millis();
        println!("| {name} | {ready} ms | {idle} MB | {most} MB |");
    }
    Ok(())
}

/// A backlog of real work: an event, and tasks that read it.
async fn fill(place: &Place, tasks: usize) -> Result<()> {
    let now = Clock::system().now();
    let event =
        Factory::new(1).event(EventType::ContactUpdated, Generation::Dated, now).context("an event")?;
    let delivery = Delivery {
        envelope: Envelope::parse(&event.body)?,
        source: Source::Webhook(Scheme::Standard),
        delivery_id: Some("msg_bench".to_owned()),
        received_at: now,
        headers: "{}".to_owned(),
        body: String::from_utf8(event.body.to_vec())?,
        correlation_id: "wh_bench".to_owned(),
        trace_context: None,
    };
    let mut tx = place.tasks.begin().await?;
    let accepted = accept(&mut tx, &[delivery]).await?;
    tx.commit().await?;
    let Some(Accepted::New { event, .. }) = accepted.first() else { anyhow::bail!("not accepted") };
    let batch = vec![NewTask::of(&ContactUpdated { event: *event })?; BATCH];
    for _ in 0..tasks / BATCH {
        place.tasks.enqueue(&batch).await?;
    }
    Ok(())
}
