//! The API's webhooks, of both systems.

use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Answer, Door, answer::Resource};
use crate::{
    client::LegacyFamily,
    event::{EventType, Generation},
    signature::Scheme,
    simulator::{
        deliveries::{Logged, Trigger},
        lock,
        subscriptions::{Subscription, Wish},
    },
};

impl Door {
    /// Of the present system.
    pub(super) fn webhooks(&self, call: &super::Call<'_>, path: &[&str]) -> Answer {
        let provider = &self.provider;
        let (now, target) = (provider.now(), provider.target.borrow().clone());
        let rest = |one: &Subscription| one.rest(target.as_ref());
        let mut subscriptions = lock(&provider.subscriptions);
        let one = |found: Option<&Subscription>| found.map_or_else(missing, |one| Answer::data(rest(one)));
        match (call.method, path) {
            (&Method::GET, []) => Answer::data(subscriptions.of(Scheme::Standard).map(rest).collect()),
            (&Method::POST, []) => {
                let wish = match wish(&call.body).and_then(complete) {
                    Ok(wish) => wish,
                    Err(message) => return Answer::invalid(Resource::Webhooks, &message),
                };
                match subscriptions.create(Scheme::Standard, wish, now) {
                    Some(made) => {
                        let mut data = rest(made);
                        data["key"] = json!(made.secret().expose_secret());
                        Answer::created(data)
                    }
                    None => too_many(),
                }
            }
            (&Method::GET, [id]) => one(subscriptions.get(Scheme::Standard, id)),
            (&Method::PATCH, [id]) => match wish(&call.body) {
                Ok(wish) => one(subscriptions.change(id, wish, now)),
                Err(message) => Answer::invalid(Resource::Webhooks, &message),
            },
            (&Method::DELETE, [id]) => gone(subscriptions.delete(Scheme::Standard, id)),
            (&Method::POST, [id, "rotate"]) => match subscriptions.rotate(id, now) {
                Some(secret) => Answer::data(json!({"key": secret.expose_secret()})),
                None => missing(),
            },
            (&Method::POST, [id, "events", "test"]) => {
                let Some(to) = subscriptions.get(Scheme::Standard, id).cloned() else { return missing() };
                drop(subscriptions);
                self.test(call, to)
            }
            (&Method::GET, [id, "events"]) if subscriptions.get(Scheme::Standard, id).is_some() => {
                self.deliveries(call, id)
            }
            (&Method::GET, [id, "events", delivery]) => {
                let log = lock(&provider.deliveries);
                log.get(id, delivery).map_or_else(missing, |logged| Answer::data(logged.detail()))
            }
            (&Method::POST, [id, "events", delivery, "retry"]) => {
                let logged = lock(&provider.deliveries).get(id, delivery).cloned();
                let to = subscriptions.get(Scheme::Standard, id).cloned();
                let (Some(logged), Some(to)) = (logged, to) else { return missing() };
                let sender = std::sync::Arc::clone(provider);
                provider
                    .tasks
                    .spawn(async move { drop(sender.post_logged(&to, logged, Trigger::Manual).await) });
                Answer::accepted(json!({}))
            }
            (&Method::GET, [_, "events"]) => missing(),
            _ => Answer::unknown_path(),
        }
    }

    /// The log of deliveries to one webhook.
    fn deliveries(&self, call: &super::Call<'_>, webhook_id: &str) -> Answer {
        let size: Option<usize> = call.param("limit").unwrap_or("10").parse().ok();
        let Some(size) = size.filter(|size| (1..=50).contains(size)) else {
            return Answer::invalid(Resource::Webhooks, "/query/limit: from 1 to 50");
        };
        let time = |name: &str| call.param(name).map(str::parse::<DateTime<Utc>>).transpose();
        let (Ok(after), Ok(before)) = (time("createdAt[gt]"), time("createdAt[lt]")) else {
            return Answer::invalid(Resource::Webhooks, "/query: times are ISO 8601");
        };
        let log = lock(&self.provider.deliveries);
        let cursor = call.param("after");
        if cursor.is_some_and(|cursor| log.get(webhook_id, cursor).is_none()) {
            return Answer::invalid(Resource::Webhooks, "/query/after: unknown");
        }
        let status = call.param("status");
        let mut found = log
            .to(webhook_id)
            .skip_while(|logged| cursor.is_some_and(|cursor| logged.id != cursor))
            .skip(usize::from(cursor.is_some()))
            .filter(|logged| status.is_none_or(|status| logged.status() == status))
            .filter(|logged| after.is_none_or(|after| logged.created_at > after))
            .filter(|logged| before.is_none_or(|before| logged.created_at < before));
        let rows: Vec<&Logged> = found.by_ref().take(size).collect();
        let next = found.next().and(rows.last()).map(|last| last.id.clone());
        let rows: Vec<Value> = rows.into_iter().map(Logged::row).collect();
        Answer::ok(&json!({"data": rows, "nextCursor": next}))
    }

    /// Sends a sample, signed as any delivery, and answers its envelope.
    fn test(&self, call: &super::Call<'_>, to: Subscription) -> Answer {
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let kind = body["eventType"].as_str().and_then(EventType::from_name);
        let provider = &self.provider;
        let sample =
            kind.and_then(|kind| lock(&provider.factory).event(kind, Generation::Dated, provider.now()));
        let Some(sample) = sample else {
            return Answer::invalid(Resource::Webhooks, "/eventType: unknown");
        };
        let mut envelope: Value = serde_json::from_slice(&sample.body).unwrap_or_default();
        envelope["id"] = json!("EV00000000000000000000000000sample");
        let (sender, body) = (std::sync::Arc::clone(provider), envelope.to_string().into_bytes());
        let id = crate::simulator::courier::delivery_id(&format!("{} for {}", sample.event_id, to.id));
        let logged = Logged::sample(&id, (&sample.event_type, body), &to, provider.now());
        lock(&provider.deliveries).begin(&to, logged.clone());
        provider.tasks.spawn(async move { drop(sender.post_logged(&to, logged, Trigger::Scheduled).await) });
        Answer::ok(&envelope)
    }

    /// Of the older system.
    pub(super) fn legacy_webhooks(&self, call: &super::Call<'_>, path: &[&str]) -> Answer {
        let provider = &self.provider;
        let (now, target) = (provider.now(), provider.target.borrow().clone());
        let rest = |one: &Subscription| one.rest(target.as_ref());
        let mut subscriptions = lock(&provider.subscriptions);
        match (call.method, path) {
            // Everything was made by the owner.
            (&Method::GET, []) if call.param("userId").is_none_or(|user| user == "USz9y8x7w6") => {
                Answer::data(subscriptions.of(Scheme::Legacy).map(rest).collect())
            }
            (&Method::GET, []) => Answer::data(json!([])),
            (&Method::GET, [id]) => {
                subscriptions.get(Scheme::Legacy, id).map_or_else(missing, |one| Answer::data(rest(one)))
            }
            (&Method::DELETE, [id]) => gone(subscriptions.delete(Scheme::Legacy, id)),
            (&Method::POST, [family]) => {
                let family = LegacyFamily::ALL.into_iter().find(|known| known.to_string() == **family);
                let Some(family) = family else { return Answer::unknown_path() };
                let wish = match wish(&call.body).and_then(complete) {
                    Ok(wish) => wish,
                    Err(message) => return Answer::invalid(Resource::Webhooks, &message),
                };
                let mut wanted = wish.events.iter().flatten();
                if let Some(other) = wanted.find(|name| !family.events().contains(&name.as_str())) {
                    return Answer::invalid(Resource::Webhooks, &format!("/events: no {other} here"));
                }
                match subscriptions.create(Scheme::Legacy, wish, now) {
                    Some(made) => Answer::created(rest(made)),
                    None => too_many(),
                }
            }
            _ => Answer::unknown_path(),
        }
    }
}

fn missing() -> Answer {
    Answer::not_found(Resource::Webhooks)
}

fn gone(was_there: bool) -> Answer {
    if was_there { Answer::nothing() } else { missing() }
}

fn too_many() -> Answer {
    Answer::refused(Resource::Webhooks, 0, StatusCode::CONFLICT, "Conflict", "at most 50 webhooks")
}

/// What must be there to make one.
fn complete(wish: Wish) -> Result<Wish, String> {
    match (&wish.url, &wish.events) {
        (None, _) => Err("/url: required".to_owned()),
        (_, None) => Err("/events: required".to_owned()),
        _ => Ok(wish),
    }
}

fn wish(body: &[u8]) -> Result<Wish, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let texts = |key: &str| -> Result<Option<Vec<String>>, String> {
        let Some(value) = body.get(key) else { return Ok(None) };
        let items = value.as_array().into_iter().flatten();
        let items: Option<Vec<String>> = items.map(|item| item.as_str().map(str::to_owned)).collect();
        items.map(Some).ok_or_else(|| format!("/{key}: a list of texts"))
    };
    let url = match body.get("url") {
        None => None,
        Some(url) => {
            Some(url.as_str().filter(|url| url.parse::<url::Url>().is_ok()).ok_or("/url: no URL")?.to_owned())
        }
    };
    let events = texts("events")?;
    if events.as_ref().is_some_and(Vec::is_empty) {
        return Err("/events: at least one".to_owned());
    }
    let unknown = events.iter().flatten().find(|name| EventType::from_name(name).is_none());
    if let Some(unknown) = unknown {
        return Err(format!("/events: no {unknown}"));
    }
    let resource_ids = texts("resourceIds")?.map(|mut ids| {
        ids.retain(|id| id != "*");
        ids
    });
    let enabled = match body.get("status").map(|status| status.as_str()) {
        None => None,
        Some(Some("enabled")) => Some(true),
        Some(Some("disabled")) => Some(false),
        Some(_) => return Err("/status: enabled or disabled".to_owned()),
    };
    let label = body.get("label").map(|label| label.as_str().map(str::to_owned));
    Ok(Wish { url, events, resource_ids, enabled, label })
}
