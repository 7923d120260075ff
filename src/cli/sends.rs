//! `trunkline sends`: the ledger of texts, and why somebody did not get one.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_jobs::campaigns;
use trunkline_jobs::sends::{self, Resolution, SendFilter, SendRow, SendState};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::audit::ActorArgs;
use super::{database, output};
use crate::config::Config;
use crate::mask;

#[derive(Args, Debug)]
pub(super) struct SendsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List texts, the newest first
    List(List),
    /// Show a text by its id, or everything about a person by their number: "why did she not get it?"
    Show(Show),
    /// Decide about a text of which nobody can tell whether it was sent
    Resolve(Resolve),
}

#[derive(Args, Debug)]
struct List {
    /// To this number
    #[arg(long)]
    to: Option<String>,
    #[arg(long, value_name = "ID")]
    campaign: Option<i64>,
    /// waiting, intended, accepted, refused, unknown, unresolved, sent, delivered, failed or undelivered
    #[arg(long)]
    state: Option<SendState>,
    /// Only older ones: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Show phone numbers and texts
    #[arg(long)]
    unmask: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Show {
    /// The id of a text, or a number in E.164
    #[arg(allow_hyphen_values = true)]
    which: String,
    /// Show phone numbers and texts
    #[arg(long)]
    unmask: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Resolve {
    id: i64,
    /// It was sent
    #[arg(long)]
    sent: bool,
    /// It was not, and shall not be
    #[arg(long, conflicts_with = "sent")]
    give_up: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl SendsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        match self.action {
            Action::List(list) => output::print(&list.text(&database::open(config).await?).await?),
            Action::Show(show) => output::print(&show.text(&database::open(config).await?).await?),
            Action::Resolve(resolve) => resolve.run(config).await,
        }
    }
}

impl List {
    async fn text(self, db: &Db) -> Result<String> {
        let filter = SendFilter {
            number: self.to,
            campaign: self.campaign,
            state: self.state,
            before: self.before,
            limit: self.limit,
        };
        let rows = sends::list(db, &filter).await?;
        if self.json {
            let rows: Vec<Value> = rows.iter().map(|row| as_json(row, self.unmask)).collect::<Result<_>>()?;
            return output::json(&rows);
        }
        Ok(table(&rows, self.unmask).text("there are no such texts"))
    }
}

fn table(rows: &[SendRow], unmask: bool) -> output::Table {
    let now = Clock::system().now();
    let mut table =
        output::Table::new(&[">ID", "KIND", "CAMPAIGN", "TO", "STATE", "WHY", "SINCE", ">TRIES", "TEXT"]);
    for row in rows {
        let why = row.error_code.as_deref().or(row.reason.as_deref()).unwrap_or_default();
        table.row([
            row.id.to_string(),
            row.kind.clone(),
            row.campaign_id.map(|id| id.to_string()).unwrap_or_default(),
            if unmask { row.number.clone() } else { mask::phone(&row.number) },
            row.state.to_string(),
            why.to_owned(),
            output::relative(row.state_at, now),
            row.tries.to_string(),
            output::shortened(&if unmask { row.body.clone() } else { mask::text(&row.body) }, 40),
        ]);
    }
    table
}

fn as_json(row: &SendRow, unmask: bool) -> Result<Value> {
    let mut value = serde_json::to_value(row)?;
    if !unmask {
        value["number"] = json!(mask::phone(&row.number));
        value["body"] = json!(mask::text(&row.body));
    }
    Ok(value)
}

impl Show {
    async fn text(self, db: &Db) -> Result<String> {
        if self.which.starts_with('+') { self.person(db).await } else { self.one(db).await }
    }

    async fn one(&self, db: &Db) -> Result<String> {
        let id: i64 = self.which.parse().context("name a text by its id, or a person by the number (+1…)")?;
        let row = sends::show(db, id).await?;
        let row = row.with_context(|| format!("there is no text {id}; see `trunkline sends list`"))?;
        if self.json {
            return output::json(&as_json(&row, self.unmask)?);
        }
        let now = Clock::system().now();
        let number = if self.unmask { row.number.clone() } else { mask::phone(&row.number) };
        let body = if self.unmask { row.body.clone() } else { mask::text(&row.body) };
        let fields = output::fields(&[
            ("to", Some(number)),
            ("from", Some(row.sender.clone())),
            ("kind", Some(row.kind.clone())),
            ("campaign", row.campaign_id.map(|id| id.to_string())),
            ("text", row.variant.clone()),
            ("why", row.reason.clone()),
            ("error code", row.error_code.clone()),
            ("provider's id", row.provider_id.clone()),
            ("tries", Some(row.tries.to_string())),
            ("segments", Some(row.segments.to_string())),
            ("asked about", (row.lookups > 0).then(|| format!("{} times", row.lookups))),
            ("last seen", row.evidence.clone()),
            ("intended", row.intended_at.map(|at| output::time(at, now))),
            ("since", Some(output::time(row.state_at, now))),
            ("task", row.task_id.map(|id| id.to_string())),
            ("cause", Some(row.cause.clone())),
        ]);
        Ok(format!("text {id} is {}\n{fields}{}", row.state, output::indented(&body)))
    }

    async fn person(&self, db: &Db) -> Result<String> {
        let campaigns = campaigns::recipients_of(db, &self.which, 100).await?;
        let filter = SendFilter { number: Some(self.which.clone()), limit: 100, ..SendFilter::default() };
        let texts = sends::list(db, &filter).await?;
        if self.json {
            let texts: Vec<Value> =
                texts.iter().map(|row| as_json(row, self.unmask)).collect::<Result<_>>()?;
            let mut campaigns = serde_json::to_value(campaigns)?;
            for row in campaigns.as_array_mut().into_iter().flatten().filter(|_| !self.unmask) {
                row["number"] = json!(mask::phone(&self.which));
            }
            return output::json(&json!({ "campaigns": campaigns, "texts": texts }));
        }
        let now = Clock::system().now();
        let mut told = output::Table::new(&["CAMPAIGN", "NAME", "TEXT", "RECIPIENT", "WHY", "THEN", "SEND"]);
        for row in campaigns {
            let then = (row.state == "waiting").then(|| output::relative(row.due_at, now));
            told.row([
                row.campaign_id.to_string(),
                output::shortened(&row.campaign, 30),
                row.variant.clone(),
                row.outcome().to_owned(),
                row.why().unwrap_or_default().to_owned(),
                then.unwrap_or_default(),
                row.send_id.map(|id| id.to_string()).unwrap_or_default(),
            ]);
        }
        let texts = table(&texts, self.unmask).text("no text to this number is on record");
        Ok(told.text("this number is in no campaign") + "\n" + &texts)
    }
}

impl Resolve {
    async fn run(self, config: &Config) -> Result<()> {
        let resolution = match (self.sent, self.give_up) {
            (true, false) => Resolution::Sent,
            (false, true) => Resolution::GiveUp,
            _ => bail!("was it sent? Look at the conversation, and say --sent or --give-up"),
        };
        let actor = self.actor.actor()?;
        let tasks = database::open_tasks(config).await?;
        let mut tx = tasks.begin().await?;
        sends::resolve(tx.session(), self.id, resolution, &actor, tasks.clock().now()).await?;
        tx.commit().await?;
        let state = if self.sent { "sent" } else { "refused" };
        if self.json {
            return output::print(&output::json(&json!({ "id": self.id, "state": state }))?);
        }
        output::print(&format!("text {} is {state}\n", self.id))
    }
}
