//! `trunkline campaigns plan`: who will get what and when.

use std::fmt::Write as _;

use anyhow::Result;
use chrono::{DateTime, Duration, DurationRound, Utc};
use clap::Args;
use serde_json::json;
use trunkline_jobs::campaigns::flight::{FlightPlan, Foreseen, Hour, Price, Tower};
use trunkline_platform::clock::Clock;

use super::look::found;
use crate::cli::{database, output, payload};
use crate::config::Config;
use crate::mask;

/// Lines of the table of hours; a longer flight is told by days.
const MOST_LINES: usize = 48;

#[derive(Args, Debug)]
pub(super) struct FlightPlanOf {
    id: i64,
    /// As if it started then; by default when it is scheduled for, or now
    #[arg(long, value_name = "TIME", conflicts_with = "within")]
    at: Option<String>,
    /// As if it started so long from now: 90m
    #[arg(long = "in", value_name = "TIME", id = "within")]
    within: Option<String>,
    /// One line for everybody, in the order of their turns: JSON, with the time and the number, or the reason
    #[arg(long, conflicts_with = "json")]
    each: bool,
    /// Show phone numbers
    #[arg(long, requires = "each")]
    unmask: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl FlightPlanOf {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let db = database::open(config).await?;
        let campaign = found(&db, self.id).await?;
        let now = Clock::system().now();
        let asked = payload::not_before(self.at.as_deref(), self.within.as_deref(), now)?;
        let start = asked.or(campaign.scheduled_for).map_or(now, |start| start.max(now));
        let holidays = config.campaigns.holidays()?;
        let tower = Tower { db: &db, holidays: &holidays, limit: config.openphone.rate_limit() };
        let mut broken = None;
        let mut each = |foreseen: Foreseen<'_>| {
            let number = if self.unmask { foreseen.number.clone() } else { mask::phone(&foreseen.number) };
            let line = serde_json::to_string(&Foreseen { number, ..foreseen });
            if let Err(error) = line.map_err(Into::into).and_then(|line| output::print(&(line + "\n"))) {
                broken.get_or_insert(error);
            }
        };
        let plan = if self.each {
            tower.foresee(&campaign, start, now, Some(&mut each)).await?
        } else {
            tower.foresee(&campaign, start, now, None).await?
        };
        if let Some(error) = broken {
            return Err(error);
        }
        if self.each {
            return Ok(());
        }
        let price = &config.campaigns.segment_price;
        if self.json {
            let mut document = serde_json::to_value(&plan)?;
            document["cost"] = json!(price.of(plan.segments));
            return output::print(&output::json(&document)?);
        }
        output::print(&text(&plan, price, campaign.plan.0.dry_run, now))
    }
}

fn text(plan: &FlightPlan, price: &Price, dry_run: bool, now: DateTime<Utc>) -> String {
    let at = |time: Option<DateTime<Utc>>| time.map(|time| output::time(time, now));
    let length = plan.last_at.map(|last| output::roughly(last - plan.starts_at));
    let mut text = format!("flight plan of campaign {}\n", plan.campaign);
    let stopped = plan.stopped.as_ref().map(|stopped| {
        let (reason, waiting) = (&stopped.reason, stopped.waiting);
        let when = output::time(stopped.at, now);
        match reason.as_str() {
            "horizon" => format!("{waiting} people wait for longer than is looked ahead, until {when}"),
            _ => format!("{reason}, {when}, with {waiting} people waiting"),
        }
    });
    text += &output::fields(&[
        ("dry run", dry_run.then(|| "nothing is sent; this is what would be".to_owned())),
        ("starts", Some(output::time(plan.starts_at, now))),
        ("first leaves", at(plan.first_at)),
        ("last leaves", at(plan.last_at)),
        ("takes", length),
        ("is paused by", stopped),
        ("recipients", Some(plan.recipients.to_string())),
        ("texts", Some(plan.texts.to_string())),
        ("segments", Some(plan.segments.to_string())),
        ("cost", Some(format!("{} (at {price} a segment)", price.of(plan.segments)))),
        ("beside", Some(beside(plan)).filter(|beside| !beside.is_empty())),
    ]);
    let mut table = output::Table::new(&["WHAT", "WHICH", ">PEOPLE", "FOR"]);
    let counts = [
        ("from", &plan.numbers),
        ("text", &plan.variants),
        ("held first", &plan.held),
        ("refused", &plan.refused),
    ];
    for (what, counts) in counts {
        for (which, count) in counts {
            table.row([what.to_owned(), which.clone(), count.to_string(), String::new()]);
        }
    }
    for (which, seconds) in &plan.waits {
        let length = output::roughly(Duration::seconds(*seconds));
        table.row(["all wait for".to_owned(), which.clone(), String::new(), length]);
    }
    let _ = write!(text, "{}{}", table.text("nobody would get a text"), hours(plan));
    text
}

fn beside(plan: &FlightPlan) -> String {
    let others: Vec<String> = plan.others.iter().map(i64::to_string).collect();
    let more = if plan.more_others { ", and more that are left out" } else { "" };
    if others.is_empty() { String::new() } else { format!("running campaigns {}{more}", others.join(", ")) }
}

fn hours(plan: &FlightPlan) -> String {
    let by_day = plan.hours.len() > MOST_LINES;
    let mut lines: Vec<Hour> = Vec::new();
    for hour in &plan.hours {
        let day = hour.begins.duration_trunc(Duration::days(1)).unwrap_or(hour.begins);
        let begins = if by_day { day } else { hour.begins };
        match lines.last_mut().filter(|line| line.begins == begins) {
            Some(line) => {
                line.texts += hour.texts;
                line.segments += hour.segments;
            }
            None => lines.push(Hour { begins, ..*hour }),
        }
    }
    let most = lines.iter().map(|line| line.texts).max().unwrap_or(1).max(1);
    let mut table = output::Table::new(&["UTC", ">TEXTS", ">SEGMENTS", ""]);
    for line in lines {
        let bar = "#".repeat(usize::try_from((line.texts * 40).div_ceil(most)).unwrap_or_default());
        let form = if by_day { "%Y-%m-%d" } else { "%Y-%m-%d %H:00" };
        let begins = line.begins.format(form).to_string();
        table.row([begins, line.texts.to_string(), line.segments.to_string(), bar]);
    }
    table.text("")
}
