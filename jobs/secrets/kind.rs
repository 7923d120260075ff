//! What a secret is for, and where it stands.

use std::fmt;

use serde::Serialize;
use trunkline_openphone::signature::Scheme;

/// What a secret is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Signs present webhooks: `whsec_…`.
    Standard,
    /// Signs older webhooks: bare base64.
    Legacy,
    /// Opens the provider's API to us.
    ApiKey,
}

/// Where a version stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, and not seen in use yet; or awaited from the provider.
    Incoming,
    /// The one in use.
    Active,
    /// Accepted still: its successor is in use.
    Retiring,
    /// Refused.
    Retired,
}

impl Purpose {
    pub const ALL: [Self; 3] = [Self::Standard, Self::Legacy, Self::ApiKey];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Legacy => "legacy",
            Self::ApiKey => "api_key",
        }
    }

    /// Of the webhooks that it signs.
    pub const fn scheme(self) -> Option<Scheme> {
        match self {
            Self::Standard => Some(Scheme::Standard),
            Self::Legacy => Some(Scheme::Legacy),
            Self::ApiKey => None,
        }
    }
}

impl From<Scheme> for Purpose {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Standard => Self::Standard,
            Scheme::Legacy => Self::Legacy,
        }
    }
}

impl State {
    pub const ALL: [Self; 4] = [Self::Incoming, Self::Active, Self::Retiring, Self::Retired];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

/// A word in the database that stands for nothing we know.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is no purpose or state of a secret")]
pub struct UnknownWord(String);

impl TryFrom<String> for Purpose {
    type Error = UnknownWord;

    fn try_from(word: String) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == word).ok_or(UnknownWord(word))
    }
}

impl TryFrom<String> for State {
    type Error = UnknownWord;

    fn try_from(word: String) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or(UnknownWord(word))
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
