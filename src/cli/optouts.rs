//! `trunkline optouts`: who must not be texted; taking it down for those who asked on another way, and the sentences
//! that wait for a person.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_jobs::contacts::number::{Country, Number};
use trunkline_jobs::contacts::optout::{self, Channel, OptOutRow, ReviewRow, Verdict};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::audit::ActorArgs;
use super::{database, output};
use crate::config::Config;
use crate::mask::{self, View};

/// Numbers of one transaction.
const BATCH: usize = 500;

#[derive(Args, Debug)]
pub(super) struct OptoutsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Close numbers whose people asked to stop: on the phone, by mail, in person
    Add(Add),
    /// Open a number again, for a reason
    Remove(Remove),
    /// List closed numbers
    List(List),
    /// Look at sentences that were taken for an opt-out, and decide what they meant
    Review(Review),
}

#[derive(Args, Debug)]
struct Add {
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<String>,
    #[command(flatten)]
    how: How,
    /// Only tell which numbers it would close
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
struct Remove {
    number: String,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Debug)]
struct How {
    /// On which way it was said: text, phone, email, web, in_person
    #[arg(long, default_value = "phone")]
    channel: Channel,
    /// What was said, word for word
    #[arg(long, value_name = "TEXT")]
    wording: Option<String>,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Args, Debug)]
struct List {
    /// Only numbers behind this one: the last of the page before
    #[arg(long, value_name = "NUMBER")]
    after: Option<String>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    show: Show,
}

#[derive(Args, Debug)]
struct Review {
    /// The entry to decide; without one, those that wait are listed
    id: Option<i64>,
    /// It was meant so
    #[arg(long, requires = "id", conflicts_with = "reopen")]
    confirm: bool,
    /// It was not: open the number again
    #[arg(long, requires = "id")]
    reopen: bool,
    #[command(flatten)]
    actor: ActorArgs,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    show: Show,
}

/// How rows with people in them are shown.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Show {
    /// Show numbers, names and texts in full
    #[arg(long)]
    pub(super) unmask: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Show {
    pub(super) fn view(self) -> View {
        View::of(self.unmask)
    }

    pub(super) fn phone(self, number: &str) -> String {
        self.view().number(number)
    }

    pub(super) fn text(self, text: &str) -> String {
        self.view().said(text)
    }
}

impl OptoutsCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let country = config.contacts.country;
        let text = match self.action {
            Action::Add(add) => add.text(&db, country).await?,
            Action::Remove(remove) => remove.text(&db, country).await?,
            Action::List(list) => list.text(&db).await?,
            Action::Review(review) => review.text(&db).await?,
        };
        output::print(&text)
    }
}

/// Reads numbers as people write them.
pub(super) fn numbers(texts: &[String], country: Country) -> Result<Vec<String>> {
    let read = |text: &String| match Number::parse(text, country) {
        Ok(number) => Ok(number.to_string()),
        Err(error) => bail!("{}: {error}", mask::phone(text)),
    };
    texts.iter().map(read).collect()
}

impl Add {
    async fn text(self, db: &Db, country: Country) -> Result<String> {
        let mut numbers = numbers(&self.numbers, country)?;
        numbers.sort();
        numbers.dedup();
        if self.dry_run {
            return Ok(format!("{} numbers would be closed\n", numbers.len()));
        }
        let (actor, clock) = (self.how.actor.actor()?, Clock::system());
        let (channel, wording) = (self.how.channel, self.how.wording.as_deref());
        let mut text = String::new();
        for batch in numbers.chunks(BATCH) {
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            for (number, was_open) in optout::opt_out(db, &clock, &batch, channel, wording, &actor).await? {
                let word = if was_open { "is closed" } else { "was closed already" };
                text += &format!("{} {word}\n", mask::phone(&number));
            }
        }
        Ok(text)
    }
}

impl Remove {
    async fn text(self, db: &Db, country: Country) -> Result<String> {
        let numbers = numbers(std::slice::from_ref(&self.number), country)?;
        let number = numbers.first().map(String::as_str).unwrap_or_default();
        let (actor, clock) = (self.how.actor.actor()?, Clock::system());
        let (channel, wording) = (self.how.channel, self.how.wording.as_deref());
        let was_closed = optout::opt_in(db, &clock, number, channel, wording, &actor).await?;
        let word = if was_closed { "is open again" } else { "was open" };
        Ok(format!(
            "{} {word}\nthe provider may block it still, until the person texts START\n",
            mask::phone(number)
        ))
    }
}

impl List {
    async fn text(self, db: &Db) -> Result<String> {
        let rows = optout::list(db, self.after.as_deref(), self.limit).await?;
        if self.show.json {
            return output::json(&rows.iter().map(|row| document(row, self.show)).collect::<Vec<_>>());
        }
        let now = Clock::system().now();
        let mut table = output::Table::new(&["NUMBER", "SINCE", "CHANNEL", "WORDING", "BY"]);
        for row in rows {
            table.row([
                self.show.phone(&row.number),
                output::relative(row.at, now),
                row.channel.clone(),
                output::shortened(&row.wording.map(|text| self.show.text(&text)).unwrap_or_default(), 40),
                row.actor.unwrap_or_default(),
            ]);
        }
        Ok(table.text("nobody opted out"))
    }
}

impl Review {
    async fn text(self, db: &Db) -> Result<String> {
        let Some(id) = self.id else { return self.list(db).await };
        let verdict = match (self.confirm, self.reopen) {
            (true, false) => Verdict::Confirm,
            (false, true) => Verdict::Reopen,
            _ => bail!("say what entry {id} meant: --confirm, or --reopen with a --reason"),
        };
        let number = optout::decide(db, &Clock::system(), id, verdict, &self.actor.actor()?).await?;
        let word = if verdict == Verdict::Confirm { "stays closed" } else { "is open again" };
        Ok(format!("{} {word}\n", mask::phone(&number)))
    }

    async fn list(self, db: &Db) -> Result<String> {
        let rows: Vec<ReviewRow> = optout::reviews(db, None, self.limit).await?;
        if self.show.json {
            let rows: Vec<Value> = rows
                .iter()
                .map(|row| {
                    json!({ "id": row.id, "number": self.show.phone(&row.number), "at": row.at,
                        "wording": row.wording.as_deref().map(|text| self.show.text(text)),
                        "message_id": row.message_id, "closed": row.closed })
                })
                .collect();
            return output::json(&rows);
        }
        let now = Clock::system().now();
        let mut table = output::Table::new(&[">ID", "NUMBER", "WHEN", "STATE", "WORDING"]);
        for row in rows {
            table.row([
                row.id.to_string(),
                self.show.phone(&row.number),
                output::relative(row.at, now),
                if row.closed { "closed" } else { "open" }.to_owned(),
                output::shortened(&row.wording.map(|text| self.show.text(&text)).unwrap_or_default(), 80),
            ]);
        }
        Ok(table.text("nothing waits for a person"))
    }
}

pub(super) fn document(row: &OptOutRow, show: Show) -> Value {
    json!({ "number": show.phone(&row.number), "closed": row.closed, "at": row.at, "channel": row.channel,
        "confirmation": row.confirmation, "wording": row.wording.as_deref().map(|text| show.text(text)),
        "message_id": row.message_id, "actor": row.actor })
}
