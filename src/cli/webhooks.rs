//! `trunkline webhooks`: the provider's webhooks, held against what this installation expects; made, repaired, changed and
//! deleted, and their secrets changed while deliveries come. No secret is printed.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use trunkline_jobs::secrets::{Purpose, SecretRow};
use trunkline_jobs::subscriptions::{self, Action as Step, Care, Look, ToldRow};
use trunkline_openphone::client::Subscription;
use trunkline_openphone::signature::Scheme;
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;

use super::audit::ActorArgs;
use super::{database, output, provider};
use crate::config::Config;

/// What came so lately may still come by the other way, too.
const STILL_COMING: TimeDelta = TimeDelta::minutes(10);

#[derive(Args, Debug)]
pub(super) struct WebhooksCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the provider's webhooks and what is wrong with them; ends with 1 when something is
    Status(Status),
    /// Make what is missing, and put right what is wrong
    Create(Create),
    /// Give a webhook another secret while deliveries come
    Rotate(One),
    /// Delete a webhook at the provider, for ever
    Delete(One),
    /// Move from older webhooks to a present one: beside each other first, then the older ones go
    Move(Move),
}

#[derive(Args, Debug)]
struct Status {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// How it is done, and told.
#[derive(Args, Debug)]
struct How {
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Create {
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct One {
    /// The webhook's id in `trunkline webhooks status`
    id: String,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct Move {
    /// Delete the older ones, when the present one is seen to tell all they do
    #[arg(long)]
    finish: bool,
    /// Although it is not seen
    #[arg(long, requires = "finish")]
    force: bool,
    #[command(flatten)]
    how: How,
}

impl WebhooksCommand {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let actor = match &self.action {
            Action::Status(_) => Actor { name: "operator".to_owned(), reason: None },
            Action::Create(Create { how, .. })
            | Action::Rotate(One { how, .. })
            | Action::Delete(One { how, .. })
            | Action::Move(Move { how, .. }) => how.actor.actor()?,
        };
        let Some(expected) = config.webhooks.expected() else {
            bail!(
                "where the provider reaches this installation was not said: set webhooks.public_url to the whole address, \
                 such as https://hooks.example.com/webhooks/openphone"
            );
        };
        let db = database::open(config).await?;
        let (provider, vault) = provider::with_key(config, &db).await?;
        let clock = Clock::system();
        let care = Care {
            provider: &provider,
            vault: &vault,
            expected: &expected,
            configured: &config.openphone.webhook_secrets,
            clock: &clock,
            actor: &actor,
        };
        match self.action {
            Action::Status(status) => return status.run(&care).await,
            Action::Create(create) => create.run(&care).await,
            Action::Rotate(one) => one.rotate(&care).await,
            Action::Delete(one) => one.delete(&care).await,
            Action::Move(step) => step.run(&care).await,
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Status {
    async fn run(self, care: &Care<'_>) -> Result<ExitCode> {
        let look = care.look().await?;
        let now = care.clock.now();
        output::print(&if self.json { output::json(&look)? } else { described(care, &look, now) })?;
        Ok(if look.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn described(care: &Care<'_>, look: &Look, now: DateTime<Utc>) -> String {
    let ours = care.expected.ours(&look.subscriptions);
    let mut table = output::Table::new(&["ID", "SYSTEM", "STATUS", "EVENTS", "NUMBERS", "MADE", "ADDRESS"]);
    for one in &look.subscriptions {
        let is_ours = ours.iter().any(|ours| ours.id == one.id);
        table.row([
            one.id.clone(),
            system(one).to_owned(),
            if one.enabled { "enabled" } else { "disabled" }.to_owned(),
            one.events.len().to_string(),
            if one.resource_ids.is_empty() { "all".to_owned() } else { one.resource_ids.join(" ") },
            one.created_at.map_or_else(String::new, |made| output::relative(made, now)),
            if is_ours { "ours".to_owned() } else { elsewhere(&one.url) },
        ]);
    }
    let mut text = table.text("the provider has no webhook");
    if look.findings.is_empty() {
        return text + "\nall is as it should be\n";
    }
    text += "\nwrong:\n";
    for finding in &look.findings {
        text += &format!("  {}: {}\n", finding.problem.as_str(), finding.what);
    }
    if !look.plan.is_empty() {
        text += "\n`trunkline webhooks create` would:\n";
        text += &steps(&look.plan);
    }
    text
}

fn system(one: &Subscription) -> &'static str {
    match one.scheme {
        Scheme::Standard => "present",
        Scheme::Legacy => "older",
    }
}

/// Of an address of somebody else only where it is: the rest can be a secret of theirs.
fn elsewhere(url: &str) -> String {
    let host = url.parse::<url::Url>().ok().and_then(|url| url.host_str().map(str::to_owned));
    format!("elsewhere ({})", host.unwrap_or_else(|| "?".to_owned()))
}

fn steps(plan: &[Step]) -> String {
    let numbers = |numbers: &[String]| match numbers.is_empty() {
        true => "all numbers".to_owned(),
        false => numbers.join(", "),
    };
    let line = |step: &Step| match step {
        Step::Create { events, numbers: of } => {
            format!("  make a present webhook for {} events of {}\n", events.len(), numbers(of))
        }
        Step::Change { id, events, numbers: of } => {
            format!("  let {id} tell {} events of {}\n", events.len(), numbers(of))
        }
        Step::Rotate { id } => format!("  give {id} another secret, to know it\n"),
        Step::Keep { id } => format!("  keep the secret of {id}, which the provider tells\n"),
        Step::Enable { id } => format!("  enable {id}\n"),
    };
    plan.iter().map(line).collect()
}

impl Create {
    async fn run(self, care: &Care<'_>) -> Result<()> {
        let look = care.look().await?;
        if self.how.dry_run {
            return output::print(&match self.how.json {
                true => output::json(&json!({ "dry_run": true, "plan": look.plan }))?,
                false if look.plan.is_empty() => "there is nothing to do\n".to_owned(),
                false => format!("it would:\n{}", steps(&look.plan)),
            });
        }
        let done = care.repair(&look).await?;
        output::print(&match self.how.json {
            true => output::json(&json!({ "dry_run": false, "done": done }))?,
            false if done.is_empty() => "there was nothing to do\n".to_owned(),
            false => {
                let plan: Vec<Step> = done.iter().map(|done| done.action.clone()).collect();
                format!("done:\n{}", steps(&plan))
            }
        })
    }
}

impl One {
    async fn rotate(self, care: &Care<'_>) -> Result<()> {
        if self.how.dry_run {
            let look = care.look().await?;
            care.changeable(&look.subscriptions, &self.id)?;
            return output::print(&match self.how.json {
                true => output::json(&json!({ "dry_run": true, "subscription": self.id }))?,
                false => format!(
                    "it would give {} another secret; both are accepted until the old one goes\n",
                    self.id
                ),
            });
        }
        let row = care.rotate(&self.id).await?;
        if self.how.json {
            return output::print(&output::json(
                &json!({ "dry_run": false, "subscription": self.id, "secret": row }),
            )?);
        }
        output::print(&format!(
            "{} has another secret, version {} (secret {}); the old one goes by itself, see `trunkline secrets list`\n",
            self.id, row.version, row.id
        ))
    }

    async fn delete(self, care: &Care<'_>) -> Result<()> {
        if self.how.dry_run {
            let look = care.look().await?;
            care.one(&look.subscriptions, &self.id)?;
            return output::print(&match self.how.json {
                true => output::json(&json!({ "dry_run": true, "subscription": self.id }))?,
                false => format!("it would delete {} for ever, and refuse what it signed with\n", self.id),
            });
        }
        let retired = care.delete(&self.id).await?;
        if self.how.json {
            let told = json!({ "dry_run": false, "subscription": self.id, "retired": retired });
            return output::print(&output::json(&told)?);
        }
        output::print(&format!("{} is deleted; {} secrets of it are refused\n", self.id, retired.len()))
    }
}

/// How far a move is.
struct Standing {
    present: Option<String>,
    older: Vec<String>,
    /// What keeps the older ones from going.
    missing: Vec<String>,
    told: Vec<ToldRow>,
}

impl Move {
    async fn run(self, care: &Care<'_>) -> Result<()> {
        let look = care.look().await?;
        let standing = standing(care, &look).await?;
        if self.finish {
            return self.finish(care, &standing).await;
        }
        let plan = plan_beside(care, &look);
        if standing.present.is_some() || self.how.dry_run {
            return self.tell(&standing, &plan, &[]);
        }
        care.vault.keys()?;
        let look = Look { plan: plan.clone(), ..look };
        let done = care.repair(&look).await?;
        self.tell(&standing, &[], &done.iter().map(|done| done.subscription.clone()).collect::<Vec<_>>())
    }

    async fn finish(&self, care: &Care<'_>, standing: &Standing) -> Result<()> {
        if !standing.missing.is_empty() && !self.force {
            bail!(
                "the older webhooks stay: {}. --force deletes them all the same",
                standing.missing.join("; ")
            );
        }
        let mut deleted = Vec::new();
        for id in standing.older.iter().filter(|_| !self.how.dry_run) {
            care.delete(id).await.with_context(|| format!("deleting {id}"))?;
            deleted.push(id.clone());
        }
        if self.how.json {
            let told = json!({ "dry_run": self.how.dry_run, "older": standing.older, "deleted": deleted });
            return output::print(&output::json(&told)?);
        }
        let verb = if self.how.dry_run { "would be" } else { "are" };
        output::print(&format!(
            "{} older webhooks {verb} deleted: {}\n",
            standing.older.len(),
            standing.older.join(", ")
        ))
    }

    fn tell(&self, standing: &Standing, plan: &[Step], made: &[String]) -> Result<()> {
        if self.how.json {
            return output::print(&output::json(&json!({
                "dry_run": self.how.dry_run,
                "present": standing.present,
                "older": standing.older,
                "made": made,
                "plan": plan,
                "missing": standing.missing,
                "told": standing.told,
            }))?);
        }
        let mut text = String::new();
        if !made.is_empty() {
            text += &format!("a present webhook was made beside the older ones: {}\n", made.join(", "));
        } else if !plan.is_empty() && standing.present.is_none() {
            text += &format!("it would:\n{}", steps(plan));
        }
        if let Some(present) = &standing.present {
            text += &format!("present: {present}; older: {}\n", standing.older.join(", "));
            let mut table = output::Table::new(&["EVENT", ">OLDER TOLD", ">NOT BY THE PRESENT ONE"]);
            for row in &standing.told {
                table.row([row.event_type.clone(), row.older.to_string(), row.missing.to_string()]);
            }
            text += &table.text("the older ones have told nothing since the present one is in use");
            text += &match standing.missing.is_empty() {
                true => "all is seen: `trunkline webhooks move --finish` deletes the older ones\n".to_owned(),
                false => format!("not yet: {}\n", standing.missing.join("; ")),
            };
        }
        output::print(&text)
    }
}

/// A present webhook to be made beside the older ones.
fn plan_beside(care: &Care<'_>, look: &Look) -> Vec<Step> {
    let ours = care.expected.ours(&look.subscriptions);
    if ours.iter().any(|one| one.scheme == Scheme::Standard) {
        return look.plan.clone();
    }
    vec![Step::Create {
        events: care.expected.events.iter().cloned().collect(),
        numbers: care.expected.numbers.iter().cloned().collect(),
    }]
}

async fn standing(care: &Care<'_>, look: &Look) -> Result<Standing> {
    let ours = care.expected.ours(&look.subscriptions);
    let present = ours.iter().find(|one| one.scheme == Scheme::Standard && one.enabled);
    let older: Vec<&&Subscription> = ours.iter().filter(|one| one.scheme == Scheme::Legacy).collect();
    let now = care.clock.now();
    let secrets = care.vault.standing(now).await?;
    // A rotation in the middle of the move begins no count anew.
    let versions: Vec<&SecretRow> = secrets
        .iter()
        .map(|one| &one.row)
        .filter(|row| present.is_some_and(|present| present.id == row.name))
        .filter(|row| row.purpose == Purpose::Standard && !row.is_awaited())
        .collect();
    let since = versions.iter().map(|row| row.activated_at.unwrap_or(row.created_at)).min();
    let wanted = i64::from(care.vault.rules().deliveries);
    let mut missing = Vec::new();
    let mut told = Vec::new();
    match (present, since) {
        (None, _) => missing
            .push("there is no present webhook beside them; `trunkline webhooks move` makes one".to_owned()),
        (Some(present), None) => {
            missing.push(format!(
                "the secret of {} is not in the table, so nothing is known of its deliveries",
                present.id
            ));
        }
        (Some(present), Some(since)) => {
            let deliveries: i64 = versions.iter().map(|row| row.deliveries).sum();
            if deliveries < wanted {
                missing.push(format!("{deliveries} deliveries of {} came, of {wanted}", present.id));
            }
            told = subscriptions::compare(care.vault.db(), since, now - STILL_COMING).await?;
            let lost: i64 = told.iter().map(|row| row.missing).sum();
            if lost > 0 {
                missing.push(format!("{lost} events were told by the older ones alone"));
            }
            let untold: Vec<&str> = older
                .iter()
                .flat_map(|one| &one.events)
                .filter(|event| !present.events.contains(event))
                .map(String::as_str)
                .collect();
            if !untold.is_empty() {
                missing.push(format!("{} does not tell {}", present.id, untold.join(", ")));
            }
        }
    }
    if older.is_empty() {
        missing.push("there is no older webhook for this address".to_owned());
    }
    Ok(Standing {
        present: present.map(|one| one.id.clone()),
        older: older.iter().map(|one| one.id.clone()).collect(),
        missing,
        told,
    })
}
