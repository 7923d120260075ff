//! What a flight plan tells.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Foreseen;
use super::lane::{Lane, Look};
use crate::campaigns::table::CampaignRow;
use crate::campaigns::variants::HOLDOUT;

/// Points of the curve; every second one goes when there are twice as many.
const MOST_POINTS: usize = 512;

/// What will become of a campaign.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct FlightPlan {
    pub campaign: i64,
    pub made_at: DateTime<Utc>,
    /// From when on the campaign is taken to run.
    pub starts_at: DateTime<Utc>,
    /// Texts that had left when it was made; they are in none of the other figures.
    pub already: u64,
    /// Those who had come to no end when it was made.
    pub recipients: u64,
    pub texts: u64,
    pub segments: u64,
    pub first_at: Option<DateTime<Utc>>,
    pub last_at: Option<DateTime<Utc>>,
    /// Texts by our number they are sent from.
    pub numbers: BTreeMap<String, u64>,
    pub variants: BTreeMap<String, u64>,
    /// People who get nothing, by the reason.
    pub refused: BTreeMap<String, u64>,
    /// People who wait before they get theirs, by the reason.
    pub held: BTreeMap<String, u64>,
    /// How long nothing leaves, by what it waits for, in seconds.
    pub waits: BTreeMap<String, i64>,
    pub hours: Vec<Hour>,
    /// Where it does not come to its end.
    pub stopped: Option<Stopped>,
    /// Texts that left, and when so many had: some of them, in order.
    pub curve: Vec<(DateTime<Utc>, u64)>,
    /// Running campaigns that take part.
    pub others: Vec<i64>,
    /// There are more of them than can take part.
    pub more_others: bool,
}

/// Texts of one hour.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Hour {
    pub begins: DateTime<Utc>,
    pub texts: u64,
    pub segments: u64,
}

/// Why and where it stops.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Stopped {
    /// What pauses the campaign; `horizon`: it goes on beyond what is looked at.
    pub reason: String,
    pub at: DateTime<Utc>,
    /// Those who have come to no end by then.
    pub waiting: i64,
}

pub(super) struct Tally {
    plan: FlightPlan,
    /// Texts between two points of the curve.
    stride: u64,
    waits: Option<(&'static str, DateTime<Utc>)>,
}

impl Tally {
    pub(super) fn new(
        campaign: &CampaignRow,
        made_at: DateTime<Utc>,
        starts_at: DateTime<Utc>,
        already: u64,
        (others, more_others): (Vec<i64>, bool),
    ) -> Self {
        let plan = FlightPlan {
            campaign: campaign.id,
            made_at,
            starts_at,
            already,
            others,
            more_others,
            ..FlightPlan::default()
        };
        Self { plan, stride: 1, waits: None }
    }

    /// Counts those who get nothing, so that there is somebody to compare with.
    pub(super) fn holds_out(
        &mut self,
        numbers: impl Iterator<Item = String>,
        at: DateTime<Utc>,
        each: &mut Option<&mut (dyn FnMut(Foreseen<'_>) + Send)>,
    ) {
        for number in numbers {
            count(&mut self.plan.refused, HOLDOUT);
            if let Some(each) = each {
                let reason = Some(HOLDOUT);
                each(Foreseen { number, at, variant: HOLDOUT, sender: None, reason, segments: 0 });
            }
        }
    }

    /// Counts what one look came to.
    pub(super) fn note(
        &mut self,
        lane: &Lane<'_>,
        look: &Look,
        each: &mut Option<&mut (dyn FnMut(Foreseen<'_>) + Send)>,
    ) {
        let plan = &mut self.plan;
        if let Some((what, since)) = self.waits.take() {
            *plan.waits.entry(what.to_owned()).or_default() += (look.at - since).num_seconds();
        }
        self.waits = look.waits_for.map(|what| (what, look.at));
        for reason in &look.held {
            count(&mut plan.held, reason);
        }
        for (person, reason) in &look.refused {
            count(&mut plan.refused, reason);
            if let Some(each) = each {
                let (number, variant) = (person.number(), lane.variant(person));
                let reason = Some(reason.as_str());
                each(Foreseen { number, at: look.at, variant, sender: None, reason, segments: 0 });
            }
        }
        for (person, segments, sender) in &look.texts {
            count(&mut self.plan.numbers, sender);
            count(&mut self.plan.variants, lane.variant(person));
            self.leaves(look.at, *segments);
            if let Some(each) = each {
                let (number, variant) = (person.number(), lane.variant(person));
                let sender = Some(sender.as_str());
                each(Foreseen { number, at: look.at, variant, sender, reason: None, segments: *segments });
            }
        }
    }

    fn leaves(&mut self, at: DateTime<Utc>, segments: u32) {
        let plan = &mut self.plan;
        plan.texts += 1;
        plan.segments += u64::from(segments);
        plan.first_at.get_or_insert(at);
        plan.last_at = Some(at);
        let begins = at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at);
        match plan.hours.last_mut().filter(|hour| hour.begins == begins) {
            Some(hour) => {
                hour.texts += 1;
                hour.segments += u64::from(segments);
            }
            None => plan.hours.push(Hour { begins, texts: 1, segments: u64::from(segments) }),
        }
        if plan.texts.is_multiple_of(self.stride) {
            plan.curve.push((at, plan.texts));
        }
        if plan.curve.len() > 2 * MOST_POINTS {
            self.stride *= 2;
            let stride = self.stride;
            plan.curve.retain(|(_, texts)| texts.is_multiple_of(stride));
        }
    }

    /// The plan, when the lane has come to its end with so many who have not.
    pub(super) fn told(mut self, lane: &Lane<'_>, waiting: i64) -> FlightPlan {
        let plan = &mut self.plan;
        plan.recipients = plan.texts + plan.refused.values().sum::<u64>() + waiting.unsigned_abs();
        let reason = lane.stopped.clone().or_else(|| lane.flies().then(|| "horizon".to_owned()));
        plan.stopped = reason.map(|reason| Stopped { reason, at: lane.next, waiting });
        if let Some(last) = plan.last_at.filter(|_| plan.curve.last().is_none_or(|(_, n)| *n < plan.texts)) {
            plan.curve.push((last, plan.texts));
        }
        self.plan
    }
}

fn count(counts: &mut BTreeMap<String, u64>, what: &str) {
    match counts.get_mut(what) {
        Some(count) => *count += 1,
        None => {
            counts.insert(what.to_owned(), 1);
        }
    }
}
