//! A text, and how each generation and the REST API tell of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    MediaFile, Record,
    envelope::{Telling, iso},
    world::Place,
};
use crate::event::{Direction, EventType, Generation, MessageStatus};

/// A text as it happened.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub id: String,
    pub direction: Direction,
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
    pub media: Vec<MediaFile>,
    pub status: MessageStatus,
    pub error_code: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub place: Place,
}

impl Text {
    /// Everyone in the thread but us.
    pub(crate) fn others(&self) -> BTreeSet<&str> {
        let everyone = std::iter::once(&self.from).chain(&self.to);
        everyone.filter(|number| **number != self.place.line.number).map(String::as_str).collect()
    }

    pub(crate) fn telling(&self, rng: &mut StdRng, kind: EventType, generation: Generation) -> Telling {
        let line = &self.place.line;
        let mut subject = json!({"id": self.id, "direction": self.direction.as_str(),
            "status": self.status.as_str(), "createdAt": iso(self.created_at)});
        match generation {
            Generation::Dated => {
                subject["text"] = json!(self.text);
                if matches!(kind, EventType::MessageFailed | EventType::MessageUndelivered) {
                    subject["errorCode"] = json!(self.error_code);
                }
                // Failed messages have no such key; early versions had none anywhere.
                let told =
                    kind != EventType::MessageFailed && !(self.media.is_empty() && rng.random_bool(0.2));
                if told {
                    subject["media"] = self.media_items(rng);
                }
            }
            Generation::App => {
                subject["object"] = json!("message");
                subject["body"] = json!(self.text);
                subject["from"] = json!(self.from);
                subject["to"] = json!(self.to.join(","));
                subject["media"] = self.media_items(rng);
                subject["userId"] = json!(line.user_id);
                subject["phoneNumberId"] = json!(line.id);
                subject["conversationId"] = json!(self.place.conversation_id);
            }
            Generation::Api => {
                subject["object"] = json!("message");
                subject["text"] = json!(self.text);
                subject["from"] = json!(self.from);
                subject["to"] = json!(self.to);
                subject["userId"] = json!(line.user_id);
                subject["phoneNumberId"] = json!(line.id);
                if rng.random_bool(0.8) {
                    subject["contactIds"] = json!(self.place.lookup.contact_ids());
                }
            }
        }
        let context = json!({"orgId": self.place.org_id, "phoneNumberId": line.id,
            "conversationId": self.place.conversation_id, "userId": line.user_id,
            "contacts": self.place.lookup.contacts(), "senderIdentifier": self.from,
            "recipientIdentifiers": self.to});
        // Webhooks of the v1 API do not tell of media.
        let media = if generation == Generation::Api { Vec::new() } else { self.media.clone() };
        Telling {
            subject_id: self.id.clone(),
            subject,
            context,
            link: rng.random_bool(0.8).then(|| self.place.link(&self.id)),
            media,
            record: Some(Record::Text(Box::new(self.clone()))),
        }
    }

    fn media_items(&self, rng: &mut StdRng) -> Value {
        self.media
            .iter()
            .map(|file| match rng.random_range(0..10) {
                0 => json!({"url": file.url}),
                1 => json!({"url": file.url, "type": null}),
                _ => json!({"url": file.url, "type": file.content_type}),
            })
            .collect()
    }

    /// The text as the REST API gives it.
    pub(crate) fn rest(&self) -> Value {
        let media: Value =
            self.media.iter().map(|file| json!({"url": file.url, "type": file.content_type})).collect();
        let user_id = (self.direction == Direction::Outgoing).then_some(&self.place.line.user_id);
        json!({"id": self.id, "to": self.to, "from": self.from, "text": self.text,
            "phoneNumberId": self.place.line.id, "conversationId": self.place.conversation_id,
            "direction": self.direction.as_str(), "userId": user_id, "status": self.status.as_str(),
            "createdAt": iso(self.created_at), "updatedAt": iso(self.updated_at), "media": media})
    }
}

impl Place {
    /// A link into the provider's app.
    pub(crate) fn link(&self, activity_id: &str) -> String {
        format!("https://my.quo.com/inbox/{}/c/{}?at={activity_id}", self.line.id, self.conversation_id)
    }
}
