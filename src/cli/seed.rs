//! `trunkline seed`: made-up people to try things with.

use anyhow::Result;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;
use trunkline_jobs::contacts::seed;
use trunkline_platform::clock::Clock;

use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct SeedCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make up people, whose numbers nobody has
    Contacts(Contacts),
}

#[derive(Args, Debug)]
struct Contacts {
    #[arg(long, default_value_t = 1_000)]
    count: usize,
    /// The same seed makes the same people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl SeedCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let Action::Contacts(contacts) = self.action;
        let db = database::open(config).await?;
        let bar = ProgressBar::new(contacts.count as u64);
        let told = |done: usize| bar.set_position(done as u64);
        let added = seed::seed(&db, &Clock::system(), contacts.count, contacts.seed, told).await?;
        bar.finish_and_clear();
        let text = if contacts.json {
            output::json(&json!({ "made": contacts.count, "added": added }))?
        } else {
            format!("{} people made, {added} of them new\n", contacts.count)
        };
        output::print(&text)
    }
}
