//! What will become of a campaign: the flight plan.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use trunkline_jobs::campaigns::flight::{self, FlightError, Hour, Price, Stopped};

use super::super::granted::{Granted, Read};
use super::super::problem::{Problem, in_a_minute};
use super::super::{Answer, Desk, Tag};
use super::found;

pub(in crate::admin) struct FlightApi(pub(in crate::admin) Desk);

/// What will become of a campaign
#[derive(Debug, Object)]
struct FlightPlan {
    campaign: i64,
    made_at: DateTime<Utc>,
    /// From when on it is taken to run
    starts_at: DateTime<Utc>,
    /// Texts that had left before; they are in none of the other figures
    already: u64,
    /// Those who have come to no end yet
    recipients: u64,
    texts: u64,
    segments: u64,
    /// What the segments cost
    cost: String,
    first_at: Option<DateTime<Utc>>,
    last_at: Option<DateTime<Utc>>,
    /// Texts by our number they are sent from
    numbers: BTreeMap<String, u64>,
    /// By the name of the text
    by_text: BTreeMap<String, u64>,
    /// People who get nothing, by the reason
    refused: BTreeMap<String, u64>,
    /// People who wait before they get theirs, by the reason
    held: BTreeMap<String, u64>,
    /// How long nothing leaves, by what it waits for, in seconds
    waits_seconds: BTreeMap<String, i64>,
    hours: Vec<FlightHour>,
    /// Where it does not come to its end
    #[oai(skip_serializing_if_is_none)]
    stopped: Option<FlightStopped>,
    /// Running campaigns that share the provider's rate and our numbers' caps with it
    beside: Vec<i64>,
    /// There are more of them than can take part
    more_beside: bool,
}

/// Texts of one hour
#[derive(Debug, Object)]
struct FlightHour {
    begins: DateTime<Utc>,
    texts: u64,
    segments: u64,
}

/// Why and where a campaign stops
#[derive(Debug, Object)]
struct FlightStopped {
    /// What pauses it; `horizon`: it goes on for longer than is looked ahead
    reason: String,
    at: DateTime<Utc>,
    /// Those who have come to no end by then
    waiting: i64,
}

#[OpenApi(tag = "Tag::Campaigns")]
impl FlightApi {
    /// Foresee a campaign
    ///
    /// Who gets what and when, from which number, who is refused and why, what it costs and when the last text leaves: by the
    /// very code that will decide. It takes seconds where very many wait, a minute at most; then the command line tells.
    #[oai(path = "/campaigns/:id/plan", method = "get", operation_id = "plan_campaign")]
    async fn plan(
        &self,
        _by: Granted<Read>,
        id: Path<i64>,
        /// As if it started then; otherwise when it is scheduled for, or now
        at: Query<Option<DateTime<Utc>>>,
    ) -> Answer<FlightPlan> {
        let campaign = found(&self.0, id.0).await?;
        let (rules, now) = (&self.0.campaigns, self.0.tasks.clock().now());
        let start = at.0.or(campaign.scheduled_for).map_or(now, |start| start.max(now));
        let tower = rules.tower(self.0.tasks.db());
        let plan = alone(&self.0, tower.foresee(&campaign, start, now, None)).await?;
        Ok(Json(FlightPlan::of(plan, &rules.price)))
    }
}

/// Foresees when nobody else does, and not for ever.
pub(super) async fn alone<T>(
    desk: &Desk,
    foreseeing: impl Future<Output = Result<T, FlightError>>,
) -> Result<T, Problem> {
    let turn = desk.campaigns.alone(foreseeing);
    // Its turn is waited for in the same minute.
    Ok(in_a_minute(turn, "it takes too long to foresee; ask again later, or the command line").await??)
}

impl FlightPlan {
    fn of(plan: flight::FlightPlan, price: &Price) -> Self {
        let hour =
            |hour: Hour| FlightHour { begins: hour.begins, texts: hour.texts, segments: hour.segments };
        let stopped = |stopped: Stopped| FlightStopped {
            reason: stopped.reason,
            at: stopped.at,
            waiting: stopped.waiting,
        };
        Self {
            campaign: plan.campaign,
            made_at: plan.made_at,
            starts_at: plan.starts_at,
            already: plan.already,
            recipients: plan.recipients,
            texts: plan.texts,
            segments: plan.segments,
            cost: price.of(plan.segments),
            first_at: plan.first_at,
            last_at: plan.last_at,
            numbers: plan.numbers,
            by_text: plan.variants,
            refused: plan.refused,
            held: plan.held,
            waits_seconds: plan.waits,
            hours: plan.hours.into_iter().map(hour).collect(),
            stopped: plan.stopped.map(stopped),
            beside: plan.others,
            more_beside: plan.more_others,
        }
    }
}

impl From<FlightError> for Problem {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Database(error) => error.into(),
            FlightError::Plan(error) => Self::conflict(format!("the plan cannot be carried out: {error}")),
        }
    }
}
