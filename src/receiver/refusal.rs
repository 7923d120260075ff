//! Every way a webhook is refused: status, machine-readable code, and what to tell.

use poem::Response;
use poem::http::{StatusCode, header};
use trunkline_jobs::secrets::Stale;
use trunkline_openphone::event::EnvelopeError;
use trunkline_openphone::signature::SignatureError;

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    #[error("the body ended before it was complete")]
    BodyIncomplete,
    #[error("the content type is not application/json")]
    ContentType,
    #[error("too many requests from this source")]
    RateLimited { retry_after_seconds: u64 },
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("no webhook secret is configured; send this one again later")]
    NoSecret,
    #[error("it may be signed with a secret that is not known yet; send it again")]
    SecretAwaited,
    #[error("which secrets count is not known at the moment; send it again")]
    SecretsStale(#[from] Stale),
    #[error("too many deliveries are waiting; send this one again")]
    Busy,
    #[error("the delivery could not be stored; send it again")]
    Storage,
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyIncomplete | Self::Envelope(_) => StatusCode::BAD_REQUEST,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Signature(_) => StatusCode::UNAUTHORIZED,
            Self::NoSecret | Self::SecretAwaited | Self::SecretsStale(_) | Self::Busy | Self::Storage => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The machine-readable reason, also the label of its counter.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyIncomplete => "body_incomplete",
            Self::ContentType => "content_type",
            Self::RateLimited { .. } => "rate_limited",
            Self::Signature(error) => error.code(),
            Self::Envelope(_) => "malformed",
            Self::NoSecret => "no_secret",
            Self::SecretAwaited => "secret_awaited",
            Self::SecretsStale(_) => "secrets_stale",
            Self::Busy => "busy",
            Self::Storage => "storage_unavailable",
        }
    }

    fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_seconds } => Some(*retry_after_seconds),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => None,
        }
    }

    pub fn response(&self) -> Response {
        let body = serde_json::json!({ "error": { "code": self.code(), "message": self.to_string() } });
        let mut response = Response::builder().status(self.status()).content_type("application/json");
        if let Some(seconds) = self.retry_after_seconds() {
            response = response.header(header::RETRY_AFTER, seconds);
        }
        response.body(body.to_string())
    }
}
