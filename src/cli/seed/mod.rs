//! `trunkline seed`: made-up people, a campaign to them, and a past to look at. The same seed makes the same.

mod campaign;
mod history;

use anyhow::Result;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;
use trunkline_jobs::contacts::seed;
use trunkline_platform::clock::Clock;

use super::{database, output};
use crate::config::Config;

pub(super) use campaign::sample;

#[derive(Args, Debug)]
pub(super) struct SeedCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make up people, whose numbers nobody has
    Contacts(Contacts),
    /// Make a draft of a campaign of two texts to made-up people; nothing is sent
    Campaign(campaign::SeedCampaign),
    /// Make up texts, calls and changed contacts of the past, as if their webhooks had come then; the workers do the rest
    History(history::SeedHistory),
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
        match self.action {
            Action::Contacts(contacts) => contacts.run(config).await,
            Action::Campaign(campaign) => campaign.run(config).await,
            Action::History(history) => history.run(config).await,
        }
    }
}

impl Contacts {
    async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let bar = ProgressBar::new(self.count as u64);
        let told = |done: usize| bar.set_position(done as u64);
        let added = seed::seed(&db, &Clock::system(), self.count, self.seed, told).await?;
        bar.finish_and_clear();
        let text = if self.json {
            output::json(&json!({ "made": self.count, "added": added }))?
        } else {
            format!("{} people made, {added} of them new\n", self.count)
        };
        output::print(&text)
    }
}
