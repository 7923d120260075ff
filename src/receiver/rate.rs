//! The rate limit per source. Its memory is bounded: sources that have been quiet are forgotten, and when
//! too many are active at once all share one allowance.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use poem::http::HeaderMap;

use super::refusal::Refusal;
use crate::config::Network;
use crate::source::{self, Sources};

/// Sources that are told apart.
const MAX_SOURCES: usize = 10_000;

#[derive(Debug)]
pub(super) struct SourceLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    sources: Sources,
}

impl SourceLimit {
    pub(super) fn new(per_second: u32, burst: u32, trusted_proxies: Vec<Network>) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self { limiter: RateLimiter::keyed(quota), sources: Sources::new(trusted_proxies) }
    }

    pub(super) fn check(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut source = self.sources.of(peer, headers);
        if self.limiter.len() >= MAX_SOURCES {
            self.limiter.retain_recent();
            if self.limiter.len() >= MAX_SOURCES {
                source = source::UNKNOWN;
            }
        }
        self.limiter.check_key(&source).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Refusal::RateLimited { retry_after_seconds: wait.max(Duration::from_millis(1)).as_secs() + 1 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_beyond_its_burst_is_refused_and_others_are_not() {
        let limit = SourceLimit::new(1, 2, Vec::new());
        let none = HeaderMap::new();
        assert!(limit.check(Some(ip("192.0.2.1")), &none).is_ok());
        assert!(limit.check(Some(ip("192.0.2.1")), &none).is_ok());
        assert!(matches!(limit.check(Some(ip("192.0.2.1")), &none), Err(Refusal::RateLimited { .. })));
        assert!(limit.check(Some(ip("192.0.2.2")), &none).is_ok());
    }

    #[test]
    fn all_addresses_of_one_ipv6_network_share_one_allowance() {
        let limit = SourceLimit::new(1, 1, Vec::new());
        assert!(limit.check(Some(ip("2001:db8::1")), &HeaderMap::new()).is_ok());
        assert!(limit.check(Some(ip("2001:db8::2")), &HeaderMap::new()).is_err());
    }
}
