//! What a campaign is to do: kept as one document with the campaign.

use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use trunkline_platform::task::Rate;

use super::experiment::WinnerRule;
use super::hours::Hours;
use super::template::{Missing, TemplateError};
use super::variants::{self, MOST_HOLDOUT, MOST_VARIANTS, MOST_WEIGHT, Variant};
use crate::contacts::segments::Filter;
use crate::media::Sha256Hash;

/// Texts of one of our numbers a day, unless the plan says otherwise.
pub const DAILY_CAP: u32 = 125;
/// The gate counts texts one by one.
const MOST_COUNTED: u32 = 10_000;
const MOST_SENDERS: usize = 50;
/// Thirty days.
const MOST_HOURS: u32 = 720;
const LONGEST_RATE: Duration = Duration::from_secs(86_400);

/// To whom it goes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Everybody on record.
    Everyone,
    /// Those who have a tag when the campaign begins.
    Tag(String),
    /// Those whom a filter takes when the campaign begins.
    Segment(Filter),
    /// Those who were named when it was made.
    List,
}

/// What a campaign is to do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Plan {
    pub audience: Audience,
    /// Whoever comes to be one of the audience while the campaign runs joins it.
    #[serde(default)]
    pub late_joiners: bool,
    /// Our numbers it is sent from, by the provider's ids.
    pub senders: Vec<String>,
    pub variants: Vec<Variant>,
    /// So many percent of the recipients get nothing, and are counted apart.
    #[serde(default)]
    pub holdout_percent: u32,
    /// Texts by their names that are not sent any more: who would get one gets none.
    #[serde(default)]
    pub without: Vec<String>,
    pub missing: Missing,
    pub hours: Hours,
    /// Nothing goes on days of the holidays file.
    pub skip_holidays: bool,
    /// Texts of this campaign in a period; as fast as the provider takes them when absent. `600/h`.
    pub rate: Option<String>,
    /// Nobody gets two campaigns' texts within so many days; 0: no matter.
    pub duplicate_days: u32,
    /// Texts of each of our numbers in any 24 hours.
    pub daily_cap: u32,
    /// Segments it may use up; the campaign is held when the next text would not fit.
    pub budget_segments: Option<u32>,
    /// So many hours after a text what its recipient answers belongs to it.
    #[serde(default = "counts_for_hours")]
    pub counts_for_hours: u32,
    /// When a text is promoted by itself; never when absent.
    #[serde(default)]
    pub winner: Option<WinnerRule>,
    /// Everything is decided and nothing is sent.
    pub dry_run: bool,
}

const fn counts_for_hours() -> u32 {
    72
}

#[derive(Debug, Error)]
pub enum PlanError {
    #[error("name the number it is sent from by its id (PN…)")]
    NoSender,
    #[error("at most {MOST_SENDERS} numbers can send one campaign")]
    ManySenders,
    #[error("{0:?} is no id of a number: it begins with PN")]
    Sender(String),
    #[error("a campaign has one to {MOST_VARIANTS} texts")]
    Variants,
    #[error("two texts have the name {0:?}")]
    VariantTwice(String),
    #[error("{0:?} is no name of a text: letters, digits, - and _, 32 at most, and not \"holdout\"")]
    VariantName(String),
    #[error("the weight of text {0} must be from 1 to {MOST_WEIGHT}")]
    Weight(String),
    #[error("at most {MOST_HOLDOUT} percent can be held out")]
    Holdout,
    #[error("the campaign has no text {0:?} that it still sends")]
    NoSuchText(String),
    #[error("{0:?} is the last text it sends; cancel the campaign instead")]
    LastText(String),
    #[error("text {name}: {source}")]
    Template { name: String, source: TemplateError },
    #[error(
        "the rate {0:?} is none: write 5/m or 600/h, over a day at most and {MOST_COUNTED} texts at most"
    )]
    Rate(String),
    #[error("the daily cap must be from 1 to {MOST_COUNTED}")]
    Cap,
    #[error("duplicates can be looked for within 365 days at most")]
    Duplicates,
    #[error("nobody joins a list of numbers later: choose a segment, a tag or everyone")]
    LateToList,
    #[error("one text has nobody to win against: give a second one, or no rule of the winner")]
    WinsAlone,
    #[error("the chance of a wrong winner must be from 1 to {0} percent")]
    Alpha(u32),
    #[error("from 1 to {0} texts of each must have left before one can win")]
    Minimum(u32),
    #[error("answers belong to a text for 1 to {MOST_HOURS} hours")]
    CountsFor,
}

impl Plan {
    /// Tells this plan from any other, such as what somebody has made of it since it was looked at.
    pub fn tag(&self) -> String {
        // What cannot be written as JSON was never kept, so nobody has seen it.
        let hash: [u8; 32] = Sha256::digest(serde_json::to_vec(self).unwrap_or_default()).into();
        Sha256Hash::from(hash).to_string()
    }

    /// One text to these numbers' list, everything else by default.
    pub fn new(audience: Audience, sender: impl Into<String>, template: impl Into<String>) -> Self {
        Self {
            audience,
            late_joiners: false,
            senders: vec![sender.into()],
            variants: vec![Variant::new("A", template)],
            holdout_percent: 0,
            without: Vec::new(),
            missing: Missing::default(),
            hours: Hours::default(),
            skip_holidays: false,
            rate: None,
            duplicate_days: 1,
            daily_cap: DAILY_CAP,
            budget_segments: None,
            counts_for_hours: counts_for_hours(),
            winner: None,
            dry_run: false,
        }
    }

    /// That it can be carried out.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.senders.is_empty() {
            return Err(PlanError::NoSender);
        }
        if self.senders.len() > MOST_SENDERS {
            return Err(PlanError::ManySenders);
        }
        if let Some(wrong) = self.senders.iter().find(|sender| !sender.starts_with("PN") || sender.len() > 64)
        {
            return Err(PlanError::Sender(wrong.clone()));
        }
        variants::check(&self.variants)?;
        if self.holdout_percent > MOST_HOLDOUT {
            return Err(PlanError::Holdout);
        }
        if let Some(rule) = &self.winner {
            if self.variants.len() < 2 {
                return Err(PlanError::WinsAlone);
            }
            rule.check()?;
        }
        self.rate()?;
        if self.daily_cap == 0 || self.daily_cap > MOST_COUNTED {
            return Err(PlanError::Cap);
        }
        if self.late_joiners && self.audience == Audience::List {
            return Err(PlanError::LateToList);
        }
        if self.duplicate_days > 365 {
            return Err(PlanError::Duplicates);
        }
        if !(1..=MOST_HOURS).contains(&self.counts_for_hours) {
            return Err(PlanError::CountsFor);
        }
        Ok(())
    }

    /// Sends one of its texts no more.
    ///
    /// # Errors
    /// When there is no such text, or no other is left.
    pub fn leave_out(&mut self, name: &str) -> Result<(), PlanError> {
        let sent = |variant: &&Variant| !self.without.contains(&variant.name);
        let mut left = self.variants.iter().filter(sent);
        if !left.clone().any(|variant| variant.name == name) {
            return Err(PlanError::NoSuchText(name.to_owned()));
        }
        if left.all(|variant| variant.name == name) {
            return Err(PlanError::LastText(name.to_owned()));
        }
        self.without.push(name.to_owned());
        Ok(())
    }

    /// The campaign's own rate.
    pub fn rate(&self) -> Result<Option<Rate>, PlanError> {
        let Some(text) = &self.rate else { return Ok(None) };
        let wrong = || PlanError::Rate(text.clone());
        let rate: Rate = text.parse().map_err(|_| wrong())?;
        if rate.count() > MOST_COUNTED || rate.period() > LONGEST_RATE {
            return Err(wrong());
        }
        Ok(Some(rate))
    }

    /// How far back a text of another campaign counts.
    pub fn duplicates_within(&self) -> TimeDelta {
        TimeDelta::days(i64::from(self.duplicate_days))
    }

    /// How long after a text what its recipient answers belongs to it.
    pub fn counts_for(&self) -> TimeDelta {
        TimeDelta::hours(i64::from(self.counts_for_hours))
    }

    /// The text of a recipient's variant.
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::new(Audience::List, "PN1", "Sale! Reply STOP to opt out")
    }

    #[test]
    fn a_plan_is_kept_and_read_back() {
        let plan = Plan { rate: Some("600/h".to_owned()), ..plan() };
        assert!(plan.check().is_ok());
        let kept = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&kept).unwrap(), plan);
        let segment = Audience::Segment("tag:vip -state:TX last_reply<30d".parse().unwrap());
        let plan = Plan { audience: segment, late_joiners: true, ..plan };
        let kept = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&kept).unwrap(), plan);
        assert!(serde_json::from_str::<Plan>(&kept.replace("tag:vip", "tag:")).is_err());
    }

    #[test]
    fn a_text_can_be_left_out_while_another_is_left() {
        let mut two = Plan { variants: vec![Variant::new("A", "STOP"), Variant::new("B", "STOP")], ..plan() };
        assert!(matches!(two.leave_out("C"), Err(PlanError::NoSuchText(_))));
        assert!(two.leave_out("B").is_ok());
        assert!(matches!(two.leave_out("B"), Err(PlanError::NoSuchText(_))));
        assert!(matches!(two.leave_out("A"), Err(PlanError::LastText(_))));
        assert_eq!(two.without, ["B"]);
    }

    #[test]
    fn what_cannot_be_carried_out_is_told() {
        let named = |name: &str| Variant::new(name, "STOP");
        let twice = named("A");
        let wrong = [
            (Plan { senders: Vec::new(), ..plan() }, "by its id"),
            (Plan { senders: vec!["+12125550199".to_owned()], ..plan() }, "begins with PN"),
            (Plan { variants: Vec::new(), ..plan() }, "one to 5 texts"),
            (Plan { variants: vec![twice.clone(), twice], ..plan() }, "the name \"A\""),
            (Plan { variants: vec![named("holdout")], ..plan() }, "no name of a text"),
            (Plan { variants: vec![named("A b")], ..plan() }, "no name of a text"),
            (Plan { variants: vec![Variant { weight: 0, ..named("B") }], ..plan() }, "weight of text B"),
            (Plan { variants: vec![named("A"), Variant::new("B", "Sale!")], ..plan() }, "text B"),
            (
                Plan { variants: ["A", "B", "C", "D", "E", "F"].map(named).to_vec(), ..plan() },
                "one to 5 texts",
            ),
            (Plan { holdout_percent: 91, ..plan() }, "held out"),
            (Plan::new(Audience::Everyone, "PN1", "Sale!"), "how to stop"),
            (Plan { rate: Some("fast".to_owned()), ..plan() }, "the rate \"fast\""),
            (Plan { rate: Some("1/2d".to_owned()), ..plan() }, "over a day"),
            (Plan { daily_cap: 0, ..plan() }, "from 1 to"),
            (Plan { duplicate_days: 366, ..plan() }, "365 days"),
            (Plan { late_joiners: true, ..plan() }, "list of numbers"),
            (Plan { winner: Some(WinnerRule::default()), ..plan() }, "nobody to win against"),
            (Plan { counts_for_hours: 0, ..plan() }, "1 to 720 hours"),
        ];
        for (plan, told) in wrong {
            let error = plan.check().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
