//! Everything there is to ask for, as one value: what a copy of it is compared with. And the conversations, which are
//! nothing but the texts and calls in them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::store::Store;
use crate::factory::{Call, Line, Text, iso};

/// Everything there is to ask for, in the API's own words.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    pub messages: Vec<Value>,
    pub calls: Vec<Value>,
    /// Each with its `callId`.
    pub recordings: Vec<Value>,
    /// Those that are `completed`, as are the transcripts.
    pub summaries: Vec<Value>,
    pub transcripts: Vec<Value>,
    /// Each with its `callId`.
    pub voicemails: Vec<Value>,
}

/// What one of our lines and everybody else in it said to each other.
pub(super) struct Conversation {
    id: String,
    pub line: Line,
    others: Vec<String>,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    last_id: String,
}

impl Conversation {
    pub(super) fn rest(&self) -> Value {
        json!({"id": self.id, "phoneNumberId": self.line.id, "participants": self.others, "name": null,
            "assignedTo": null, "lastActivityAt": iso(self.last_at), "lastActivityId": self.last_id,
            "mutedUntil": null, "snoozedUntil": null, "createdAt": iso(self.first_at),
            "updatedAt": iso(self.last_at), "deletedAt": null})
    }
}

impl Store {
    pub(super) fn truth(&self) -> Truth {
        let of_call = |call: &Call, mut value: Value| {
            value["callId"] = json!(call.id);
            value
        };
        let completed = |value: &Value| value["status"] == "completed";
        Truth {
            messages: self.texts().map(Text::rest).collect(),
            calls: self.calls().map(Call::rest).collect(),
            recordings: self
                .calls()
                .flat_map(|call| {
                    let items = call.rest_recordings();
                    let items = items.as_array().cloned().unwrap_or_default();
                    items.into_iter().map(move |item| of_call(call, item))
                })
                .collect(),
            summaries: self.calls().map(Call::rest_summary).filter(completed).collect(),
            transcripts: self.calls().map(Call::rest_transcript).filter(completed).collect(),
            voicemails: self
                .calls()
                .filter_map(|call| call.rest_voicemail().map(|item| of_call(call, item)))
                .collect(),
        }
    }

    /// The conversations, the newest first.
    pub(super) fn conversations(&self) -> Vec<Conversation> {
        let mut all: BTreeMap<&str, Conversation> = BTreeMap::new();
        let mut note =
            |id, line: &Line, others: Vec<&str>, (first, last): (DateTime<Utc>, _), last_id: &str| {
                let known = all.entry(id).or_insert_with(|| Conversation {
                    id: String::from(id),
                    line: line.clone(),
                    others: others.into_iter().map(str::to_owned).collect(),
                    first_at: first,
                    last_at: last,
                    last_id: last_id.to_owned(),
                });
                known.first_at = known.first_at.min(first);
                if last > known.last_at {
                    (known.last_at, known.last_id) = (last, last_id.to_owned());
                }
            };
        for text in self.texts() {
            let others = text.others().into_iter().collect();
            let times = (text.created_at, text.updated_at);
            note(text.place.conversation_id.as_str(), &text.place.line, others, times, &text.id);
        }
        for call in self.calls() {
            let times = (call.created_at, call.completed_at());
            let others = vec![call.place.other.as_str()];
            note(call.place.conversation_id.as_str(), &call.place.line, others, times, &call.id);
        }
        let mut all: Vec<Conversation> = all.into_values().collect();
        all.sort_by(|a, b| b.last_at.cmp(&a.last_at).then_with(|| a.id.cmp(&b.id)));
        all
    }
}
