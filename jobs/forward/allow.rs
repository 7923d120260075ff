//! Where deliveries may be forwarded to: what the operator listed, and nothing else.
//!
//! A listed network admits the addresses in it, under whatever name. A listed host admits the public addresses of that name,
//! over https; a private address needs its network listed as well, so a name that is pointed at our own machines leads
//! nowhere. A network so wide that it spans more than one private block is meant for the public addresses in it.

use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

use crate::media::guard::{HostRule, Refusal, is_public, target};
use crate::network::Network;

/// Private blocks are no wider: 10.0.0.0/8 and fc00::/7.
const WIDEST_PRIVATE_V4: u8 = 8;
const WIDEST_PRIVATE_V6: u8 = 7;

/// The operator's list. An empty one admits nothing.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    networks: Vec<Network>,
    hosts: Vec<HostRule>,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no network (10.0.0.0/8), address, or host (dev.example.com, 127.0.0.1:3000)")]
pub struct InvalidAllowed(String);

/// Which addresses of a URL's host may be connected to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// It is an address, and listed.
    Address,
    /// Those in listed networks.
    Networks,
    /// The name is listed: the public ones, too.
    Named,
}

impl AllowList {
    /// # Errors
    /// When one can be nothing of the kind.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, InvalidAllowed> {
        let mut list = Self::default();
        for text in texts {
            if let Ok(network) = text.parse() {
                list.networks.push(network);
            } else {
                list.hosts.push(HostRule::from_str(text).map_err(|_| InvalidAllowed(text.to_owned()))?);
            }
        }
        Ok(list)
    }

    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.hosts.is_empty()
    }

    /// Whether an address is in a listed network.
    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        let private = !is_public(address);
        let wide = |network: &Network| {
            network.prefix() < if network.is_ipv4() { WIDEST_PRIVATE_V4 } else { WIDEST_PRIVATE_V6 }
        };
        self.networks.iter().any(|network| network.contains(address) && !(private && wide(network)))
    }

    /// Judges a URL by everything that can be seen before its host is resolved.
    pub(super) fn check(&self, url: &Url) -> Result<Reach, Refusal> {
        let (host, port) = target(url)?;
        let is_named = self.hosts.iter().any(|rule| rule.matches(&host, port));
        let address = match host {
            Host::Ipv4(v4) => IpAddr::V4(v4),
            Host::Ipv6(v6) => IpAddr::V6(v6),
            Host::Domain(_) if is_named && url.scheme() == "https" => return Ok(Reach::Named),
            Host::Domain(_) => return Ok(Reach::Networks),
        };
        if is_named || self.has_address(address) {
            return Ok(Reach::Address);
        }
        Err(Refusal::NotListed(address.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> AllowList {
        AllowList::parse(texts.iter().copied()).unwrap()
    }

    fn check(list: &AllowList, url: &str) -> Result<Reach, Refusal> {
        list.check(&url.parse().unwrap())
    }

    #[test]
    fn an_empty_list_admits_no_address_and_no_name_by_itself() {
        let none = list(&[]);
        assert!(none.is_empty());
        for url in ["http://127.0.0.1:3000/", "https://8.8.8.8/", "https://[::1]/", "http://169.254.169.254/"]
        {
            assert!(matches!(check(&none, url), Err(Refusal::NotListed(_))), "{url}");
        }
        assert_eq!(check(&none, "https://dev.example.com/"), Ok(Reach::Networks), "its addresses are judged");
        assert!(!none.has_address("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn a_listed_network_admits_its_addresses_however_they_are_spelled() {
        let office = list(&["10.20.0.0/16", "fd00:1::/64", "192.168.1.7"]);
        for url in [
            "http://10.20.3.4:8080/x",
            "http://169083652/",
            "http://[::ffff:10.20.3.4]/",
            "http://[fd00:1::9]/",
            "http://192.168.1.7/",
        ] {
            assert_eq!(check(&office, url), Ok(Reach::Address), "{url}");
        }
        for url in ["http://10.21.0.1/", "http://[fd00:2::9]/", "http://192.168.1.8/", "http://127.1/"] {
            assert!(check(&office, url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_network_that_spans_the_world_admits_its_public_part_only() {
        let world = list(&["0.0.0.0/0", "::/0"]);
        assert!(world.has_address("8.8.8.8".parse().unwrap()));
        assert!(world.has_address("2606:4700::1111".parse().unwrap()));
        for private in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(!world.has_address(private.parse().unwrap()), "{private}");
        }
        assert!(list(&["10.0.0.0/8"]).has_address("10.0.0.1".parse().unwrap()));
        assert!(list(&["fc00::/7"]).has_address("fd00::1".parse().unwrap()));
    }

    #[test]
    fn a_listed_host_is_reached_at_its_public_addresses_over_https_and_on_its_port() {
        let named = list(&["dev.example.com", "127.0.0.1:3000"]);
        assert_eq!(check(&named, "https://dev.example.com/hooks"), Ok(Reach::Named));
        assert_eq!(check(&named, "http://dev.example.com/hooks"), Ok(Reach::Networks));
        assert_eq!(check(&named, "http://127.0.0.1:3000/"), Ok(Reach::Address));
        assert!(check(&named, "http://127.0.0.1:3001/").is_err());
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        let world = list(&["0.0.0.0/0"]);
        assert_eq!(check(&world, "ftp://8.8.8.8/"), Err(Refusal::Scheme("ftp".into())));
        assert_eq!(check(&world, "https://me:secret@8.8.8.8/"), Err(Refusal::Credentials));
        assert_eq!(check(&world, "https://8.8.8.8:0/"), Err(Refusal::NoHost));
        for text in ["", "10.0.0.0/33", "http://dev.example.com", "10.1.2.3/8"] {
            assert!(AllowList::parse([text]).is_err(), "{text}");
        }
    }
}
