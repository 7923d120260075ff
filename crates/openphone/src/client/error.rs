//! How asking can fail, sorted by what the asker can do about it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{
    HeaderMap, StatusCode,
    header::{DATE, RETRY_AFTER},
};

use crate::event::Fields;

/// The longest wait that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What went wrong with a request.
///
/// For a request that changes something, the question is whether it did: see
/// [`outcome_unknown`](Self::outcome_unknown).
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the provider asks us to slow down ({refusal})")]
    RateLimited { retry_after: Option<Duration>, refusal: Refusal },
    #[error("the provider does not know our API key ({0})")]
    Unauthorized(Refusal),
    #[error("the provider does not allow it ({0})")]
    Forbidden(Refusal),
    #[error("the provider wants to be paid first ({0})")]
    PaymentRequired(Refusal),
    #[error("the provider does not have it ({0})")]
    NotFound(Refusal),
    #[error("the provider finds the request invalid ({0})")]
    Invalid(Refusal),
    #[error("the provider reports a conflict ({0})")]
    Conflict(Refusal),
    #[error("the provider is in trouble ({0})")]
    Server(Refusal),
    #[error("the provider gave an answer that belongs to no API ({0})")]
    Unexpected(Refusal),
    #[error("the provider did not answer in time")]
    Timeout(#[source] reqwest::Error),
    /// The request provably never left.
    #[error("the provider cannot be reached")]
    Connect(#[source] reqwest::Error),
    /// The request may have arrived.
    #[error("the connection to the provider broke")]
    Interrupted(#[source] reqwest::Error),
    /// The request was accepted; the answer says nothing we understand.
    #[error("the provider's answer cannot be read")]
    Decode(#[from] DecodeError),
}

/// Why an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("it is not JSON of the expected shape")]
    NotJson,
    #[error("it has no usable id")]
    NoId,
    #[error("it has no signing secret")]
    NoKey,
    #[error("it is too large")]
    TooLarge,
}

/// What the provider said when it refused. Prints without the message, which can repeat numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    pub status: u16,
    /// Seven digits, or the gateway's word. Never match on the codes exhaustively.
    pub code: Option<String>,
    pub message: Option<String>,
    /// What to quote to the provider's support.
    pub trace: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.status)?;
        self.code.iter().try_for_each(|code| write!(f, ", code {code}"))?;
        self.trace.iter().try_for_each(|trace| write!(f, ", trace {trace}"))
    }
}

impl ApiError {
    /// Whether a request that changes something may have done so all the same.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Server(_)
            | Self::Unexpected(_)
            | Self::Timeout(_)
            | Self::Interrupted(_)
            | Self::Decode(_) => true,
            Self::RateLimited { .. }
            | Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::PaymentRequired(_)
            | Self::NotFound(_)
            | Self::Invalid(_)
            | Self::Conflict(_)
            | Self::Connect(_) => false,
        }
    }

    /// Whether the same request may succeed later. Before repeating one that changes something, ask
    /// [`outcome_unknown`](Self::outcome_unknown).
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Server(_)
                | Self::Timeout(_)
                | Self::Connect(_)
                | Self::Interrupted(_)
        )
    }

    /// What the provider said, if it was the provider who refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::RateLimited { refusal, .. }
            | Self::Unauthorized(refusal)
            | Self::Forbidden(refusal)
            | Self::PaymentRequired(refusal)
            | Self::NotFound(refusal)
            | Self::Invalid(refusal)
            | Self::Conflict(refusal)
            | Self::Server(refusal)
            | Self::Unexpected(refusal) => Some(refusal),
            Self::Timeout(_) | Self::Connect(_) | Self::Interrupted(_) | Self::Decode(_) => None,
        }
    }

    /// Sorts a failure of the transport. The URL is dropped: it can name people's numbers.
    pub(super) fn transport(error: reqwest::Error) -> Self {
        let error = error.without_url();
        // Failing to connect in time is both, and what matters is that nothing was sent.
        if error.is_connect() || error.is_builder() {
            Self::Connect(error)
        } else if error.is_timeout() {
            Self::Timeout(error)
        } else {
            Self::Interrupted(error)
        }
    }
}

/// Sorts an answer that is not a success. A body that cannot be read takes nothing away from the
/// status.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap, body: Result<Vec<u8>, ApiError>) -> ApiError {
    let refusal = Refusal { status: status.as_u16(), ..explain(&body.unwrap_or_default()) };
    match status.as_u16() {
        429 => ApiError::RateLimited { retry_after: retry_after(headers), refusal },
        401 => ApiError::Unauthorized(refusal),
        402 => ApiError::PaymentRequired(refusal),
        403 => ApiError::Forbidden(refusal),
        404 => ApiError::NotFound(refusal),
        409 => ApiError::Conflict(refusal),
        408 | 500..=599 => ApiError::Server(refusal),
        400..=499 => ApiError::Invalid(refusal),
        _ => ApiError::Unexpected(refusal),
    }
}

/// Reads either shape of error, flat or wrapped in `error`, as far as it goes.
fn explain(body: &[u8]) -> Refusal {
    let Some(outer) = std::str::from_utf8(body).ok().and_then(Fields::parse) else {
        return Refusal::default();
    };
    let inner = outer.object("error");
    let first = |key| inner.filled(key).or_else(|| outer.filled(key));
    Refusal {
        status: 0,
        code: first("code").or_else(|| first("key")),
        message: first("message").or_else(|| first("title")),
        trace: first("trace"),
    }
}

/// Seconds, or a date. A date is measured against the answer's own `Date`, so no clock of ours, and
/// no difference between clocks, comes into it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = DateTime::parse_from_rfc2822(value).ok()?;
            (until.to_utc() - answered_at(headers)?).to_std().unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The time of an answer by the clock of whoever gave it.
pub(super) fn answered_at(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?).ok()?.to_utc())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn refused_with(status: u16, body: &str) -> ApiError {
        let status = StatusCode::from_u16(status).unwrap();
        refused(status, &HeaderMap::new(), Ok(body.as_bytes().to_vec()))
    }

    #[test]
    fn both_shapes_of_error_are_read() {
        let flat = refused_with(400, r#"{"message":"A2P","code":"0206400","status":400,"trace":"71"}"#);
        let expected = Refusal {
            status: 400,
            code: Some("0206400".to_owned()),
            message: Some("A2P".to_owned()),
            trace: Some("71".to_owned()),
        };
        assert_eq!(flat.refusal(), Some(&expected));
        let wrapped = refused_with(401, r#"{"error":{"message":"no","key":"Unauthorized","trace":"9"}}"#);
        assert_eq!(wrapped.refusal().unwrap().code.as_deref(), Some("Unauthorized"));
        assert!(matches!(wrapped, ApiError::Unauthorized(_)));
    }

    #[test]
    fn a_body_that_says_nothing_still_has_a_status() {
        for body in ["", "<html>", "[]", "null", r#"{"error":"x"}"#] {
            let error = refused_with(502, body);
            assert_eq!(error.refusal(), Some(&Refusal { status: 502, ..Refusal::default() }), "{body}");
            assert!(error.outcome_unknown() && error.is_retryable());
        }
    }

    #[test]
    fn statuses_are_sorted_by_what_one_can_do() {
        let unknown = |status| refused_with(status, "").outcome_unknown();
        assert!([200, 302, 408, 500, 503, 599].into_iter().all(unknown));
        assert!(![400, 401, 402, 403, 404, 409, 418, 422, 429].into_iter().any(unknown));
        assert!(refused_with(429, "").is_retryable());
        assert!(!refused_with(422, "").is_retryable());
    }

    #[test]
    fn what_is_printed_leaves_out_the_message() {
        let error = refused_with(400, r#"{"message":"bad number +12125550101","code":"0200400"}"#);
        assert_eq!(error.to_string(), "the provider finds the request invalid (status 400, code 0200400)");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |pairs: &[(HeaderName, &'static str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            retry_after(&headers.collect()).map(|wait| wait.as_secs())
        };
        let date = (DATE, "Fri, 09 Oct 2026 15:00:00 GMT");
        assert_eq!(wait(&[(RETRY_AFTER, "7")]), Some(7));
        assert_eq!(wait(&[(RETRY_AFTER, "99999999999")]), Some(86_400));
        assert_eq!(wait(&[(RETRY_AFTER, "Fri, 09 Oct 2026 15:01:30 GMT"), date.clone()]), Some(90));
        assert_eq!(wait(&[(RETRY_AFTER, "Fri, 09 Oct 2026 14:00:00 GMT"), date]), Some(0));
        assert_eq!(wait(&[(RETRY_AFTER, "Fri, 09 Oct 2026 15:01:30 GMT")]), None);
        assert_eq!(wait(&[(RETRY_AFTER, "soon")]), None);
        assert_eq!(wait(&[]), None);
    }
}
