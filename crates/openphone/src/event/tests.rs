//! The provider's own samples, and what integrators have seen instead.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(body: &Value) -> Event {
    Event::parse(body.to_string().as_bytes()).unwrap()
}

fn legacy(version: &str, kind: &str, object: Value) -> Event {
    parse(&json!({"id": "EV1", "object": "event", "apiVersion": version, "type": kind,
        "createdAt": "2026-10-09T15:00:00.412Z", "data": {"object": object}}))
}

fn dated(kind: &str, resource: Value, context: Value) -> Event {
    parse(&json!({"id": "EV1", "apiVersion": "2026-03-30", "type": kind,
        "createdAt": "2026-10-09T15:00:00.000Z",
        "data": {"resource": resource, "context": context, "links": {"quo": "https://my.quo.com/x"}}}))
}

macro_rules! payload {
    ($event:expr, $kind:ident) => {
        match $event.payload {
            Payload::$kind(payload) => payload,
            other => panic!("expected {}, got {other:?}", stringify!($kind)),
        }
    };
}

fn call_context() -> Value {
    json!({"orgId": "OR1", "phoneNumberId": "PN1", "conversationId": "CN1", "phoneNumberType": "shared",
        "userId": "US1", "contacts": {"ids": ["CT68f0a1b2c3d4e5f601234567"], "lookupStatus": "matched"},
        "participants": {"workspace": ["+12125550199"], "external": ["+12125550101"],
            "resolution": "available"}})
}

#[test]
fn a_text_reads_the_same_from_all_generations() {
    let app = payload!(
        legacy(
            "v3",
            "message.received",
            json!({"id": "AC1", "object": "message", "from": "+12125550101", "to": "+12125550199",
                "direction": "incoming", "body": "ok 👍", "media": [], "status": "received",
                "createdAt": "2026-10-09T15:00:00.100Z", "userId": "US1", "phoneNumberId": "PN1",
                "conversationId": "CN1"})
        ),
        Message
    );
    let api = payload!(
        legacy(
            "v4",
            "message.received",
            json!({"id": "AC1", "object": "message", "from": "+12125550101", "to": ["+12125550199"],
                "direction": "incoming", "text": "ok 👍", "status": "received",
                "createdAt": "2026-10-09T15:00:00.100Z", "userId": "US1", "phoneNumberId": "PN1",
                "conversationId": "CN1", "contactIds": []})
        ),
        Message
    );
    let mut dated = payload!(
        dated(
            "message.received",
            json!({"id": "AC1", "direction": "incoming", "text": "ok 👍", "media": [], "status": "received",
                "createdAt": "2026-10-09T15:00:00.100Z"}),
            json!({"orgId": "OR1", "phoneNumberId": "PN1", "conversationId": "CN1", "userId": "US1",
                "contacts": {"ids": [], "lookupStatus": "none"}, "senderIdentifier": "+12125550101",
                "recipientIdentifiers": ["+12125550199"]})
        ),
        Message
    );
    assert_eq!(app, api);
    assert_eq!(dated.context.lookup_status, Some(LookupStatus::None));
    assert_eq!(dated.context.org_id.take().as_deref(), Some("OR1"));
    dated.context.lookup_status = None;
    dated.context.deep_link = None;
    assert_eq!(app, dated);
    assert_eq!(app.context.workspace, ["+12125550199"]);
    assert_eq!(app.context.external, ["+12125550101"]);
}

#[test]
fn a_picture_may_lack_its_type_and_a_group_text_is_split() {
    let message = payload!(
        legacy(
            "v3",
            "message.received",
            json!({"id": "AC1", "from": "72345", "to": "+12125550199,+12125550102", "body": "",
                "media": [{"url": "https://x/a.jpeg"}, {"url": null}, {"type": "image/png"}, 7, null,
                    {"url": "https://x/b.png", "type": null}]})
        ),
        Message
    );
    assert_eq!(message.to, ["+12125550199", "+12125550102"]);
    assert_eq!(message.direction, Direction::Incoming);
    assert_eq!(message.status, MessageStatus::Received);
    assert_eq!(message.text.as_deref(), Some(""));
    let urls: Vec<_> = message.media.iter().map(|item| item.url.as_str()).collect();
    assert_eq!(urls, ["https://x/a.jpeg", "7", "https://x/b.png"]);
    assert!(message.context.workspace.is_empty());
}

#[test]
fn a_failure_tells_its_code_even_as_a_number() {
    let message = payload!(
        dated(
            "message.undelivered",
            json!({"id": "AC1", "direction": "outgoing", "text": "x", "status": "undelivered",
                "errorCode": 30007, "createdAt": null}),
            json!({"senderIdentifier": "+12125550199", "recipientIdentifiers": ["+12125550101"]})
        ),
        Message
    );
    assert_eq!(message.error_code.as_deref(), Some("30007"));
    assert_eq!(message.status, MessageStatus::Undelivered);
    assert_eq!(message.context.workspace, ["+12125550199"]);
}

#[test]
fn a_missed_call_with_voicemail_reads_from_the_oldest_generation() {
    let call = payload!(
        legacy(
            "v3",
            "call.completed",
            json!({"id": "AC1", "object": "call", "from": "+12125550101", "to": "+12125550199",
                "direction": "incoming", "media": [], "status": "completed",
                "voicemail": {"url": "https://x/vm.mp3", "type": "audio/mpeg", "duration": 7},
                "createdAt": "2026-10-09T15:04:59.545Z", "answeredAt": null,
                "completedAt": "2026-10-09T15:05:19.000Z", "phoneNumberId": "PN1"})
        ),
        Call
    );
    assert_eq!(call.answered(), Some(false));
    assert_eq!(call.has_voicemail, Some(true));
    assert_eq!(call.voicemail.unwrap().duration, Some(7.0));
    assert_eq!(call.participants, ["+12125550199", "+12125550101"]);
    assert_eq!(call.duration, None);
}

#[test]
fn recordings_come_as_media_or_as_recordings() {
    let old = payload!(
        legacy(
            "v2",
            "call.recording.completed",
            json!({"id": "AC1", "direction": "outgoing", "from": "+12125550199", "to": "+12125550101",
                "media": [{"url": "https://x/r.mp3", "type": "audio/mpeg", "duration": 55}],
                "answeredAt": "2026-10-09T15:20:06.000Z", "completedAt": "2026-10-09T15:21:01.000Z"})
        ),
        Recordings
    );
    let new = payload!(
        dated(
            "call.recording.completed",
            json!({"id": "AC1", "direction": "outgoing", "duration": 55, "recordings": [
                {"id": "RE1", "duration": 55, "startTime": "2026-10-09T15:20:06.000Z", "type": "audio/mpeg",
                    "url": "https://x/r.mp3"},
                {"id": null, "duration": null, "startTime": null, "type": null, "url": null}]}),
            call_context()
        ),
        Recordings
    );
    assert_eq!(old.recordings[0].url, new.recordings[0].url);
    assert_eq!((old.call.duration, new.call.duration), (Some(55.0), Some(55.0)));
    assert_eq!(old.call.context.external, new.call.context.external);
    assert_eq!(new.call.from.as_deref(), Some("+12125550199"));
    assert_eq!(new.recordings[1].url, None);
}

#[test]
fn every_step_of_a_call_is_a_call() {
    for kind in ["call.ringing", "call.answered", "call.forwarded", "call.missed", "call.menu.selected"] {
        let call = payload!(
            dated(
                kind,
                json!({"id": "AC1", "forwardedFrom": "+12125550199", "phoneMenuSelection": 1,
                    "statusReason": "phone-menu-dial"}),
                json!({})
            ),
            Call
        );
        assert_eq!(call.answered(), None, "{kind}");
        assert_eq!(call.menu.unwrap().digit.as_deref(), Some("1"));
    }
}

#[test]
fn a_voicemail_is_not_its_call() {
    let voicemail = payload!(
        dated(
            "call.voicemail.completed",
            json!({"id": "AC3", "voicemailId": "VM1", "callId": "AC1", "direction": "incoming",
                "duration": 18, "from": "+12125550101", "to": "+12125550199", "transcript": null,
                "recordingUrl": "https://x/vm.mp3"}),
            call_context()
        ),
        Voicemail
    );
    assert_eq!((voicemail.id.as_str(), voicemail.call_id.as_deref()), ("AC3", Some("AC1")));
    assert_eq!(voicemail.status, ProcessingStatus::Completed);
    assert_eq!(voicemail.context.contact_ids, ["68f0a1b2c3d4e5f601234567"]);
}

#[test]
fn summaries_and_transcripts_read_under_both_names() {
    for (version, kind) in [("v4", "callSummary"), ("v4", "call.summary.completed")] {
        let object = json!({"callId": "AC1", "object": "callSummary", "status": "completed",
            "summary": ["One, two.", "Three."], "nextSteps": "Call, then write.", "contactIds": []});
        let summary = payload!(legacy(version, kind, object), Summary);
        assert_eq!(summary.summary, ["One, two.", "Three."]);
        assert_eq!(summary.next_steps, ["Call, then write."]);
    }
    let transcript = payload!(
        dated(
            "call.transcript.completed",
            json!({"callId": "AC1", "duration": 42, "processingStatus": "failed", "dialogue": null}),
            call_context()
        ),
        Transcript
    );
    assert_eq!(transcript.status, ProcessingStatus::Failed);
    assert!(transcript.dialogue.is_empty());
    let transcript = payload!(
        legacy(
            "v4",
            "callTranscript",
            json!({"callId": "AC1", "dialogue": [{"userId": "US1", "identifier": null, "content": "Hi",
                "start": 0, "end": 2.9}]})
        ),
        Transcript
    );
    assert_eq!(transcript.dialogue[0].user_id.as_deref(), Some("US1"));
    assert_eq!(transcript.dialogue[0].end, Some(2.9));
}

#[test]
fn a_contact_reads_from_all_three_shapes() {
    let shapes = [
        json!({"emails": [{"value": "d@example.com", "type": "email"}],
            "phoneNumbers": [{"value": "+12125550101", "type": "phone-number"}],
            "customFields": [{"name": "Area", "value": "north"}]}),
        json!({"fields": [{"name": "Phone", "type": "phone-number", "value": "+12125550101"},
            {"name": "Work", "type": "email", "value": "d@example.com"},
            {"name": "Area", "type": "string", "value": "north"}]}),
        json!({"fields": {"Phone": ["+12125550101"], "Email": "d@example.com", "Area": "north"}}),
    ];
    for mut object in shapes {
        object["id"] = json!("CT68f0a1b2c3d4e5f601234567");
        object["firstName"] = json!("Dana");
        let contact = payload!(legacy("v3", "contact.updated", object), Contact);
        assert_eq!(contact.id, "68f0a1b2c3d4e5f601234567");
        assert_eq!(contact.phone_numbers, ["+12125550101"]);
        assert_eq!(contact.emails, ["d@example.com"]);
        assert_eq!(contact.custom_fields[0]["name"], "Area");
        assert_eq!(contact.custom_fields[0]["value"], "north");
    }
    let bare = payload!(legacy("v3", "contact.deleted", json!({"id": "CT1"})), Contact);
    assert_eq!(bare.first_name, None);
}

#[test]
fn tasks_integrations_and_unknown_types_are_kept() {
    let task = payload!(dated("task.due_date_changed", json!({"id": "TK1"}), json!({"orgId": "OR1"})), Task);
    assert_eq!(task.id, "TK1");
    for kind in ["integration.created", "fax.received"] {
        let other = payload!(dated(kind, json!({"deep": {"er": 1}}), json!({})), Other);
        assert_eq!(other["deep"]["er"], 1);
    }
}

#[test]
fn an_event_about_nothing_is_an_error() {
    for kind in EventType::ALL.iter().map(|kind| kind.as_str()) {
        let body = json!({"id": "EV1", "type": kind, "data": {"resource": {"id": {}}}});
        let read = Event::parse(body.to_string().as_bytes());
        if kind.starts_with("integration.") {
            assert!(read.is_ok());
        } else {
            assert_eq!(read, Err(EventError::NoId), "{kind}");
        }
    }
}

/// JSON of any shape under the keys that matter.
fn any_fields() -> impl Strategy<Value = Value> {
    const KEYS: [&str; 22] = [
        "id",
        "callId",
        "direction",
        "status",
        "text",
        "body",
        "media",
        "from",
        "to",
        "fields",
        "emails",
        "customFields",
        "contacts",
        "ids",
        "participants",
        "workspace",
        "dialogue",
        "content",
        "recordings",
        "voicemail",
        "createdAt",
        "url",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z+0-9👍\0]{0,12}".prop_map(Value::from),
        Just(json!("AC1")),
        Just(json!("incoming")),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(&KEYS[..]), inner, 0..8)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_under_any_type_is_survived(
        kind in proptest::sample::select(EventType::ALL),
        subject in any_fields(),
        context in any_fields(),
        old in any::<bool>(),
    ) {
        let place = if old { "object" } else { "resource" };
        let body = json!({"id": "EV1", "type": kind.as_str(), "data": {place: subject, "context": context}});
        let seen = format!("{:?}", Event::parse(body.to_string().as_bytes()));
        prop_assert!(!seen.contains("\\0"), "a NUL came through: {}", seen);
    }
}
