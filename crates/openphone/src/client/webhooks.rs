//! The provider's webhooks, of both of its systems: the present one, behind a versioned API of its own, and the older one.
//!
//! A signing secret is told when a present webhook is made or its secret rotated, and never again; an older webhook tells
//! its own whenever it is asked for. Older ones cannot be changed, only made and deleted.

use std::fmt;

use chrono::{DateTime, Utc};
use http::Method;
use reqwest::RequestBuilder;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};

use super::{ApiError, Client, DecodeError, decode::Answer};
use crate::{
    event::{EventType, Fields},
    signature::Scheme,
};

/// The version of the payloads that are asked for.
pub(crate) const API_VERSION: &str = "2026-03-30";
pub(crate) const API_VERSION_HEADER: &str = "quo-api-version";

/// The events of the present system that tell something we keep.
pub fn webhook_events() -> impl Iterator<Item = &'static str> {
    let told = EventType::ALL.iter().map(|kind| kind.as_str());
    told.filter(|name| *name != EventType::MessageUpdated.as_str() && !name.starts_with("integration."))
}

/// A webhook, as the provider knows it.
#[derive(Clone, Debug, Serialize)]
pub struct Subscription {
    /// Digits; `WH…` of the older system.
    pub id: String,
    #[serde(serialize_with = "scheme")]
    pub scheme: Scheme,
    pub label: Option<String>,
    /// Whether it tells anything: a disabled one does not, not even later.
    pub enabled: bool,
    pub url: String,
    pub events: Vec<String>,
    /// Of which of our numbers (`PN…`) it tells; all, where there is none.
    pub resource_ids: Vec<String>,
    pub created_at: Option<DateTime<Utc>>,
    /// What it signs with, where the provider tells.
    #[serde(skip)]
    pub key: Option<SecretString>,
}

fn scheme<S: serde::Serializer>(scheme: &Scheme, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(scheme.as_str())
}

/// A webhook to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSubscription {
    pub url: String,
    pub events: Vec<String>,
    /// All of our numbers, where there is none.
    pub resource_ids: Vec<String>,
    pub label: Option<String>,
    pub enabled: bool,
}

/// What is to be different about a present webhook; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionChange {
    pub events: Option<Vec<String>>,
    pub resource_ids: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

/// Which older webhook tells of what: each is made by a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LegacyFamily {
    Messages,
    Calls,
    CallSummaries,
    CallTranscripts,
}

impl LegacyFamily {
    pub const ALL: [Self; 4] = [Self::Messages, Self::Calls, Self::CallSummaries, Self::CallTranscripts];

    fn path(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Calls => "calls",
            Self::CallSummaries => "call-summaries",
            Self::CallTranscripts => "call-transcripts",
        }
    }

    /// The events that such a webhook can tell.
    pub fn events(self) -> &'static [&'static str] {
        match self {
            Self::Messages => &["message.received", "message.delivered"],
            Self::Calls => &["call.ringing", "call.completed", "call.recording.completed"],
            Self::CallSummaries => &["call.summary.completed"],
            Self::CallTranscripts => &["call.transcript.completed"],
        }
    }
}

impl fmt::Display for LegacyFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

impl NewSubscription {
    fn body(&self) -> Value {
        let mut body = json!({"url": self.url, "events": self.events, "status": status(self.enabled)});
        body["resourceIds"] = resources(&self.resource_ids);
        if let Some(label) = &self.label {
            body["label"] = json!(label);
        }
        body
    }
}

impl SubscriptionChange {
    fn body(&self) -> Value {
        let mut body = json!({});
        if let Some(events) = &self.events {
            body["events"] = json!(events);
        }
        if let Some(ids) = &self.resource_ids {
            body["resourceIds"] = resources(ids);
        }
        if let Some(enabled) = self.enabled {
            body["status"] = json!(status(enabled));
        }
        body
    }
}

fn status(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

fn resources(ids: &[String]) -> Value {
    if ids.is_empty() { json!(["*"]) } else { json!(ids) }
}

impl Client {
    /// The present webhooks. Their secrets are not told.
    pub async fn list_webhooks(&self) -> Result<Vec<Subscription>, ApiError> {
        self.ask(self.dated(Method::GET, &[])).await?.subscriptions(Scheme::Standard)
    }

    pub async fn get_webhook(&self, id: &str) -> Result<Subscription, ApiError> {
        self.ask(self.dated(Method::GET, &[id])).await?.subscription(Scheme::Standard)
    }

    /// Makes a present webhook. Its secret is told this once.
    pub async fn create_webhook(&self, new: &NewSubscription) -> Result<Subscription, ApiError> {
        self.ask(self.dated(Method::POST, &[]).json(&new.body())).await?.subscription(Scheme::Standard)
    }

    pub async fn change_webhook(
        &self,
        id: &str,
        change: &SubscriptionChange,
    ) -> Result<Subscription, ApiError> {
        self.ask(self.dated(Method::PATCH, &[id]).json(&change.body())).await?.subscription(Scheme::Standard)
    }

    pub async fn delete_webhook(&self, id: &str) -> Result<(), ApiError> {
        self.ask(self.dated(Method::DELETE, &[id])).await.map(drop)
    }

    /// Gives a present webhook a new secret, which is told this once. Where the outcome is not known, ask again: the
    /// webhook then signs with the last.
    pub async fn rotate_webhook(&self, id: &str) -> Result<SecretString, ApiError> {
        self.ask(self.dated(Method::POST, &[id, "rotate"])).await?.key()
    }

    /// Has a present webhook deliver a sample of an event. All samples have the same event id.
    pub async fn test_webhook(&self, id: &str, event_type: &str) -> Result<(), ApiError> {
        let request = self.dated(Method::POST, &[id, "events", "test"]);
        self.ask(request.json(&json!({"eventType": event_type}))).await.map(drop)
    }

    /// The older webhooks that a user made, with their secrets; by default the owner of the workspace.
    pub async fn list_legacy_webhooks(&self, user_id: Option<&str>) -> Result<Vec<Subscription>, ApiError> {
        let mut request = self.get(&["webhooks"]);
        if let Some(user_id) = user_id {
            request = request.query(&[("userId", user_id)]);
        }
        self.ask(request).await?.subscriptions(Scheme::Legacy)
    }

    pub async fn get_legacy_webhook(&self, id: &str) -> Result<Subscription, ApiError> {
        self.ask(self.get(&["webhooks", id])).await?.subscription(Scheme::Legacy)
    }

    /// Makes an older webhook.
    pub async fn create_legacy_webhook(
        &self,
        family: LegacyFamily,
        new: &NewSubscription,
    ) -> Result<Subscription, ApiError> {
        let request = self.request(Method::POST, &["webhooks", family.path()]);
        self.ask(request.json(&new.body())).await?.subscription(Scheme::Legacy)
    }

    /// Deletes an older webhook, for ever.
    pub async fn delete_legacy_webhook(&self, id: &str) -> Result<(), ApiError> {
        self.ask(self.request(Method::DELETE, &["webhooks", id])).await.map(drop)
    }

    /// A request to the versioned API.
    pub(super) fn dated(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.http.request(method, self.url("webhooks", path)).header(API_VERSION_HEADER, API_VERSION)
    }
}

impl Answer {
    fn subscription(&self, scheme: Scheme) -> Result<Subscription, ApiError> {
        Ok(subscription(&self.outer()?.object("data"), scheme).ok_or(DecodeError::NoId)?)
    }

    fn subscriptions(&self, scheme: Scheme) -> Result<Vec<Subscription>, ApiError> {
        let items = self.outer()?.objects("data");
        let read = |fields| subscription(fields, scheme).ok_or_else(|| DecodeError::NoId.into());
        items.iter().map(read).collect()
    }

    fn key(&self) -> Result<SecretString, ApiError> {
        let key = self.outer()?.object("data").filled("key");
        Ok(key.map(SecretString::from).ok_or(DecodeError::NoKey)?)
    }
}

fn subscription(fields: &Fields<'_>, scheme: Scheme) -> Option<Subscription> {
    let mut resource_ids = fields.texts("resourceIds");
    resource_ids.retain(|id| id != "*");
    Some(Subscription {
        id: fields.id("id")?,
        scheme,
        label: fields.filled("label"),
        enabled: fields.text("status").as_deref() == Some("enabled") && fields.time("deletedAt").is_none(),
        url: fields.text("url")?,
        events: fields.texts("events"),
        resource_ids,
        created_at: fields.time("createdAt"),
        key: fields.filled("key").map(SecretString::from),
    })
}
