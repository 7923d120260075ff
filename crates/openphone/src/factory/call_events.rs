//! How each generation tells of a call.

use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    MediaFile, Record,
    call::Call,
    envelope::{Telling, iso},
};
use crate::event::{EventType, Generation};

impl Call {
    /// What an event of that type says; nothing where the generation has no such event.
    pub(crate) fn telling(
        &self,
        rng: &mut StdRng,
        kind: EventType,
        generation: Generation,
    ) -> Option<Telling> {
        let subject = match generation {
            Generation::Dated => self.dated(rng, kind)?,
            Generation::App => self.app(kind)?,
            Generation::Api => self.api(rng, kind)?,
        };
        let subject_id = match (&self.voicemail, kind) {
            (Some(voicemail), EventType::CallVoicemailCompleted) => &voicemail.activity_id,
            _ => &self.id,
        };
        Some(Telling {
            subject_id: subject_id.clone(),
            subject,
            context: self.context(rng, kind),
            link: rng.random_bool(0.8).then(|| self.place.link(subject_id)),
            media: self.media(kind, generation),
            record: Some(Record::Call(Box::new(self.clone()))),
        })
    }

    fn dated(&self, rng: &mut StdRng, kind: EventType) -> Option<Value> {
        use EventType as T;
        let answered_by = self.talked.map(|_| &self.place.line.user_id);
        let mut subject = json!({"id": self.id, "createdAt": iso(self.created_at)});
        match kind {
            T::CallRinging => {
                subject["direction"] = json!(self.direction.as_str());
                subject["updatedAt"] = json!(iso(self.created_at));
            }
            T::CallMenuSelected => {
                subject["updatedAt"] = Value::Null;
                subject["phoneMenuSelection"] = json!("2");
                subject["phoneMenuSelectionName"] = json!("Service");
                subject["statusReason"] = json!("phone-menu-dial");
            }
            T::CallAnswered => {
                subject["direction"] = json!(self.direction.as_str());
                subject["answeredAt"] = json!(self.answered_at().map(iso));
                subject["answeredByUserId"] = json!(answered_by);
                subject["updatedAt"] = json!(self.answered_at().map(iso));
            }
            T::CallCompleted | T::CallRecordingCompleted => {
                subject["direction"] = json!(self.direction.as_str());
                subject["answeredAt"] = json!(self.answered_at().map(iso));
                subject["completedAt"] = json!(iso(self.completed_at()));
                subject["updatedAt"] = json!(iso(self.completed_at()));
                subject["duration"] = json!(self.seconds());
                if kind == T::CallRecordingCompleted {
                    subject["recordings"] = self.recording_items();
                } else {
                    subject["status"] = json!(self.dated_status());
                    subject["hasVoicemail"] = json!(self.voicemail.is_some());
                }
            }
            T::CallForwarded => {
                subject["updatedAt"] = Value::Null;
                subject["forwardedFrom"] = json!(self.place.line.number);
                subject["forwardedTo"] = json!(self.forwarded_to);
            }
            T::CallMissed => subject["updatedAt"] = json!(iso(self.completed_at())),
            T::CallSummaryCompleted => return Some(self.dated_summary()),
            T::CallTranscriptCompleted => return Some(self.dated_transcript(rng)),
            T::CallVoicemailCompleted => return self.dated_voicemail(rng),
            _ => return None,
        }
        Some(subject)
    }

    fn dated_status(&self) -> &'static str {
        match (&self.forwarded_to, self.talked) {
            (Some(_), _) => "forwarded",
            (None, Some(_)) => "answered",
            (None, None) => "unanswered",
        }
    }

    fn dated_summary(&self) -> Value {
        json!({"callId": self.id, "processingStatus": "completed", "summary": self.summary,
            "nextSteps": self.next_steps, "fromPhoneNumber": null, "handledByAiAgent": false,
            "answeredByUserId": self.place.line.user_id, "jobs": []})
    }

    fn dated_transcript(&self, rng: &mut StdRng) -> Value {
        let failed = rng.random_bool(0.05);
        let (status, dialogue) = if failed { ("failed", Value::Null) } else { ("completed", self.turns()) };
        json!({"callId": self.id, "createdAt": iso(self.completed_at()), "duration": self.seconds(),
            "processingStatus": status, "dialogue": dialogue})
    }

    fn dated_voicemail(&self, rng: &mut StdRng) -> Option<Value> {
        let voicemail = self.voicemail.as_ref()?;
        let (from, to) = self.ends();
        let call_id = (!rng.random_bool(0.05)).then_some(&self.id);
        Some(json!({"id": voicemail.activity_id, "voicemailId": voicemail.id, "callId": call_id,
            "direction": self.direction.as_str(), "duration": voicemail.seconds, "from": from, "to": to,
            "transcript": voicemail.transcript, "recordingUrl": voicemail.file.url,
            "createdAt": iso(self.completed_at()), "updatedAt": iso(self.completed_at())}))
    }

    fn context(&self, rng: &mut StdRng, kind: EventType) -> Value {
        let line = &self.place.line;
        let participants = if rng.random_bool(0.05) {
            json!({"workspace": [], "external": [], "resolution": "unavailable"})
        } else {
            json!({"workspace": [line.number], "external": [self.place.other], "resolution": "available"})
        };
        let mut context = json!({"orgId": self.place.org_id, "phoneNumberId": line.id,
            "conversationId": self.place.conversation_id, "userId": line.user_id,
            "participants": participants});
        if kind != EventType::CallRinging {
            context["phoneNumberType"] = json!("shared");
            context["contacts"] = self.place.lookup.contacts();
        }
        context
    }

    fn app(&self, kind: EventType) -> Option<Value> {
        use EventType as T;
        match kind {
            T::CallSummaryCompleted | T::CallTranscriptCompleted => return self.older_artefact(kind),
            T::CallRinging | T::CallCompleted | T::CallRecordingCompleted => {}
            _ => return None,
        }
        let ended = kind != T::CallRinging;
        let (from, to) = self.ends();
        let media: Vec<Value> = if kind == T::CallRecordingCompleted {
            let item = |file: &MediaFile, seconds| json!({"url": file.url, "type": file.content_type, "duration": seconds});
            self.recordings.iter().map(|recording| item(&recording.file, recording.seconds)).collect()
        } else {
            Vec::new()
        };
        let voicemail = self.voicemail.as_ref().filter(|_| ended).map(|voicemail| {
            json!({"url": voicemail.file.url, "type": voicemail.file.content_type,
                "duration": voicemail.seconds})
        });
        Some(json!({"id": self.id, "object": "call", "from": from, "to": to,
            "direction": self.direction.as_str(), "media": media, "voicemail": voicemail,
            "status": if ended { "completed" } else { "ringing" }, "createdAt": iso(self.created_at),
            "answeredAt": self.answered_at().filter(|_| ended).map(iso),
            "completedAt": ended.then(|| iso(self.completed_at())), "userId": self.place.line.user_id,
            "phoneNumberId": self.place.line.id, "conversationId": self.place.conversation_id}))
    }

    fn api(&self, rng: &mut StdRng, kind: EventType) -> Option<Value> {
        use EventType as T;
        let mut subject = match kind {
            T::CallSummaryCompleted | T::CallTranscriptCompleted => self.older_artefact(kind)?,
            T::CallRinging | T::CallCompleted | T::CallRecordingCompleted => {
                let mut subject = self.rest();
                subject["object"] = json!("call");
                subject["participants"] = json!([self.place.other]);
                if kind == T::CallRinging {
                    subject["status"] = json!("ringing");
                    subject["answeredAt"] = Value::Null;
                    subject["completedAt"] = Value::Null;
                }
                subject
            }
            _ => return None,
        };
        if rng.random_bool(0.8) {
            subject["contactIds"] = json!(self.place.lookup.contact_ids());
        }
        Some(subject)
    }

    fn older_artefact(&self, kind: EventType) -> Option<Value> {
        let (mut subject, object) = match kind {
            EventType::CallSummaryCompleted => (self.rest_summary(), "callSummary"),
            EventType::CallTranscriptCompleted => (self.rest_transcript(), "callTranscript"),
            _ => return None,
        };
        subject["object"] = json!(object);
        Some(subject)
    }

    /// The files an event of that type leads to.
    fn media(&self, kind: EventType, generation: Generation) -> Vec<MediaFile> {
        let voicemail = || self.voicemail.iter().map(|voicemail| voicemail.file.clone()).collect();
        match (kind, generation) {
            (EventType::CallRecordingCompleted, Generation::Dated | Generation::App) => {
                let mut files: Vec<_> =
                    self.recordings.iter().map(|recording| recording.file.clone()).collect();
                if generation == Generation::App {
                    files.extend(self.voicemail.iter().map(|voicemail| voicemail.file.clone()));
                }
                files
            }
            (EventType::CallVoicemailCompleted, Generation::Dated)
            | (EventType::CallCompleted, Generation::App) => voicemail(),
            _ => Vec::new(),
        }
    }
}
