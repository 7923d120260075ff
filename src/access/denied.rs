//! Why somebody is not let in. Outside all of it reads alike; the log, the metrics and the audit tell the reasons
//! apart.

use std::sync::Arc;

use chrono::TimeDelta;
use thiserror::Error;
use trunkline_platform::db::DbError;

#[derive(Clone, Debug, Error)]
pub enum Denied {
    #[error("no key was presented")]
    Missing,
    #[error("what was presented has not the form of a key")]
    Malformed,
    #[error("there is no such key or session")]
    Unknown,
    #[error("the secret of the key is wrong")]
    WrongSecret,
    #[error("the key or the session has expired")]
    Expired,
    #[error("the key was revoked")]
    Revoked,
    #[error("the key does not allow it")]
    Scope,
    #[error("the request comes from another site's page")]
    CrossSite,
    #[error("too many failed tries from there")]
    Throttled { wait: TimeDelta },
    #[error("more requests than the key is allowed")]
    Limited { wait: TimeDelta },
    #[error("keys cannot be checked at the moment")]
    Unavailable(#[source] Arc<DbError>),
}

impl Denied {
    /// Every reason, so that its counter exists before the first.
    pub(super) const REASONS: [&str; 11] = [
        "missing",
        "malformed",
        "unknown",
        "wrong_secret",
        "expired",
        "revoked",
        "scope",
        "cross_site",
        "throttled",
        "rate_limited",
        "unavailable",
    ];

    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::WrongSecret => "wrong_secret",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Scope => "scope",
            Self::CrossSite => "cross_site",
            Self::Throttled { .. } => "throttled",
            Self::Limited { .. } => "rate_limited",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// How long to wait before the next try.
    pub fn wait(&self) -> Option<TimeDelta> {
        match self {
            Self::Throttled { wait } | Self::Limited { wait } => Some(*wait),
            Self::Unavailable(_) => Some(TimeDelta::seconds(1)),
            _ => None,
        }
    }

    /// Whether somebody tried something that could be right another time.
    pub(super) fn is_a_guess(&self) -> bool {
        matches!(self, Self::Malformed | Self::Unknown | Self::WrongSecret | Self::Expired | Self::Revoked)
    }
}

impl From<DbError> for Denied {
    fn from(error: DbError) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}
