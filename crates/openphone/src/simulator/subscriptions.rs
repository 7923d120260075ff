//! The webhooks of the simulated workspace, of both systems, and what each signs with.
//!
//! From the start there is one of each system, with the secrets of the configuration, that tells everything to the target.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    client::{API_VERSION, LegacyFamily, webhook_events},
    event::{EventType, Generation},
    factory::{FactoryEvent, Record},
    signature::{Key, Scheme, SecretError},
};

/// What the provider allows.
const MOST: usize = 50;
const PRESENT: &str = "4100";
const OLDER: &str = "WH00000000000000000000000000000001";

/// A webhook of the simulated workspace.
#[derive(Clone)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) scheme: Scheme,
    pub(super) label: Option<String>,
    pub(super) enabled: bool,
    /// Absent: wherever the simulator's target is.
    pub(super) url: Option<String>,
    /// Everything, where there is none.
    pub(super) events: Vec<String>,
    pub(super) resource_ids: Vec<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    secret: SecretString,
    /// The secret before this one, and until when it signs, too.
    before: Option<(SecretString, DateTime<Utc>)>,
}

/// What is asked to be different, or to be.
#[derive(Default)]
pub(super) struct Wish {
    pub(super) url: Option<String>,
    pub(super) events: Option<Vec<String>>,
    pub(super) resource_ids: Option<Vec<String>>,
    pub(super) enabled: Option<bool>,
    pub(super) label: Option<Option<String>>,
}

pub(super) struct Subscriptions {
    list: Vec<Subscription>,
    made: u64,
    seed: u64,
    overlap: TimeDelta,
}

impl Subscriptions {
    pub(super) fn new(
        standard: &SecretString,
        legacy: &SecretString,
        overlap: Duration,
        seed: u64,
        now: DateTime<Utc>,
    ) -> Result<Self, SecretError> {
        let first = |id: &str, scheme, secret: &SecretString| {
            Key::parse(secret.expose_secret()).map(|_| Subscription {
                id: id.to_owned(),
                scheme,
                label: None,
                enabled: true,
                url: None,
                events: Vec::new(),
                resource_ids: Vec::new(),
                created_at: now,
                updated_at: now,
                secret: secret.clone(),
                before: None,
            })
        };
        let list = vec![first(PRESENT, Scheme::Standard, standard)?, first(OLDER, Scheme::Legacy, legacy)?];
        let overlap = TimeDelta::from_std(overlap).unwrap_or(TimeDelta::MAX);
        Ok(Self { list, made: 0, seed, overlap })
    }

    pub(super) fn of(&self, scheme: Scheme) -> impl Iterator<Item = &Subscription> {
        self.list.iter().filter(move |one| one.scheme == scheme)
    }

    pub(super) fn get(&self, scheme: Scheme, id: &str) -> Option<&Subscription> {
        self.of(scheme).find(|one| one.id == id)
    }

    /// Those that are told of an event, by their ids.
    pub(super) fn told(&self, event: &FactoryEvent) -> Vec<Subscription> {
        let scheme = scheme_of(event.generation);
        self.of(scheme).filter(|one| one.enabled && one.tells(event)).cloned().collect()
    }

    pub(super) fn set_enabled(&mut self, enabled: bool) {
        self.list.iter_mut().for_each(|one| one.enabled = enabled);
    }

    /// Makes one; `None` when there are too many.
    pub(super) fn create(&mut self, scheme: Scheme, wish: Wish, now: DateTime<Utc>) -> Option<&Subscription> {
        if self.list.len() >= MOST {
            return None;
        }
        self.made += 1;
        let id = match scheme {
            Scheme::Standard => format!("{}", 4_100 + self.made),
            Scheme::Legacy => format!("WH{:032}", self.made + 1),
        };
        let secret = self.draw(scheme, &id);
        self.list.push(Subscription {
            id,
            scheme,
            label: wish.label.flatten(),
            enabled: wish.enabled.unwrap_or(true),
            url: wish.url,
            events: wish.events.unwrap_or_default(),
            resource_ids: wish.resource_ids.unwrap_or_default(),
            created_at: now,
            updated_at: now,
            secret,
            before: None,
        });
        self.list.last()
    }

    pub(super) fn change(&mut self, id: &str, wish: Wish, now: DateTime<Utc>) -> Option<&Subscription> {
        let one = self.list.iter_mut().find(|one| one.scheme == Scheme::Standard && one.id == id)?;
        one.url = wish.url.or(one.url.take());
        one.events = wish.events.unwrap_or_else(|| std::mem::take(&mut one.events));
        one.resource_ids = wish.resource_ids.unwrap_or_else(|| std::mem::take(&mut one.resource_ids));
        one.enabled = wish.enabled.unwrap_or(one.enabled);
        one.label = wish.label.unwrap_or_else(|| one.label.take());
        one.updated_at = now;
        Some(one)
    }

    /// Whether there was one.
    pub(super) fn delete(&mut self, scheme: Scheme, id: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|one| one.scheme != scheme || one.id != id);
        self.list.len() < before
    }

    /// Gives a present one a new secret. The one before signs, too, for the overlap.
    pub(super) fn rotate(&mut self, id: &str, now: DateTime<Utc>) -> Option<SecretString> {
        self.get(Scheme::Standard, id)?;
        self.made += 1;
        let secret = self.draw(Scheme::Standard, id);
        let overlap = self.overlap;
        let one = self.list.iter_mut().find(|one| one.scheme == Scheme::Standard && one.id == id)?;
        let before = std::mem::replace(&mut one.secret, secret.clone());
        one.before = now.checked_add_signed(overlap).map(|until| (before, until));
        one.updated_at = now;
        Some(secret)
    }

    fn draw(&self, scheme: Scheme, id: &str) -> SecretString {
        let digest = Sha256::digest(format!("{} {} {id}", self.seed, self.made));
        let mut secret = String::from(if scheme == Scheme::Standard { "whsec_" } else { "" });
        let _ = write!(secret, "{}", STANDARD.encode(digest));
        secret.into()
    }
}

impl Subscription {
    /// Whether it is one of those that are there from the start.
    pub(super) fn is_first(&self) -> bool {
        self.id == PRESENT || self.id == OLDER
    }

    fn tells(&self, event: &FactoryEvent) -> bool {
        let kind = EventType::from_name(&event.event_type);
        let name = kind.map_or(event.event_type.as_str(), |kind| kind.as_str());
        let line = match &event.record {
            Some(Record::Text(text)) => Some(&text.place.line.id),
            Some(Record::Call(call)) => Some(&call.place.line.id),
            None => None,
        };
        let wants_name = self.events.is_empty() || self.events.iter().any(|wanted| wanted == name);
        // What happens on no number of ours is told to all.
        wants_name && line.is_none_or(|line| self.resource_ids.is_empty() || self.resource_ids.contains(line))
    }

    /// What it signs with at a time, the newest first.
    pub(super) fn keys(&self, now: DateTime<Utc>) -> Vec<Key> {
        let before = self.before.iter().filter(|(_, until)| now < *until).map(|(secret, _)| secret);
        let secrets = std::iter::once(&self.secret).chain(before);
        secrets.filter_map(|secret| Key::parse(secret.expose_secret()).ok()).collect()
    }

    /// As the API gives it.
    pub(super) fn rest(&self, target: Option<&url::Url>) -> Value {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let url = self.url.clone().or_else(|| target.map(url::Url::to_string));
        let mut rest = json!({"id": self.id, "orgId": "OR1a2b3c4d", "label": self.label,
            "status": if self.enabled { "enabled" } else { "disabled" },
            "url": url.unwrap_or_else(|| "http://127.0.0.1/".to_owned()),
            "createdAt": time(self.created_at), "updatedAt": time(self.updated_at),
            "events": if self.events.is_empty() { everything(self.scheme) } else { self.events.clone() },
            "resourceIds": if self.resource_ids.is_empty() { vec!["*".to_owned()] } else { self.resource_ids.clone() }});
        if self.scheme == Scheme::Legacy {
            rest["userId"] = json!("USz9y8x7w6");
            rest["deletedAt"] = Value::Null;
            rest["key"] = json!(self.secret.expose_secret());
        } else {
            rest["apiVersion"] = json!(API_VERSION);
        }
        rest
    }

    pub(super) fn secret(&self) -> &SecretString {
        &self.secret
    }
}

/// Which system tells in which generation.
pub(super) fn scheme_of(generation: Generation) -> Scheme {
    match generation {
        Generation::Dated => Scheme::Standard,
        Generation::App | Generation::Api => Scheme::Legacy,
    }
}

fn everything(scheme: Scheme) -> Vec<String> {
    let legacy = LegacyFamily::ALL.into_iter().flat_map(LegacyFamily::events);
    match scheme {
        Scheme::Standard => webhook_events().map(str::to_owned).collect(),
        Scheme::Legacy => legacy.map(|name| (*name).to_owned()).collect(),
    }
}
