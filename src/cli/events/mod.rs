//! `trunkline events`: what the provider told us, and having it done once more.

mod elsewhere;
mod look;
mod replay;
mod replays;
mod select;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct EventsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List stored events, the newest first
    List(look::List),
    /// Show one event
    Show(look::Show),
    /// Have the jobs of stored events done once more, or send the events to a development copy
    Replay(replay::Replay),
    /// Look at replays; cancel and resume them
    Replays(replays::ReplaysCommand),
}

impl EventsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let text = match self.action {
            Action::List(list) => list.text(&database::open_tasks(config).await?).await?,
            Action::Show(show) => show.text(&database::open_tasks(config).await?).await?,
            Action::Replay(replay) => {
                return database::act(config, async |tasks| replay.run(tasks).await).await;
            }
            Action::Replays(replays) => {
                database::act(config, async |tasks| replays.text(tasks).await).await?
            }
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
