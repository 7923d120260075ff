//! `trunkline seed contacts`: people whose numbers nobody has.

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use trunkline_jobs::contacts::seed;
use trunkline_platform::clock::Clock;

use crate::cli::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct SeedContacts {
    #[arg(long, default_value_t = 1_000)]
    count: usize,
    /// The same seed makes the same people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl SeedContacts {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
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
