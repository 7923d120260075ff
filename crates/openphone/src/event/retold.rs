//! Answers of the API told as events.
//!
//! What was asked for because no webhook told of it shall go the way of what was told. So an answer becomes the body of an
//! event of the present system, and whoever reads events reads it like any other. What the API says in words of its own is
//! said in those of webhooks, so that both ways of learning of a call end in one row.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Call, CallStatus, Direction, EventType, MessageStatus, Recording, Summary, Transcript, Voicemail,
    message::Message,
};

/// Where something happened, as whoever asked for it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Our number's id (`PN…`).
    pub phone_number_id: String,
    /// Our number.
    pub number: String,
    pub conversation_id: String,
    /// Everybody else.
    pub others: Vec<String>,
}

/// An event made of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Retold {
    pub kind: EventType,
    /// The same for the same thing in the same state, however often it is asked for.
    pub id: String,
    at: DateTime<Utc>,
    resource: Value,
    context: Value,
}

impl Retold {
    /// The event's body.
    pub fn body(&self) -> String {
        json!({"id": self.id, "type": self.kind.as_str(), "apiVersion": "2026-03-30", "createdAt": iso(self.at),
            "data": {"resource": self.resource, "context": self.context, "links": {"quo": null}}})
        .to_string()
    }

    fn of(
        kind: EventType,
        (subject, state): (&str, &str),
        at: DateTime<Utc>,
        resource: Value,
        context: Value,
    ) -> Self {
        Self { kind, id: format!("{}:{subject}:{state}", kind.as_str()), at, resource, context }
    }

    /// A text. `at` is when this is told, for a text that has no time.
    pub fn message(message: &Message, setting: &Setting, at: DateTime<Utc>) -> Self {
        let kind = match (message.direction, &message.status) {
            (Direction::Incoming, _) => EventType::MessageReceived,
            (_, MessageStatus::Delivered | MessageStatus::Read) => EventType::MessageDelivered,
            (_, MessageStatus::Failed) => EventType::MessageFailed,
            (_, MessageStatus::Undelivered) => EventType::MessageUndelivered,
            _ => EventType::MessageUpdated,
        };
        let media: Vec<Value> =
            message.media.iter().map(|item| json!({"url": item.url, "type": item.declared_type})).collect();
        let known = &message.context;
        let context = json!({
            "phoneNumberId": known.phone_number_id.as_ref().unwrap_or(&setting.phone_number_id),
            "conversationId": known.conversation_id.as_ref().unwrap_or(&setting.conversation_id),
            "userId": known.user_id, "senderIdentifier": message.from, "recipientIdentifiers": message.to});
        let resource = json!({"id": message.id, "direction": message.direction.as_str(), "text": message.text,
            "media": media, "status": message.status.as_str(), "errorCode": message.error_code,
            "createdAt": message.created_at.map(iso), "updatedAt": message.updated_at.map(iso)});
        let state = format!("{}:{}", message.status.as_str(), media.len());
        let at = message.updated_at.or(message.created_at).unwrap_or(at);
        Self::of(kind, (&message.id, &state), at, resource, context)
    }

    /// A call that is over.
    pub fn call(call: &Call, setting: &Setting, at: DateTime<Utc>) -> Self {
        let status = outcome(call);
        let mut context = setting.context();
        context["userId"] = json!(call.context.user_id);
        let resource = json!({"id": call.id, "direction": call.direction.map(Direction::as_str),
            "status": status.as_str(), "createdAt": call.created_at.map(iso),
            "answeredAt": call.answered_at.map(iso), "answeredByUserId": call.answered_by,
            "completedAt": call.completed_at.map(iso), "updatedAt": call.updated_at.map(iso),
            // The API says 0 where webhooks say nothing.
            "duration": call.duration.filter(|_| call.answered_at.is_some()),
            "forwardedFrom": call.forwarded_from, "forwardedTo": call.forwarded_to});
        let at = call.updated_at.or(call.completed_at).unwrap_or(at);
        Self::of(EventType::CallCompleted, (&call.id, status.as_str()), at, resource, context)
    }

    /// The recordings of a call, whose last change was at `at`, as for what follows.
    pub fn recordings(call_id: &str, recordings: &[Recording], setting: &Setting, at: DateTime<Utc>) -> Self {
        let items: Vec<Value> = recordings
            .iter()
            .map(|recording| {
                json!({"id": recording.id, "duration": recording.duration,
                    "startTime": recording.started_at.map(iso), "type": recording.declared_type,
                    "url": recording.url})
            })
            .collect();
        // Links are signed anew for each who asks: they are no part of the state.
        let named =
            recordings.iter().map(|recording| format!("{:?}{:?}", recording.id, recording.started_at));
        let state = digest(&named.collect::<String>());
        let resource = json!({"id": call_id, "updatedAt": iso(at), "recordings": items});
        Self::of(EventType::CallRecordingCompleted, (call_id, &state), at, resource, setting.context())
    }

    pub fn transcript(transcript: &Transcript, setting: &Setting, at: DateTime<Utc>) -> Self {
        let dialogue: Vec<Value> = transcript
            .dialogue
            .iter()
            .map(|turn| {
                json!({"userId": turn.user_id, "identifier": turn.identifier, "content": turn.content,
                    "start": turn.start, "end": turn.end})
            })
            .collect();
        let resource = json!({"callId": transcript.call_id, "createdAt": transcript.created_at.map(iso),
            "duration": transcript.duration, "processingStatus": transcript.status.as_str(),
            "dialogue": dialogue});
        let (id, status) = (&transcript.call_id, transcript.status.as_str());
        let at = transcript.created_at.unwrap_or(at);
        Self::of(EventType::CallTranscriptCompleted, (id, status), at, resource, setting.context())
    }

    pub fn summary(summary: &Summary, setting: &Setting, at: DateTime<Utc>) -> Self {
        let resource = json!({"callId": summary.call_id, "processingStatus": summary.status.as_str(),
            "summary": summary.summary, "nextSteps": summary.next_steps, "jobs": summary.jobs,
            "fromPhoneNumber": summary.from_phone_number, "handledByAiAgent": summary.handled_by_ai,
            "answeredByUserId": summary.answered_by});
        let (id, status) = (&summary.call_id, summary.status.as_str());
        Self::of(EventType::CallSummaryCompleted, (id, status), at, resource, setting.context())
    }

    pub fn voicemail(voicemail: &Voicemail, setting: &Setting, at: DateTime<Utc>) -> Self {
        let state = format!("{}:{}", voicemail.url.is_some(), voicemail.transcript.is_some());
        let (from, to) = (setting.others.first(), &setting.number);
        let resource = json!({"id": voicemail.id, "voicemailId": voicemail.voicemail_id,
            "callId": voicemail.call_id, "direction": "incoming", "duration": voicemail.duration, "from": from,
            "to": to, "transcript": voicemail.transcript, "recordingUrl": voicemail.url,
            "createdAt": iso(voicemail.created_at.unwrap_or(at)), "updatedAt": iso(at)});
        let kind = EventType::CallVoicemailCompleted;
        Self::of(kind, (&voicemail.id, &state), at, resource, setting.context())
    }
}

impl Setting {
    fn context(&self) -> Value {
        json!({"phoneNumberId": self.phone_number_id, "conversationId": self.conversation_id,
            "participants": {"workspace": [self.number], "external": self.others,
                "resolution": "available"}})
    }
}

/// How a call ended, in the words of webhooks. The API often says no more than that it is over.
fn outcome(call: &Call) -> CallStatus {
    match call.status.clone().unwrap_or(CallStatus::Completed) {
        CallStatus::Completed if call.forwarded_to.is_some() => CallStatus::Forwarded,
        CallStatus::Completed if call.answered_at.is_some() => CallStatus::Answered,
        CallStatus::Completed => CallStatus::Unanswered,
        told => told,
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, Generation, Payload},
        factory::Factory,
    };

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_secs(1_791_558_000).unwrap()
    }

    fn setting(context: &crate::event::Context) -> Setting {
        Setting {
            phone_number_id: context.phone_number_id.clone().unwrap(),
            number: context.workspace.first().cloned().unwrap_or_default(),
            conversation_id: context.conversation_id.clone().unwrap_or_default(),
            others: context.external.clone(),
        }
    }

    fn read(retold: &Retold) -> Payload {
        let event = Event::parse(retold.body().as_bytes()).unwrap();
        assert_eq!(event.envelope.id, retold.id);
        assert!(event.envelope.created_at.is_some());
        event.payload
    }

    #[test]
    fn a_text_told_again_is_the_same_text() {
        let mut factory = Factory::new(3);
        for event in (0..200).flat_map(|_| factory.anything(Generation::App, now())) {
            let Payload::Message(message) = Event::parse(&event.body).unwrap().payload else { continue };
            let Payload::Message(again) = read(&Retold::message(&message, &setting(&message.context), now()))
            else {
                panic!("a text")
            };
            assert_eq!(again, message);
        }
    }

    #[test]
    fn a_text_on_its_way_is_told_as_what_it_is() {
        let Payload::Message(message) = Event::parse(
            &Factory::new(3).event(EventType::MessageDelivered, Generation::Dated, now()).unwrap().body,
        )
        .unwrap()
        .payload
        else {
            panic!("a text")
        };
        for (status, kind) in [
            (MessageStatus::Sent, EventType::MessageUpdated),
            (MessageStatus::Failed, EventType::MessageFailed),
            (MessageStatus::Delivered, EventType::MessageDelivered),
        ] {
            let message = Message { status: status.clone(), ..message.clone() };
            let retold = Retold::message(&message, &setting(&message.context), now());
            assert_eq!(retold.kind, kind);
            let Payload::Message(again) = read(&retold) else { panic!("a text") };
            assert_eq!(again.status, status);
        }
    }

    #[test]
    fn how_a_call_ended_is_said_in_the_words_of_webhooks() {
        let body = r#"{"id":"EV1","type":"call.completed","apiVersion":"v4","data":{"object":{"id":"AC1",
            "direction":"incoming","status":"completed","phoneNumberId":"PN1","duration":0,
            "completedAt":"2026-10-09T15:05:19Z"}}}"#;
        let Payload::Call(call) = Event::parse(body.as_bytes()).unwrap().payload else { panic!("a call") };
        let setting = Setting {
            phone_number_id: "PN1".to_owned(),
            number: "+12125550199".to_owned(),
            conversation_id: "CN1".to_owned(),
            others: vec!["+12125550101".to_owned()],
        };
        let told = |call: &Call| match read(&Retold::call(call, &setting, now())) {
            Payload::Call(call) => call,
            other => panic!("{other:?}"),
        };
        let unanswered = told(&call);
        assert_eq!((unanswered.status, unanswered.duration), (Some(CallStatus::Unanswered), None));
        assert_eq!(unanswered.from.as_deref(), Some("+12125550101"), "the other one called");
        assert_eq!(unanswered.context.conversation_id.as_deref(), Some("CN1"));
        let answered_at = "2026-10-09T15:05:00Z".parse().ok();
        let answered = Call { answered_at, ..call.clone() };
        assert_eq!(told(&answered).status, Some(CallStatus::Answered));
        let forwarded = Call { forwarded_to: Some("US1".to_owned()), ..answered };
        assert_eq!(told(&forwarded).status, Some(CallStatus::Forwarded));
        let busy = Call { status: Some(CallStatus::Busy), ..call };
        assert_eq!(told(&busy).status, Some(CallStatus::Busy));
    }

    #[test]
    fn recordings_under_fresh_links_are_the_same_event() {
        let recording = |url: &str| Recording {
            id: Some("RE1".to_owned()),
            url: Some(url.to_owned()),
            declared_type: None,
            duration: Some(5.0),
            started_at: None,
            status: None,
        };
        let setting = Setting {
            phone_number_id: "PN1".to_owned(),
            number: "+12125550199".to_owned(),
            conversation_id: "CN1".to_owned(),
            others: vec!["+12125550101".to_owned()],
        };
        let told = |url| Retold::recordings("AC1", &[recording(url)], &setting, now());
        assert_eq!(told("https://a.example/1?sig=a").id, told("https://a.example/1?sig=b").id);
        let Payload::Recordings(read) = read(&told("https://a.example/1")) else { panic!("recordings") };
        assert_eq!((read.call_id.as_str(), read.recordings.len()), ("AC1", 1));
    }
}
