//! Answers, and the two shapes of error: the gateway wraps, the API does not.

use http::StatusCode;
use poem::Response;
use serde::Serialize;
use serde_json::{Value, json};

pub(super) struct Answer {
    status: StatusCode,
    body: Value,
    /// Whether the connection breaks before the answer is heard.
    pub(super) lost: bool,
}

/// The first two digits of error codes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource {
    Calls = 1,
    Messages = 2,
    PhoneNumbers = 4,
    Webhooks = 3,
    Summaries = 5,
    Transcripts = 6,
    Recordings = 9,
    Conversations = 10,
    Voicemails = 12,
}

impl Answer {
    fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body, lost: false }
    }

    pub(super) fn ok(body: &impl Serialize) -> Self {
        Self::new(StatusCode::OK, json!(body))
    }

    pub(super) fn data(data: Value) -> Self {
        Self::new(StatusCode::OK, json!({"data": data}))
    }

    pub(super) fn created(data: Value) -> Self {
        Self::new(StatusCode::CREATED, json!({"data": data}))
    }

    /// It is done, and there is nothing to tell.
    pub(super) fn nothing() -> Self {
        Self::new(StatusCode::NO_CONTENT, Value::Null)
    }

    pub(super) fn no_version() -> Self {
        Self::wrapped(StatusCode::BAD_REQUEST, "BadRequest", "Quo-Api-Version is missing or unknown")
    }

    pub(super) fn accepted(data: Value) -> Self {
        Self::new(StatusCode::ACCEPTED, json!({"data": data}))
    }

    /// One page of a list. The total is wrong, as the provider's is.
    pub(super) fn page(items: Vec<Value>, next: Option<String>) -> Self {
        let total = items.len();
        Self::new(StatusCode::OK, json!({"data": items, "totalItems": total, "nextPageToken": next}))
    }

    pub(super) fn invalid(resource: Resource, message: &str) -> Self {
        Self::refused(resource, 0, StatusCode::BAD_REQUEST, "Bad Request", message)
    }

    pub(super) fn not_found(resource: Resource) -> Self {
        Self::refused(resource, 0, StatusCode::NOT_FOUND, "Not Found", "It does not exist")
    }

    /// A refusal by the API. `variant` is the second pair of digits of the code.
    pub(super) fn refused(
        resource: Resource,
        variant: u8,
        status: StatusCode,
        title: &str,
        message: &str,
    ) -> Self {
        let code = format!("{:02}{variant:02}{}", resource as u8, status.as_u16());
        Self::new(
            status,
            json!({"message": message, "code": code, "status": status.as_u16(), "title": title,
                "docs": "https://quo.com/docs", "trace": "7104420918273645501"}),
        )
    }

    pub(super) fn unknown_path() -> Self {
        Self::wrapped(StatusCode::NOT_FOUND, "NotFound", "No such route")
    }

    pub(super) fn unauthorized() -> Self {
        Self::wrapped(StatusCode::UNAUTHORIZED, "Unauthorized", "Invalid API key")
    }

    pub(super) fn too_many() -> Self {
        Self::wrapped(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "API rate limit exceeded")
    }

    pub(super) fn trouble() -> Self {
        Self::wrapped(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "Something went wrong")
    }

    pub(super) fn full() -> Self {
        Self::wrapped(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "The simulator is full")
    }

    /// A refusal by the gateway before the API.
    fn wrapped(status: StatusCode, key: &str, message: &str) -> Self {
        let error = json!({"message": message, "key": key, "trace": "7104420918273645502"});
        Self::new(status, json!({"error": error}))
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        if answer.status == StatusCode::NO_CONTENT {
            return answer.status.into();
        }
        Response::builder()
            .status(answer.status)
            .content_type("application/json; charset=utf-8")
            .body(answer.body.to_string())
    }
}
