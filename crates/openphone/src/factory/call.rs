//! A call with all that may come of it, as it happened and as the REST API gives it.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{MediaFile, envelope::iso, world::Place};
use crate::event::Direction;

/// A call as it happened.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub id: String,
    pub direction: Direction,
    pub place: Place,
    pub created_at: DateTime<Utc>,
    /// How long it was talked, if it was answered.
    pub talked: Option<TimeDelta>,
    pub forwarded_to: Option<String>,
    pub recordings: Vec<Recording>,
    pub dialogue: Vec<Turn>,
    pub summary: Vec<String>,
    pub next_steps: Vec<String>,
    pub voicemail: Option<Voicemail>,
}

#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub id: String,
    pub file: MediaFile,
    pub seconds: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Voicemail {
    pub activity_id: String,
    pub id: String,
    pub file: MediaFile,
    pub seconds: i64,
    pub transcript: Option<String>,
}

/// One turn of the talk.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub ours: bool,
    pub content: String,
    pub start: f64,
    pub end: f64,
}

impl Call {
    const RINGING: TimeDelta = TimeDelta::seconds(6);

    pub(crate) fn answered_at(&self) -> Option<DateTime<Utc>> {
        self.talked.map(|_| self.created_at + Self::RINGING)
    }

    pub(crate) fn completed_at(&self) -> DateTime<Utc> {
        self.created_at + self.talked.map_or(TimeDelta::seconds(20), |talked| Self::RINGING + talked)
    }

    pub(crate) fn seconds(&self) -> Option<i64> {
        self.talked.map(|talked| talked.num_seconds())
    }

    /// Who called, and who was called.
    pub(crate) fn ends(&self) -> (&str, &str) {
        match self.direction {
            Direction::Incoming => (&self.place.other, &self.place.line.number),
            Direction::Outgoing => (&self.place.line.number, &self.place.other),
        }
    }

    pub(crate) fn turns(&self) -> Value {
        let user_id = &self.place.line.user_id;
        self.dialogue
            .iter()
            .map(|turn| {
                json!({"userId": turn.ours.then_some(user_id),
                    "identifier": (!turn.ours).then_some(&self.place.other),
                    "content": turn.content, "start": turn.start, "end": turn.end})
            })
            .collect()
    }

    pub(crate) fn recording_items(&self) -> Value {
        self.recordings
            .iter()
            .map(|recording| {
                json!({"id": recording.id, "duration": recording.seconds,
                    "startTime": self.answered_at().map(iso), "type": recording.file.content_type,
                    "url": recording.file.url})
            })
            .collect()
    }

    pub(crate) fn rest(&self) -> Value {
        let user_id = &self.place.line.user_id;
        let status = if self.talked.is_some() { "completed" } else { "missed" };
        json!({"id": self.id, "phoneNumberId": self.place.line.id, "userId": user_id,
            "direction": self.direction.as_str(), "status": status,
            "participants": [self.place.line.number, self.place.other],
            "answeredAt": self.answered_at().map(iso), "answeredBy": self.talked.map(|_| user_id),
            "initiatedBy": null, "completedAt": iso(self.completed_at()), "createdAt": iso(self.created_at),
            "updatedAt": iso(self.completed_at()), "duration": self.seconds().unwrap_or(0),
            "forwardedFrom": self.forwarded_to.as_ref().map(|_| &self.place.line.number),
            "forwardedTo": self.forwarded_to, "callRoute": "phone-number", "aiHandled": null})
    }

    pub(crate) fn rest_recordings(&self) -> Value {
        let mut items = self.recording_items();
        for item in items.as_array_mut().into_iter().flatten() {
            item["status"] = json!("completed");
        }
        items
    }

    pub(crate) fn rest_summary(&self) -> Value {
        if self.summary.is_empty() {
            return json!({"callId": self.id, "status": "absent", "summary": null, "nextSteps": null});
        }
        json!({"callId": self.id, "status": "completed", "summary": self.summary,
            "nextSteps": self.next_steps, "jobs": []})
    }

    pub(crate) fn rest_transcript(&self) -> Value {
        let (status, dialogue) =
            if self.dialogue.is_empty() { ("absent", Value::Null) } else { ("completed", self.turns()) };
        json!({"callId": self.id, "createdAt": iso(self.completed_at()), "duration": self.seconds(),
            "status": status, "dialogue": dialogue})
    }

    pub(crate) fn rest_voicemail(&self) -> Option<Value> {
        self.voicemail.as_ref().map(|voicemail| {
            json!({"id": voicemail.id, "status": "completed", "duration": voicemail.seconds,
                "transcript": voicemail.transcript, "recordingUrl": voicemail.file.url})
        })
    }
}
