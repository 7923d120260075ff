//! The flight plan: who gets what and when, before it happens.
//!
//! It is the gate itself that answers, on a clock of its own: [`Round`](super::round::Round) decides about the next people by
//! their facts and what the limits leave, the window of the provider's rate grants requests, and time jumps to the moment the gate
//! says it will look again. What the gate counts in the ledger is counted here in memory, beginning with what the ledger
//! has. Campaigns that run take part, because they share the provider's rate and our numbers' caps.
//!
//! What it cannot know: texts that are not accepted, answers and confirmations that take their part of the rate, people
//! who ask to stop meanwhile, campaigns that somebody starts later.
//!
//! * `people`: those who wait, a page at a time. `lane`: one campaign on its way. `world`: what campaigns share.
//! * `tally`: what is told. `compare`: a plan beside what happened.

mod compare;
mod keep;
mod lane;
mod people;
mod price;
mod tally;
mod world;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use thiserror::Error;
use trunkline_platform::db::{Db, DbError, Stmt};

use super::State;
use super::hours::Holidays;
use super::plan::{Plan, PlanError};
use super::read::left_since;
use super::table::{self, CampaignRow};
use crate::provider::RateLimit;
pub use compare::Progress;
pub use keep::{PlanCampaign, kept};
use lane::Lane;
use people::Source;
pub use price::{Price, PriceError};
use tally::Tally;
pub use tally::{FlightPlan, Hour, Stopped};
use world::World;

/// So many who wait are foreseen in an instant.
pub const QUICK: i64 = 20_000;
/// Campaigns that take part beside the one that is asked about.
const MOST_OTHERS: u32 = 20;
/// How far ahead it looks.
const HORIZON: TimeDelta = TimeDelta::days(400);
/// Looks between two times at which other tasks of the process get their turn.
const BREATH: u32 = 1_000;
/// A plan that takes more looks has no end.
const MOST_LOOKS: u32 = 50_000_000;

trunkline_platform::statements! {
    /// The states of the index are named as it names them: SQLite draws no conclusions.
    OTHER_RUNNING = parts {
        "SELECT " (sql table::COLUMNS)
        " FROM campaigns WHERE state IN ('running', 'paused') AND state = 'running' AND id <> $1 ORDER BY id LIMIT $2"
    }
}

pub(super) static ALL_STATEMENTS: &[&[&Stmt]] =
    &[STATEMENTS, keep::STATEMENTS, people::STATEMENTS, world::STATEMENTS];

#[derive(Debug, Error)]
pub enum FlightError {
    #[error("the campaign's plan cannot be carried out")]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// What a flight plan is made with.
#[derive(Clone, Copy, Debug)]
pub struct Tower<'t> {
    pub db: &'t Db,
    pub holidays: &'t Holidays,
    pub limit: RateLimit,
}

/// What will become of one person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Foreseen<'f> {
    pub number: String,
    pub at: DateTime<Utc>,
    pub variant: &'f str,
    /// Our number it is sent from. None: there will be no text, for this reason.
    pub sender: Option<&'f str>,
    pub reason: Option<&'f str>,
    pub segments: u32,
}

impl Tower<'_> {
    /// How a campaign fares beside the plan it began with. None: it does not run, or began without one.
    pub async fn progress(
        &self,
        campaign: &CampaignRow,
        now: DateTime<Utc>,
    ) -> Result<Option<Progress>, FlightError> {
        if !matches!(campaign.state, State::Running | State::Paused) {
            return Ok(None);
        }
        let Some(kept) = kept(self.db, campaign.id).await? else { return Ok(None) };
        let present = self.foresee(campaign, now, now, None).await?;
        Ok(Some(kept.beside(&present)))
    }

    /// What becomes of those who wait in a campaign, if it runs from `start` on. `each` is told of everybody who gets a text or
    /// will get none, in order.
    ///
    /// # Errors
    /// When the plan cannot be read, or the database.
    pub async fn foresee(
        &self,
        campaign: &CampaignRow,
        start: DateTime<Utc>,
        now: DateTime<Utc>,
        mut each: Option<&mut (dyn FnMut(Foreseen<'_>) + Send)>,
    ) -> Result<FlightPlan, FlightError> {
        let query = OTHER_RUNNING.bind(campaign.id).bind(MOST_OTHERS + 1);
        let mut rows: Vec<CampaignRow> = query.all(&mut self.db.read().await?).await?;
        let more_others = rows.len() > MOST_OTHERS as usize;
        rows.truncate(MOST_OTHERS as usize);
        let already = left_since(self.db, campaign.id, DateTime::UNIX_EPOCH).await?;
        let others = rows.iter().map(|row| row.id).collect();
        rows.insert(0, campaign.clone());
        // What nobody sends in a dry run is foreseen as if it were sent.
        let plans: Vec<Plan> = rows.iter().map(|row| Plan { dry_run: false, ..row.plan.0.clone() }).collect();
        let mut world = World::read(self.db, self.limit, &plans, start).await?;
        let mut lanes = Vec::with_capacity(rows.len());
        for (row, plan) in rows.iter().zip(&plans) {
            let times = world::times_of_campaign(self.db, row.id, plan, start).await?;
            match Lane::new(row, plan, self.holidays, times, start) {
                Ok(lane) => lanes.push((lane, Source::new(row.clone(), start))),
                Err(error) if row.id == campaign.id => return Err(error.into()),
                Err(_) => {}
            }
        }
        let mut tally = Tally::new(campaign, now, start, already.unsigned_abs(), (others, more_others));
        for looks in 1..MOST_LOOKS {
            // The one whose turn it is, and of several the one that has waited the longest: in truth they race.
            let turn = lanes.iter_mut().enumerate().filter(|(_, (lane, _))| lane.flies());
            let turn = turn.min_by_key(|(_, (lane, _))| (lane.next, lane.served));
            let Some((at, (lane, source))) = turn else { break };
            if lane.next > start + HORIZON {
                break;
            }
            if looks % BREATH == 0 {
                tokio::task::yield_now().await;
            }
            while lane.wants_people() {
                match source.page(self.db, lane.rules.plan, now).await? {
                    Some(mut page) => {
                        if at == 0 {
                            tally.holds_out(page.held_out.drain(..), start, &mut each);
                        }
                        lane.board(&mut world, page);
                    }
                    None => lane.has_everybody(),
                }
            }
            let look = lane.look(&mut world);
            if !look.texts.is_empty() {
                lane.served = looks;
            }
            if at == 0 {
                tally.note(lane, &look, &mut each);
                if !lane.flies() {
                    break;
                }
            }
        }
        let (lane, source) = &lanes[0];
        let waiting = lane.waiting() + source.rest(self.db).await?;
        Ok(tally.told(lane, waiting))
    }
}
