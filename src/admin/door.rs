//! What every request of the API passes: a key, its allowance, a bounded body; and what every answer gets: a request
//! id, the state of the allowance, and headers that keep browsers from making anything of it.

use std::time::Duration;

use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use poem::{Body, Endpoint, Request, Response};
use tokio::io::{AsyncReadExt, copy, sink};
use tokio::time::timeout;
use tracing::Instrument;

use super::granted::Visit;
use super::problem::Problem;
use super::shape::Shape;
use crate::access::gate::Gate;
use crate::access::{Denied, Standing};
use crate::correlation::CorrelationIds;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const MOST_BODY: u64 = 1 << 20;
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Stands before the operations.
pub(super) struct Door<E> {
    inner: E,
    shape: Shape,
    gate: Gate,
    ids: CorrelationIds,
}

impl<E: Endpoint<Output = Response>> Door<E> {
    pub(super) fn new(inner: E, shape: Shape, gate: Gate, ids: CorrelationIds) -> Self {
        Self { inner, shape, gate, ids }
    }

    async fn answer(&self, mut request: Request) -> (Option<(u32, Standing)>, Result<Response, Problem>) {
        let source = self.gate.sources.of_request(&request);
        let caller = match self.gate.caller(&request).await {
            Ok(caller) => caller,
            Err(denied) => return (None, Err(denied.into())),
        };
        let (burst, standing) = self.gate.access.count(&caller.key);
        let allowance = Some((burst, standing));
        if !standing.allowed {
            let limited = Denied::Limited { wait: standing.next };
            let denied = self.gate.access.refuse(Some(&caller.key), limited, source);
            return (allowance, Err(denied.into()));
        }
        // No text in the database has it, and PostgreSQL takes it for a mistake of ours.
        if request.original_uri().to_string().contains("%00") {
            return (allowance, Err(Problem::invalid("there is a NUL in the path or the query")));
        }
        if let Err(problem) = self.shape.check(&request) {
            return (allowance, Err(problem));
        }
        let body = match bound_body(&mut request).await {
            Ok(body) => body,
            Err(problem) => return (allowance, Err(problem)),
        };
        let misfit = self.shape.misfit(&request, &body);
        request.set_body(Body::from_vec(body));
        request.extensions_mut().insert(Visit { caller, source, gate: self.gate.clone(), misfit });
        (allowance, self.inner.call(request).await.map_err(|error| Problem::of(&error)))
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Door<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let request_id = self.ids.next();
        let span = tracing::info_span!("request", correlation_id = request_id, method = %request.method());
        let (allowance, answer) = self.answer(request).instrument(span).await;
        let mut response = answer.unwrap_or_else(|problem| problem.response(&request_id));
        let headers = response.headers_mut();
        if let Ok(value) = request_id.parse() {
            headers.insert(REQUEST_ID, value);
        }
        if let Some((burst, standing)) = allowance {
            headers.insert(LIMIT, burst.into());
            headers.insert(REMAINING, standing.left.into());
            headers.insert(RESET, (standing.full.num_seconds().max(0) + 1).into());
        }
        close(headers);
        Ok(response)
    }
}

/// Headers of every answer; one that an operation set itself stays.
pub(super) fn close(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Reads the body, so that nobody behind the door has to think of how long it might be.
async fn bound_body(request: &mut Request) -> Result<Vec<u8>, Problem> {
    let late =
        |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not arrive in time");
    let mut incoming = request.take_body().into_async_read();
    let reading = async {
        let mut body = Vec::new();
        (&mut incoming).take(MOST_BODY + 1).read_to_end(&mut body).await?;
        if body.len() as u64 > MOST_BODY {
            // Who is still sending does not listen yet.
            copy(&mut (&mut incoming).take(MOST_BODY), &mut sink()).await?;
        }
        std::io::Result::Ok(body)
    };
    let body = timeout(BODY_DEADLINE, reading).await.map_err(late)?;
    let body = body.map_err(|_| Problem::invalid("the body ended before it was complete"))?;
    if body.len() as u64 > MOST_BODY {
        let detail = format!("the body has more than {MOST_BODY} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    Ok(body)
}
