//! The door: what is let in, what is refused and how, and that nothing refused leaves a trace.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use standardwebhooks::Webhook;
use trunkline_jobs::events::{self, EventFilter, EventState};
use trunkline_openphone::event::{EventType, Generation};
use trunkline_openphone::factory::{Factory, FactoryEvent};
use trunkline_openphone::signature::{Key, sign_legacy, sign_standard};
use trunkline_platform::clock::Clock;
use trunkline_platform::task::TaskState;

use crate::harness::{Env, Program, both_engines, until};
use crate::servers::Postgres;

const STANDARD: &str = "whsec_c2ltdWxhdGVkIHN0YW5kYXJkIHNlY3JldA==";
const LEGACY: &str = "c2ltdWxhdGVkIGxlZ2FjeSBzZWNyZXQ=";

struct Door {
    program: Program,
    client: Client,
    now: DateTime<Utc>,
}

impl Door {
    async fn open(env: &Env) -> Self {
        let mut program = Program::new(env, &["serve", "--roles", "receiver"]);
        program.start().await.unwrap();
        Self { program, client: Client::new(), now: Clock::system().now() }
    }

    fn post(&self) -> RequestBuilder {
        self.client.post(self.program.url("/webhooks/openphone")).header("content-type", "application/json")
    }

    fn standard(&self, id: &str, at: DateTime<Utc>, body: &[u8]) -> RequestBuilder {
        let signature = sign_standard(&Key::parse(STANDARD).unwrap(), id, at.timestamp(), body);
        self.post()
            .header("webhook-id", id)
            .header("webhook-timestamp", at.timestamp())
            .header("webhook-signature", signature)
            .body(body.to_vec())
    }

    fn legacy(&self, at: DateTime<Utc>, body: &[u8]) -> RequestBuilder {
        let signature = sign_legacy(&Key::parse(LEGACY).unwrap(), at.timestamp_millis(), body);
        self.post().header("openphone-signature", signature).body(body.to_vec())
    }
}

fn event(kind: EventType, generation: Generation) -> FactoryEvent {
    Factory::new(7).event(kind, generation, Clock::system().now()).unwrap()
}

async fn refusal(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body: serde_json::Value = response.json().await.unwrap();
    assert!(body["error"]["message"].is_string(), "{body}");
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

async fn stored(env: &Env) -> i64 {
    events::count(&env.db).await.unwrap().iter().map(|row| row.count).sum()
}

both_engines! {
    async fn a_delivery_is_stored_byte_for_byte_with_its_task_and_a_repeat_is_acknowledged(env: Env) {
        let door = Door::open(&env).await;
        let body = event(EventType::MessageReceived, Generation::Dated).body;
        for _ in 0..3 {
            let answer = door.standard("msg_1", door.now, &body).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        }
        let kept = events::find(&env.db, &EventFilter::default(), None, 10).await.unwrap().events;
        assert_eq!(kept.len(), 1);
        let kept = events::show(&env.db, kept[0].event.id).await.unwrap().unwrap();
        assert_eq!(kept.body.as_bytes(), body);
        let tasks = env.tasks().list(&Default::default()).await.unwrap();
        assert_eq!(tasks.len(), 1);
        assert_eq!(tasks[0].kind, "message.received");
        assert_eq!(tasks[0].correlation_id.as_deref(), Some(kept.correlation_id.as_str()));
        assert_eq!(tasks[0].cause, format!("webhook:{}", kept.id));
    }

    async fn a_legacy_delivery_is_recognised_by_event_and_type(env: Env) {
        let door = Door::open(&env).await;
        let received = event(EventType::MessageReceived, Generation::App).body;
        // The provider signs a retry anew.
        for seconds in [0, 5, 60] {
            let answer = door.legacy(door.now - TimeDelta::seconds(seconds), &received).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        }
        assert_eq!(stored(&env).await, 1);
    }

    async fn deliveries_signed_by_the_official_library_are_accepted(env: Env) {
        let door = Door::open(&env).await;
        let official = Webhook::new(STANDARD).unwrap();
        let body = event(EventType::CallCompleted, Generation::Dated).body;
        let signature = official.sign("msg_official", door.now.timestamp(), &body).unwrap();
        let answer = door
            .post()
            .header("webhook-id", "msg_official")
            .header("webhook-timestamp", door.now.timestamp())
            .header("webhook-signature", signature)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    async fn an_unknown_type_is_kept_acknowledged_counted_and_listed(env: Env) {
        let door = Door::open(&env).await;
        let body = br#"{"id":"EV1","type":"fax.received","data":{"resource":{"id":"FX1"},"context":{}}}"#;
        let answer = door.standard("msg_fax", door.now, body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let unknown = EventFilter { state: Some(EventState::Unknown), ..EventFilter::default() };
        let found = events::find(&env.db, &unknown, None, 10).await.unwrap();
        assert_eq!(found.events[0].event.event_type, "fax.received");
        assert!(env.tasks().count_by_kind().await.unwrap().is_empty());
        assert!(door.program.metrics().await.contains("trunkline_webhooks_unknown_type_total 1"));
    }

    async fn what_is_refused_says_why_and_leaves_nothing(env: Env) {
        let door = Door::open(&env).await;
        let body = event(EventType::MessageReceived, Generation::Dated).body;
        let now = door.now;
        let five_minutes = TimeDelta::minutes(5) + TimeDelta::seconds(30);
        let signed = |body: &[u8]| door.standard("msg_x", now, body);
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        let cases: Vec<(&str, RequestBuilder, StatusCode, &str)> = vec![
            ("no signature", door.post().body(body.clone()), StatusCode::UNAUTHORIZED, "signature_missing"),
            ("stale", door.standard("msg_x", now - five_minutes, &body), StatusCode::UNAUTHORIZED, "timestamp_stale"),
            ("ahead", door.standard("msg_x", now + five_minutes, &body), StatusCode::UNAUTHORIZED, "timestamp_stale"),
            ("stale legacy", door.legacy(now - five_minutes, &body), StatusCode::UNAUTHORIZED, "timestamp_stale"),
            (
                "another body",
                signed(&body).body("{}"),
                StatusCode::UNAUTHORIZED,
                "signature_invalid",
            ),
            (
                "duplicated header",
                signed(&body).header("webhook-id", "msg_x"),
                StatusCode::UNAUTHORIZED,
                "header_duplicated",
            ),
            (
                "empty signature",
                door.post().header("webhook-signature", "").body(body.clone()),
                StatusCode::UNAUTHORIZED,
                "header_missing",
            ),
            (
                "both schemes, the new one wrong",
                door.legacy(now, &body)
                    .header("webhook-id", "msg_x")
                    .header("webhook-timestamp", now.timestamp())
                    .header("webhook-signature", "v1,AAAA"),
                StatusCode::UNAUTHORIZED,
                "signature_invalid",
            ),
            ("empty", signed(b""), StatusCode::BAD_REQUEST, "malformed"),
            ("not JSON", signed(b"hello"), StatusCode::BAD_REQUEST, "malformed"),
            ("not UTF-8", signed(b"{\"id\":\"\xff\"}"), StatusCode::BAD_REQUEST, "malformed"),
            ("truncated", signed(&body[..body.len() - 1]), StatusCode::BAD_REQUEST, "malformed"),
            ("deeply nested", signed(&deep), StatusCode::BAD_REQUEST, "malformed"),
            ("an array", signed(b"[]"), StatusCode::BAD_REQUEST, "malformed"),
            (
                "a NUL in the id",
                signed(br#"{"id":"a\u0000","type":"message.received","data":{"object":{}}}"#),
                StatusCode::BAD_REQUEST,
                "malformed",
            ),
            ("wrong types", signed(br#"{"id":1,"type":[],"data":"x"}"#), StatusCode::BAD_REQUEST, "malformed"),
            (
                "a number for a type",
                signed(br#"{"id":"EV1","type":1e999,"data":{"object":{}}}"#),
                StatusCode::BAD_REQUEST,
                "malformed",
            ),
            (
                "too large",
                signed(&vec![b' '; 1024 * 1024 + 1]),
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
            ),
            (
                "another content type",
                door.client.post(door.program.url("/webhooks/openphone")).header("content-type", "text/plain").body("x"),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_type",
            ),
        ];
        for (name, request, status, code) in cases {
            let answer = refusal(request.send().await.unwrap()).await;
            assert_eq!(answer, (status, code.to_owned()), "{name}");
        }
        assert_eq!(stored(&env).await, 0);
        let metrics = door.program.metrics().await;
        assert!(metrics.contains("trunkline_webhooks_refused_total{code=\"malformed\"} 9"), "{metrics}");
        assert!(metrics.contains("trunkline_webhooks_refused_total{code=\"busy\"} 0"), "pre-created at zero");
    }

    async fn genuine_events_with_odd_content_are_kept_and_worked_off(env: Env) {
        let mut program = Program::new(&env, &["serve"]);
        program.start().await.unwrap();
        let door = Door { program, client: Client::new(), now: Clock::system().now() };
        let message = |id: &str, rest: &str| {
            format!(
                r#"{{"id":"{id}","type":"message.received","createdAt":"not a time","data":{{"resource":{{"id":"AC{id}",
                "direction":"incoming",{rest}}},"context":{{"conversationId":7,"senderIdentifier":"Anonymous"}}}}}}"#
            )
        };
        let odd = [
            message("EV1", r#""text":"a\u0000b","media":null"#),
            message("EV2", r#""text":"","media":[{}],"status":"teleported","createdAt":"0000-99-99""#),
            message("EV3", r#""text":123456789012345678901234567890,"future":[[[[[1e400]]]]]"#),
            message("EV4", r#""text":"😀 \ud83d\ude00""#),
        ];
        for (number, body) in odd.iter().enumerate() {
            let answer = door.standard(&format!("msg_odd{number}"), door.now, body.as_bytes()).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{body}: {}", answer.text().await.unwrap());
        }
        assert_eq!(stored(&env).await, 4);
        let tasks = env.live_tasks();
        until("all tasks have ended", async || tasks.unfinished_due().await.unwrap() == 0).await;
        let failed: Vec<_> = tasks.list(&Default::default()).await.unwrap();
        let failed: Vec<_> = failed.iter().filter(|task| task.state != TaskState::Done).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }

    async fn a_source_that_sends_too_much_is_told_to_wait(env: Env) {
        let mut program = Program::new(&env, &["serve", "--roles", "receiver"])
            .set("TRUNKLINE_RECEIVER_RATE_PER_SECOND", "1")
            .set("TRUNKLINE_RECEIVER_RATE_BURST", "2");
        program.start().await.unwrap();
        let door = Door { program, client: Client::new(), now: Clock::system().now() };
        let mut last = None;
        for _ in 0..3 {
            last = Some(door.post().body("{}").send().await.unwrap());
        }
        let last = last.unwrap();
        assert!(last.headers().contains_key("retry-after"));
        assert_eq!(refusal(last).await, (StatusCode::TOO_MANY_REQUESTS, "rate_limited".to_owned()));
    }

    async fn nothing_of_a_body_is_logged(env: Env) {
        let door = Door::open(&env).await;
        let body = br#"{"id":"EV1","type":"message.received","data":{"resource":{"id":"AC1","text":"the secret word",
            "direction":"incoming"},"context":{"senderIdentifier":"+12125550101"}}}"#;
        assert_eq!(door.standard("msg_1", door.now, body).send().await.unwrap().status(), StatusCode::NO_CONTENT);
        door.standard("msg_2", door.now, &body[..50]).send().await.unwrap();
        let log = door.program.output();
        assert!(!log.contains("secret word") && !log.contains("2125550101"), "{log}");
        assert!(log.lines().any(|line| line.contains("webhook refused") && line.contains("correlation_id")), "{log}");
    }

    async fn one_correlation_id_leads_from_the_webhook_to_its_job(env: Env) {
        let mut program = Program::new(&env, &["serve"]);
        program.start().await.unwrap();
        let door = Door { program, client: Client::new(), now: Clock::system().now() };
        let body = event(EventType::CallRinging, Generation::Dated).body;
        let answer = door.standard("msg_1", door.now, &body).send().await.unwrap();
        let id = answer.headers()["x-correlation-id"].to_str().unwrap().to_owned();
        let lines = || -> Vec<serde_json::Value> {
            let log = door.program.output();
            let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
            lines.filter(|line: &serde_json::Value| line["correlation_id"] == id.as_str()).collect()
        };
        until("both have been logged", async || lines().len() == 2).await;
        assert_eq!(lines()[0]["message"], "webhook accepted");
        assert_eq!((&lines()[1]["message"], &lines()[1]["task.kind"]), (&"done".into(), &"call.ringing".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_the_provider_is_told_to_come_again() {
    let env = Env::sqlite().await;
    let mut program =
        Program::new(&env, &["serve", "--roles", "receiver"]).set("TRUNKLINE_OPENPHONE_WEBHOOK_SECRETS", "");
    program.start().await.unwrap();
    let door = Door { program, client: Client::new(), now: Clock::system().now() };
    let answer = door.standard("msg_1", door.now, b"{}").send().await.unwrap();
    assert_eq!(refusal(answer).await, (StatusCode::SERVICE_UNAVAILABLE, "no_secret".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_the_provider_is_told_to_come_again_and_then_all_is_well() {
    let mut server = Postgres::start().unwrap();
    server.create_database("away", None).await.unwrap();
    let env = Env::sqlite().await;
    let mut program = Program::new(&env, &["serve", "--roles", "receiver"])
        .set("TRUNKLINE_DATABASE_URL", server.url("away"));
    program.start().await.unwrap();
    let door = Door { program, client: Client::new(), now: Clock::system().now() };
    let body = event(EventType::MessageReceived, Generation::Dated).body;
    let send = || async { door.standard("msg_1", door.now, &body).send().await.unwrap() };

    tokio::task::block_in_place(|| server.kill()).unwrap();
    let answer = send().await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(refusal(answer).await, (StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable".to_owned()));
    assert_eq!(
        door.client.get(door.program.url("/readyz")).send().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(door.client.get(door.program.url("/healthz")).send().await.unwrap().status(), StatusCode::OK);

    tokio::task::block_in_place(|| server.start_again()).unwrap();
    until("the delivery is taken", async || send().await.status() == StatusCode::NO_CONTENT).await;
}
