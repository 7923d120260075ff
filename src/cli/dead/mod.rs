//! `trunkline dead`: what died and of what, and what is done about it.

mod act;
mod look;
mod replay;
mod select;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct DeadCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Group dead letters by what they died of, the largest group first
    Groups(look::Groups),
    /// List dead letters, the newest first
    List(look::List),
    /// Show one dead letter: its error, its payload, and how many died of the same
    Show(look::Show),
    /// Try again, with all tries given back
    Retry(act::Retry),
    /// Change the payload, then try again
    Edit(act::EditPayload),
    /// End them without effect
    Discard(act::Discard),
    /// Take them out of the lines they hold up: what stands behind goes on without them
    Skip(act::Skip),
    /// Retry many with care: one, then ten, then the rest at a pace; stops when one fails of the same again
    Replay(replay::Replay),
}

impl DeadCommand {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let text = match self.action {
            Action::Groups(groups) => groups.text(&database::open_tasks(config).await?).await?,
            Action::List(list) => list.text(&database::open_tasks(config).await?).await?,
            Action::Show(show) => show.text(&database::open_tasks(config).await?).await?,
            Action::Retry(retry) => return database::act(config, async |tasks| retry.run(tasks).await).await,
            Action::Edit(edit) => return database::act(config, async |tasks| edit.run(tasks).await).await,
            Action::Discard(discard) => {
                return database::act(config, async |tasks| discard.run(tasks).await).await;
            }
            Action::Skip(skip) => return database::act(config, async |tasks| skip.run(tasks).await).await,
            Action::Replay(replay) => {
                return database::act(config, async |tasks| replay.run(tasks).await).await;
            }
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
