//! What is kept of calls, in whatever order they are told.

use serde_json::{Value, json};

use crate::harness::{Env, both_engines};
use crate::kept::Keeper;

const US: &str = "+12125550199";
const HER: &str = "+12125550101";
/// A link that is refused before anything connects to it.
const NOWHERE: &str = "https://10.0.0.1/voicemail.mp3";

fn dated(kind: &str, at: &str, mut resource: Value) -> String {
    if resource["id"].is_null() && resource["callId"].is_null() {
        resource["id"] = json!("AC1");
    }
    json!({"id": format!("EV{kind}{at}"), "apiVersion": "2026-03-30", "type": kind,
        "createdAt": format!("2026-03-02T09:{at}Z"),
        "data": {"resource": resource, "context": {"phoneNumberId": "PN1", "conversationId": "CN1",
            "userId": "US1", "participants": {"workspace": [US], "external": [HER]}}}})
    .to_string()
}

fn transcript(at: &str, status: &str, content: &str) -> String {
    let dialogue = json!([{"userId": "US1", "content": content, "start": 0.0, "end": 2.9}]);
    dated(
        "call.transcript.completed",
        at,
        json!({"callId": "AC1", "processingStatus": status, "duration": 42, "dialogue": dialogue}),
    )
}

fn summary() -> String {
    dated(
        "call.summary.completed",
        "03:00",
        json!({"callId": "AC1", "processingStatus": "completed",
            "summary": ["The heater stopped."], "nextSteps": ["Book a technician."],
            "answeredByUserId": "US2", "handledByAiAgent": false, "jobs": []}),
    )
}

fn ringing() -> String {
    dated("call.ringing", "00:00", json!({"direction": "incoming", "createdAt": "2026-03-02T09:00:00Z"}))
}

fn answered() -> String {
    dated(
        "call.answered",
        "00:06",
        json!({"direction": "incoming", "createdAt": "2026-03-02T09:00:00Z",
            "answeredAt": "2026-03-02T09:00:06Z", "answeredByUserId": "US2"}),
    )
}

fn completed(status: &str) -> String {
    dated(
        "call.completed",
        "01:00",
        json!({"direction": "incoming", "status": status,
            "createdAt": "2026-03-02T09:00:00Z", "answeredAt": "2026-03-02T09:00:06Z",
            "completedAt": "2026-03-02T09:01:00Z", "updatedAt": "2026-03-02T09:01:00Z", "duration": 54}),
    )
}

fn menu(at: &str, digit: &str) -> String {
    dated("call.menu.selected", at, json!({"createdAt": "2026-03-02T09:00:00Z", "phoneMenuSelection": digit}))
}

/// The end of the same call as the oldest webhooks tell it, with a voicemail inside.
fn oldest_completed() -> String {
    json!({"id": "EV9", "object": "event", "apiVersion": "v3", "type": "call.completed",
        "createdAt": "2026-03-02T09:02:00Z",
        "data": {"object": {"id": "AC1", "object": "call", "from": HER, "to": US, "direction": "incoming",
            "media": [], "voicemail": {"url": NOWHERE, "type": "audio/mpeg", "duration": 7},
            "status": "completed", "createdAt": "2026-03-02T09:00:00Z", "answeredAt": null,
            "completedAt": "2026-03-02T09:01:00Z", "phoneNumberId": "PN1", "conversationId": "CN1"}}})
    .to_string()
}

fn voicemail() -> String {
    dated(
        "call.voicemail.completed",
        "02:30",
        json!({"id": "AC2", "voicemailId": "VM1", "callId": "AC1",
            "direction": "incoming", "duration": 7, "from": HER, "to": US, "transcript": "Call me back.",
            "createdAt": "2026-03-02T09:01:00Z"}),
    )
}

fn recording() -> String {
    dated(
        "call.recording.completed",
        "02:00",
        json!({"direction": "incoming",
            "createdAt": "2026-03-02T09:00:00Z", "completedAt": "2026-03-02T09:01:00Z",
            "recordings": [{"id": "RE1", "duration": 54, "startTime": "2026-03-02T09:00:06Z",
                "type": "audio/mpeg", "url": null}]}),
    )
}

both_engines! {
    async fn a_call_is_the_sum_of_all_that_is_told_of_it(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told = [
            ringing(),
            menu("00:02", "1"),
            menu("00:04", "2"),
            answered(),
            completed("answered"),
            recording(),
            transcript("02:10", "in-progress", "Good"),
            transcript("02:20", "completed", "Good morning"),
            summary(),
        ];
        keeper.assert_order_does_not_matter(&told, 24).await;
        assert_eq!(
            keeper.rows("calls", "id conversation_id status answered_by duration_ms menu").await,
            [r#"calls AC1 CN1 answered US2 54000 {"digit":"2","name":null,"reason":null}"#]
        );
        assert_eq!(
            keeper.rows("call_recordings", "call_id recording duration_ms").await,
            ["call_recordings AC1 RE1 54000"]
        );
        let transcripts = keeper.rows("call_transcripts", "call_id status dialogue").await;
        assert!(transcripts.len() == 1 && transcripts[0].contains("Good morning"), "{transcripts:?}");
        assert_eq!(
            keeper.rows("call_summaries", "summary next_steps").await,
            [r#"call_summaries ["The heater stopped."] ["Book a technician."]"#]
        );
    }

    async fn what_was_made_of_a_call_can_come_before_it(env: Env) {
        let keeper = Keeper::new(&env).await;
        let artefacts = [summary(), transcript("02:20", "completed", "Good morning"), voicemail()];
        keeper.tell_and_work(&artefacts).await;
        keeper.assert_nothing_failed().await;
        assert_eq!(keeper.rows("calls", "id conversation_id status").await, ["calls AC1 CN1 unknown"]);
        keeper.forget().await;
        keeper.tell_and_work(&[summary(), ringing(), completed("unanswered")]).await;
        assert_eq!(keeper.rows("calls", "id status answered_by").await, ["calls AC1 unanswered US2"]);
    }

    async fn the_more_telling_word_for_the_end_of_a_call_counts(env: Env) {
        let keeper = Keeper::new(&env).await;
        let missed = dated("call.missed", "01:01", json!({"createdAt": "2026-03-02T09:00:00Z"}));
        let told = [completed("abandoned"), oldest_completed(), ringing(), missed];
        keeper.assert_order_does_not_matter(&told[..3], 12).await;
        assert_eq!(keeper.rows("calls", "id status").await, ["calls AC1 abandoned"]);
        keeper.forget().await;
        keeper.assert_order_does_not_matter(&told[1..], 12).await;
        assert_eq!(keeper.rows("calls", "id status").await, ["calls AC1 missed"]);
    }

    async fn a_voicemail_told_by_two_generations_is_one(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.assert_order_does_not_matter(&[oldest_completed(), voicemail()], 6).await;
        assert_eq!(
            keeper.rows("voicemails", "id call_id activity_id voicemail_id transcript").await,
            ["voicemails call:AC1 AC1 AC2 VM1 Call me back."]
        );
        assert_eq!(
            keeper.rows("media", "owner_type owner_id position").await,
            ["media voicemail call:AC1 0"]
        );
    }
}
