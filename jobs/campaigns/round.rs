//! One look of the gate, from values alone: who is held or refused, who gets a text now, from which of our numbers, and when to look
//! again. What is read from the database goes in, and what comes out is written there; the flight plan runs the same with rows of its
//! own making.

use chrono::{DateTime, TimeDelta, Utc};

use super::Missing;
use super::gate::{Verdict, room};
use super::plan::Plan;
use super::template::Rendered;
use crate::provider::Grant;

/// Recipients that are looked at in one go.
pub(super) const BATCH: u32 = 100;
/// Texts of one look.
const MOST_TEXTS: usize = 32;
/// What daily caps are counted over.
pub(super) const DAY: TimeDelta = TimeDelta::days(1);

/// A text, as far as limits need to know it.
pub(super) trait Counted {
    fn segments(&self) -> u32;
}

impl Counted for Rendered {
    fn segments(&self) -> u32 {
        self.segments.count
    }
}

/// What is decided about the people of one look. `P` is a person, `T` a text.
pub(super) struct Round<P, T> {
    /// They wait until then.
    pub(super) held: Vec<(P, DateTime<Utc>, &'static str)>,
    /// They get nothing.
    pub(super) refused: Vec<(P, String)>,
    /// They get a text as soon as the limits allow.
    ready: Vec<(P, T)>,
    /// The budget does not pay for everybody who is ready.
    over_budget: bool,
    wanted: u32,
}

/// What leaves now, and what comes then.
pub(super) struct Leaving<P, T> {
    /// With the number each is sent from.
    pub(super) texts: Vec<(P, T, String)>,
    /// What holds up those who are ready, where it is one thing for all.
    pub(super) waits_for: Option<&'static str>,
    /// When to look again.
    pub(super) next: DateTime<Utc>,
    /// Why nothing more may go before a person has looked.
    pub(super) stop: Option<&'static str>,
}

impl<P, T: Counted> Round<P, T> {
    /// Sorts people by the verdicts about them.
    ///
    /// # Errors
    /// With the reason for which the whole campaign is to be held.
    pub(super) fn of(plan: &Plan, people: impl Iterator<Item = (P, Verdict<T>)>) -> Result<Self, String> {
        let mut round =
            Self { held: Vec::new(), refused: Vec::new(), ready: Vec::new(), over_budget: false, wanted: 0 };
        for (person, verdict) in people {
            match verdict {
                Verdict::Send(text) if plan.dry_run => {
                    round.refused.push((person, format!("dry_run:{}", text.segments())));
                }
                Verdict::Hold { reason, .. } if plan.dry_run => {
                    round.refused.push((person, format!("dry_run:{reason}")));
                }
                Verdict::Send(text) => round.ready.push((person, text)),
                Verdict::Hold { until, reason } => round.held.push((person, until, reason)),
                Verdict::Refuse { reason }
                    if plan.missing == Missing::Hold && reason.starts_with("missing:") =>
                {
                    return Err(reason);
                }
                Verdict::Refuse { reason } => round.refused.push((person, reason)),
            }
        }
        Ok(round)
    }

    /// How many requests to the provider are wanted: as many texts as the limits allow.
    pub(super) fn want(&mut self, limits: &Limits) -> u32 {
        self.over_budget = limits.fit_budget(&mut self.ready);
        let wanted = self.ready.len().min(limits.texts() as usize).min(MOST_TEXTS);
        self.wanted = u32::try_from(wanted).unwrap_or_default();
        self.wanted
    }

    /// Gives out what was granted.
    pub(super) fn leave(self, mut limits: Limits, grant: Grant, now: DateTime<Utc>) -> Leaving<P, T> {
        let stop = (self.over_budget && self.ready.is_empty()).then_some("budget");
        let mut texts = Vec::with_capacity(grant.granted as usize);
        for (person, text) in self.ready.into_iter().take(grant.granted as usize) {
            let Some(sender) = limits.take_sender() else { break };
            texts.push((person, text, sender));
        }
        let (waits_for, next) = if self.wanted > 0 && grant.granted == 0 {
            (Some("provider_rate"), grant.next)
        } else if limits.texts() == 0 {
            limits.next()
        } else if grant.granted < self.wanted {
            (None, grant.next)
        } else {
            (None, now)
        };
        Leaving { texts, waits_for, next: next.max(now), stop }
    }
}

/// One of our numbers: how many texts more it may send, and when it may send one again.
pub(super) struct Room {
    pub(super) sender: String,
    pub(super) free: u32,
    pub(super) next: DateTime<Utc>,
}

impl Room {
    /// `taken` texts were sent in the day that ends now; see [`room`].
    pub(super) fn of(
        sender: &str,
        daily_cap: u32,
        taken: u32,
        oldest: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let (free, next) = room(daily_cap, DAY, taken, oldest, now);
        Self { sender: sender.to_owned(), free, next }
    }
}

/// What is left of the limits that hold over many texts.
pub(super) struct Limits {
    senders: Vec<Room>,
    /// The campaign's own rate.
    rate: Option<(u32, DateTime<Utc>)>,
    /// Segments.
    budget: Option<i64>,
}

impl Limits {
    /// `segments` are used up already.
    pub(super) fn new(
        plan: &Plan,
        segments: i64,
        senders: Vec<Room>,
        rate: Option<(u32, DateTime<Utc>)>,
    ) -> Self {
        Self { senders, rate, budget: plan.budget_segments.map(|budget| i64::from(budget) - segments) }
    }

    /// Texts that may still go.
    fn texts(&self) -> u32 {
        let by_senders = self.senders.iter().fold(0u32, |sum, room| sum.saturating_add(room.free));
        by_senders.min(self.rate.map_or(u32::MAX, |(room, _)| room))
    }

    /// Cuts off what the budget does not pay for. True: something was.
    fn fit_budget<P, T: Counted>(&self, ready: &mut Vec<(P, T)>) -> bool {
        let Some(mut left) = self.budget else { return false };
        let before = ready.len();
        let fits = ready.iter().take_while(|(_, text)| {
            left -= i64::from(text.segments());
            left >= 0
        });
        let fits = fits.count();
        ready.truncate(fits);
        fits < before
    }

    /// Takes one text from the sender that has most left.
    fn take_sender(&mut self) -> Option<String> {
        let room = self.senders.iter_mut().max_by_key(|room| room.free)?;
        room.free = room.free.checked_sub(1)?;
        Some(room.sender.clone())
    }

    /// What holds everything up, and until when.
    fn next(&self) -> (Option<&'static str>, DateTime<Utc>) {
        match self.rate {
            Some((0, next)) => (Some("campaign_rate"), next),
            _ => {
                let next = self.senders.iter().map(|room| room.next).min().unwrap_or_default();
                (Some("daily_cap"), next)
            }
        }
    }
}

/// A campaign's own rate as count and period. None: as fast as the rest allows.
pub(super) fn own_rate(plan: &Plan) -> Option<(u32, TimeDelta)> {
    let rate = plan.rate().ok().flatten()?;
    Some((rate.count(), TimeDelta::from_std(rate.period()).unwrap_or(DAY)))
}
