//! From deliveries, verified or asked for, to rows and tasks.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_openphone::event::Envelope;
use trunkline_openphone::signature::Scheme;
use trunkline_platform::db::{DbError, Rows, Session, sql_time};
use trunkline_platform::job::Priority;
use trunkline_platform::task::TaskTx;

use super::replay;
use super::route::{job_of, task_for};
use super::store::{EventId, FoundEvent, INSERT_EVENTS, InsertedEvent};

trunkline_platform::statements! {
    /// The release that stored it may have known no job for its type.
    ADOPT_EVENTS = parts {
        "UPDATE events SET job = r.job FROM " (rows "$1" as r (id BIGINT, job TEXT))
        " WHERE events.id = r.id AND events.job IS NULL"
    }
    CAME = parts {
        "SELECT e.dedupe_key AS dedupe_key FROM " (rows "$1" as r (dedupe_key TEXT))
        " JOIN events AS e ON e.dedupe_key = r.dedupe_key"
    }
}

/// Before the id of a delivery.
const DELIVERY: &str = "delivery:";

/// One delivery: verified, or asked for by ourselves.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub envelope: Envelope,
    pub source: Source,
    /// `webhook-id`, which the legacy scheme does not have.
    pub delivery_id: Option<String>,
    pub received_at: DateTime<Utc>,
    /// The request's headers as a JSON object, without secrets.
    pub headers: String,
    /// The body as it came. A verified body is JSON and so is text.
    pub body: String,
    pub correlation_id: String,
    pub trace_context: Option<String>,
}

/// How a delivery came to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// A webhook, by how it was signed.
    Webhook(Scheme),
    /// Nobody told: we asked for what it tells.
    Reconciled,
}

impl Source {
    /// The word it is stored under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook(scheme) => scheme.as_str(),
            Self::Reconciled => "reconciled",
        }
    }

    /// What its task names as its cause.
    fn cause(self, event: EventId) -> String {
        match self {
            Self::Webhook(_) => format!("webhook:{event}"),
            Self::Reconciled => format!("reconcile:{event}"),
        }
    }
}

/// What became of a delivery.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Accepted {
    /// Stored, with the name of its job, if there is one for its type.
    New { event: EventId, job: Option<&'static str> },
    /// Seen before: acknowledge it and do nothing.
    Seen,
}

impl Delivery {
    /// What makes this delivery the same as an earlier one: its own id, the same on every retry; for the
    /// legacy scheme, which has none, the event's id and type, and the version it was told in: two older webhooks
    /// tell of one event in two versions, and only one of them has the pictures. What was asked for has its state in the id.
    fn dedupe_key(&self) -> String {
        match &self.delivery_id {
            None if self.source == Source::Reconciled => format!("reconciled:{}", self.envelope.id),
            Some(id) => format!("{DELIVERY}{id}"),
            None => {
                let Envelope { id, event_type, api_version, .. } = &self.envelope;
                format!("event:{id}:{event_type}:{}", api_version.as_deref().unwrap_or_default())
            }
        }
    }
}

#[derive(Serialize)]
struct Line<'d> {
    dedupe_key: &'d str,
    scheme: &'static str,
    event_id: &'d str,
    event_type: &'d str,
    api_version: Option<&'d str>,
    job: Option<&'static str>,
    occurred_at: Option<String>,
    received_at: String,
    headers: &'d str,
    body: &'d str,
    correlation_id: &'d str,
}

/// Stores deliveries and enqueues their jobs inside the caller's transaction. Answers one [`Accepted`] for
/// each, in order.
pub async fn accept(tx: &mut TaskTx, deliveries: &[Delivery]) -> Result<Vec<Accepted>, DbError> {
    let keys: Vec<String> = deliveries.iter().map(Delivery::dedupe_key).collect();
    let lines: Vec<Line<'_>> = deliveries
        .iter()
        .zip(&keys)
        .map(|(delivery, key)| Line {
            dedupe_key: key,
            scheme: delivery.source.as_str(),
            event_id: &delivery.envelope.id,
            event_type: &delivery.envelope.event_type,
            api_version: delivery.envelope.api_version.as_deref(),
            job: job_of(&delivery.envelope),
            occurred_at: delivery.envelope.created_at.map(sql_time),
            received_at: sql_time(delivery.received_at),
            headers: &delivery.headers,
            body: &delivery.body,
            correlation_id: &delivery.correlation_id,
        })
        .collect();
    let inserted: Vec<InsertedEvent> = INSERT_EVENTS.bind(Rows::of(&lines)?).all(tx.session()).await?;

    // The same delivery twice in one batch is new once.
    let mut new: HashMap<String, EventId> =
        inserted.into_iter().map(|row| (row.dedupe_key, row.id)).collect();
    let mut tasks = Vec::new();
    let mut answers = Vec::with_capacity(deliveries.len());
    for (delivery, key) in deliveries.iter().zip(&keys) {
        let Some(event) = new.remove(key) else {
            answers.push(Accepted::Seen);
            continue;
        };
        let task = task_for(&delivery.envelope, event)?;
        answers.push(Accepted::New { event, job: task.as_ref().map(|task| task.kind) });
        tasks.extend(task.map(|task| {
            task.correlation_id(&delivery.correlation_id)
                .trace_context(delivery.trace_context.clone())
                .cause(delivery.source.cause(event))
        }));
    }
    tx.enqueue(&tasks).await?;
    Ok(answers)
}

#[derive(Serialize, sqlx::FromRow)]
struct Came {
    dedupe_key: String,
}

/// Those of the deliveries with these ids (`webhook-id`) whose events are stored.
pub(crate) async fn came(session: &mut Session, ids: &[String]) -> Result<HashSet<String>, DbError> {
    let keys: Vec<Came> = ids.iter().map(|id| Came { dedupe_key: format!("{DELIVERY}{id}") }).collect();
    let came: Vec<Came> = CAME.bind(Rows::of(&keys)?).all(session).await?;
    let id = |came: &Came| came.dedupe_key.strip_prefix(DELIVERY).map(str::to_owned);
    Ok(came.iter().filter_map(id).collect())
}

#[derive(Serialize)]
struct Adopted {
    id: EventId,
    job: &'static str,
}

/// Enqueues the jobs of stored events once more inside the caller's transaction, behind everything that is new. Answers
/// how many events have a job.
pub(super) async fn again(tx: &mut TaskTx, events: &[FoundEvent]) -> Result<usize, DbError> {
    let (mut tasks, mut adopted) = (Vec::new(), Vec::new());
    for FoundEvent { event, body, .. } in events {
        let envelope = body.as_deref().and_then(|body| Envelope::parse(body.as_bytes()).ok());
        let Some(envelope) = envelope else { continue };
        let Some(task) = task_for(&envelope, event.id)? else { continue };
        if event.job.is_none() {
            adopted.push(Adopted { id: event.id, job: task.kind });
        }
        // Everything that follows from an event has its correlation, and keeps the event for as long as it is needed.
        tasks.push(
            task.priority(Priority::LOW).correlation_id(&event.correlation_id).cause(replay::cause(event.id)),
        );
    }
    if !adopted.is_empty() {
        ADOPT_EVENTS.bind(Rows::of(&adopted)?).execute(tx.session()).await?;
    }
    tx.enqueue(&tasks).await?;
    Ok(tasks.len())
}
