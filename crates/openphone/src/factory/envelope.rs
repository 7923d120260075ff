//! Wrapping what is told into an event of a generation.

use chrono::{DateTime, SecondsFormat, Utc};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

use super::{FactoryEvent, MediaFile, Record, world};
use crate::event::{EventType, Generation};

/// What an event tells, before it is wrapped.
pub(crate) struct Telling {
    /// The activity, contact or task it is about.
    pub subject_id: String,
    pub subject: Value,
    pub context: Value,
    pub link: Option<String>,
    pub media: Vec<MediaFile>,
    pub record: Option<Record>,
}

impl Telling {
    /// Wraps it under a known type, in one of the spellings that generation uses.
    pub(crate) fn seal(
        self,
        rng: &mut StdRng,
        kind: EventType,
        generation: Generation,
        created_at: DateTime<Utc>,
    ) -> FactoryEvent {
        let dotted = rng.random_bool(0.5);
        let name = match (generation, kind) {
            (Generation::Api, EventType::CallSummaryCompleted) if !dotted => "callSummary",
            (Generation::Api, EventType::CallTranscriptCompleted) if !dotted => "callTranscript",
            (Generation::App, EventType::TaskDueDateUpdated) => "task.due_date_changed",
            (Generation::App, EventType::TaskDueDateRemoved) => "task.due_date_removed",
            _ => kind.as_str(),
        };
        self.seal_as(rng, name, generation, created_at)
    }

    /// Wraps it under any name.
    pub(crate) fn seal_as(
        self,
        rng: &mut StdRng,
        name: &str,
        generation: Generation,
        created_at: DateTime<Utc>,
    ) -> FactoryEvent {
        let event_id = world::id(rng, "EV");
        let mut body = json!({"id": event_id, "createdAt": iso(created_at), "type": name});
        match generation {
            Generation::Dated => {
                body["apiVersion"] = json!("2026-03-30");
                body["data"] =
                    json!({"resource": self.subject, "context": self.context, "links": {"quo": self.link}});
                if rng.random_bool(0.1) {
                    body["data"]["resource"]["addedLater"] = json!({"by": ["the provider"]});
                    body["alsoNew"] = json!(1);
                }
            }
            Generation::App | Generation::Api => {
                body["object"] = json!("event");
                body["apiVersion"] = json!(match generation {
                    Generation::Api => "v4",
                    _ if rng.random_bool(0.2) => "v2",
                    _ => "v3",
                });
                body["data"] = json!({"object": self.subject});
            }
        }
        FactoryEvent {
            event_id,
            event_type: name.to_owned(),
            generation,
            subject_id: self.subject_id,
            media: self.media,
            body: body.to_string().into_bytes(),
            record: self.record,
        }
    }
}

/// A time as the provider writes it.
pub(crate) fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
