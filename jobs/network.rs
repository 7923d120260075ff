//! Networks in CIDR notation, for lists of addresses: whom to believe, whom to reach.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de::Error};

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NetworkError {
    #[error("{0:?} is not an address or a network such as \"10.0.0.0/8\"")]
    Syntax(String),
    #[error("{0:?} has bits after its prefix")]
    HostBits(String),
}

impl Network {
    /// Whether `address` belongs to the network. An IPv4 address in IPv6 clothes counts as itself.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                shifted_v4(own.to_bits() ^ other.to_bits(), self.prefix) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                shifted_v6(own.to_bits() ^ other.to_bits(), self.prefix) == 0
            }
            _ => false,
        }
    }

    /// How many of its first bits the addresses share.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    fn has_host_bits(&self) -> bool {
        match self.address {
            IpAddr::V4(v4) => v4.to_bits().trailing_zeros() < 32 - u32::from(self.prefix),
            IpAddr::V6(v6) => v6.to_bits().trailing_zeros() < 128 - u32::from(self.prefix),
        }
    }
}

/// The first `prefix` bits.
fn shifted_v4(bits: u32, prefix: u8) -> u32 {
    bits.checked_shr(32 - u32::from(prefix)).unwrap_or(0)
}

fn shifted_v6(bits: u128, prefix: u8) -> u128 {
    bits.checked_shr(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || NetworkError::Syntax(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= longest).ok_or_else(syntax)?,
            None => longest,
        };
        let network = Self { address, prefix };
        if network.has_host_bits() {
            return Err(NetworkError::HostBits(text.to_owned()));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        String::deserialize(de)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        assert!(contains("10.0.0.0/8", "10.255.255.255"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.168.1.7", "192.168.1.7"));
        assert!(!contains("192.168.1.7", "192.168.1.6"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(contains("fd00::/8", "fdff::1"));
        assert!(!contains("fd00::/8", "fe00::1"));
        assert!(contains("::/0", "2001:db8::1"));
    }

    #[test]
    fn the_two_families_do_not_mix_but_a_mapped_address_is_the_one_it_carries() {
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "proxy", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "::/129", "10.0.0.0/-1"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Syntax(text.to_owned())));
        }
    }

    #[test]
    fn a_network_that_was_meant_to_be_an_address_is_refused() {
        assert_eq!("10.1.2.3/8".parse::<Network>(), Err(NetworkError::HostBits("10.1.2.3/8".to_owned())));
        assert!("10.1.2.3/32".parse::<Network>().is_ok());
        assert!("0.0.0.0/0".parse::<Network>().is_ok());
    }
}
