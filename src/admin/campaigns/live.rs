//! How a campaign is doing, as the API tells it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use trunkline_jobs::campaigns::breaker::{self, OneText};
use trunkline_jobs::campaigns::flight::Progress;
use trunkline_jobs::campaigns::{Failed, Held, Live, Outcome};

use super::super::granted::View;

/// Where a campaign's recipients are
#[derive(Debug, Object)]
pub(super) struct LiveFigures {
    recipients: i64,
    /// Texts that left, or may have left
    left: i64,
    /// Those of them that left in the last minute
    last_minute: i64,
    waiting: i64,
    /// Of those who wait, the ones that something holds
    held: Vec<HeldFigure>,
    /// Texts that failed or were not delivered, by the carrier's code or the reason
    failed: Vec<FailedFigure>,
}

/// Those who wait for one thing
#[derive(Debug, Object)]
struct HeldFigure {
    reason: String,
    count: i64,
    /// When the first of them is looked at again
    next_at: Option<DateTime<Utc>>,
}

/// Texts that failed of one thing
#[derive(Debug, Object)]
struct FailedFigure {
    code: String,
    count: i64,
}

/// How many recipients are where, for one reason
#[derive(Debug, Object)]
#[oai(rename = "CampaignOutcome")]
pub(super) struct HowMany {
    /// `waiting`, `refused`, or the state of their text
    state: String,
    reason: Option<String>,
    count: i64,
    /// When the first of those who wait is looked at again
    next_at: Option<DateTime<Utc>>,
}

/// How a campaign fares beside the plan it began with
#[derive(Debug, Object)]
#[oai(rename = "CampaignProgress")]
pub(super) struct Fares {
    /// Texts that have left
    left: u64,
    /// Texts that had left by now, as it was planned
    planned: u64,
    /// How much later than planned so many have left; negative: earlier
    behind_seconds: i64,
    /// When the last text leaves, as it looks now
    ends_at: Option<DateTime<Utc>>,
    /// As it was planned
    planned_end: Option<DateTime<Utc>>,
}

/// Something the breaker stopped: a campaign or, with `sender`, a number of ours
#[derive(Debug, Object)]
#[oai(rename = "BreakerTrip")]
pub(super) struct Trip {
    id: i64,
    campaign_id: Option<i64>,
    /// Our number, by the provider's id
    sender: Option<String>,
    /// `failures`, `carrier_filter`, `opt_outs`, or what every further text would meet: `no_credit`
    cause: String,
    /// The cause with its figures
    reason: String,
    /// The campaign whose texts showed it
    seen_in: i64,
    tripped_at: DateTime<Utc>,
    /// Absent: it is held still
    released_at: Option<DateTime<Utc>>,
    released_by: Option<String>,
    evidence: TripEvidence,
}

/// What the breaker saw
#[derive(Debug, Object)]
struct TripEvidence {
    /// Texts that had come to an end
    ended: u32,
    failures: u32,
    /// Of the failures, those that a carrier took for spam
    carrier_filter: u32,
    /// People who asked to stop
    opt_outs: u32,
    /// Failures by the carriers' codes
    codes: BTreeMap<String, u32>,
    /// For each text of a campaign that has several
    texts: BTreeMap<String, TripText>,
    /// Texts that show it: `show_send`
    sends: Vec<i64>,
}

/// What became of one of a campaign's texts
#[derive(Debug, Object)]
struct TripText {
    ended: u32,
    failures: u32,
    opt_outs: u32,
}

impl LiveFigures {
    pub(super) fn of(live: Live) -> Self {
        let held = |held: Held| HeldFigure { reason: held.reason, count: held.count, next_at: held.next_at };
        let failed = |failed: Failed| FailedFigure { code: failed.code, count: failed.count };
        Self {
            recipients: live.recipients,
            left: live.left,
            last_minute: live.last_minute,
            waiting: live.waiting,
            held: live.held.into_iter().map(held).collect(),
            failed: live.failed.into_iter().map(failed).collect(),
        }
    }
}

impl HowMany {
    pub(super) fn of(row: Outcome) -> Self {
        let next_at = row.next_at.filter(|_| row.state == "waiting");
        Self { state: row.state, reason: row.reason, count: row.count, next_at }
    }
}

impl Fares {
    pub(super) fn of(progress: Progress) -> Self {
        let Progress { left, planned, behind_seconds, ends_at, planned_end } = progress;
        Self { left, planned, behind_seconds, ends_at, planned_end }
    }
}

impl Trip {
    pub(super) fn of(trip: breaker::Trip, view: View) -> Self {
        let seen = trip.evidence.0;
        let text = |(name, one): (String, OneText)| {
            (name, TripText { ended: one.ended, failures: one.failures, opt_outs: one.opt_outs })
        };
        Self {
            id: trip.id,
            campaign_id: trip.campaign_id,
            sender: trip.sender,
            cause: trip.cause,
            reason: view.line(&trip.reason),
            seen_in: trip.seen_in,
            tripped_at: trip.tripped_at,
            released_at: trip.released_at,
            released_by: trip.released_by,
            evidence: TripEvidence {
                ended: seen.ended,
                failures: seen.failures,
                carrier_filter: seen.carrier_filter,
                opt_outs: seen.opt_outs,
                codes: seen.codes,
                texts: seen.variants.into_iter().map(text).collect(),
                sends: seen.sends,
            },
        }
    }
}
