//! `trunkline reconcile`: asking the provider for what webhooks missed, and what that came to.

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use trunkline_jobs::reconcile::{self, CountRow, Details, OVERLAP_MINUTES, Order, Status};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;
use trunkline_platform::task::Tasks;

use super::audit::ActorArgs;
use super::{database, output, payload, provider};
use crate::config::Config;
use crate::mask;

#[derive(Args, Debug)]
pub(super) struct ReconcileCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Ask the provider for what webhooks missed; the workers do it
    Run(Run),
    /// List runs, the newest first
    List(List),
    /// Show a run: what it found, what was missing, how far it is
    Show(Show),
    /// How far we were behind the provider at the last run, and how long ago that was
    Status(Standing),
}

#[derive(Args, Debug)]
struct Run {
    /// What happened since then: a time, or how long ago it was (3d) [default: since the last time]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Up to then [default: up to two minutes ago]
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Only on this number of ours: the provider's id (PN…), or in E.164
    #[arg(long)]
    number: Option<String>,
    /// Only count what is missing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct List {
    /// Only runs older than this one: the last of the page before
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
    run: i64,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Standing {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl ReconcileCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let text = match self.action {
            Action::Run(run) => {
                let asked = async |tasks: &Tasks| {
                    provider::with_key(config, tasks.db()).await?;
                    run.text(tasks).await
                };
                database::act(config, asked).await?
            }
            Action::List(list) => list.text(&database::open(config).await?).await?,
            Action::Show(show) => show.text(&database::open(config).await?).await?,
            Action::Status(status) => status.text(&database::open(config).await?).await?,
        };
        output::print(&text)
    }
}

impl Run {
    async fn text(self, tasks: &Tasks) -> Result<String> {
        let actor = self.actor.actor()?;
        let now = tasks.clock().now();
        let time = |text: &Option<String>| text.as_deref().map(|text| payload::past(text, now)).transpose();
        let order = Order {
            dry_run: self.dry_run,
            number: self.number.clone(),
            from: time(&self.from).context("--from")?,
            to: time(&self.to).context("--to")?,
            overlap_minutes: OVERLAP_MINUTES,
        };
        if let (Some(from), Some(to)) = (order.from, order.to)
            && from >= to
        {
            bail!("--from is not before --to");
        }
        let run = reconcile::begin_by_hand(tasks, &order, &actor).await?;
        if self.json {
            return output::json(&json!({"run": run, "dry_run": self.dry_run}));
        }
        Ok(format!("run {run} has begun; see `trunkline reconcile show {run}`\n"))
    }
}

impl List {
    async fn text(self, db: &Db) -> Result<String> {
        let mut runs = reconcile::list(db, self.before, self.limit).await?;
        runs.iter_mut().for_each(hide);
        if self.json {
            return output::json(&runs);
        }
        let now = Clock::system().now();
        let mut table = output::Table::new(&[
            ">RUN",
            "STATE",
            "WHEN",
            "TOOK",
            ">REQUESTS",
            ">FOUND",
            ">MISSING",
            ">REPAIRED",
            "FROM",
            "NUMBER",
            "BY",
        ]);
        for details in runs {
            let run = &details.run;
            table.row([
                run.id.to_string(),
                state(&details),
                output::relative(run.started_at, now),
                output::roughly(run.ended_at.unwrap_or(now) - run.started_at),
                details.sum(|row| row.requests).to_string(),
                details.sum(kept(|row| row.found)).to_string(),
                details.sum(|row| row.missing).to_string(),
                details.sum(|row| row.repaired).to_string(),
                run.from_at.map_or_else(|| "last time".to_owned(), |from| output::relative(from, now)),
                run.number.clone().unwrap_or_default(),
                run.cause.clone(),
            ]);
        }
        Ok(table.text("nothing was reconciled yet"))
    }
}

impl Show {
    async fn text(self, db: &Db) -> Result<String> {
        let Some(mut details) = reconcile::show(db, self.run).await? else {
            bail!("there is no run {}; see `trunkline reconcile list`", self.run);
        };
        hide(&mut details);
        if self.json {
            return output::json(&details);
        }
        Ok(described(&details))
    }
}

impl Standing {
    async fn text(self, db: &Db) -> Result<String> {
        let mut status = reconcile::status(db).await?;
        status.last.iter_mut().chain(&mut status.running).for_each(hide);
        if self.json {
            return output::json(&status);
        }
        let Status { last, running } = status;
        let mut text = match &last {
            Some(last) => described(last),
            None => "no run has looked at everything yet\n".to_owned(),
        };
        if let Some(running) = &running {
            text += &format!("\nunder way:\n{}", described(running));
        }
        Ok(text)
    }
}

/// Figures of what is kept; numbers and conversations are only the way there.
fn kept(figure: impl Fn(&CountRow) -> i64) -> impl Fn(&CountRow) -> i64 {
    move |row| if matches!(row.kind.as_str(), "numbers" | "conversations") { 0 } else { figure(row) }
}

fn state(details: &Details) -> String {
    let dry = if details.run.dry_run { ", dry" } else { "" };
    format!("{}{dry}", details.run.state)
}

/// Our number was given by whoever began the run; it is a phone number all the same.
fn hide(details: &mut Details) {
    details.run.number = details.run.number.as_deref().map(mask::phones_in);
}

fn described(details: &Details) -> String {
    let now = Clock::system().now();
    let run = &details.run;
    let next = details.next.as_ref().map(|next| {
        let place: Vec<&str> = [&next.phone_number_id, &next.conversation_id]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let continued = if next.continued { ", in the middle of a list" } else { "" };
        format!("{} {}{continued}; {} pages known of", next.kind, place.join(" "), next.pages)
    });
    let since = match run.from_at {
        Some(from) => output::time(from, now),
        None => format!("{} minutes before the last time", run.overlap_minutes),
    };
    let mut text = format!("run {}\n", run.id);
    text += &output::fields(&[
        ("state", Some(state(details))),
        ("begun", Some(output::time(run.started_at, now))),
        ("ended", run.ended_at.map(|ended| output::time(ended, now))),
        ("took", run.ended_at.map(|ended| output::roughly(ended - run.started_at))),
        ("since", Some(since)),
        ("up to", Some(output::time(run.to_at, now))),
        ("number", run.number.clone()),
        ("by", Some(run.cause.clone())),
        ("next", next),
        ("error", run.error.clone()),
    ]);
    let mut table = output::Table::new(&["KIND", ">REQUESTS", ">REFUSED", ">FOUND", ">MISSING", ">REPAIRED"]);
    for row in &details.counts {
        let figures = [row.requests, row.refused, row.found, row.missing, row.repaired];
        table.row([row.kind.clone()].into_iter().chain(figures.map(|figure| figure.to_string())));
    }
    text + "\n" + &table.text("it has not asked for anything yet")
}
