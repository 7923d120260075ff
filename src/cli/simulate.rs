//! `trunkline simulate`: the provider, played on a port of its own.

mod campaign;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use trunkline_openphone::event::Generation;
use trunkline_openphone::simulator::{Faults, Manners, Simulator, SimulatorConfig};
use trunkline_platform::clock::Clock;
use url::Url;

use super::{output, shutdown};
use crate::config::Config;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct SimulateCommand {
    #[command(subcommand)]
    what: Option<What>,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9400")]
    listen: SocketAddr,
    /// Where webhooks go
    #[arg(long, default_value = "http://127.0.0.1:8080/webhooks/openphone")]
    target: Url,
    /// Events a second that happen by themselves
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Stop after this many events, once all are acknowledged
    #[arg(long)]
    events: Option<u64>,
    /// What goes wrong, as rates: drop (a delivery is lost for good), duplicate, reorder, delay, delay_max (seconds), rate_limited, server_error,
    /// lost_response, late_response, late_by (seconds), listed_after (seconds), tamper, stale_timestamp, infected (the EICAR test file)
    #[arg(long, default_value = "", value_name = "NAME=RATE,…")]
    faults: Faults,
    /// How people take the texts that are sent to them, as rates: filtered, failed, silent, stop, plea, reply,
    /// reply:WORDS (for texts with those words), answer_within (seconds)
    #[arg(long, default_value = "", value_name = "NAME=RATE,…")]
    people: Manners,
    /// Webhook systems to speak as: dated, api, app
    #[arg(long, default_value = "dated,api,app", value_delimiter = ',')]
    generations: Vec<String>,
    /// The same seed makes the same events
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How long its retries wait, as a share of the provider's own times (which reach over a day)
    #[arg(long, default_value_t = 0.01)]
    retry_scale: f64,
    /// Keep what was acknowledged in this file
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Print the tally as JSON at the end
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Carry out a whole campaign to made-up people in a database of its own, faster than life, and check its limits
    Campaign(Box<campaign::SimulateCampaign>),
}

impl SimulateCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        if let Some(What::Campaign(campaign)) = self.what {
            return campaign.run().await;
        }
        let mut settings = SimulatorConfig::new(wall_clock(Clock::system()));
        settings.listen = self.listen;
        settings.target = Some(self.target.clone());
        settings.rate_per_second = self.rate;
        settings.max_events = self.events;
        settings.faults = self.faults;
        settings.manners = self.people;
        settings.generations = generations(&self.generations)?;
        settings.seed = self.seed;
        settings.retry_scale = self.retry_scale;
        settings.journal = self.journal;
        if let Some(api_key) = &config.openphone.api_key {
            settings.api_key = api_key.clone();
        }
        for secret in &config.openphone.webhook_secrets {
            if secret.expose_secret().starts_with("whsec_") {
                settings.standard_secret = secret.clone();
            } else {
                settings.legacy_secret = secret.clone();
            }
        }
        let simulator = Simulator::start(settings).await.context("starting the simulator")?;
        eprintln!("simulated provider at {}, webhooks to {}", simulator.url(), self.target);
        if config.openphone.webhook_secrets.is_empty() {
            let defaults = SimulatorConfig::new(wall_clock(Clock::system()));
            eprintln!(
                "signing with TRUNKLINE_OPENPHONE_WEBHOOK_SECRETS={},{}",
                defaults.standard_secret.expose_secret(),
                defaults.legacy_secret.expose_secret()
            );
        }
        let stop = shutdown::listen()?;
        tokio::select! {
            () = simulator.idle(), if self.events.is_some() => {}
            () = stop.cancelled() => {}
        }
        let tally = simulator.tally();
        simulator.stop().await;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&tally)?);
        } else {
            println!(
                "{} events made, {} deliveries acknowledged, {} given up, {} posts",
                tally.events_made, tally.deliveries_acknowledged, tally.deliveries_exhausted, tally.attempts
            );
        }
        Ok(())
    }
}

/// The simulator's idea of a clock, from ours.
pub(super) fn wall_clock(clock: Clock) -> trunkline_openphone::simulator::Clock {
    Arc::new(move || clock.now())
}

fn generations(names: &[String]) -> Result<Vec<Generation>> {
    names
        .iter()
        .map(|name| match Generation::from_name(name) {
            Some(generation) => Ok(generation),
            None => bail!("there is no webhook system {name:?}; they are dated, api and app"),
        })
        .collect()
}
