//! `trunkline campaigns numbers|release`: numbers that the breaker holds.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use trunkline_jobs::campaigns::breaker::{self, Trip};
use trunkline_platform::clock::Clock;

use crate::cli::audit::ActorArgs;
use crate::cli::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct Numbers {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Release {
    /// One of our numbers, by the provider's id (PN…)
    number: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl Numbers {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let held = breaker::held_numbers(&database::open(config).await?).await?;
        if self.json {
            return output::print(&output::json(&held)?);
        }
        let now = Clock::system().now();
        let mut table = output::Table::new(&["NUMBER", "HELD", "WHY", ">CAMPAIGN", "TEXTS THAT SHOW IT"]);
        for trip in held {
            table.row([
                trip.sender.clone().unwrap_or_default(),
                output::relative(trip.tripped_at, now),
                trip.reason.clone(),
                trip.seen_in.to_string(),
                texts(&trip),
            ]);
        }
        output::print(&table.text("the breaker holds no number"))
    }
}

impl Release {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let actor = self.actor.actor()?;
        let tasks = database::open_tasks(config).await?;
        let mut tx = tasks.begin().await?;
        if !breaker::release(tx.session(), &self.number, &actor, tasks.clock().now()).await? {
            bail!("the breaker does not hold {}; see `trunkline campaigns numbers`", self.number);
        }
        tx.commit().await?;
        if self.json {
            return output::print(&output::json(&json!({ "number": self.number, "held": false }))?);
        }
        output::print(&format!(
            "{} may send again; resume the campaigns that were paused with it\n",
            self.number
        ))
    }
}

/// What the breaker saw, on one line.
pub(super) fn seen(trip: &Trip) -> String {
    let seen = &trip.evidence.0;
    let codes: Vec<String> = seen.codes.iter().map(|(code, count)| format!("{code} × {count}")).collect();
    let codes = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
    let (ended, failures, opt_outs) = (seen.ended, seen.failures, seen.opt_outs);
    let variants = seen.variants.iter().filter(|_| seen.variants.len() > 1);
    let variants: String = variants
        .map(|(name, one)| {
            format!("; {name}: {} ended, {} failed, {} opted out", one.ended, one.failures, one.opt_outs)
        })
        .collect();
    format!(
        "{ended} ended, {failures} failed{codes}, {opt_outs} opted out{variants}; for example texts {}",
        texts(trip)
    )
}

fn texts(trip: &Trip) -> String {
    trip.evidence.0.sends.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}
