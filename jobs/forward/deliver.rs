//! Send one delivery to one endpoint.

use std::time::Duration;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use trunkline_platform::chain;
use trunkline_platform::db::{DbError, Session};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Retry};
use url::Url;

use super::endpoints::{self, EndpointRow, EndpointState};
use super::original;
use super::send::Unreachable;
use crate::events::{EventId, feed};
use crate::{FORWARD, Services};

/// Of what is kept of an error.
const LONGEST_ERROR: usize = 500;

trunkline_platform::statements! {
    NOTE_FORWARD = same {
        "UPDATE forwards SET state = $3, tries = $4, status = $5, duration_ms = $6, error = $7, tried_at = $8
         WHERE endpoint_id = $1 AND event_id = $2"
    }
    DROP_FORWARD = same {
        "UPDATE forwards SET state = 'dropped', error = $3 WHERE endpoint_id = $1 AND event_id = $2 AND state = 'waiting'"
    }
}

/// Sends a delivery as it came, a few times at most. What is given up is no dead letter: nobody in production waits for a
/// development machine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ForwardDelivery {
    pub endpoint: i64,
    pub event: EventId,
}

impl Job for ForwardDelivery {
    type Services = Services;
    const NAME: &'static str = "forward.deliver";
    const QUEUE: Queue = FORWARD;
    const RETRY: Retry = Retry::exponential(Duration::from_secs(5), Duration::from_secs(60)).attempts(3);
    /// Above the longest `forward.timeout`.
    const TIMEOUT: Duration = Duration::from_secs(75);

    fn unique_key(&self) -> Option<String> {
        Some(format!("{}:{}", self.endpoint, self.event))
    }

    /// In the order they came, and one endpoint that hangs never holds more than one worker.
    fn ordering_key(&self) -> Option<String> {
        Some(format!("endpoint:{}", self.endpoint))
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let db = &cx.services().db;
        let found = endpoints::find(&mut db.read().await?, self.endpoint).await?;
        let open = |endpoint: &EndpointRow| endpoint.state(cx.now()) == EndpointState::Open;
        let Some(endpoint) = found.filter(open) else {
            return self.drop_it(cx, "the endpoint is closed").await;
        };
        let Some(delivery) = feed::load(db, &[self.event]).await?.pop() else {
            return self.drop_it(cx, "the event is no longer stored").await;
        };
        let (Ok(url), Ok(headers)) = (Url::parse(&endpoint.url), original::headers(&delivery.headers)) else {
            return self.drop_it(cx, "the endpoint's address or the event's headers cannot be read").await;
        };
        let began = Instant::now();
        let answer = cx.services().forward.forwarder.send(&url, headers, delivery.body).await;
        let took = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.judge(cx, &endpoint, &url, answer.map(|status| status.as_u16()), took).await
    }
}

/// What is kept of a try.
struct Note<'n> {
    state: &'static str,
    status: Option<u16>,
    error: Option<&'n str>,
    took_ms: i64,
}

impl ForwardDelivery {
    async fn judge(
        &self,
        cx: &Context<Services>,
        endpoint: &EndpointRow,
        url: &Url,
        answer: Result<u16, Unreachable>,
        took_ms: i64,
    ) -> Result<Done, Failure> {
        let (metrics, is_last) = (&cx.services().forward.metrics, cx.task().is_last_attempt());
        let unsuccessful = if is_last { "failed" } else { "waiting" };
        let (status, error) = match answer {
            Ok(status @ 200..=299) => {
                self.note(cx, &Note { state: "delivered", status: Some(status), error: None, took_ms })
                    .await?;
                metrics.ended("delivered");
                return Ok(Done::new());
            }
            Ok(status) => (Some(status), anyhow!("the endpoint answered {status}")),
            Err(Unreachable::Refused(refusal)) => {
                tracing::warn!(endpoint = endpoint.id, %refusal, "a development endpoint was closed");
                let text = refusal.to_string();
                let note = Note { state: "refused", status: None, error: Some(&text), took_ms };
                let mut tx = cx.services().db.write().await?;
                self.write(&mut tx, cx, &note, cx.now()).await?;
                endpoints::close_refused(&mut tx, endpoint, url, &refusal, self.event.0, cx.now()).await?;
                tx.commit().await?;
                metrics.ended("refused");
                return Err(Failure::discard("nothing may be sent there"));
            }
            Err(error) => (None, error.into()),
        };
        let text: String = chain(error.as_ref()).chars().take(LONGEST_ERROR).collect();
        self.note(cx, &Note { state: unsuccessful, status, error: Some(&text), took_ms }).await?;
        if is_last {
            metrics.ended("failed");
            return Err(Failure::discard("the endpoint did not take it, and it was tried often enough"));
        }
        Err(error.into())
    }

    async fn drop_it(&self, cx: &Context<Services>, reason: &'static str) -> Result<Done, Failure> {
        let mut session = cx.services().db.write_one().await?;
        let query = DROP_FORWARD.bind(self.endpoint).bind(self.event.0).bind(reason);
        query.execute(&mut session).await?;
        cx.services().forward.metrics.ended("dropped");
        Err(Failure::discard(reason))
    }

    async fn note(&self, cx: &Context<Services>, note: &Note<'_>) -> Result<(), DbError> {
        let mut session = cx.services().db.write_one().await?;
        self.write(&mut session, cx, note, cx.now()).await
    }

    async fn write(
        &self,
        session: &mut Session,
        cx: &Context<Services>,
        note: &Note<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), DbError> {
        let query = NOTE_FORWARD
            .bind(self.endpoint)
            .bind(self.event.0)
            .bind(note.state)
            .bind(cx.task().attempt)
            .bind(note.status)
            .bind(note.took_ms)
            .bind(note.error)
            .bind(now);
        query.execute(session).await.map(drop)
    }
}
