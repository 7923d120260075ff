//! The rate of requests to the provider, as values: an exact sliding window, shares of it, and what a 429 does to it.
//!
//! The window keeps the time of every request of the last second. A token is to be had when fewer than the limit were
//! taken in the second that ends now, and a little before it, so that no second anywhere holds more: not here, and not at
//! the provider either, whose requests come a little sooner or later than they left. What a late process did not use in
//! time is lost by its lateness alone, not by a whole spacing, as it would be with a bucket of one.
//!
//! Campaigns take their tokens one after another, evenly: a second's worth at once would meet the next second's at the
//! provider as soon as one of them is held up on its way.

use chrono::{DateTime, TimeDelta, Utc};

/// What the provider counts over.
const SECOND: TimeDelta = TimeDelta::seconds(1);
/// Requests take a little more or less time on their way. What leaves within so much more than a second may arrive
/// within one. It costs its share of the rate.
pub(super) const GUARD: TimeDelta = TimeDelta::milliseconds(10);
/// How much of their lateness those who go evenly may make up for.
const SLACK: TimeDelta = TimeDelta::milliseconds(50);
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

/// So many parts of a second, rounded up to what a time is kept with: at the time that was told, it has come.
fn part_of_second(parts: u32, of: u32) -> TimeDelta {
    let micros = (u64::from(parts) * 1_000_000).div_ceil(u64::from(of.max(1)));
    TimeDelta::microseconds(i64::try_from(micros).unwrap_or(i64::MAX))
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
        self.taken.retain(|at| *at > now - SECOND - GUARD);
        // A time ahead was written by a clock that runs ahead of ours. It counts for a second from now at most.
        self.taken.iter_mut().for_each(|at| *at = (*at).min(now));
        let mut granted = 0;
        while granted < wanted && self.free_at(limit, share, now) <= now {
            self.taken.push(now);
            granted += 1;
        }
        Grant { granted, next: self.free_at(limit, share, now) }
    }

    /// When this share may take one more.
    fn free_at(&self, limit: RateLimit, share: Share, now: DateTime<Utc>) -> DateTime<Utc> {
        let allowed = self.allowed(limit, now);
        let ceiling = limit.ceiling(share, allowed);
        // The time of the token so many before the next.
        let before = |count: u32| {
            let at = self.taken.len().checked_sub(count as usize)?;
            self.taken.get(at).copied()
        };
        let evenly = |count: u32| Some(before(count)? + part_of_second(count, ceiling) - SLACK);
        let paced = if share == Share::Campaign { 1..ceiling } else { 0..0 };
        let of_all = before(allowed).map(|at| at + SECOND + GUARD);
        let of_share = before(ceiling).map(|at| at + SECOND);
        [of_all, of_share].into_iter().chain(paced.map(evenly)).flatten().fold(now, DateTime::max)
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
