//! Whether a webhook comes from the provider.
//!
//! There are two schemes. The present one is Standard Webhooks (`webhook-id`, `webhook-timestamp`,
//! `webhook-signature`); the older one is a single `openphone-signature` header. The headers choose
//! the scheme and a request that fails one is never tried against the other.
//!
//! The signature is checked before the time is judged, every configured secret is tried, and how
//! long a check takes does not depend on how nearly a signature was right.

mod error;
mod headers;
mod legacy;
mod secret;
mod standard;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Duration, Utc};
use http::HeaderMap;

pub use self::{
    error::SignatureError,
    legacy::sign_legacy,
    secret::{Key, SecretError, Secrets},
    standard::sign_standard,
};

/// The headers of the schemes.
pub const WEBHOOK_ID: &str = "webhook-id";
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";
pub const OPENPHONE_SIGNATURE: &str = "openphone-signature";

/// The two ways the provider signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Standard,
    Legacy,
}

impl Scheme {
    /// The name used in logs and errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Legacy => "legacy",
        }
    }
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far from now a signed time may lie, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    pub standard: Duration,
    /// `None` switches the check off: it is not known whether retries of the older webhooks keep
    /// the time of the first attempt.
    pub legacy: Option<Duration>,
}

impl Default for Tolerance {
    fn default() -> Self {
        let five_minutes = Duration::minutes(5);
        Self { standard: five_minutes, legacy: Some(five_minutes) }
    }
}

/// What a genuine webhook's headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub scheme: Scheme,
    /// The same on every retry of one delivery; the older scheme has none.
    pub delivery_id: Option<String>,
    /// When this attempt was signed.
    pub timestamp: DateTime<Utc>,
    /// Which of the scheme's keys it was signed with: their last, where it was signed with several.
    pub key: usize,
}

/// How a request says that it was signed, before anything is believed.
pub fn scheme_of(headers: &HeaderMap) -> Option<Scheme> {
    if headers.contains_key(WEBHOOK_SIGNATURE) {
        Some(Scheme::Standard)
    } else if headers.contains_key(OPENPHONE_SIGNATURE) {
        Some(Scheme::Legacy)
    } else {
        None
    }
}

/// Checks one request.
pub fn verify(
    secrets: &Secrets,
    tolerance: &Tolerance,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Verified, SignatureError> {
    match scheme_of(headers) {
        Some(Scheme::Standard) => standard::verify(&secrets.standard, tolerance.standard, headers, body, now),
        Some(Scheme::Legacy) => legacy::verify(&secrets.legacy, tolerance.legacy, headers, body, now),
        None => Err(SignatureError::SignatureMissing),
    }
}

fn check_freshness(
    signed: DateTime<Utc>,
    tolerance: Duration,
    now: DateTime<Utc>,
) -> Result<(), SignatureError> {
    let age = now - signed;
    if age.abs() > tolerance {
        return Err(SignatureError::TimestampStale { age_seconds: age.num_seconds() });
    }
    Ok(())
}
