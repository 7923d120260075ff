//! `trunkline campaigns list|show|preview`.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use trunkline_jobs::campaigns::{self, CampaignFilter, CampaignRow, Live, State, breaker};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use super::live;
use super::numbers;
use crate::cli::{database, output};
use crate::config::Config;
use crate::mask;

/// The latest times the breaker stopped a campaign.
const MOST_TRIPS: u32 = 10;

#[derive(Args, Debug)]
pub(super) struct List {
    /// draft, scheduled, running, paused, completed or cancelled
    #[arg(long)]
    state: Option<State>,
    /// Only older ones: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    id: i64,
    /// Tell when it will end although very many wait, which takes some seconds
    #[arg(long)]
    forecast: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Preview {
    id: i64,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Show phone numbers and texts
    #[arg(long)]
    unmask: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let filter = CampaignFilter { state: self.state, before: self.before, limit: self.limit };
        let rows = campaigns::list(&db, &filter).await?;
        if self.json {
            return output::print(&output::json(&rows)?);
        }
        let now = Clock::system().now();
        let mut table = output::Table::new(&[
            ">ID",
            "NAME",
            "STATE",
            ">RECIPIENTS",
            ">SEGMENTS",
            "MADE",
            "WAITS FOR",
            "WHY",
        ]);
        for row in rows {
            let waits = row.waits_for.as_ref().map(|what| {
                let until = row.next_at.map(|at| output::relative(at, now)).unwrap_or_default();
                format!("{what} {until}")
            });
            table.row([
                row.id.to_string(),
                output::shortened(&row.name, 40),
                row.state.to_string(),
                row.recipients.to_string(),
                row.segments.to_string(),
                output::relative(row.created_at, now),
                waits.unwrap_or_default(),
                output::shortened(&row.reason.map(|why| mask::phones_in(&why)).unwrap_or_default(), 40),
            ]);
        }
        output::print(&table.text("there are no campaigns"))
    }
}

impl Show {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        output::print(&self.text(&db, config).await?)
    }

    async fn text(&self, db: &Db, config: &Config) -> Result<String> {
        let campaign = found(db, self.id).await?;
        let outcomes = campaigns::outcomes(db, self.id).await?;
        let trips = breaker::trips_of(db, self.id, MOST_TRIPS).await?;
        let now = Clock::system().now();
        let live = Live::of(db, &campaign, &outcomes, now).await?;
        let progress = live::progress(db, config, &campaign, live.waiting, self.forecast, now).await?;
        if self.json {
            let mut document = serde_json::to_value(&campaign)?;
            document["live"] = serde_json::to_value(&live)?;
            document["progress"] = serde_json::to_value(&progress)?;
            document["trips"] = serde_json::to_value(&trips)?;
            document["outcomes"] = serde_json::to_value(&outcomes)?;
            return output::json(&document);
        }
        let plan = &campaign.plan.0;
        let at = |time: Option<_>| time.map(|time| output::time(time, now));
        let mut text = format!("campaign {} {:?} is {}\n", campaign.id, campaign.name, campaign.state);
        text += &output::fields(&[
            ("why", campaign.reason.as_deref().map(mask::phones_in)),
            ("seen", trips.iter().find(|trip| trip.released_at.is_none()).map(numbers::seen)),
            ("waits for", campaign.waits_for.clone()),
            ("until", at(campaign.next_at)),
            ("starts", at(campaign.scheduled_for)),
            ("started", at(campaign.started_at)),
            ("ended", at(campaign.ended_at)),
            ("planned", progress.as_ref().map(live::told)),
            ("planned end", at(progress.as_ref().and_then(|progress| progress.planned_end))),
            ("will end", at(progress.as_ref().and_then(|progress| progress.ends_at))),
            ("last minute", Some(format!("{} texts", live.last_minute))),
            ("recipients", Some(campaign.recipients.to_string())),
            ("segments", Some(campaign.segments.to_string())),
            ("budget", plan.budget_segments.map(|budget| format!("{budget} segments"))),
            ("from", Some(plan.senders.join(", "))),
            ("hours", Some(plan.hours.to_string())),
            ("rate", plan.rate.clone()),
            ("daily cap", Some(format!("{} for each of our numbers", plan.daily_cap))),
            ("winner", campaign.winner.as_ref().map(|text| format!("text {text}"))),
            ("promoted", at(campaign.promoted_at)),
            ("held out", (plan.holdout_percent > 0).then(|| format!("{} percent", plan.holdout_percent))),
            ("answers count", Some(format!("{} hours", plan.counts_for_hours))),
            ("dry run", plan.dry_run.then(|| "yes: nothing is sent".to_owned())),
            ("made by", Some(campaign.created_by.clone())),
        ]);
        for variant in &plan.variants {
            let weight =
                if plan.variants.len() > 1 { format!(", weight {}", variant.weight) } else { String::new() };
            text += &format!("  text {}{weight}\n{}", variant.name, output::indented(&variant.template));
        }
        let mut table = output::Table::new(&[">COUNT", "STATE", "REASON", "NEXT"]);
        for row in outcomes {
            let next = row.next_at.filter(|_| row.state == "waiting").map(|next| output::relative(next, now));
            table.row([
                row.count.to_string(),
                row.state,
                row.reason.unwrap_or_default(),
                next.unwrap_or_default(),
            ]);
        }
        Ok(text + &table.text("it has no recipients yet"))
    }
}

impl Preview {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let campaign = found(&db, self.id).await?;
        let holidays = config.campaigns.holidays()?;
        let now = Clock::system().now();
        let rows = campaigns::preview(&db, &campaign, &holidays, now, self.limit).await??;
        let number = |number: &str| if self.unmask { number.to_owned() } else { mask::phone(number) };
        let words = |text: &str| if self.unmask { text.to_owned() } else { mask::text(text) };
        if self.json {
            let rows: Result<Vec<Value>, _> = rows.iter().map(serde_json::to_value).collect();
            let mut rows = rows?;
            for row in &mut rows {
                row["number"] = json!(number(row["number"].as_str().unwrap_or_default()));
                if let Some(text) = row["text"].as_str() {
                    row["text"] = json!(words(text));
                }
            }
            return output::print(&output::json(&rows)?);
        }
        let mut table = output::Table::new(&["NUMBER", "TEXT", "NOW", "WHY", "THEN", ">SEGMENTS", "SAYS"]);
        for row in rows {
            let forced = row.forced_by.map(|(character, place)| format!(" ({character:?} at {place})"));
            table.row([
                number(&row.number),
                row.variant,
                row.verdict.to_owned(),
                row.reason.unwrap_or_default(),
                row.until.map(|until| output::relative(until, now)).unwrap_or_default(),
                row.segments.map(|count| count.to_string() + &forced.unwrap_or_default()).unwrap_or_default(),
                row.text.map(|text| output::shortened(&words(&text), 80)).unwrap_or_default(),
            ]);
        }
        output::print(&table.text("nobody waits: recipients are written down when it starts"))
    }
}

pub(super) async fn found(db: &Db, id: i64) -> Result<CampaignRow> {
    let found = campaigns::show(db, id).await?;
    found.with_context(|| format!("there is no campaign {id}; see `trunkline campaigns list`"))
}
