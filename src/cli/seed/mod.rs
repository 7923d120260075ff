//! `trunkline seed`: made-up people, a campaign to them, and a past to look at. The same seed makes the same.

mod campaign;
mod contacts;
mod history;

use anyhow::Result;
use clap::{Args, Subcommand};

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
    Contacts(contacts::SeedContacts),
    /// Make a draft of a campaign of two texts to made-up people; nothing is sent
    Campaign(campaign::SeedCampaign),
    /// Make up texts, calls and changed contacts of the past, as if their webhooks had come then; the workers do the rest
    History(history::SeedHistory),
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
