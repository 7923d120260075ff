//! `trunkline events replays`: how far they are, and ending and going on with them.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_jobs::events::EventFilter;
use trunkline_jobs::events::replay::{self, ReplayRow};
use trunkline_platform::clock::Clock;
use trunkline_platform::task::Tasks;

use crate::cli::audit::ActorArgs;
use crate::cli::output;
use crate::event_words;
use crate::mask::{self, View};

#[derive(Args, Debug)]
pub(super) struct ReplaysCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List replays, the newest first
    List(List),
    /// Show a replay: of which events, and how far it is
    Show(Show),
    /// End a replay; what was enqueued goes on
    Cancel(Act),
    /// Go on with a replay that was cancelled or has failed
    Resume(Act),
}

#[derive(Args, Debug)]
struct List {
    /// Only replays older than this one: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Show {
    id: i64,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Act {
    id: i64,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl ReplaysCommand {
    pub(super) async fn text(self, tasks: &Tasks) -> Result<String> {
        match self.action {
            Action::List(list) => list.text(tasks).await,
            Action::Show(show) => {
                let Some(row) = replay::show(tasks.db(), show.id).await? else {
                    bail!("there is no replay {}; see `trunkline events replays list`", show.id);
                };
                described(&row, show.json)
            }
            Action::Cancel(act) => {
                let replayed = replay::cancel(tasks, act.id, &act.actor.actor()?).await?;
                if act.json {
                    return output::json(
                        &json!({"replay": act.id, "state": "cancelled", "replayed": replayed}),
                    );
                }
                Ok(format!(
                    "replay {0} has ended after {replayed} events; `trunkline events replays resume {0}` goes on\n",
                    act.id
                ))
            }
            Action::Resume(act) => {
                replay::resume(tasks, act.id, &act.actor.actor()?).await?;
                if act.json {
                    return output::json(&json!({"replay": act.id, "state": "running"}));
                }
                Ok(format!("replay {} goes on\n", act.id))
            }
        }
    }
}

impl List {
    async fn text(self, tasks: &Tasks) -> Result<String> {
        let rows = replay::list(tasks.db(), self.before, self.limit).await?;
        if self.json {
            return output::json(&rows.iter().map(as_json).collect::<Vec<_>>());
        }
        let now = tasks.clock().now();
        let mut table =
            output::Table::new(&[">REPLAY", "STATE", "WHEN", ">DONE", ">REPLAYED", "OF", "BY", "WHY"]);
        for row in rows {
            table.row([
                row.id.to_string(),
                row.state.clone(),
                output::relative(row.started_at, now),
                format!("{}%", row.percent()),
                row.replayed.to_string(),
                output::shortened(&told(&row.filter()), 60),
                row.actor.clone(),
                output::shortened(&mask::phones_in(row.reason.as_deref().unwrap_or_default()), 40),
            ]);
        }
        Ok(table.text("nothing was replayed yet"))
    }
}

/// Nobody's number, and no words that were looked for.
fn as_json(row: &ReplayRow) -> Value {
    let mut document = serde_json::to_value(row).unwrap_or_default();
    document["filter"] = mask::json(&row.filter);
    document["reason"] = row.reason.as_deref().map(mask::phones_in).into();
    document["percent"] = row.percent().into();
    document
}

/// A replay as it stands.
pub(super) fn described(row: &ReplayRow, json: bool) -> Result<String> {
    if json {
        return output::json(&as_json(row));
    }
    let now = Clock::system().now();
    let replayed = match row.expected {
        Some(expected) => format!("{} of {expected}", row.replayed),
        None => row.replayed.to_string(),
    };
    let mut text = format!("replay {}\n", row.id);
    text += &output::fields(&[
        ("state", Some(row.state.clone())),
        ("of", Some(told(&row.filter()))),
        ("replayed", Some(replayed)),
        ("without job", (row.jobless > 0).then(|| row.jobless.to_string())),
        (
            "looked at",
            Some(format!(
                "{} events, up to {} of {}: {}%",
                row.looked,
                row.seen_to,
                row.last_event,
                row.percent()
            )),
        ),
        ("pace", Some(format!("{} a second", row.pace))),
        ("begun", Some(output::time(row.started_at, now))),
        ("ended", row.ended_at.map(|ended| output::time(ended, now))),
        ("by", Some(row.actor.clone())),
        ("why", row.reason.as_deref().map(mask::phones_in)),
        ("error", row.error.as_deref().map(mask::phones_in)),
    ]);
    Ok(text)
}

/// Of which events, without whom and what it looks for.
fn told(filter: &EventFilter) -> String {
    event_words::line(filter, View::of(false))
}
