//! `trunkline secrets`: what the provider signs with and what we ask with, in versions. No secret is ever printed; one is
//! read from a file or from standard input, so that none stands in a shell's history.

use std::path::PathBuf;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use trunkline_jobs::secrets::{self, MasterKeys, Moved, Needed, Purpose, SecretRow, Standing, State, Vault};
use trunkline_openphone::client::ApiKey;
use trunkline_openphone::signature::Key;
use trunkline_platform::clock::Clock;

use super::audit::ActorArgs;
use super::{database, output, payload, provider};
use crate::config::Config;

const MOST_ROWS: u32 = 1_000;

#[derive(Args, Debug)]
pub(super) struct SecretsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the versions: where each stands, and what came under it
    List(List),
    /// Keep a secret, read from a file or from standard input
    Add(Add),
    /// Keep a new API key, read from a file or from standard input, once the provider has answered to it. It is used at once
    AddApiKey(AddApiKey),
    /// Take every step that is due, as the schedule does every minute
    Tend(Tend),
    /// Refuse a secret from now on, and forget it
    Retire(Retire),
    /// Seal everything under the first of secrets.master_keys
    Rewrap(Rewrap),
    /// Make a master key. It goes to standard output and is kept nowhere
    NewMasterKey,
}

#[derive(Args, Debug)]
struct List {
    /// Retired ones, too
    #[arg(long)]
    all: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Add {
    /// Whose it is: the id of the provider's webhook (`trunkline webhooks status`)
    name: String,
    /// The file it is in [default: standard input]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct AddApiKey {
    /// The file it is in [default: standard input]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Tend {
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Retire {
    /// Its number in `trunkline secrets list`
    id: i64,
    /// Although it is needed still: it leaked
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Rewrap {
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl SecretsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let vault = async || -> Result<Vault> { Ok(config.secrets.vault(&database::open(config).await?)?) };
        let now = Clock::system().now();
        let text = match self.action {
            Action::List(list) => list.text(&vault().await?, now).await?,
            Action::Add(add) => add.text(&vault().await?, now).await?,
            Action::AddApiKey(add) => add.text(config).await?,
            Action::Tend(tend) => tend.text(&vault().await?, now).await?,
            Action::Retire(retire) => retire.text(&vault().await?, now).await?,
            Action::Rewrap(rewrap) => rewrap.text(&vault().await?, now).await?,
            Action::NewMasterKey => format!("{}\n", MasterKeys::generate()?.expose_secret()),
        };
        output::print(&text)
    }
}

impl List {
    async fn text(self, vault: &Vault, now: DateTime<Utc>) -> Result<String> {
        let mut standing = vault.standing(now).await?;
        if self.all {
            let retired = secrets::list(vault.db(), MOST_ROWS).await?.into_iter();
            standing.extend(retired.filter(|row| row.state == State::Retired).map(|row| Standing {
                row,
                needed: None,
                overdue: false,
                unreadable: false,
            }));
        }
        if self.json {
            return output::json(&standing);
        }
        let mut table = output::Table::new(&[
            ">ID",
            "FOR",
            "OF",
            ">VERSION",
            "STATE",
            ">DELIVERIES",
            "LAST",
            "MADE",
            "BY",
            "FINGERPRINT",
            "NOTE",
        ]);
        for one in &standing {
            let row = &one.row;
            table.row([
                row.id.to_string(),
                row.purpose.to_string(),
                row.name.clone(),
                row.version.to_string(),
                row.state.to_string(),
                row.deliveries.to_string(),
                row.last_delivery_at.map_or_else(|| "never".to_owned(), |last| output::relative(last, now)),
                output::relative(row.created_at, now),
                row.created_by.clone(),
                row.fingerprint.clone().unwrap_or_default(),
                note(one, now),
            ]);
        }
        Ok(table
            .text("there is no secret in the table; those of openphone.webhook_secrets are not listed here"))
    }
}

/// What whoever reads the list has to know of a version.
fn note(one: &Standing, now: DateTime<Utc>) -> String {
    let mut notes: Vec<String> = Vec::new();
    if one.unreadable {
        notes.push("no master key opens it".to_owned());
    }
    if one.row.is_awaited() {
        notes.push("the provider was asked for it and has not told it; rotate again".to_owned());
    }
    if one.overdue {
        notes.push("overdue".to_owned());
    }
    notes.extend(one.needed.map(|needed| match needed {
        Needed::NoSuccessor => "no successor is in use".to_owned(),
        Needed::Deliveries(missing) => match one.row.purpose {
            Purpose::ApiKey => format!("waits for {missing} answers under its successor"),
            _ => format!("waits for {missing} deliveries under its successor"),
        },
        Needed::Quiet(until) => format!("goes {}", output::relative(until, now)),
    }));
    notes.join("; ")
}

impl Add {
    async fn text(self, vault: &Vault, now: DateTime<Utc>) -> Result<String> {
        let actor = self.actor.actor()?;
        vault.keys()?;
        let secret = payload::secret(self.file.as_deref())?;
        let purpose = Purpose::from(Key::scheme_of(secret.expose_secret()));
        let row = vault.add(purpose, &self.name, &secret, &actor, now).await?;
        if self.json {
            return output::json(&row);
        }
        Ok(format!("{} is {}\n", named(&row), row.state))
    }
}

impl AddApiKey {
    async fn text(self, config: &Config) -> Result<String> {
        let actor = self.actor.actor()?;
        let db = database::open(config).await?;
        let (provider, vault) = provider::open(config, &db).await?;
        vault.keys()?;
        let key = payload::secret(self.file.as_deref())?;
        let new = config.openphone.client(ApiKey::of(&key)?)?;
        let row = secrets::adopt(&vault, &provider, &new, &key, &actor, &Clock::system()).await?;
        if self.json {
            return output::json(&row);
        }
        let within = secrets::READ_EVERY.as_secs();
        Ok(format!(
            "{} is active: within {within} s every process asks under it. The one before goes when it has proved itself; \
             delete that at the provider then\n",
            named(&row)
        ))
    }
}

impl Tend {
    async fn text(self, vault: &Vault, now: DateTime<Utc>) -> Result<String> {
        let moved = vault.tend(&self.actor.actor()?, now).await?;
        if self.json {
            return output::json(&moved);
        }
        if moved.is_empty() {
            return Ok("nothing is due\n".to_owned());
        }
        let lines = moved.iter().map(|moved| match moved {
            Moved::Activated(row) => format!("{} is active\n", named(row)),
            Moved::Retired(row) => format!("{} is retired{}\n", named(row), at_the_provider(row)),
        });
        Ok(lines.collect())
    }
}

impl Retire {
    async fn text(self, vault: &Vault, now: DateTime<Utc>) -> Result<String> {
        let row = vault.retire(self.id, self.force, &self.actor.actor()?, now).await?;
        if self.json {
            return output::json(&row);
        }
        let within = secrets::READ_EVERY.as_secs();
        Ok(match row.purpose {
            Purpose::ApiKey => format!("{} is retired{}\n", named(&row), at_the_provider(&row)),
            _ => format!("{} is retired; every receiver refuses it within {within} s\n", named(&row)),
        })
    }
}

impl Rewrap {
    async fn text(self, vault: &Vault, now: DateTime<Utc>) -> Result<String> {
        let done = vault.rewrap(&self.actor.actor()?, now).await?;
        if done.unreadable > 0 {
            bail!(
                "{} secrets are sealed under a master key that is not in secrets.master_keys: add it behind the first, and \
                 run this again ({} were rewrapped)",
                done.unreadable,
                done.rewrapped
            );
        }
        if self.json {
            return output::json(&done);
        }
        Ok(format!(
            "{} secrets were rewrapped, {} were under the first master key already\n",
            done.rewrapped, done.unchanged
        ))
    }
}

/// What is left to do where we cannot.
fn at_the_provider(row: &SecretRow) -> &'static str {
    match row.purpose {
        Purpose::ApiKey => "; the provider accepts it still: delete it in the workspace's settings",
        _ => "",
    }
}

fn named(row: &SecretRow) -> String {
    format!("secret {} ({} {}, version {})", row.id, row.purpose, row.name, row.version)
}
