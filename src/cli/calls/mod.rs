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

/// `1:02:03`, or `2:03` where there are no hours.
fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn times_in_a_call_are_told_as_a_player_tells_them() {
        let told: Vec<String> = [-1.0, 3.9, 75.0, 3_723.0].into_iter().map(clock).collect();
        assert_eq!(told, ["0:00", "0:03", "1:15", "1:02:03"]);
    }
}
