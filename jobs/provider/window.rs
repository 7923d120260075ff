//! The rate of requests to the provider, as values: an exact sliding window, shares of it, and what a 429 does to it.
//!
//! The window keeps the time of every request of the last second. A token is to be had when fewer than the limit were
//! taken in the second that ends now, so that no second anywhere holds more. What a late process did not use in time is
//! lost by its lateness alone, not by a whole spacing, as it would be with a bucket of one.

use chrono::{DateTime, TimeDelta, Utc};

/// What the provider counts over.
const SECOND: TimeDelta = TimeDelta::seconds(1);
/// How long without a 429 until one request a second more is dared.
const RECOVERY: TimeDelta = TimeDelta::seconds(10);
/// The longest anybody is sent away for, whatever a row says.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(24);
/// The end of the queue: who comes later joins the others there.
const LONGEST_QUEUE: TimeDelta = TimeDelta::hours(1);

/// Who asks. Each may take what those after it may take, and a part besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Share {
    /// Somebody waits for it: answers, confirmations.
    Reply,
    /// What we missed or are not sure of: reconciliation, fresh links, transcripts.
    Repair,
    /// Texts to many, which can wait.
    Campaign,
}

impl Share {
    pub const ALL: [Self; 3] = [Self::Reply, Self::Repair, Self::Campaign];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Repair => "repair",
            Self::Campaign => "campaign",
        }
    }
}

/// How many requests a second there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    pub per_second: u32,
    /// So many of them campaigns may not take, and half of those repairs may not.
    pub reserved: u32,
}

impl RateLimit {
    /// The most requests of a second after which this share still gets one more.
    fn ceiling(self, share: Share, allowed: u32) -> u32 {
        let reserved = match share {
            Share::Reply => 0,
            Share::Repair => self.reserved / 2,
            Share::Campaign => self.reserved,
        };
        allowed.saturating_sub(reserved).max(1)
    }
}

/// Tokens that were taken, and when the next is to be had if fewer than wanted were.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Grant {
    pub granted: u32,
    pub next: DateTime<Utc>,
}

/// The state of the rate; what the row keeps.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Window {
    /// Of the last second, the oldest first.
    pub(super) taken: Vec<DateTime<Utc>>,
    /// What a 429 left of the limit, and since when.
    pub(super) reduced: Option<(u32, DateTime<Utc>)>,
    pub(super) not_before: Option<DateTime<Utc>>,
    pub(super) turn_at: Option<DateTime<Utc>>,
}

impl Window {
    /// Requests a second at present: the limit, or what a 429 left of it and time gave back.
    pub fn allowed(&self, limit: RateLimit, now: DateTime<Utc>) -> u32 {
        let Some((left, since)) = self.reduced else { return limit.per_second };
        let given_back = (now - since).num_milliseconds().max(0) / RECOVERY.num_milliseconds();
        left.saturating_add(u32::try_from(given_back).unwrap_or(u32::MAX)).clamp(1, limit.per_second.max(1))
    }

    /// Takes up to so many tokens.
    pub fn take(&mut self, limit: RateLimit, share: Share, wanted: u32, now: DateTime<Utc>) -> Grant {
        if let Some(until) = self.not_before.filter(|until| *until > now && *until - now <= LONGEST_WAIT) {
            return Grant { granted: 0, next: until };
        }
        self.taken.retain(|at| *at > now - SECOND);
        // A time ahead was written by a clock that runs ahead of ours. It counts for a second from now at most.
        self.taken.iter_mut().for_each(|at| *at = (*at).min(now));
        let ceiling = limit.ceiling(share, self.allowed(limit, now)) as usize;
        let granted = ceiling.saturating_sub(self.taken.len()).min(wanted as usize);
        self.taken.extend(std::iter::repeat_n(now, granted));
        // The next is free when so few are left that one more is within the ceiling.
        let next = self.taken.len().checked_sub(ceiling).and_then(|over| self.taken.get(over));
        Grant {
            granted: u32::try_from(granted).unwrap_or(u32::MAX),
            next: next.map_or(now, |oldest| *oldest + SECOND),
        }
    }

    /// When somebody who came in vain shall come again. Each gets a time of his own, so that many who wait do not all
    /// come at once for one token.
    pub fn turn(&mut self, limit: RateLimit, next: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let last = next.max(now + LONGEST_QUEUE);
        let turn = self.turn_at.unwrap_or(next).clamp(next, last);
        let spacing = SECOND / i32::try_from(self.allowed(limit, now)).unwrap_or(1).max(1);
        self.turn_at = Some(turn + spacing);
        turn
    }

    /// After a 429 to a request made at `asked_at`: half as many as were allowed, once for all requests that were under way
    /// together, and none before `until`.
    pub fn slow_down(
        &mut self,
        limit: RateLimit,
        asked_at: DateTime<Utc>,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        self.not_before = Some(self.not_before.map_or(until, |earlier| earlier.max(until)));
        let already = self.reduced.is_some_and(|(_, since)| since >= asked_at && since <= now);
        if !already {
            self.reduced = Some(((self.allowed(limit, now) / 2).max(1), now));
        }
    }
}
