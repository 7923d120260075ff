//! The log of deliveries to present webhooks, as the provider keeps it.

use std::collections::VecDeque;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{recent::Recent, subscriptions::Subscription};
use crate::{
    factory::{FactoryEvent, Record},
    signature::Scheme,
};

/// How many deliveries are remembered.
const REMEMBERED: usize = 10_000;
/// How many attempts at each.
const MOST_ATTEMPTS: usize = 16;

/// Who asked for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    Scheduled,
    Manual,
}

/// One delivery, and how it went.
#[derive(Clone)]
pub(super) struct Logged {
    pub(super) id: String,
    pub(super) webhook_id: String,
    /// Samples have none.
    event_id: Option<String>,
    event_type: String,
    resource_id: Option<String>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) body: Vec<u8>,
    /// The newest first.
    attempts: VecDeque<Value>,
    succeeded: bool,
    given_up: bool,
}

pub(super) struct Deliveries(Recent<Logged>);

impl Default for Deliveries {
    fn default() -> Self {
        Self(Recent::new(REMEMBERED))
    }
}

impl Deliveries {
    /// A delivery is to be made. Older webhooks have no log.
    pub(super) fn begin(&mut self, to: &Subscription, logged: Logged) {
        if to.scheme == Scheme::Standard && self.0.get(&logged.id).is_none() {
            self.0.insert(&logged.id.clone(), logged);
        }
    }

    /// An attempt was made; without a status there was no answer.
    pub(super) fn attempted(&mut self, id: &str, status: Option<u16>, by: Trigger, now: DateTime<Utc>) {
        let Some(logged) = self.0.get_mut(id) else { return };
        logged.succeeded |= status.is_some_and(|status| (200..300).contains(&status));
        let trigger = if by == Trigger::Manual { "manual" } else { "scheduled" };
        let attempt = json!({"id": format!("atmpt_{}{}", id.trim_start_matches("msg_"), logged.attempts.len()),
            "timestamp": iso(now), "status": if logged.succeeded { "success" } else { "failed" },
            "responseStatusCode": status.unwrap_or_default(), "responseBody": "", "responseDurationMs": 1,
            "triggerType": trigger, "url": Value::Null});
        logged.attempts.push_front(attempt);
        logged.attempts.truncate(MOST_ATTEMPTS);
    }

    /// No attempt is made any more.
    pub(super) fn give_up(&mut self, id: &str) {
        if let Some(logged) = self.0.get_mut(id) {
            logged.given_up = true;
        }
    }

    /// Those to one webhook, the newest first.
    pub(super) fn to<'d>(&'d self, webhook_id: &'d str) -> impl Iterator<Item = &'d Logged> {
        self.0.iter().rev().filter(move |logged| logged.webhook_id == webhook_id)
    }

    /// How often each was tried, by its id.
    pub(super) fn attempts(&self) -> Vec<(String, usize)> {
        self.0.iter().map(|logged| (logged.id.clone(), logged.attempts.len())).collect()
    }

    pub(super) fn get(&self, webhook_id: &str, id: &str) -> Option<&Logged> {
        self.0.get(id).filter(|logged| logged.webhook_id == webhook_id)
    }
}

impl Logged {
    /// An event on its way to a webhook.
    pub(super) fn of(id: &str, event: &FactoryEvent, to: &Subscription, now: DateTime<Utc>) -> Self {
        let resource_id = match &event.record {
            Some(Record::Text(text)) => Some(text.id.clone()),
            Some(Record::Call(call)) => Some(call.id.clone()),
            None => None,
        };
        Self {
            event_id: Some(event.event_id.clone()),
            resource_id,
            ..Self::sample(id, (&event.event_type, event.body.clone()), to, now)
        }
    }

    /// Something that has not happened, on its way to a webhook.
    pub(super) fn sample(
        id: &str,
        (event_type, body): (&str, Vec<u8>),
        to: &Subscription,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            webhook_id: to.id.clone(),
            event_id: None,
            event_type: event_type.to_owned(),
            resource_id: None,
            created_at: now,
            body,
            attempts: VecDeque::new(),
            succeeded: false,
            given_up: false,
        }
    }

    pub(super) fn status(&self) -> &'static str {
        match (self.succeeded, self.given_up, self.attempts.is_empty()) {
            (true, ..) => "success",
            (false, true, _) => "failed",
            (false, false, true) => "pending",
            (false, false, false) => "sending",
        }
    }

    /// As a list has it.
    pub(super) fn row(&self) -> Value {
        json!({"id": self.id, "eventId": self.event_id, "resourceId": self.resource_id,
            "eventType": self.event_type, "status": self.status(), "nextAttemptAt": null,
            "createdAt": iso(self.created_at)})
    }

    /// With its body and its attempts. Every other one has its body in parts, for the provider's descriptions differ.
    pub(super) fn detail(&self) -> Value {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let in_parts = self.id.bytes().map(usize::from).sum::<usize>() % 2 == 1;
        let body = if in_parts { body["data"].clone() } else { body };
        let mut detail = self.row();
        detail["requestBody"] = body;
        detail["attempts"] = json!(self.attempts);
        detail
    }
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
