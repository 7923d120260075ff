//! Slows down whoever tries keys. A source may fail a few times, then once in a while; when all sources together
//! fail too often, one that has failed at all has to wait. A source that never failed always gets its try, so nobody
//! can lock the holders of keys out from elsewhere.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::allowance::Allowance;

const FAILURES: u32 = 10;
const ONE_MORE: TimeDelta = TimeDelta::seconds(30);
const ALL_FAILURES: u32 = 200;
const ONE_MORE_OF_ALL: TimeDelta = TimeDelta::milliseconds(500);
/// Sources that are told apart.
const SOURCES: usize = 10_000;

#[derive(Debug)]
pub(super) struct Throttle(Mutex<Failures>);

#[derive(Debug)]
struct Failures {
    of_source: Allowance<IpAddr>,
    of_all: Allowance<()>,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Failures {
            of_source: Allowance::new(ONE_MORE, FAILURES, SOURCES),
            of_all: Allowance::new(ONE_MORE_OF_ALL, ALL_FAILURES, 1),
        }))
    }

    /// How long this source has to wait before its next try.
    pub(super) fn wait(&self, source: IpAddr, now: DateTime<Utc>) -> Option<TimeDelta> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = failures.of_source.look(&source, now);
        let all = failures.of_all.look(&(), now);
        let wait = if !own.allowed {
            own.next
        } else if !all.allowed && own.left < FAILURES {
            all.next
        } else {
            return None;
        };
        Some(wait)
    }

    pub(super) fn failed(&self, source: IpAddr, now: DateTime<Utc>) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.of_source.take(&source, now);
        failures.of_all.take(&(), now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn source(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_source_that_keeps_failing_waits_and_another_does_not() {
        let throttle = Throttle::new();
        for _ in 0..FAILURES {
            assert_eq!(throttle.wait(source(1), NOW), None);
            throttle.failed(source(1), NOW);
        }
        assert_eq!(throttle.wait(source(1), NOW), Some(ONE_MORE));
        assert_eq!(throttle.wait(source(2), NOW), None);
        assert_eq!(throttle.wait(source(1), NOW + ONE_MORE), None);
    }

    #[test]
    fn when_all_fail_too_often_only_those_who_never_failed_get_a_try() {
        let throttle = Throttle::new();
        for number in 0..ALL_FAILURES {
            throttle.failed(source(number), NOW);
        }
        assert_eq!(throttle.wait(source(3), NOW), Some(ONE_MORE_OF_ALL));
        assert_eq!(throttle.wait(source(9_999), NOW), None);
        assert_eq!(throttle.wait(source(3), NOW + ONE_MORE_OF_ALL), None);
    }
}
