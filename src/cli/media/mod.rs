//! `trunkline media`: the files behind the provider's links.

mod act;
mod look;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct MediaCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List files, the newest first
    List(look::List),
    /// Show what is known of one file
    Show(look::Show),
    /// Fetch files again that are not stored
    Fetch(act::Fetch),
    /// Have stored files scanned for viruses again
    Rescan(act::Rescan),
    /// Purge files for good, whatever their age
    Purge(act::Purge),
    /// Put files under legal hold, so that nothing purges them
    Hold(act::Hold),
}

impl MediaCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        match self.action {
            Action::List(list) => output::print(&list.text(&database::open_tasks(config).await?).await?),
            Action::Show(show) => output::print(&show.text(&database::open_tasks(config).await?).await?),
            Action::Fetch(fetch) => database::act(config, async |tasks| fetch.run(tasks).await).await,
            Action::Rescan(rescan) => {
                database::act(config, async |tasks| rescan.run(config, tasks).await).await
            }
            Action::Purge(purge) => database::act(config, async |tasks| purge.run(config, tasks).await).await,
            Action::Hold(hold) => database::act(config, async |tasks| hold.run(tasks).await).await,
        }
    }
}
