//! Everything that can go wrong, at random by seed, for as long as you like; `ops/chaos` runs it.
//!
//! ```text
//! simulator ─▶ receiver ─┐              ┌─ faults: processes killed, stopped, frozen, at crash points; Redis and
//!                        ├─▶ database ◀─┤          PostgreSQL gone, hung; disk full; clocks set
//! loader ────────────────┘   ▲  ▲  ▲    └─ judge: what was acknowledged, and the execution log
//!                      workers (this program again, as `node`)
//! ```
//!
//! A node is the whole program with two more jobs and a clock that can be set. With `cargo test` this runs for a
//! few seconds on each engine, so that it is known to work.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../it/harness/mod.rs"]
mod harness;
#[path = "../it/servers/mod.rs"]
mod servers;

mod faults;
mod node;
mod report;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use trunkline::app::Roles;

use report::Report;
use stage::{Plan, Stage};

#[derive(Parser)]
#[command(name = "chaos", about = "Runs the platform under faults at random, and judges what is left")]
enum Cli {
    /// Run under faults
    Run(Run),
    /// One process of the platform, as the run starts it
    Node { roles: Roles },
}

#[derive(Parser)]
struct Run {
    /// How long faults go on
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// What is done to what, and when, follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, value_enum, default_value = "both")]
    engine: Engines,
    /// Webhooks a second; half as many test jobs
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// Write the report there as well, as Markdown
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Engines {
    Sqlite,
    Postgres,
    Both,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("node") => match Cli::parse() {
            Cli::Node { roles } => runtime().block_on(node::run(&roles)).map(|()| true),
            Cli::Run(_) => Ok(false),
        },
        Some("run" | "help" | "-h" | "--help") => match Cli::parse() {
            Cli::Run(run) => runtime().block_on(run.run()),
            Cli::Node { .. } => Ok(false),
        },
        // `cargo test`, asking for all tests.
        None => runtime().block_on(short()),
        // `cargo test NAME`, asking for others.
        Some(_) => Ok(true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// The run of `cargo test`.
async fn short() -> Result<bool> {
    let plan = Plan { length: Duration::from_secs(10), seed: 1, rate: 20, telling: false };
    let reports = both(&plan).await?;
    for report in &reports {
        eprintln!("chaos, 10 s on {}: {}", report.engine, report.verdict());
    }
    Ok(reports.iter().all(Report::is_clean))
}

async fn both(plan: &Plan) -> Result<Vec<Report>> {
    let (sqlite, postgres) = tokio::join!(on_sqlite(plan), on_postgres(plan));
    Ok(vec![sqlite?, postgres?])
}

async fn on_sqlite(plan: &Plan) -> Result<Report> {
    Stage::sqlite(plan).await?.run(plan).await
}

async fn on_postgres(plan: &Plan) -> Result<Report> {
    Stage::postgres(plan).await?.run(plan).await
}

impl Run {
    async fn run(self) -> Result<bool> {
        let length = Duration::from_secs(self.minutes * 60);
        let plan = Plan { length, seed: self.seed, rate: self.rate, telling: true };
        let reports = match self.engine {
            Engines::Sqlite => vec![on_sqlite(&plan).await?],
            Engines::Postgres => vec![on_postgres(&plan).await?],
            Engines::Both => both(&plan).await?,
        };
        let text: Vec<String> = reports.iter().map(|report| report.markdown(&plan)).collect();
        let text = text.join("\n");
        println!("{text}");
        if let Some(path) = self.report {
            std::fs::write(path, text)?;
        }
        Ok(reports.iter().all(Report::is_clean))
    }
}
