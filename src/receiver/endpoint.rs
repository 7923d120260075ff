//! `POST /webhooks/openphone`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use poem::http::{HeaderMap, Method, StatusCode, header};
use poem::{Endpoint, Request, Response};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;
use trunkline_jobs::events::{Accepted, Delivery, Source};
use trunkline_jobs::secrets::{Keyring, Version};
use trunkline_openphone::event::Envelope;
use trunkline_openphone::signature::{SignatureError, Verified, scheme_of, verify};
use trunkline_platform::clock::Clock;

use super::ReceiverSettings;
use super::body::Incoming;
use super::committer::Door;

use super::metrics::ReceiverMetrics;
use super::rate::SourceLimit;
use super::refusal::Refusal;
use crate::correlation::CorrelationIds;
use crate::source::peer;

/// Told back to the provider, so that both sides' logs name a delivery alike.
const CORRELATION_HEADER: &str = "x-correlation-id";

/// Deliveries that may wait at once for the secret that may have signed them.
const MOST_HELD: usize = 256;

/// Takes webhooks.
pub struct WebhookEndpoint {
    settings: Arc<ReceiverSettings>,
    limit: SourceLimit,
    in_hand: Semaphore,
    held: Semaphore,
    door: Door,
    clock: Clock,
    ids: CorrelationIds,
    metrics: ReceiverMetrics,
}

impl WebhookEndpoint {
    pub(super) fn new(
        settings: Arc<ReceiverSettings>,
        door: Door,
        clock: Clock,
        ids: CorrelationIds,
        metrics: ReceiverMetrics,
    ) -> Self {
        let limit =
            SourceLimit::new(settings.rate_per_second, settings.rate_burst, settings.trusted_proxies.clone());
        let in_hand = Semaphore::new(settings.max_in_hand);
        let held = Semaphore::new(MOST_HELD);
        Self { settings, limit, in_hand, held, door, clock, ids, metrics }
    }

    async fn receive(
        &self,
        request: &Request,
        incoming: &mut Incoming,
        correlation_id: &str,
    ) -> Result<(), Refusal> {
        self.limit.check(peer(request), request.headers())?;
        if !is_json(request.headers()) {
            return Err(Refusal::ContentType);
        }
        let in_hand = self.in_hand.try_acquire().map_err(|_| Refusal::Busy)?;
        let headers = request.headers();
        let deadline = Instant::now() + self.settings.body_deadline;
        let body = incoming.read(headers, self.settings.max_body, self.settings.body_deadline).await?;
        let (verified, version) = self.believed(headers, &body, deadline).await?;
        let delivery = self.delivery(verified, headers, body, correlation_id)?;
        drop(in_hand);
        self.store(delivery, version.as_deref()).await
    }

    /// Checks the signature. What matches no secret, while there may be one that is not known yet, waits for it.
    async fn believed(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        deadline: Instant,
    ) -> Result<(Verified, Option<Arc<Version>>), Refusal> {
        let Self { settings, .. } = self;
        let mut view = settings.keyring.view()?;
        let mut held = None;
        loop {
            let may_be = scheme_of(headers).is_some_and(|scheme| view.may_be(scheme));
            if view.secrets.is_empty() && !may_be {
                return Err(Refusal::NoSecret);
            }
            match verify(&view.secrets, &settings.tolerance, headers, body, self.clock.now()) {
                Ok(verified) => {
                    let version = view.version_of(&verified);
                    return Ok((verified, version));
                }
                Err(SignatureError::SignatureInvalid | SignatureError::SecretNotConfigured(_)) if may_be => {}
                Err(error) => return Err(error.into()),
            }
            if held.is_none() {
                held = Some(self.held.try_acquire().map_err(|_| Refusal::SecretAwaited)?);
            }
            let other = timeout_at(deadline, settings.keyring.other_than(&view)).await;
            view = other.map_err(|_| Refusal::SecretAwaited)??;
        }
    }

    /// From bytes to a delivery. Nothing is parsed before the signature has been checked.
    fn delivery(
        &self,
        verified: Verified,
        headers: &HeaderMap,
        body: Bytes,
        correlation_id: &str,
    ) -> Result<Delivery, Refusal> {
        let envelope = Envelope::parse(&body)?;
        let body = String::from_utf8(body.into())
            .map_err(|_| Refusal::Envelope(trunkline_openphone::event::EnvelopeError::NotUtf8))?;
        Ok(Delivery {
            envelope,
            source: Source::Webhook(verified.scheme),
            delivery_id: verified.delivery_id,
            received_at: self.clock.now(),
            headers: kept_headers(headers),
            body,
            correlation_id: correlation_id.to_owned(),
            trace_context: traceparent(headers),
        })
    }

    async fn store(&self, delivery: Delivery, version: Option<&Version>) -> Result<(), Refusal> {
        let event_type = delivery.envelope.event_type.clone();
        match self.door.hand_in(delivery, self.settings.commit_deadline).await? {
            Accepted::Seen => {
                self.metrics.seen();
                tracing::info!(event_type, "webhook seen before");
            }
            Accepted::New { event, job } => {
                self.metrics.accepted();
                version.into_iter().for_each(Keyring::count);
                if job.is_none() {
                    self.metrics.unknown_type();
                    tracing::warn!(event_type, event = event.0, "kept an event of a type no job knows");
                }
                tracing::info!(event_type, event = event.0, "webhook accepted");
            }
        }
        Ok(())
    }
}

impl Endpoint for WebhookEndpoint {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        // The provider looks whether the address answers when it is entered.
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(Response::builder().status(StatusCode::OK).finish());
        }
        if request.method() != Method::POST {
            return Ok(Response::builder()
                .status(StatusCode::METHOD_NOT_ALLOWED)
                .header(header::ALLOW, "GET, HEAD, POST")
                .finish());
        }
        let timer = self.metrics.answer_seconds.start_timer();
        let correlation_id = self.ids.next();
        let span = tracing::info_span!("webhook", correlation_id);
        let mut incoming = Incoming::new(request.take_body());
        let received = self.receive(&request, &mut incoming, &correlation_id).instrument(span.clone()).await;
        if received.is_err() {
            incoming.drain(2 * self.settings.max_body).await;
        }
        let mut response = match received {
            Ok(()) => Response::builder().status(StatusCode::NO_CONTENT).finish(),
            Err(refusal) => {
                self.metrics.refused(refusal.code());
                span.in_scope(|| report(&refusal));
                refusal.response()
            }
        };
        if let Ok(value) = correlation_id.parse() {
            response.headers_mut().insert(CORRELATION_HEADER, value);
        }
        timer.observe_duration();
        Ok(response)
    }
}

fn report(refusal: &Refusal) {
    let (code, status) = (refusal.code(), refusal.status().as_u16());
    // Who is over the limit must not fill the log as well.
    if matches!(refusal, Refusal::RateLimited { .. }) {
        tracing::debug!(code, status, "webhook refused");
    } else {
        tracing::warn!(code, status, "webhook refused");
    }
}

/// The W3C trace context, if it is one of the only form there is.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let is_one = value.len() == 55 && value.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_one.then(|| value.to_owned())
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The request's headers as a JSON object, for a later replay; those that carry somebody's credentials are
/// left out.
fn kept_headers(headers: &HeaderMap) -> String {
    let mut kept: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if name != header::AUTHORIZATION && name != header::COOKIE && name != header::PROXY_AUTHORIZATION {
            kept.entry(name.as_str())
                .or_default()
                .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
    }
    serde_json::to_string(&kept).unwrap_or_default()
}
