//! Links that are gone, and what the provider says when it is asked for others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::{Data, Json};
use poem::{EndpointExt, Request, Route, Server, handler};
use secrecy::SecretString;
use serde_json::{Value, json};
use trunkline_jobs::media::DownloadMedia;
use trunkline_jobs::provider::{Provider, ProviderMetrics, RateLimit};
use trunkline_openphone::client::{ApiKey, Client, ClientConfig};
use trunkline_platform::task::TaskState;

use crate::harness::host::{Host, message};
use crate::harness::{Env, both_engines};
use crate::kept::{Keeper, fetcher, media, store};

/// What the provider answers, by path, and what it was asked.
#[derive(Default)]
struct Api {
    answers: Mutex<Vec<(String, Value)>>,
    asked: Mutex<Vec<String>>,
}

#[handler]
fn answer(request: &Request, Data(api): Data<&Arc<Api>>) -> poem::Result<Json<Value>> {
    let path = request.uri().path().to_owned();
    api.asked.lock().unwrap().push(path.clone());
    let answers = api.answers.lock().unwrap();
    let found = answers.iter().find(|(at, _)| *at == path).map(|(_, answer)| Json(answer.clone()));
    found.ok_or_else(|| poem::error::NotFoundError.into())
}

async fn keeper<'e>(env: &'e Env, api: &Arc<Api>) -> Keeper<'e> {
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
    let routes = Route::new().at("*", answer.data(Arc::clone(api)));
    tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
    let key = SecretString::from("key");
    let client = Client::new(ClientConfig {
        base_url: format!("http://{address}").parse().unwrap(),
        api_key: ApiKey::of(&key).unwrap(),
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        user_agent: "test".to_owned(),
    });
    let metrics = ProviderMetrics::new(&prometheus::Registry::new()).unwrap();
    let limit = RateLimit { per_second: 10, reserved: 2 };
    let provider = Provider::new(env.db.clone(), Some(client.unwrap()), limit, metrics);
    Keeper::with(env, media(fetcher(), store(env.folder()).await), provider)
}

fn text(id: &str, links: &[&str]) -> Value {
    let media: Vec<Value> = links.iter().map(|url| json!({"url": url, "type": "text/plain"})).collect();
    json!({"data": {"id": id, "to": ["+12125550199"], "from": "+12125550101", "text": "", "direction": "incoming",
        "status": "received", "createdAt": "2026-03-02T09:00:00Z", "media": media}})
}

both_engines! {
    async fn the_provider_is_asked_once_for_a_fresh_link(env: Env) {
        let api = Arc::new(Api::default());
        let keeper = keeper(&env, &api).await;
        let host = Host::start().await;
        let gone = host.put("gone", "text/plain", "");
        host.remove("gone");
        let fresh = host.put("fresh", "text/plain", "the second file");
        let recording = json!({"data": [{"id": "RE1", "url": fresh, "status": "completed"}]});
        *api.answers.lock().unwrap() = vec![
            ("/v1/messages/AC1".to_owned(), text("AC1", &["http://127.0.0.1:1/a", &fresh])),
            ("/v1/messages/AC2".to_owned(), text("AC2", &[&gone])),
            ("/v1/call-recordings/AC4".to_owned(), recording),
        ];
        let first = host.put("first", "text/plain", "the first file");
        let call = json!({"id": "EV4", "apiVersion": "2026-03-30", "type": "call.recording.completed",
            "createdAt": "2026-03-02T09:00:00Z", "data": {"resource": {"id": "AC4", "direction": "incoming",
            "createdAt": "2026-03-02T09:00:00Z", "recordings": [{"id": "RE1", "url": gone}]}}}).to_string();
        let second = format!("{gone}?2");
        keeper.tell_and_work(&[
            message("1", &[(&first, None), (&gone, None)]),
            message("2", &[(&gone, None)]),
            message("3", &[(&second, None)]),
            call,
        ]).await;
        let rows = keeper.rows("media", "owner_id position state error").await;
        let because = |why: &str| format!("the link is gone, and {why}: {} answered 404 Not Found", gone.trim_end_matches("/media/gone"));
        assert_eq!(rows, [
            "media AC1 0 stored -".to_owned(),
            "media AC1 1 stored -".to_owned(),
            format!("media AC2 0 failed {}", because("the provider knows no other")),
            format!("media AC3 0 failed {}", because("the provider knows no other")),
            "media AC4/RE1 0 stored -".to_owned(),
        ]);
        let mut asked = api.asked.lock().unwrap().clone();
        asked.sort();
        assert_eq!(asked, ["/v1/call-recordings/AC4", "/v1/messages/AC1", "/v1/messages/AC2", "/v1/messages/AC3"]);
        let dead = keeper.kit().enqueued::<DownloadMedia>().await.unwrap();
        assert_eq!(dead.iter().filter(|task| task.state == TaskState::Dead && task.attempt == 1).count(), 2);
    }

    async fn a_fresh_link_that_is_gone_as_well_is_the_end(env: Env) {
        let api = Arc::new(Api::default());
        let keeper = keeper(&env, &api).await;
        let host = Host::start().await;
        let gone = host.put("gone", "text/plain", "");
        host.remove("gone");
        *api.answers.lock().unwrap() = vec![("/v1/messages/AC1".to_owned(), text("AC1", &[&format!("{gone}?new")]))];
        keeper.tell_and_work(&[message("1", &[(&gone, None)])]).await;
        let rows = keeper.rows("media", "state error").await;
        assert!(rows[0].starts_with("media failed the link is gone, and so is the fresh one: "), "{rows:?}");
        assert_eq!(api.asked.lock().unwrap().len(), 1);
    }
}
