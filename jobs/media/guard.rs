//! Keeps a request from being aimed at our own network.
//!
//! A media link comes from outside and is fetched from inside, so it could name a database, a neighbour or a
//! cloud's metadata service. The rule: plain public addresses only, unless the operator listed the host. Forwarding
//! to development endpoints has a [list](crate::forward::AllowList) of its own and the same resolver.
//!
//! A name is judged by the address it resolves to at the moment of connecting, never by an earlier lookup
//! that could give another answer; [`GuardedResolver`] sits inside the HTTP client for that. The client
//! resolves nothing when the host is an address already, so [`AddressPolicy::check`] judges those, on
//! every hop.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// What is not the public internet in IPv4: IANA's special-purpose registry, multicast and the reserved end.
const REFUSED_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // The in-host agent of a large cloud: a public address on paper, answered by the hypervisor.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The only part of IPv6 handed out as global unicast. All else (loopback, `fc00::/7`, `fe80::/10`,
/// `fec0::/10`, `100::/64`, multicast, what is not yet assigned) is refused by being outside.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What is special inside [`GLOBAL_V6`]. The tunnels (Teredo in the first, 6to4 in the third) are refused
/// whole: they carry an IPv4 address of the sender's choosing, and nobody serves media from them.
const REFUSED_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// NAT64, by which an IPv6-only machine reaches every IPv4 host: as public as the address it carries.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether `address` belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_public_v4(v4),
            None => within_v6(v6, GLOBAL_V6) && !REFUSED_V6.iter().any(|block| within_v6(v6, *block)),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !REFUSED_V4.iter().any(|(network, length)| (address.to_bits() ^ network.to_bits()) >> (32 - length) == 0)
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if within_v6(address, NAT64) {
        let [.., a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    address.to_ipv4_mapped()
}

fn within_v6(address: Ipv6Addr, (network, length): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (128 - length) == 0
}

/// Why a URL or the address behind it is refused. No message repeats a path, a query or credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("scheme {0:?} is neither http nor https")]
    Scheme(String),
    #[error("plain http to {0} is not allowed")]
    PlainHttp(String),
    #[error("the URL carries credentials")]
    Credentials,
    #[error("the URL names no host and port to connect to")]
    NoHost,
    #[error("{0} is not a public address")]
    NotPublic(String),
    #[error("{0} is not in the list of where deliveries may be forwarded to, nor is an address of it")]
    NotListed(String),
}

impl Refusal {
    /// The one that a request failed of, if it did.
    pub(crate) fn behind(error: &reqwest::Error) -> Option<&Self> {
        std::iter::successors(error.source(), |cause| (*cause).source())
            .find_map(|cause| cause.downcast_ref())
    }
}

/// Host and port of a web address without credentials in it.
pub(crate) fn target(url: &Url) -> Result<(Host<&str>, u16), Refusal> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refusal::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::Credentials);
    }
    match (url.host(), url.port_or_known_default()) {
        (Some(host), Some(port @ 1..)) => Ok((host, port)),
        _ => Err(Refusal::NoHost),
    }
}

/// How a checked URL may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses only: resolve through [`GuardedResolver`].
    Public,
    /// The operator listed this host: whatever it resolves to.
    Listed,
}

/// What may be downloaded from.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Hosts of the operator's own, exempt from the address and the https rule.
    pub allow_hosts: Vec<HostRule>,
    /// Lets plain http through to public hosts.
    pub allow_http: bool,
}

impl AddressPolicy {
    /// Judges a URL by everything that can be seen before connecting.
    pub fn check(&self, url: &Url) -> Result<Reach, Refusal> {
        let (host, port) = target(url)?;
        if self.allow_hosts.iter().any(|rule| rule.matches(&host, port)) {
            return Ok(Reach::Listed);
        }
        if url.scheme() == "http" && !self.allow_http {
            return Err(Refusal::PlainHttp(host.to_string()));
        }
        let literal = match host {
            Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
            Host::Domain(_) => None,
        };
        match literal {
            Some(address) if !is_public(address) => Err(Refusal::NotPublic(address.to_string())),
            _ => Ok(Reach::Public),
        }
    }
}

/// A host the operator trusts, as it stands in URLs: `media.internal`, `127.0.0.1:9400`, `[::1]:80`.
/// Without a port it covers all of them. An address does not cover the names that resolve to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    host: Host,
    port: Option<u16>,
}

impl HostRule {
    pub(crate) fn matches(&self, host: &Host<&str>, port: u16) -> bool {
        self.host == *host && self.port.is_none_or(|only| only == port)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host or host:port")]
pub struct InvalidHostRule(String);

impl FromStr for HostRule {
    type Err = InvalidHostRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidHostRule(text.to_owned());
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self { host: Host::Ipv6(address), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?;
                (host, Some(port))
            }
            _ => (text, None),
        };
        let host = Host::parse(host).map_err(|_| invalid())?;
        Ok(Self { host, port })
    }
}

/// Finds the addresses of a name.
pub(crate) type Lookup = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// Which addresses may be connected to.
type Admits = dyn Fn(IpAddr) -> bool + Send + Sync;

/// The system's.
pub(crate) fn system_lookup() -> Arc<Lookup> {
    Arc::new(|name: String| -> BoxFuture<'static, _> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) })
    })
}

/// A resolver with everything that may not be connected to taken out of its answers.
#[derive(Clone)]
pub struct GuardedResolver {
    lookup: Arc<Lookup>,
    admits: Arc<Admits>,
    /// What to say when nothing is left.
    refusal: fn(String) -> Refusal,
}

impl GuardedResolver {
    /// The system's, for public addresses.
    pub fn public() -> Self {
        Self::new(system_lookup(), is_public, Refusal::NotPublic)
    }

    pub(crate) fn new(
        lookup: Arc<Lookup>,
        admits: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
        refusal: fn(String) -> Refusal,
    ) -> Self {
        Self { lookup, admits: Arc::new(admits), refusal }
    }

    #[cfg(test)]
    pub(super) fn answering(
        answer: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Arc::new(answer), is_public, Refusal::NotPublic)
    }

    /// The addresses of a name that may be connected to; a refusal when it has others only.
    ///
    /// # Errors
    /// When the name cannot be resolved.
    pub(crate) async fn addresses(&self, name: &str) -> io::Result<Result<Vec<SocketAddr>, Refusal>> {
        let found = (self.lookup)(name.to_owned()).await?;
        let admitted: Vec<SocketAddr> =
            found.into_iter().filter(|address| (self.admits)(address.ip())).collect();
        Ok(if admitted.is_empty() { Err((self.refusal)(name.to_owned())) } else { Ok(admitted) })
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let admitted = resolver.addresses(name.as_str()).await??;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// First and last address of each block, as the registries print them.
    const PRIVATE_V4: &[(&str, &str)] = &[
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("168.63.129.16", "168.63.129.16"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
    ];

    const PRIVATE_V6: &[(&str, &str)] = &[
        ("::", "::fffe:ffff:ffff"),
        ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
        ("100::", "100::ffff:ffff:ffff:ffff"),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ];

    fn v4_ranges() -> Vec<(u32, u32)> {
        let bits = |text: &str| text.parse::<Ipv4Addr>().unwrap().to_bits();
        PRIVATE_V4.iter().map(|(first, last)| (bits(first), bits(last))).collect()
    }

    fn v6_ranges() -> Vec<(u128, u128)> {
        let bits = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
        PRIVATE_V6.iter().map(|(first, last)| (bits(first), bits(last))).collect()
    }

    fn table_calls_public(v4: u32) -> bool {
        !v4_ranges().iter().any(|(first, last)| (*first..=*last).contains(&v4))
    }

    /// Any address, and as often one at or just past the edge of a block, where a wrong prefix length shows.
    fn any_v4() -> impl Strategy<Value = u32> {
        let edges: Vec<u32> = v4_ranges()
            .into_iter()
            .flat_map(|(first, last)| [first.wrapping_sub(1), first, last, last.wrapping_add(1)])
            .collect();
        prop_oneof![any::<u32>(), prop::sample::select(edges)]
    }

    fn private_v6() -> impl Strategy<Value = u128> {
        prop::sample::select(v6_ranges())
            .prop_flat_map(|(first, last)| prop_oneof![Just(first), Just(last), first..=last])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn an_ipv4_address_is_public_exactly_when_the_table_says_so(bits in any_v4()) {
            prop_assert_eq!(is_public(Ipv4Addr::from_bits(bits).into()), table_calls_public(bits));
        }

        #[test]
        fn an_ipv4_address_inside_an_ipv6_one_is_judged_by_itself(bits in any_v4()) {
            let public = table_calls_public(bits);
            let mapped = Ipv4Addr::from_bits(bits).to_ipv6_mapped();
            let translated = Ipv6Addr::from_bits(0x64_ff9b << 96 | u128::from(bits));
            prop_assert_eq!(is_public(mapped.into()), public);
            prop_assert_eq!(is_public(translated.into()), public);
        }

        #[test]
        fn an_ipv6_address_in_a_special_block_is_refused(bits in private_v6()) {
            prop_assert!(!is_public(Ipv6Addr::from_bits(bits).into()));
        }
    }

    #[test]
    fn ordinary_internet_hosts_are_public() {
        for address in ["8.8.8.8", "1.1.1.1", "52.216.8.11", "2606:4700::1111", "2a00:1450:4001:831::200e"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    fn policy(rules: &[&str]) -> AddressPolicy {
        AddressPolicy {
            allow_hosts: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            allow_http: false,
        }
    }

    fn check(policy: &AddressPolicy, url: &str) -> Result<Reach, Refusal> {
        policy.check(&url.parse().unwrap())
    }

    #[test]
    fn an_address_is_refused_however_it_is_spelled() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "0",
            "169.254.169.254",
            "0xa9fea9fe",
            "[::]",
            "[::1]",
            "[::127.0.0.1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::10.0.0.1]",
            "[2002:7f00:1::]",
            "[fd00:ec2::254]",
            "[fe80::1]",
        ] {
            let verdict = check(&policy(&[]), &format!("https://{host}/a"));
            assert!(matches!(verdict, Err(Refusal::NotPublic(_))), "{host}: {verdict:?}");
        }
    }

    #[test]
    fn only_http_and_https_without_credentials_pass() {
        let strict = policy(&[]);
        assert_eq!(check(&strict, "https://example.com:8443/a"), Ok(Reach::Public));
        assert_eq!(check(&strict, "http://example.com/a"), Err(Refusal::PlainHttp("example.com".into())));
        assert_eq!(check(&strict, "ftp://example.com/a"), Err(Refusal::Scheme("ftp".into())));
        assert_eq!(check(&strict, "file:///etc/passwd"), Err(Refusal::Scheme("file".into())));
        assert_eq!(check(&strict, "https://user@example.com/"), Err(Refusal::Credentials));
        assert_eq!(check(&strict, "https://:secret@example.com/"), Err(Refusal::Credentials));
        assert_eq!(check(&strict, "https://example.com:0/"), Err(Refusal::NoHost));
        let lenient = AddressPolicy { allow_http: true, ..strict };
        assert_eq!(check(&lenient, "http://example.com/a"), Ok(Reach::Public));
    }

    #[test]
    fn a_listed_host_passes_on_its_port_only() {
        let listed = policy(&["127.0.0.1:9400", "Media.Internal", "[::1]:80"]);
        assert_eq!(check(&listed, "http://127.0.0.1:9400/a"), Ok(Reach::Listed));
        assert_eq!(check(&listed, "http://media.internal:1234/a"), Ok(Reach::Listed));
        assert_eq!(check(&listed, "http://[::1]/a"), Ok(Reach::Listed));
        assert!(check(&listed, "https://127.0.0.1:9401/a").is_err());
        assert!(check(&listed, "https://[::ffff:127.0.0.1]:9400/a").is_err());
        assert_eq!(check(&listed, "https://sub.media.internal/a"), Ok(Reach::Public));
    }

    #[test]
    fn a_rule_that_is_no_host_is_an_error() {
        assert_eq!("::1".parse::<HostRule>(), "[::1]".parse());
        for text in ["", ":80", "host:", "host:0", "host:65536", "http://host", "host/path", "a b", "[::1"] {
            assert_eq!(text.parse::<HostRule>(), Err(InvalidHostRule(text.into())), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_gives_no_address() {
        let Err(refused) = GuardedResolver::public().resolve("localhost".parse().unwrap()).await else {
            panic!("localhost is not public");
        };
        assert_eq!(refused.downcast_ref(), Some(&Refusal::NotPublic("localhost".into())));
    }
}
