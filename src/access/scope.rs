//! What a key allows.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// One thing a key can allow. `admin` allows what `operate` does, and `operate` what `read` does; `pii` stands by
/// itself.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// Look, with everything personal masked.
    Read,
    /// Act on work: retry, pause, send.
    Operate,
    /// Act on the installation: keys, settings.
    Admin,
    /// See numbers, texts and recordings as they are.
    Pii,
}

#[derive(Debug, Error)]
#[error("{0:?} is no scope; the scopes are read, operate, admin and pii")]
pub struct UnknownScope(String);

impl Scope {
    pub const ALL: [Self; 4] = [Self::Read, Self::Operate, Self::Admin, Self::Pii];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
            Self::Pii => "pii",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// With what it implies.
    const fn bits(self) -> u8 {
        match self {
            Self::Read | Self::Pii => self.bit(),
            Self::Operate => self.bit() | Self::Read.bit(),
            Self::Admin => self.bit() | Self::Operate.bits(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// The scopes of a key, or those that something takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Scopes(u8);

impl Scopes {
    pub const fn of(scopes: &[Scope]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < scopes.len() {
            bits |= scopes[at].bits();
            at += 1;
        }
        Self(bits)
    }

    /// Whether all of `needed` are among them.
    pub const fn allow(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }

    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bits()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Scope::as_str).collect();
        f.pad(&names.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_whitespace().map(str::parse).collect()
    }
}

impl TryFrom<String> for Scopes {
    type Error = UnknownScope;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greater_scope_allows_what_a_smaller_one_does_and_pii_stands_alone() {
        let admin = Scopes::of(&[Scope::Admin]);
        for scope in [Scope::Read, Scope::Operate, Scope::Admin] {
            assert!(admin.has(scope), "{scope}");
        }
        assert!(!admin.has(Scope::Pii));
        let personal = Scopes::of(&[Scope::Read, Scope::Pii]);
        assert!(!admin.allow(personal) && personal.allow(personal));
        assert!(!Scopes::of(&[Scope::Pii]).has(Scope::Read));
        assert!(!Scopes::of(&[Scope::Read]).has(Scope::Operate));
    }

    #[test]
    fn scopes_are_written_in_one_order_and_read_back() {
        let scopes: Scopes = "pii operate".parse().unwrap();
        assert_eq!(scopes.to_string(), "read operate pii");
        assert_eq!(scopes.to_string().parse::<Scopes>().unwrap(), scopes);
        assert!("read write".parse::<Scopes>().is_err());
        assert!(Scopes::default().is_empty());
    }
}
