//! So many at once and one more every so often, for each of many (the generic cell rate algorithm), with a look at
//! what is left that takes nothing. Its memory is bounded: when too many are told apart, those that come new share
//! one allowance.

use std::collections::HashMap;
use std::hash::Hash;

use chrono::{DateTime, TimeDelta, Utc};

#[derive(Debug)]
pub struct Allowance<K> {
    /// After how long one more is allowed.
    interval: TimeDelta,
    /// How many are allowed at once after a rest.
    burst: u32,
    /// How many are told apart.
    most: usize,
    /// When each will be as if it had never taken any.
    full_at: HashMap<Option<K>, DateTime<Utc>>,
}

/// How an allowance stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Whether one was to be had.
    pub allowed: bool,
    /// How many are left.
    pub left: u32,
    /// After how long there is one again; zero when there is.
    pub next: TimeDelta,
    /// After how long all are there again.
    pub full: TimeDelta,
}

impl<K: Clone + Eq + Hash> Allowance<K> {
    pub fn new(interval: TimeDelta, burst: u32, most: usize) -> Self {
        let interval = interval.max(TimeDelta::microseconds(1));
        Self { interval, burst: burst.max(1), most: most.max(1), full_at: HashMap::new() }
    }

    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// How it stands, taking nothing.
    pub fn look(&self, of: &K, now: DateTime<Utc>) -> Standing {
        let own = self.full_at.get(&Some(of.clone()));
        let shared = || self.full_at.get(&None).filter(|_| self.full_at.len() >= self.most);
        self.standing(own.or_else(shared).copied(), now)
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, of: &K, now: DateTime<Utc>) -> Standing {
        let mut key = Some(of.clone());
        if !self.full_at.contains_key(&key) && self.full_at.len() >= self.most {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= self.most {
                key = None;
            }
        }
        let before = self.standing(self.full_at.get(&key).copied(), now);
        if !before.allowed {
            return before;
        }
        let full_at = now + before.full + self.interval;
        self.full_at.insert(key, full_at);
        Standing { allowed: true, ..self.standing(Some(full_at), now) }
    }

    fn standing(&self, full_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Standing {
        let burst = i32::try_from(self.burst).unwrap_or(i32::MAX);
        let whole = self.interval.checked_mul(burst).unwrap_or(TimeDelta::MAX);
        // A clock that went back must not lock anybody out for longer than the whole.
        let full = full_at.map_or(TimeDelta::zero(), |at| at - now).clamp(TimeDelta::zero(), whole);
        let next = (full + self.interval - whole).max(TimeDelta::zero());
        let micros = |length: TimeDelta| length.num_microseconds().unwrap_or(i64::MAX);
        let left = micros(whole - full) / micros(self.interval).max(1);
        Standing { allowed: next.is_zero(), left: u32::try_from(left).unwrap_or(u32::MAX), next, full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn seconds(seconds: i64) -> TimeDelta {
        TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_burst_is_allowed_and_then_one_an_interval() {
        let mut allowance = Allowance::new(seconds(10), 2, 100);
        assert_eq!(allowance.take(&"a", NOW).left, 1);
        assert_eq!(allowance.take(&"a", NOW).left, 0);
        let refused = allowance.take(&"a", NOW);
        assert_eq!((refused.allowed, refused.next, refused.full), (false, seconds(10), seconds(20)));
        assert!(allowance.take(&"b", NOW).allowed, "others have their own");
        assert!(!allowance.take(&"a", NOW + seconds(9)).allowed);
        assert!(allowance.take(&"a", NOW + seconds(10)).allowed);
        assert_eq!(allowance.look(&"a", NOW + seconds(60)).left, 2);
    }

    #[test]
    fn a_look_takes_nothing_and_a_clock_that_goes_back_locks_nobody_out() {
        let mut allowance = Allowance::new(seconds(1), 1, 100);
        assert!(allowance.look(&"a", NOW).allowed);
        assert!(allowance.take(&"a", NOW + seconds(3_600)).allowed);
        assert_eq!(allowance.look(&"a", NOW).next, seconds(1));
    }

    #[test]
    fn beyond_the_most_that_are_told_apart_the_new_share_one() {
        let mut allowance = Allowance::new(seconds(10), 1, 3);
        for key in 0..3 {
            assert!(allowance.take(&key, NOW).allowed);
        }
        assert!(allowance.take(&3, NOW).allowed);
        assert!(!allowance.take(&4, NOW).allowed);
        assert!(!allowance.look(&5, NOW).allowed);
        assert!(allowance.full_at.len() <= 4);
        assert!(allowance.take(&5, NOW + seconds(10)).allowed, "who has rested is forgotten");
    }
}
