//! `trunkline keys`: who may use the API and the pages.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use trunkline_platform::clock::Clock;

use super::audit::ActorArgs;
use super::{database, output, payload};
use crate::access::{CreatedKey, KeyId, KeyRow, Keys, MOST_KEYS, NewKey, Scope};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct KeysCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key. It is shown once and kept nowhere
    Create(Create),
    /// List the keys, the newest first
    List(List),
    /// Make a key in the place of another, which goes on for a while
    Rotate(Rotate),
    /// Let a key open nothing any more, at once and in every process
    Revoke(Revoke),
}

#[derive(Args, Debug)]
struct Create {
    /// What it is for: "nightly export"
    name: String,
    /// What it allows: read, operate (and read), admin (and operate), pii
    #[arg(long = "scope", value_name = "SCOPES", value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    /// How long it is good for, such as 90d; never for no end
    #[arg(long, default_value = "365d", value_name = "TIME")]
    expires: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct List {
    /// Expired and revoked ones, too
    #[arg(long)]
    all: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Rotate {
    #[arg(value_parser = key_id)]
    id: KeyId,
    /// How long the old one goes on
    #[arg(long, default_value = "24h", value_name = "TIME")]
    overlap: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Revoke {
    #[arg(value_parser = key_id)]
    id: KeyId,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl KeysCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let keys = Keys::open(database::open(config).await?, Clock::system());
        match self.action {
            Action::Create(create) => create.run(&keys).await,
            Action::List(list) => output::print(&list.text(&keys).await?),
            Action::Rotate(rotate) => rotate.run(&keys).await,
            Action::Revoke(revoke) => revoke.run(&keys).await,
        }
    }
}

impl Create {
    async fn run(self, keys: &Keys) -> Result<()> {
        let expires_in = match self.expires.as_str() {
            "never" => None,
            text => Some(length(text)?),
        };
        let new = NewKey { name: self.name, scopes: self.scopes.into_iter().collect(), expires_in };
        let created = keys.create(new, &self.actor.actor()?).await?;
        show_once(&created, keys.clock().now(), self.json)
    }
}

impl List {
    async fn text(self, keys: &Keys) -> Result<String> {
        let now = keys.clock().now();
        let mut rows = keys.list(None, MOST_KEYS).await?;
        rows.retain(|row| self.all || row.revoked_at.is_none() && row.expires_at.is_none_or(|end| end > now));
        if self.json {
            let rows: Vec<Value> = rows.iter().map(|row| as_json(row, now)).collect();
            return output::json(&rows);
        }
        let mut table = output::Table::new(&[
            "ID",
            "NAME",
            "SCOPES",
            "STATE",
            "EXPIRES",
            "LAST USED",
            "REPLACES",
            "MADE BY",
        ]);
        for row in &rows {
            table.row([
                row.id.to_string(),
                row.name.clone(),
                row.scopes.to_string(),
                row.state(now).as_str().to_owned(),
                row.expires_at.map_or_else(|| "never".to_owned(), |end| output::relative(end, now)),
                row.last_used_at.map_or_else(|| "never".to_owned(), |used| output::relative(used, now)),
                row.replaces.as_ref().map_or_else(String::new, KeyId::to_string),
                row.created_by.clone(),
            ]);
        }
        Ok(table.text("there is no key: make one with `trunkline keys create NAME --scope read`"))
    }
}

impl Rotate {
    async fn run(self, keys: &Keys) -> Result<()> {
        let created = keys.rotate(&self.id, length(&self.overlap)?, &self.actor.actor()?).await?;
        show_once(&created, keys.clock().now(), self.json)
    }
}

impl Revoke {
    async fn run(self, keys: &Keys) -> Result<()> {
        let row = keys.revoke(&self.id, &self.actor.actor()?).await?;
        if self.json {
            return output::print(&output::json(&as_json(&row, keys.clock().now()))?);
        }
        output::print(&format!("the key {} ({}) opens nothing any more\n", row.id, row.name))
    }
}

/// The key to standard output and nothing else, so that it can be sent to where it is to be kept.
fn show_once(created: &CreatedKey, now: DateTime<Utc>, json: bool) -> Result<()> {
    let (key, token) = (&created.key, created.token.expose_secret());
    if json {
        return output::print(&output::json(&json!({ "token": token, "key": as_json(key, now) }))?);
    }
    let end = key
        .expires_at
        .map_or_else(|| "never expires".to_owned(), |end| format!("expires {}", output::relative(end, now)));
    eprintln!("key {} ({}), {}, {end}. It is shown this once:", key.id, key.name, key.scopes);
    output::print(&format!("{token}\n"))
}

fn as_json(row: &KeyRow, now: DateTime<Utc>) -> Value {
    let mut value = json!(row);
    value["state"] = json!(row.state(now));
    value
}

fn length(text: &str) -> Result<TimeDelta> {
    payload::delta(text).with_context(|| {
        format!("{text:?} is no length of time: write a whole number and s, m, h or d, such as 90d")
    })
}

fn key_id(text: &str) -> Result<KeyId> {
    match KeyId::parse(text) {
        Some(id) => Ok(id),
        None => bail!(
            "{text:?} is no key's id: take one of `trunkline keys list`, 12 digits such as 0f3a52c9d1e8"
        ),
    }
}
