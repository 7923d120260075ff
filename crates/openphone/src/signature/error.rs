//! Why a webhook was not believed.

use super::Scheme;

/// Why a webhook was not believed. None of it repeats what the request said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the request carries no signature")]
    SignatureMissing,
    #[error("the request lacks the header {0}")]
    HeaderMissing(&'static str),
    #[error("the request carries the header {0} more than once")]
    HeaderDuplicated(&'static str),
    #[error("the header {0} is empty, too long or not plain text")]
    HeaderMalformed(&'static str),
    #[error("the signature header holds no signature of a known version")]
    SignatureMalformed,
    #[error("no {0} secret is configured")]
    SecretNotConfigured(Scheme),
    #[error("no signature matches a configured secret")]
    SignatureInvalid,
    #[error("the timestamp is not a number of the expected length")]
    TimestampMalformed,
    #[error("the {0} scheme's timestamp is in the unit of the other scheme")]
    TimestampUnit(Scheme),
    #[error("the signed time is {age_seconds} s away from ours")]
    TimestampStale {
        /// Positive: signed in the past. Negative: signed in the future.
        age_seconds: i64,
    },
}

impl SignatureError {
    /// A stable word for logs, metrics and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SignatureMissing => "signature_missing",
            Self::HeaderMissing(_) => "header_missing",
            Self::HeaderDuplicated(_) => "header_duplicated",
            Self::HeaderMalformed(_) => "header_malformed",
            Self::SignatureMalformed => "signature_malformed",
            Self::SecretNotConfigured(_) => "secret_not_configured",
            Self::SignatureInvalid => "signature_invalid",
            Self::TimestampMalformed => "timestamp_malformed",
            Self::TimestampUnit(_) => "timestamp_unit",
            Self::TimestampStale { .. } => "timestamp_stale",
        }
    }
}
