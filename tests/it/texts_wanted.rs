//! Transcripts and summaries that nobody told of are asked for, a few times.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::{Data, Json, Path};
use poem::{EndpointExt, IntoResponse, Response, Route, Server, get, handler};
use secrecy::SecretString;
use serde_json::{Value, json};
use trunkline_jobs::calls::CallTextsWanted;
use trunkline_jobs::provider::{Provider, ProviderMetrics, RateLimit};
use trunkline_openphone::client::{ApiKey, Client, ClientConfig};

use crate::harness::{Env, both_engines};
use crate::kept::Keeper;

/// What the provider answers, one after another, and the last again and again; and what it was asked.
struct Answers {
    transcripts: Mutex<VecDeque<Value>>,
    asked: Mutex<Vec<String>>,
}

#[handler]
fn transcript(Path(call): Path<String>, Data(answers): Data<&Arc<Answers>>) -> Response {
    answers.asked.lock().unwrap().push(format!("transcript {call}"));
    let mut left = answers.transcripts.lock().unwrap();
    let answer = if left.len() > 1 { left.pop_front() } else { left.front().cloned() };
    match answer.unwrap() {
        Value::Number(status) => {
            let status = u16::try_from(status.as_u64().unwrap()).unwrap();
            Response::builder().status(poem::http::StatusCode::from_u16(status).unwrap()).finish()
        }
        body => Json(body).into_response(),
    }
}

#[handler]
fn summary(Path(call): Path<String>, Data(answers): Data<&Arc<Answers>>) -> Json<Value> {
    answers.asked.lock().unwrap().push(format!("summary {call}"));
    Json(
        json!({"data": {"callId": call, "status": "completed", "summary": ["The boiler leaks."], "nextSteps": []}}),
    )
}

async fn provider(env: &Env, answers: Vec<Value>) -> (Provider, Arc<Answers>) {
    let answers = Arc::new(Answers { transcripts: Mutex::new(answers.into()), asked: Mutex::default() });
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
    let routes = Route::new()
        .at("/v1/call-transcripts/:id", get(transcript))
        .at("/v1/call-summaries/:id", get(summary))
        .data(Arc::clone(&answers));
    tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
    let api_key = SecretString::from("key");
    let client = Client::new(ClientConfig {
        base_url: format!("http://{address}/").parse().unwrap(),
        api_key: ApiKey::of(&api_key).unwrap(),
        timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(30),
        user_agent: "test".to_owned(),
    });
    let metrics = ProviderMetrics::new(&prometheus::Registry::new()).unwrap();
    let limit = RateLimit { per_second: 10, reserved: 2 };
    (Provider::new(env.db.clone(), Some(client.unwrap()), limit, metrics), answers)
}

fn recording() -> String {
    json!({"id": "EV1", "apiVersion": "2026-03-30", "type": "call.recording.completed",
        "createdAt": "2026-03-02T09:02:00Z",
        "data": {"resource": {"id": "AC1", "direction": "incoming", "createdAt": "2026-03-02T09:00:00Z",
            "completedAt": "2026-03-02T09:01:00Z", "recordings": [{"id": "RE1", "duration": 54,
                "startTime": "2026-03-02T09:00:06Z", "type": "audio/mpeg", "url": null}]},
            "context": {"phoneNumberId": "PN1", "conversationId": "CN1", "userId": "US1",
            "participants": {"workspace": ["+12125550199"], "external": ["+12125550101"]}}}})
    .to_string()
}

fn transcript_of(status: &str, content: &str) -> Value {
    json!({"data": {"callId": "AC1", "createdAt": "2026-03-02T09:05:00Z", "duration": 54, "status": status,
        "dialogue": [{"userId": "US1", "identifier": null, "content": content, "start": 0.0, "end": 2.0}]}})
}

async fn asked(answers: &Answers) -> (usize, usize) {
    let asked = answers.asked.lock().unwrap();
    let count = |what: &str| asked.iter().filter(|line| *line == what).count();
    (count("transcript AC1"), count("summary AC1"))
}

both_engines! {
    async fn what_was_not_told_is_asked_for_until_it_is_there(env: Env) {
        let told = vec![json!(404), transcript_of("in-progress", ""), transcript_of("completed", "The boiler")];
        let (provider, answers) = provider(&env, told).await;
        let keeper = Keeper::with_provider(&env, provider).await;
        keeper.tell_and_work(&[recording()]).await;
        let kit = keeper.kit();
        kit.assert_enqueued(|job: &CallTextsWanted| job.call == "AC1").await;
        assert_eq!(asked(&answers).await, (0, 0), "it may still be told");
        kit.advance(TimeDelta::minutes(11)).await.unwrap();
        assert_eq!(asked(&answers).await, (1, 1));
        assert_eq!(keeper.rows("call_summaries", "status summary").await, [r#"call_summaries completed ["The boiler leaks."]"#]);
        kit.advance(TimeDelta::minutes(21)).await.unwrap();
        assert!(keeper.rows("call_transcripts", "status").await.is_empty(), "half a transcript is none");
        kit.advance(TimeDelta::hours(30)).await.unwrap();
        assert_eq!(asked(&answers).await, (3, 1), "what is there is not asked for again");
        assert_eq!(keeper.rows("call_transcripts", "call_id status").await, ["call_transcripts AC1 completed"]);
        assert_eq!(keeper.rows("tasks", "kind state").await.last().unwrap(), "tasks calls.texts_wanted done");
    }

    async fn asking_ends_and_what_was_tried_stays_visible(env: Env) {
        let (provider, answers) = provider(&env, vec![transcript_of("absent", "")]).await;
        let keeper = Keeper::with_provider(&env, provider).await;
        keeper.tell_and_work(&[recording()]).await;
        keeper.kit().advance(TimeDelta::days(3)).await.unwrap();
        assert_eq!(asked(&answers).await, (5, 1));
        let attempts = keeper.rows("task_attempts", "attempt verdict error").await;
        assert_eq!(attempts.len(), 5, "{attempts:?}");
        assert!(attempts[0].contains("not there yet: transcript absent"), "{attempts:?}");
        assert!(keeper.rows("tasks", "kind state").await.contains(&"tasks calls.texts_wanted discarded".to_owned()));
    }

    async fn a_plan_without_transcripts_is_asked_once_and_no_key_never(env: Env) {
        let (provider, answers) = provider(&env, vec![json!(403)]).await;
        let keeper = Keeper::with_provider(&env, provider).await;
        keeper.tell_and_work(&[recording()]).await;
        keeper.kit().advance(TimeDelta::days(3)).await.unwrap();
        assert_eq!(asked(&answers).await, (1, 0));
        let keeper = Keeper::new(&env).await;
        keeper.forget().await;
        keeper.tell_and_work(&[recording()]).await;
        keeper.kit().assert_not_enqueued(|job: &CallTextsWanted| job.call == "AC1").await;
    }
}
