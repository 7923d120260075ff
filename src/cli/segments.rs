//! `trunkline segments`: saved filters over people, and whom they take.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use trunkline_jobs::contacts::segments::{self, Count, Filter};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::audit::ActorArgs;
use super::{database, output};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct SegmentsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Save a filter, such as 'tag:vip state:TX -flag:blocked last_reply<30d'
    Create(Create),
    /// List segments by name
    List(List),
    /// Show a segment's filter
    Show(Show),
    /// Count whom a segment or a filter takes, and whom of them no campaign would text
    Preview(Preview),
    /// Delete a segment; the people stay
    Delete(Delete),
}

#[derive(Args, Debug)]
struct Create {
    name: String,
    #[arg(allow_hyphen_values = true)]
    filter: Filter,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Args, Debug)]
struct List {
    /// Only those behind this name
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Show {
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Preview {
    #[command(flatten)]
    whom: Whom,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Delete {
    name: String,
    #[command(flatten)]
    actor: ActorArgs,
}

/// Flags of every command that is about some people: everybody, without any.
#[derive(Args, Clone, Debug)]
pub(super) struct Whom {
    /// The name of a segment
    #[arg(long, value_name = "NAME")]
    segment: Option<String>,
    /// A filter, such as 'tag:vip state:TX'
    #[arg(long, conflicts_with = "segment", allow_hyphen_values = true)]
    filter: Option<Filter>,
}

impl Whom {
    pub(super) async fn filter(&self, db: &Db) -> Result<Filter> {
        match (&self.segment, &self.filter) {
            (Some(name), _) => Ok(segments::show(db, name).await?.filter()?),
            (None, Some(filter)) => Ok(filter.clone()),
            (None, None) => Ok(Filter::All(Vec::new())),
        }
    }

    pub(super) const fn is_anybody(&self) -> bool {
        self.segment.is_none() && self.filter.is_none()
    }
}

impl SegmentsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let now = Clock::system().now();
        let text = match self.action {
            Action::Create(create) => {
                segments::create(&db, &create.name, &create.filter, &create.actor.actor()?, now).await?;
                format!("segment {} is {}\n", create.name, create.filter)
            }
            Action::List(list) => list.text(&db).await?,
            Action::Show(show) => {
                let row = segments::show(&db, &show.name).await?;
                if show.json { output::json(&row)? } else { format!("{}\n", row.filter) }
            }
            Action::Preview(preview) => {
                let filter = preview.whom.filter(&db).await?;
                let count = segments::count(&db, &filter, now).await?;
                if preview.json {
                    output::json(&json!({ "filter": filter.to_string(), "count": count }))?
                } else {
                    told(&count) + "\n"
                }
            }
            Action::Delete(delete) => {
                segments::delete(&db, &delete.name, &delete.actor.actor()?, now).await?;
                format!("segment {} is deleted\n", delete.name)
            }
        };
        output::print(&text)
    }
}

impl List {
    async fn text(self, db: &Db) -> Result<String> {
        let rows = segments::list(db, self.after.as_deref(), self.limit).await?;
        if self.json {
            return output::json(&rows);
        }
        let mut table = output::Table::new(&["NAME", "FILTER", "BY"]);
        for row in rows {
            table.row([row.name, row.filter, row.created_by]);
        }
        Ok(table.text("no segments"))
    }
}

/// A count in words.
pub(super) fn told(count: &Count) -> String {
    let Count { people, opted_out, kept_out, nowhere } = count;
    format!(
        "{people} people, of them {opted_out} opted out, {kept_out} kept out by a flag, {nowhere} nobody knows where"
    )
}
