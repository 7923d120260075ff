//! Who a request comes from, for limits and for the audit.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use poem::http::HeaderMap;
use poem::{Addr, Request};

use crate::config::Network;

/// Stands for all whose address is not known.
pub const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Tells sources by their address, or by what a trusted proxy says of them.
#[derive(Clone, Debug)]
pub struct Sources {
    trusted_proxies: Vec<Network>,
}

impl Sources {
    pub fn new(trusted_proxies: Vec<Network>) -> Self {
        Self { trusted_proxies }
    }

    pub fn of_request(&self, request: &Request) -> IpAddr {
        self.of(peer(request), request.headers())
    }

    /// The peer, or what a trusted proxy says of it: the last hop in `X-Forwarded-For` that is not one of the
    /// proxies. Everything before that, and before a hop that cannot be read, can be invented by the sender.
    pub fn of(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
        let Some(peer) = peer else { return UNKNOWN };
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

    /// Whether it came through a trusted proxy, which speaks TLS with the world.
    pub fn is_proxied(&self, request: &Request) -> bool {
        peer(request).is_some_and(|peer| self.is_trusted(peer))
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }
}

/// The other end of the connection.
pub fn peer(request: &Request) -> Option<IpAddr> {
    match &request.remote_addr().0 {
        Addr::SocketAddr(address) => Some(address.ip().to_canonical()),
        _ => None,
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
    fn only_a_trusted_proxy_is_believed_about_the_source() {
        let sources = Sources::new(vec!["10.0.0.1".parse().unwrap()]);
        let of = |peer: &str, headers: &HeaderMap| sources.of(Some(ip(peer)), headers);
        let headers = forwarded("203.0.113.9, 198.51.100.7, 10.0.0.1");
        assert_eq!(of("10.0.0.1", &headers), ip("198.51.100.7"));
        assert_eq!(of("192.0.2.1", &headers), ip("192.0.2.1"));
        let with_port = forwarded("203.0.113.9, 198.51.100.7:4711");
        assert_eq!(of("10.0.0.1", &with_port), ip("198.51.100.7"));
        let unreadable = forwarded("203.0.113.9, unknown");
        assert_eq!(of("10.0.0.1", &unreadable), ip("10.0.0.1"));
    }

    #[test]
    fn all_addresses_of_one_ipv6_network_are_one_source() {
        let sources = Sources::new(Vec::new());
        let of = |peer: &str| sources.of(Some(ip(peer)), &HeaderMap::new());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
