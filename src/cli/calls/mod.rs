//! `trunkline calls`: what was called, said and left behind. One file per verb.

mod list;
mod show;
mod stats;

use anyhow::Result;
use clap::{Args, Subcommand};
use trunkline_jobs::search::Kind;

use super::search::SearchCommand;
use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct CallsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List calls, the newest first
    List(list::List),
    /// Show one call: who took part, what was said, what it came to
    Show(show::Show),
    /// Tell how many calls came to what, how long people talked, and when it rings
    Stats(stats::Stats),
    /// Search what was said in calls and left as voicemail
    Search(SearchCommand),
}

/// What is made of calls.
const KINDS: [Kind; 3] = [Kind::Transcript, Kind::Summary, Kind::Voicemail];

impl CallsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let text = match self.action {
            Action::List(list) => list.text(&db).await?,
            Action::Show(show) => show.text(&db).await?,
            Action::Stats(stats) => stats.text(&db, config.business.timezone).await?,
            Action::Search(search) => search.among(&KINDS).text(&db).await?,
        };
        output::print(&text)
    }
}
