//! `trunkline seed history`: a past that never was, told as the provider would have told it.
//!
//! What is stored are events, as webhooks leave them; what becomes of them the workers find out by the jobs that real ones
//! have. So a made-up past is as good as a real one for trying pages, searches and figures, and for load.

use std::num::NonZeroU32;

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use trunkline_jobs::events::{Accepted, Delivery, Source, accept};
use trunkline_openphone::event::{Envelope, Generation};
use trunkline_openphone::factory::Factory;
use trunkline_openphone::signature::Scheme;
use trunkline_platform::task::Tasks;

use crate::cli::host::is_this_machine;
use crate::cli::{database, output};
use crate::config::Config;

/// Events of one transaction, and what else its last happening causes.
const BATCH: usize = 200;

#[derive(Args, Debug)]
pub(super) struct SeedHistory {
    /// Events to make, spread over the days
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    events: u32,
    /// How far back they reach
    #[arg(long, default_value_t = NonZeroU32::MIN.saturating_add(29))]
    days: NonZeroU32,
    /// The same seed makes the same events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl SeedHistory {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        // Jobs ask the provider for what is missing of a call, and confirm to whoever asks to stop that they did.
        if config.openphone.api_key.is_some() && !is_this_machine(&config.openphone.api_url) {
            bail!(
                "{} would be asked about calls that never were: unset openphone.api_key, or set openphone.api_url to a simulator \
                 on this machine (see `trunkline simulate --help`)",
                config.openphone.api_url
            );
        }
        let (made, added) = database::act(config, async |tasks| self.tell(tasks).await).await?;
        output::print(&match self.json {
            true => output::json(&json!({ "made": made, "added": added }))?,
            false => format!(
                "{made} events of {} days made, {added} of them new; their jobs run wherever `trunkline serve` does\n",
                self.days
            ),
        })
    }

    /// Stores them, batch by batch, and answers how many there are, and how many of those are new.
    async fn tell(&self, tasks: &Tasks) -> Result<(usize, usize)> {
        let (days, events) = (TimeDelta::days(self.days.get().into()), self.events as usize);
        let begin = tasks.clock().now() - days;
        let mut factory = Factory::new(self.seed).without_media();
        let bar = ProgressBar::new(self.events.into());
        let (mut made, mut added, mut batch) = (0, 0, Vec::new());
        while made < events {
            let gone = days.as_seconds_f64() * made as f64 / f64::from(self.events);
            let at = begin + TimeDelta::milliseconds((gone * 1e3) as i64);
            // The last happening may cause more than there is room for.
            for event in factory.anything(Generation::Dated, at).into_iter().take(events - made) {
                batch.push(self.delivery(made, &event.body, at)?);
                made += 1;
            }
            if batch.len() >= BATCH || made == events {
                let mut tx = tasks.begin().await?;
                let became = accept(&mut tx, &batch).await?;
                tx.commit().await?;
                added += became.iter().filter(|one| matches!(one, Accepted::New { .. })).count();
                batch.clear();
                bar.set_position(made as u64);
            }
        }
        bar.finish_and_clear();
        Ok((made, added))
    }

    fn delivery(&self, number: usize, body: &[u8], at: DateTime<Utc>) -> Result<Delivery> {
        Ok(Delivery {
            envelope: Envelope::parse(body)?,
            source: Source::Webhook(Scheme::Standard),
            delivery_id: Some(format!("seed_{}_{number}", self.seed)),
            received_at: at,
            headers: "{}".to_owned(),
            body: String::from_utf8(body.to_vec())?,
            correlation_id: format!("seed_{}_{number}", self.seed),
            trace_context: None,
        })
    }
}
