//! The rate limit per source. Its memory is bounded: sources that have been quiet are forgotten, and when
//! too many are active at once all share one allowance.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use poem::http::HeaderMap;

use super::refusal::Refusal;
use crate::config::Network;

/// Sources that are told apart.
const MAX_SOURCES: usize = 10_000;
const SHARED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[derive(Debug)]
pub(super) struct SourceLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    trusted_proxies: Vec<Network>,
}

impl SourceLimit {
    pub(super) fn new(per_second: u32, burst: u32, trusted_proxies: Vec<Network>) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self { limiter: RateLimiter::keyed(quota), trusted_proxies }
    }

    pub(super) fn check(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut source = self.source(peer, headers);
        if self.limiter.len() >= MAX_SOURCES {
            self.limiter.retain_recent();
            if self.limiter.len() >= MAX_SOURCES {
                source = SHARED;
            }
        }
        self.limiter.check_key(&source).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Refusal::RateLimited { retry_after_seconds: wait.max(Duration::from_millis(1)).as_secs() + 1 }
        })
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// The peer, or what a trusted proxy says of it: the last hop in `X-Forwarded-For` that is not one of the
    /// proxies. Everything before that, and before a hop that cannot be read, can be invented by the sender.
    fn source(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
        let Some(peer) = peer else { return SHARED };
        if !self.is_trusted(peer) {
            return by_network(peer);
        }
        let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
        for hop in hops.into_iter().rev() {
            match address(hop) {
                Some(hop) if self.is_trusted(hop) => {}
                Some(hop) => return by_network(hop),
                None => break,
            }
        }
        by_network(peer)
    }
}

/// An address as proxies write it, with or without a port.
fn address(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// Whoever has one IPv6 address has the 2^64 of its network.
fn by_network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn forwarded(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([("x-forwarded-for".parse().unwrap(), value.parse().unwrap())])
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
    fn only_a_trusted_proxy_is_believed_about_the_source() {
        let limit = SourceLimit::new(1, 1, vec!["10.0.0.1".parse().unwrap()]);
        let headers = forwarded("203.0.113.9, 198.51.100.7, 10.0.0.1");
        assert_eq!(limit.source(Some(ip("10.0.0.1")), &headers), ip("198.51.100.7"));
        assert_eq!(limit.source(Some(ip("192.0.2.1")), &headers), ip("192.0.2.1"));
        let with_port = forwarded("203.0.113.9, 198.51.100.7:4711");
        assert_eq!(limit.source(Some(ip("10.0.0.1")), &with_port), ip("198.51.100.7"));
        let unreadable = forwarded("203.0.113.9, unknown");
        assert_eq!(limit.source(Some(ip("10.0.0.1")), &unreadable), ip("10.0.0.1"));
    }

    #[test]
    fn all_addresses_of_one_ipv6_network_are_one_source() {
        let limit = SourceLimit::new(1, 1, Vec::new());
        assert!(limit.check(Some(ip("2001:db8::1")), &HeaderMap::new()).is_ok());
        assert!(limit.check(Some(ip("2001:db8::2")), &HeaderMap::new()).is_err());
    }
}
