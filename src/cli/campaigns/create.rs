//! `trunkline campaigns create`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use trunkline_jobs::campaigns::experiment::{Metric, WinnerRule};
use trunkline_jobs::campaigns::{
    Audience, DAILY_CAP, Hours, Missing, Plan, Variant, add_recipients, create, sms,
};
use trunkline_jobs::contacts::segments::{self, Filter, SegmentError};
use trunkline_platform::db::Db;
use trunkline_platform::task::Tasks;

use crate::cli::audit::ActorArgs;
use crate::cli::segments::told as segments_told;
use crate::cli::{database, output};
use crate::config::Config;

/// A list longer than this belongs into the contacts, under a tag.
const MOST_NUMBERS: usize = 100_000;
const LONGEST_LINE: usize = 64;

#[derive(Args, Debug)]
pub(super) struct Create {
    /// What it is called
    name: String,
    /// The text: `Hi {{first_name|there}}, … Reply STOP to opt out`; @FILE for the text of a file
    #[arg(long, required_unless_present = "variant", conflicts_with = "variant")]
    text: Option<String>,
    /// One of two to five texts that are tried against each other, with its weight (1 by default); @FILE for the text of a file
    #[arg(long, value_name = "NAME[:WEIGHT]=TEXT")]
    variant: Vec<String>,
    /// So many percent of the people get nothing, to compare with
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    holdout: u32,
    /// Our number it is sent from, by the provider's id (PN…); several share the work
    #[arg(long, value_name = "ID", required = true)]
    from: Vec<String>,
    /// To everybody on record
    #[arg(long, conflicts_with_all = ["tag", "segment", "numbers"])]
    everyone: bool,
    /// To those who have this tag when it starts
    #[arg(long, conflicts_with_all = ["segment", "numbers"])]
    tag: Option<String>,
    /// To those whom a segment or a filter takes when it starts: its name, or 'tag:vip state:TX -flag:test'
    #[arg(long, value_name = "NAME|FILTER", conflicts_with = "numbers", allow_hyphen_values = true)]
    segment: Option<String>,
    /// Whoever comes to be one of them while it runs joins
    #[arg(long, conflicts_with = "numbers")]
    late_joiners: bool,
    /// To the numbers of a file, one in E.164 a line
    #[arg(long, value_name = "FILE")]
    numbers: Option<PathBuf>,
    /// Where a record lacks a variable that has no default: skip the person, leave it blank, or hold the campaign
    #[arg(long, value_name = "HOW", default_value = "skip", value_parser = missing)]
    missing: Missing,
    /// When people may be texted, by their own clocks: 09:00-20:00, or mon-fri 09:00-20:00, sat 10:00-18:00
    #[arg(long, default_value_t)]
    hours: Hours,
    /// Send nothing on days of the holidays file (campaigns.holidays)
    #[arg(long)]
    skip_holidays: bool,
    /// Texts in a period: 5/m, 600/h; as many as the provider takes by default
    #[arg(long)]
    rate: Option<String>,
    /// Nobody gets two campaigns' texts within so many days
    #[arg(long, value_name = "DAYS", default_value_t = 1)]
    duplicate_days: u32,
    /// Texts of each of our numbers in any 24 hours
    #[arg(long, value_name = "TEXTS", default_value_t = DAILY_CAP)]
    daily_cap: u32,
    /// Segments it may use up before it is held
    #[arg(long, value_name = "SEGMENTS")]
    budget: Option<u32>,
    /// Promote the text that more people answer, or after which fewer ask to stop, as soon as that is certain
    #[arg(long, value_name = "METRIC", value_parser = metric)]
    winner: Option<Metric>,
    /// The chance, in percent, that --winner promotes a text that is no better
    #[arg(long, value_name = "PERCENT", requires = "winner")]
    alpha: Option<u32>,
    /// So many texts of each must have left before --winner promotes one
    #[arg(long, value_name = "TEXTS", requires = "winner")]
    minimum: Option<u32>,
    /// What people answer within so many hours belongs to the text; campaigns.counts_for by default
    #[arg(long, value_name = "HOURS")]
    counts_for: Option<u32>,
    /// Decide everything and send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

fn missing(word: &str) -> Result<Missing, String> {
    match word {
        "skip" => Ok(Missing::Skip),
        "blank" => Ok(Missing::Blank),
        "hold" => Ok(Missing::Hold),
        _ => Err(format!("{word:?} is no way to go on: there are skip, blank and hold")),
    }
}

fn metric(word: &str) -> Result<Metric, String> {
    match word {
        "replies" => Ok(Metric::Replies),
        "opt-outs" => Ok(Metric::OptOuts),
        _ => Err(format!("{word:?} is nothing to win by: there are replies and opt-outs")),
    }
}

impl Create {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let tasks = database::open_tasks(config).await?;
        output::print(&self.text(&tasks, config.campaigns.counts_for_hours()).await?)
    }

    async fn text(self, tasks: &Tasks, counts_for_hours: u32) -> Result<String> {
        let now = tasks.clock().now();
        let filter = match &self.segment {
            Some(told) => Some(filter(tasks.db(), told).await?),
            None => None,
        };
        let count = match &filter {
            Some(filter) => Some(segments::count(tasks.db(), filter, now).await?),
            None => None,
        };
        let mut plan = self.plan(filter)?;
        plan.counts_for_hours = self.counts_for.unwrap_or(counts_for_hours);
        let numbers = self.numbers.as_ref().map(read_numbers).transpose()?.unwrap_or_default();
        let actor = self.actor.actor()?;
        let mut tx = tasks.begin().await?;
        let campaign = create(tx.session(), &self.name, &plan, &actor, now).await?;
        if !numbers.is_empty() {
            add_recipients(tx.session(), &campaign, &numbers, now).await?;
        }
        tx.commit().await?;
        if self.json {
            let told = json!({ "id": campaign.id, "plan": plan, "numbers": numbers.len(), "count": count });
            return output::json(&told);
        }
        let mut text = format!("campaign {} is a draft", campaign.id);
        if !numbers.is_empty() {
            text += &format!(" to {} numbers", numbers.len());
        }
        if let Some(count) = count {
            text += &format!(" to {}", segments_told(&count));
        }
        text +=
            &format!("; see `trunkline campaigns preview {0}`, then `campaigns start {0}`\n", campaign.id);
        for variant in &plan.variants {
            if let Some((character, place)) = sms::segments(&variant.template).forced_by {
                text += &format!(
                    "  {character:?} at character {place} makes text {} UCS-2: 70 characters a segment instead of 160\n",
                    variant.name
                );
            }
        }
        Ok(text)
    }

    fn plan(&self, filter: Option<Filter>) -> Result<Plan> {
        let audience = match (filter, &self.tag, &self.numbers, self.everyone) {
            (Some(filter), None, None, false) => Audience::Segment(filter),
            (None, Some(tag), None, false) => Audience::Tag(tag.clone()),
            (None, None, Some(_), false) => Audience::List,
            (None, None, None, true) => Audience::Everyone,
            _ => bail!("to whom? Say --segment NAME|FILTER, --tag TAG, --numbers FILE or --everyone"),
        };
        let mut plan = Plan::new(audience, "", "");
        plan.variants = match &self.text {
            Some(text) => vec![Variant::new("A", words(text)?)],
            None => self.variant.iter().map(|told| variant(told)).collect::<Result<_>>()?,
        };
        plan.late_joiners = self.late_joiners;
        plan.holdout_percent = self.holdout;
        plan.winner = self.winner.map(|metric| {
            let rule = WinnerRule::default();
            let alpha_percent = self.alpha.unwrap_or(rule.alpha_percent);
            WinnerRule { metric, alpha_percent, minimum: self.minimum.unwrap_or(rule.minimum) }
        });
        plan.senders = self.from.clone();
        plan.missing = self.missing;
        plan.hours = self.hours.clone();
        plan.skip_holidays = self.skip_holidays;
        plan.rate = self.rate.clone();
        plan.duplicate_days = self.duplicate_days;
        plan.daily_cap = self.daily_cap;
        plan.budget_segments = self.budget;
        plan.dry_run = self.dry_run;
        Ok(plan)
    }
}

/// The filter of a segment of this name, or what is written.
async fn filter(db: &Db, told: &str) -> Result<Filter> {
    match segments::show(db, told).await {
        Ok(segment) => Ok(segment.filter()?),
        Err(SegmentError::Unknown(_)) => {
            told.parse().with_context(|| format!("there is no segment {told:?}, and as a filter it is none"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The text of an argument, or of the file it names.
fn words(argument: &str) -> Result<String> {
    let text = match argument.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?,
        None => argument.to_owned(),
    };
    Ok(text.trim_end().to_owned())
}

fn variant(argument: &str) -> Result<Variant> {
    let wrong = || format!("{argument:?} is no text with a name: write A='…' or A:2='…'");
    let (name, text) = argument.split_once('=').with_context(wrong)?;
    let (name, weight) = match name.split_once(':') {
        Some((name, weight)) => (name, weight.parse().with_context(wrong)?),
        None => (name, 1),
    };
    Ok(Variant { weight, ..Variant::new(name, words(text)?) })
}

fn read_numbers(path: &PathBuf) -> Result<Vec<String>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut numbers = Vec::new();
    for (line, text) in (1..).zip(BufReader::new(file).lines()) {
        let text = text.with_context(|| format!("cannot read line {line} of {}", path.display()))?;
        let number = text.trim();
        if number.is_empty() || number.starts_with('#') {
            continue;
        }
        let digits = number.strip_prefix('+').unwrap_or_default();
        let is_number =
            (8..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number || number.len() > LONGEST_LINE {
            bail!("line {line} of {} is no number in E.164: write +12125550101", path.display());
        }
        if numbers.len() == MOST_NUMBERS {
            bail!("a list has {MOST_NUMBERS} numbers at most: import them as contacts, and name their tag");
        }
        numbers.push(number.to_owned());
    }
    if numbers.is_empty() {
        bail!("{} has no numbers", path.display());
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_a_name_and_perhaps_a_weight() {
        let told = variant("A=Now: 1+1=2. STOP").unwrap();
        assert_eq!((told.name.as_str(), told.weight, told.template.as_str()), ("A", 1, "Now: 1+1=2. STOP"));
        let told = variant("long:3=Sale. STOP\n").unwrap();
        assert_eq!((told.name.as_str(), told.weight, told.template.as_str()), ("long", 3, "Sale. STOP"));
        for wrong in ["Sale. STOP", "A:x=Sale", "A:-1=Sale"] {
            assert!(variant(wrong).unwrap_err().to_string().contains("A:2="), "{wrong}");
        }
        assert!(variant("A=@/nowhere/at/all").unwrap_err().to_string().contains("cannot read"));
    }
}
