//! The breaker: it stops a campaign, or one of our numbers, before much harm is done.
//!
//! * Answers and codes that every further text would meet (no credit, a number that is not registered) trip it at once.
//! * Shares of the latest texts trip it when enough of them have come to an end: those that failed, those that a carrier
//!   filtered, and the people who asked to stop. They are counted for each campaign, and for each of our numbers over all
//!   campaigns.
//!
//! What it trips over belongs to the campaign, which is paused, or to the number, which then sends nothing in any campaign. Either is
//! a row with the evidence ([`Trip`]), open until a person lets the campaign or the number go on; the shares are counted anew from
//! then. The rates are counted from rows, so telling an outcome twice changes nothing.

mod hold;
mod judge;
mod latest;

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use trunkline_platform::db::Stmt;
use trunkline_platform::job::{Context, Failure};

use super::{Move, operate};
use crate::Services;

pub(super) use hold::{Held, all_held, held, release_campaign};
pub use hold::{Trip, held_numbers, release, trips_of};
pub use judge::{Evidence, OneText};

/// Texts that are counted.
pub const LATEST: u32 = 2_000;
/// How old the last judgement may be when the next texts are committed to.
pub(super) const JUDGE_EVERY: TimeDelta = TimeDelta::seconds(3);

/// When shares of the latest texts are too large. None: it does not matter how large they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Texts that left in this time are counted, the newest [`LATEST`] at most.
    pub window: Duration,
    pub failures: Option<Threshold>,
    pub carrier_filter: Option<Threshold>,
    pub opt_outs: Option<Threshold>,
}

/// The largest share that is well. Written `10% of 50`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    pub most_percent: f64,
    /// So many texts must have come to an end before the share is looked at.
    pub sample: u32,
}

#[derive(Debug, Eq, Error, PartialEq)]
#[error(
    "{0:?} is no threshold: write a share from 0% to 100% and how many texts it takes to judge, 1 to {LATEST}, such as \
     \"10% of 50\""
)]
pub struct ThresholdError(String);

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let parsed = text.split_once("% of ").and_then(|(percent, sample)| {
            Some(Self { most_percent: percent.trim().parse().ok()?, sample: sample.trim().parse().ok()? })
        });
        let sane = |threshold: &Self| {
            (0.0..=100.0).contains(&threshold.most_percent) && (1..=LATEST).contains(&threshold.sample)
        };
        parsed.filter(sane).ok_or_else(|| ThresholdError(text.to_owned()))
    }
}

/// What tripped the breaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    Failures,
    CarrierFilter,
    OptOuts,
    NoCredit,
    ApiKeyRefused,
    NotRegistered,
    CarrierDailyCap,
    SenderUnknown,
    SenderNotOurs,
}

impl Cause {
    pub const ALL: [Self; 9] = [
        Self::Failures,
        Self::CarrierFilter,
        Self::OptOuts,
        Self::NoCredit,
        Self::ApiKeyRefused,
        Self::NotRegistered,
        Self::CarrierDailyCap,
        Self::SenderUnknown,
        Self::SenderNotOurs,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::CarrierFilter => "carrier_filter",
            Self::OptOuts => "opt_outs",
            Self::NoCredit => "no_credit",
            Self::ApiKeyRefused => "api_key_refused",
            Self::NotRegistered => "a2p_not_approved",
            Self::CarrierDailyCap => "carrier_daily_cap",
            Self::SenderUnknown => "sender_unknown",
            Self::SenderNotOurs => "sender_not_ours",
        }
    }

    /// Of what the provider answers to a text that it would answer to every other.
    fn of_answer(reason: &str) -> Option<Self> {
        let at_once = &Self::ALL[3..];
        at_once.iter().copied().find(|cause| cause.as_str() == reason)
    }

    /// Whether another of our numbers could go on.
    const fn is_the_numbers(self) -> bool {
        matches!(
            self,
            Self::NotRegistered | Self::CarrierDailyCap | Self::SenderUnknown | Self::SenderNotOurs
        )
    }
}

/// What is to be stopped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Subject {
    Campaign,
    /// By the provider's id.
    Number(String),
}

/// That the breaker is to trip, and over what.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) subject: Subject,
    pub(super) cause: Cause,
    /// The cause with its figures or its code, as people read it.
    pub(super) reason: String,
    pub(super) evidence: Evidence,
}

impl Fault {
    /// What an answer to one text says about all others. None: nothing.
    pub(super) fn of_answer(reason: &str, code: Option<&str>, sender: &str, send: i64) -> Option<Self> {
        let cause = Cause::of_answer(reason)?;
        let subject =
            if cause.is_the_numbers() { Subject::Number(sender.to_owned()) } else { Subject::Campaign };
        let told = code.map(|code| format!(" ({code})")).unwrap_or_default();
        let evidence = Evidence::of_one(send, code);
        Some(Self { subject, cause, reason: format!("{reason}{told}"), evidence })
    }
}

/// Looks at the latest texts of a campaign and of its numbers, and trips where a share is too large. True: the campaign is paused.
pub(super) async fn watch(
    cx: &Context<Services>,
    campaign: i64,
    generation: i32,
    senders: &[String],
) -> Result<bool, Failure> {
    let (services, now) = (cx.services(), cx.now());
    let settings = &services.campaigns.breaker;
    let mut session = services.db.read().await?;
    let texts = latest::of_campaign(&mut session, campaign, settings, now).await?;
    if let Some(fault) = judge::judge(settings, &texts, &Subject::Campaign, now) {
        drop(session);
        return trip(cx, campaign, generation, &fault).await;
    }
    let mut faults = Vec::new();
    for sender in senders {
        let texts = latest::of_sender(&mut session, sender, settings, now).await?;
        faults.extend(judge::judge(settings, &texts, &Subject::Number(sender.clone()), now));
    }
    drop(session);
    for fault in faults {
        trip(cx, campaign, generation, &fault).await?;
    }
    Ok(false)
}

/// Stops what a fault belongs to. True: the campaign is paused, or is not this pump's any more.
pub(super) async fn trip(
    cx: &Context<Services>,
    campaign: i64,
    generation: i32,
    fault: &Fault,
) -> Result<bool, Failure> {
    let (services, now) = (cx.services(), cx.now());
    let mut tx = services.db.write().await?;
    let tripped = match &fault.subject {
        Subject::Campaign => {
            let reason = Some(fault.reason.as_str());
            operate::move_by_program(&mut tx, campaign, generation, Move::Pause, reason, now).await?
                && hold::insert(&mut tx, fault, campaign, now).await?
        }
        Subject::Number(sender) => {
            // No gate decides meanwhile, so that none sends from the number once this is committed.
            services.provider.hold(&mut tx).await?;
            hold::hold_number(&mut tx, sender, fault, campaign, now).await?
        }
    };
    tx.commit().await?;
    let of_campaign = fault.subject == Subject::Campaign;
    if tripped {
        services.campaigns.metrics.trip(fault.cause, of_campaign);
        tracing::warn!(
            campaign,
            cause = fault.cause.as_str(),
            of_campaign,
            "the breaker tripped; see `trunkline campaigns show`"
        );
    }
    Ok(of_campaign)
}

/// From when on the latest texts count.
fn window_start(settings: &BreakerSettings, now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::from_std(settings.window).unwrap_or(TimeDelta::hours(1))
}

pub(super) static ALL_STATEMENTS: &[&[&Stmt]] = &[hold::STATEMENTS, latest::STATEMENTS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_share_and_a_sample() {
        assert_eq!("2.5% of 200".parse(), Ok(Threshold { most_percent: 2.5, sample: 200 }));
        for wrong in [
            "",
            "10%",
            "10% of",
            "10 of 50",
            "101% of 50",
            "NaN% of 50",
            "-1% of 50",
            "10% of 0",
            "10% of 9999",
        ] {
            assert_eq!(wrong.parse::<Threshold>(), Err(ThresholdError(wrong.to_owned())));
        }
    }

    #[test]
    fn every_answer_that_stops_all_texts_has_its_cause() {
        for reason in [
            "no_credit",
            "api_key_refused",
            "a2p_not_approved",
            "carrier_daily_cap",
            "sender_unknown",
            "sender_not_ours",
        ] {
            assert!(Fault::of_answer(reason, None, "PN1", 1).is_some(), "{reason}");
        }
        assert!(Fault::of_answer("failures", None, "PN1", 1).is_none());
        let fault = Fault::of_answer("a2p_not_approved", Some("0206400"), "PN1", 17).unwrap();
        assert_eq!(
            (fault.subject, fault.reason.as_str()),
            (Subject::Number("PN1".to_owned()), "a2p_not_approved (0206400)")
        );
        assert_eq!(fault.evidence.sends, [17]);
    }
}
