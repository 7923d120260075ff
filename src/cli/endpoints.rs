//! `trunkline endpoints`: development machines that verified webhooks are forwarded to.

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_jobs::forward::endpoints::{self, EndpointRow, NewEndpoint};
use trunkline_jobs::forward::{EventTypes, Forwarder};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;
use trunkline_platform::task::Tasks;

use super::audit::ActorArgs;
use super::{database, output, payload};
use crate::config::Config;
use crate::mask;

#[derive(Args, Debug)]
pub(super) struct EndpointsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Forward every verified webhook from now on to an address that forward.allow admits
    Add(Add),
    /// List endpoints, the newest first
    List(List),
    /// Forward nothing more to an endpoint, and drop what waits for it
    Remove(Remove),
    /// Show what was forwarded to an endpoint and what it answered, the newest first
    Log(Log),
}

#[derive(Args, Debug)]
struct Add {
    url: String,
    /// Only these types: message.received,call.*
    #[arg(long = "type", value_name = "TYPES", default_value = "")]
    types: EventTypes,
    /// How long it is good for: 1m to 30d
    #[arg(long, default_value = "8h", value_name = "TIME")]
    expires: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct List {
    /// Those that are closed, too
    #[arg(long)]
    all: bool,
    /// Only endpoints older than this one: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Remove {
    id: i64,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Log {
    id: i64,
    /// Only events older than this one: the last of the page before
    #[arg(long, value_name = "EVENT")]
    before: Option<i64>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

impl EndpointsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let text = match self.action {
            Action::Add(add) => {
                let forwarder = Forwarder::new(config.forward.settings()).context("setting up forwarding")?;
                database::act(config, async |tasks| add.text(tasks, &forwarder).await).await?
            }
            Action::List(list) => list.text(&database::open(config).await?).await?,
            Action::Remove(remove) => remove.text(&database::open_tasks(config).await?).await?,
            Action::Log(log) => log.text(&database::open(config).await?).await?,
        };
        output::print(&text)
    }
}

impl Add {
    async fn text(self, tasks: &Tasks, forwarder: &Forwarder) -> Result<String> {
        let expires_in = payload::delta(&self.expires).with_context(|| {
            format!("{:?} is no length of time: write a whole number and m, h or d, such as 8h", self.expires)
        })?;
        let new = NewEndpoint { url: self.url, types: self.types, expires_in };
        let row = endpoints::register(tasks, forwarder, new, &self.actor.actor()?).await?;
        let now = tasks.clock().now();
        if self.json {
            return output::json(&as_json(&row, now));
        }
        Ok(format!(
            "endpoint {} gets what is received from now on; it expires {}. See `trunkline endpoints log {}`\n",
            row.id,
            output::relative(row.expires_at, now),
            row.id
        ))
    }
}

impl List {
    async fn text(self, db: &Db) -> Result<String> {
        let now = Clock::system().now();
        let rows = match self.all {
            true => endpoints::list(db, self.before, self.limit).await?,
            false => endpoints::list_open(db, self.before, self.limit, now).await?,
        };
        if self.json {
            let rows: Vec<Value> = rows.iter().map(|row| as_json(row, now)).collect();
            return output::json(&rows);
        }
        let mut table =
            output::Table::new(&[">ID", "URL", "TYPES", "STATE", "EXPIRES", ">WAITING", ">SEEN TO", "BY"]);
        for row in &rows {
            table.row([
                row.id.to_string(),
                row.shown_url(),
                types(row),
                row.state(now).as_str().to_owned(),
                output::relative(row.expires_at, now),
                row.waiting.to_string(),
                row.seen_to.to_string(),
                row.created_by.clone(),
            ]);
        }
        Ok(table.text("nothing is forwarded anywhere"))
    }
}

impl Remove {
    async fn text(self, tasks: &Tasks) -> Result<String> {
        let row = endpoints::remove(tasks, self.id, &self.actor.actor()?).await?;
        if self.json {
            return output::json(&as_json(&row, tasks.clock().now()));
        }
        Ok(format!("nothing more is forwarded to endpoint {}\n", row.id))
    }
}

impl Log {
    async fn text(self, db: &Db) -> Result<String> {
        if endpoints::show(db, self.id).await?.is_none() {
            bail!("there is no endpoint {}; see `trunkline endpoints list --all`", self.id);
        }
        let mut rows = endpoints::log(db, self.id, self.before, self.limit).await?;
        for row in &mut rows {
            row.error = row.error.as_deref().map(mask::phones_in);
        }
        if self.json {
            return output::json(&rows);
        }
        let now = Clock::system().now();
        let mut table =
            output::Table::new(&[">EVENT", "TYPE", "STATE", ">TRIES", ">STATUS", ">TOOK", "WHEN", "ERROR"]);
        for row in rows {
            table.row([
                row.event_id.to_string(),
                row.event_type,
                row.state,
                row.tries.to_string(),
                row.status.map_or_else(String::new, |status| status.to_string()),
                row.duration_ms.map_or_else(String::new, |took| format!("{took} ms")),
                output::relative(row.tried_at.unwrap_or(row.created_at), now),
                output::shortened(&row.error.unwrap_or_default(), 80),
            ]);
        }
        Ok(table.text("nothing was forwarded there yet"))
    }
}

fn types(row: &EndpointRow) -> String {
    let types = row.types();
    if types.names().is_empty() { "all".to_owned() } else { types.names().join(",") }
}

fn as_json(row: &EndpointRow, now: DateTime<Utc>) -> Value {
    json!({
        "id": row.id, "url": row.shown_url(), "types": row.types(), "state": row.state(now),
        "created_at": row.created_at, "created_by": row.created_by, "expires_at": row.expires_at,
        "ended_at": row.ended_at, "waiting": row.waiting, "seen_to": row.seen_to,
    })
}
