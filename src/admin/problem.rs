//! How the API says no: problem details (RFC 9457), one form for everything that can go wrong, the framework's own
//! refusals included.

use std::time::Duration;

use chrono::TimeDelta;
use poem::error::ResponseError;
use poem::http::{StatusCode, header};
use poem::{Error, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use tokio::time::timeout;
use trunkline_platform::db::DbError;

use crate::access::{Denied, KeyError};
use crate::mask;

pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// How long a request may reckon.
const LONGEST: Duration = Duration::from_secs(60);

/// What went wrong
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Problem")]
struct ProblemDetails {
    /// `about:blank`: the status says it all
    #[oai(rename = "type")]
    r#type: String,
    /// The status in words
    title: String,
    status: u16,
    /// What happened to what, and what to do next
    detail: String,
    /// The reason for programs. It never changes
    code: String,
    /// By which the logs tell of this request
    request_id: String,
}

/// A refusal.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    wait: Option<TimeDelta>,
    /// The methods the path does take.
    allow: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), wait: None, allow: None }
    }

    /// There is no such thing.
    pub(super) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// What was sent cannot be meant.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// It cannot be done to what is there.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// Somebody has changed it since it was looked at.
    pub(super) fn outdated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "outdated", detail)
    }

    /// The path does not take the method; `allow` are those it takes.
    pub(super) fn method_not_allowed(allow: String) -> Self {
        let detail = format!("this path does not take this method; it takes {allow}");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        Self { allow: Some(allow), ..problem }
    }

    /// A failure of ours. Its cause is in the log, and only there.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request failed");
        let detail = "the request failed on our side; the log tells why, by the request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// Whatever error, in this form.
    pub(super) fn of(error: &Error) -> Self {
        if let Some(problem) = error.downcast_ref::<Self>() {
            return problem.clone();
        }
        let status = error.status();
        let said = mask::phones_in(&error.to_string());
        match status {
            StatusCode::NOT_FOUND => Self::new(status, "not_found", "there is nothing at this path"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(status, "unsupported_media_type", "the body must be application/json")
            }
            status if status.is_client_error() => Self::new(status, "invalid", said),
            _ => {
                tracing::error!(error = said, "a request failed");
                let detail = "the request failed on our side; the log tells why, by the request id";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }

    pub(super) fn response(&self, request_id: &str) -> Response {
        let details = ProblemDetails {
            r#type: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            request_id: request_id.to_owned(),
        };
        let body = serde_json::to_string(&details).unwrap_or_default();
        let mut response = Response::builder().status(self.status).content_type(CONTENT_TYPE);
        if let Some(wait) = self.wait {
            response = response.header(header::RETRY_AFTER, wait.num_seconds().max(0) + 1);
        }
        if let Some(allow) = &self.allow {
            response = response.header(header::ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response = response.header(header::WWW_AUTHENTICATE, "Bearer realm=\"trunkline\"");
        }
        response.body(body)
    }
}

/// What a long reckoning comes to; `late` is told when a minute has not been enough.
pub(super) async fn in_a_minute<T>(
    reckoning: impl Future<Output = T>,
    late: &'static str,
) -> Result<T, Problem> {
    let late = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", late);
    timeout(LONGEST, reckoning).await.map_err(late)
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let (status, code, detail) = match &denied {
            Denied::Scope => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "this key does not allow it; the description of the operation names the scope",
            ),
            Denied::CrossSite => {
                (StatusCode::FORBIDDEN, "cross_site", "the request did not come from a page of this program")
            }
            Denied::Throttled { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "throttled", "too many failed tries; wait before the next")
            }
            Denied::Limited { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "more requests than this key is allowed; wait",
            ),
            Denied::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "keys cannot be checked at the moment")
            }
            _ => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "a key is needed, and what was sent is no good one",
            ),
        };
        Self { wait: denied.wait(), ..Self::new(status, code, detail) }
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        if !error.is_passing() {
            return Self::internal(&error);
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "a request could not be answered");
        let detail = "the database is away or busy; try again";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        Self { wait: Some(TimeDelta::seconds(1)), ..problem }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown(id) => Self::not_found(format!("key {id}")),
            KeyError::Revoked(_) | KeyError::Expired(_) => Self::conflict(error.to_string()),
            KeyError::Db(error) => error.into(),
            _ => Self::invalid(error.to_string()),
        }
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn as_response(&self) -> Response {
        self.response("")
    }
}

/// Every status that any operation can answer with when it does not do what was asked.
const STATUSES: [(u16, &str); 12] = [
    (400, "What was sent cannot be meant"),
    (401, "No key, or no good one"),
    (403, "The key does not allow it"),
    (404, "There is no such thing"),
    (405, "The path does not take the method"),
    (409, "It cannot be done to what is there"),
    (412, "It was changed since the version of If-Match"),
    (413, "The body is too large"),
    (415, "The body is not JSON"),
    (429, "Too many requests, or too many failed tries"),
    (500, "A failure of ours"),
    (503, "The database is away or busy"),
];

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        let response = |(status, description)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType { content_type: CONTENT_TYPE, schema: ProblemDetails::schema_ref() }],
            headers: Vec::new(),
        };
        MetaResponses { responses: STATUSES.into_iter().map(response).collect() }
    }

    fn register(registry: &mut Registry) {
        ProblemDetails::register(registry);
    }
}
