//! The API for operators, asked as a stranger would and as those would who hold keys.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Route, Server};
use prometheus::Registry;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trunkline::access::gate::Gate;
use trunkline::access::{Access, AccessMetrics, AccessSettings, Keys, NewKey, Scope};
use trunkline::admin::media::Listeners;
use trunkline::admin::tunnels::Followers;
use trunkline::admin::{self, Desk};
use trunkline::campaign_rules::CampaignRules;
use trunkline::config::{Config, Flags, Origin};
use trunkline::correlation::CorrelationIds;
use trunkline::dashboard::{self, Pace, Pages, Viewers};
use trunkline::health::Probes;
use trunkline::paths;
use trunkline::replays::Replays;
use trunkline::source::Sources;
use trunkline_jobs::campaigns::Holidays;
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::media::MediaStore;
use trunkline_jobs::provider::{Lines, Provider};
use trunkline_platform::audit::{self, Actor, AuditFilter, AuditRow};
use trunkline_platform::schedule::{Schedules, Source};
use trunkline_platform::task::{NewTask, Tasks};

use crate::harness::{Act, Acts, Env, Play, both_engines, registry};
use crate::kept::{forward, no_secrets, store};
use crate::provider::process;

/// Whoever looks at a page sees at once what becomes of it.
const SWIFT: Pace = Pace { least: Duration::from_millis(500), share: 0.5 };

/// Nobody is slowed down.
const PLENTY: AccessSettings =
    AccessSettings { rate_per_second: 100, rate_burst: 1_000, session: TimeDelta::hours(12) };

/// The pages and the API on a port of their own, on a test's database and clock.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) access: Access,
    pub(crate) tasks: Tasks,
    client: reqwest::Client,
}

impl Site {
    pub(crate) async fn start(env: &Env) -> Self {
        Self::on(env, store(env.folder()).await).await
    }

    /// With its media in this store.
    pub(crate) async fn on(env: &Env, store: MediaStore) -> Self {
        Self::with(env, PLENTY, store, process(env, "key")).await
    }

    /// Beside this provider; the usual one never answers.
    pub(crate) async fn beside(env: &Env, provider: Provider) -> Self {
        Self::with(env, PLENTY, store(env.folder()).await, provider).await
    }

    async fn with(env: &Env, settings: AccessSettings, store: MediaStore, provider: Provider) -> Self {
        let keys = Keys::new(env.db.clone(), env.clock.clone(), StdRng::seed_from_u64(7));
        let access = Access::new(keys, settings, AccessMetrics::new(&Registry::new()).unwrap());
        let gate = Gate { access: access.clone(), sources: Sources::new(Vec::new()) };
        let tasks = env.tasks();
        let replays = Replays::new(tasks.clone(), CancellationToken::new());
        let lines = Lines::new(provider.clone(), env.clock.clone());
        let campaigns =
            Arc::new(CampaignRules::new(Holidays::new(), "0.01 USD".parse().unwrap(), 72, provider));
        let desk = Desk {
            tasks: tasks.clone(),
            jobs: registry(),
            replays: replays.clone(),
            schedules: schedules(),
            store,
            gate: gate.clone(),
            listeners: Listeners::default(),
            campaigns: Arc::clone(&campaigns),
            country: Country::default(),
            forwarder: forward(&[]).forwarder,
            followers: Followers::new(CancellationToken::new()),
            zone: chrono_tz::UTC,
        };
        let api = admin::routes(&desk, CorrelationIds::of_requests(7));
        let pages = Pages {
            gate,
            tasks: tasks.clone(),
            jobs: registry(),
            probes: Probes {
                db: env.db.clone(),
                ring: env.ring(),
                store: desk.store.clone(),
                scanner: None,
                workers: None,
                clock: env.clock.clone(),
            },
            replays,
            schedules: schedules(),
            secrets: no_secrets(&env.db),
            campaigns,
            lines,
            country: Country::default(),
            zone: chrono_tz::UTC,
            scans: true,
            settings: run_by(),
            viewers: Viewers::new(SWIFT, CancellationToken::new()),
        };
        let routes: Route = dashboard::routes(pages).nest("/api/v1", api);
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
        tokio::spawn(
            Server::new_with_acceptor(acceptor)
                .run(routes.before(|request| async { Ok(paths::legible(request)) })),
        );
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { url: format!("http://{address}"), access, tasks, client }
    }

    /// A key with these scopes.
    pub(crate) async fn key(&self, scopes: &[Scope]) -> String {
        let new = NewKey {
            name: "test".to_owned(),
            scopes: scopes.iter().copied().collect(),
            expires_in: Some(TimeDelta::days(1)),
        };
        let actor = Actor { name: "operator:ana".to_owned(), reason: None };
        self.access.keys().create(new, &actor).await.unwrap().token.expose_secret().to_owned()
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Response {
        self.ask(Method::GET, path).bearer_auth(key).send().await.unwrap()
    }

    /// The JSON that is there.
    pub(crate) async fn read(&self, path: &str, key: &str) -> Value {
        let answer = self.get(path, key).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }
}

/// What a program runs by that has a secret in its settings.
fn run_by() -> Arc<[Origin]> {
    let mut flags = Flags::default();
    flags.assign("openphone.api_key", "hunter2");
    Config::load(&flags, []).unwrap().origins().into()
}

/// One schedule of a test job.
fn schedules() -> Arc<Schedules> {
    let text = "name = 'play'\ncron = '*/15 * * * *'\njob = 'test.play'\npayload = { act = 'succeed' }";
    let source = Source { file: "play.toml".to_owned(), text: text.to_owned() };
    Arc::new(Schedules::load(&[source], registry().as_ref()).unwrap())
}

/// Every entry of the audit, the oldest first.
pub(crate) async fn entries(env: &Env) -> Vec<AuditRow> {
    let mut rows =
        audit::list(&env.db, &AuditFilter { limit: 1_000, ..AuditFilter::default() }).await.unwrap();
    rows.reverse();
    rows
}

/// An answer that is a problem and nothing else.
pub(crate) async fn problem(answer: Response, status: StatusCode, code: &str) -> Value {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status.as_u16())), "{body}");
    assert_eq!(body["request_id"], json!(id));
    body
}

/// Every operation with something in place of its parameters, and the scheme it declares.
async fn operations(site: &Site) -> Vec<(Method, String, String)> {
    let spec: Value =
        site.ask(Method::GET, "/api/v1/openapi.json").send().await.unwrap().json().await.unwrap();
    let mut operations = Vec::new();
    for (path, methods) in spec["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let schemes = operation["security"].as_array().unwrap_or_else(|| {
                panic!("{method} {path} declares no scope: give it an argument of type Granted<…>")
            });
            assert_eq!(schemes.len(), 1, "{method} {path}: one argument of type Granted<…>");
            let scheme = schemes[0].as_object().unwrap().keys().next().unwrap().clone();
            let method: Method = method.to_uppercase().parse().unwrap();
            let filled =
                |segment: &str| if segment.starts_with('{') { "1".to_owned() } else { segment.to_owned() };
            let path: Vec<String> = path.split('/').map(filled).collect();
            operations.push((method, format!("/api/v1{}", path.join("/")), scheme));
        }
    }
    operations
}

/// Tasks of the test job with a number in their payload.
async fn enqueue(site: &Site, count: usize) {
    let task = |at: usize| {
        let mut task = NewTask::of(&Play::default()).unwrap();
        task.payload = json!({"to": "+12125550101", "at": at}).to_string();
        task
    };
    site.tasks.enqueue(&(0..count).map(task).collect::<Vec<_>>()).await.unwrap();
}

both_engines! {
    async fn every_operation_declares_a_scope_and_refuses_whoever_has_it_not(env: Env) {
        let site = Site::start(&env).await;
        let expired = site.key(&[Scope::Admin, Scope::Pii]).await;
        env.clock.advance(TimeDelta::days(2));
        let keys = [
            ("read", site.key(&[Scope::Operate]).await),
            ("read_pii", site.key(&[Scope::Read, Scope::Pii]).await),
            ("operate", site.key(&[Scope::Operate]).await),
            ("admin", site.key(&[Scope::Admin]).await),
        ];
        let too_small = [
            ("read", site.key(&[Scope::Pii]).await),
            ("read_pii", site.key(&[Scope::Admin]).await),
            ("operate", site.key(&[Scope::Read, Scope::Pii]).await),
            ("admin", site.key(&[Scope::Operate, Scope::Pii]).await),
        ];
        let all = operations(&site).await;
        assert!(all.len() >= 80, "{all:?}");
        for (method, path, scheme) in &all {
            let ask = || site.ask(method.clone(), path).json(&json!({}));
            let wrong = format!("{}0", &expired[..expired.len() - 1]);
            // Failed tries are slowed down; that is another test's.
            env.clock.advance(TimeDelta::minutes(5));
            problem(ask().send().await.unwrap(), StatusCode::UNAUTHORIZED, "unauthorized").await;
            for bad in ["", "nonsense", wrong.as_str(), expired.as_str()] {
                let answer = ask().bearer_auth(bad).send().await.unwrap();
                let body = problem(answer, StatusCode::UNAUTHORIZED, "unauthorized").await;
                assert_eq!(body["detail"], "a key is needed, and what was sent is no good one");
            }
            let small = &too_small.iter().find(|(name, _)| name == scheme).unwrap().1;
            let answer = ask().bearer_auth(small).send().await.unwrap();
            problem(answer, StatusCode::FORBIDDEN, "forbidden").await;
            let enough = &keys.iter().find(|(name, _)| name == scheme).unwrap().1;
            let answer = ask().bearer_auth(enough).send().await.unwrap();
            assert!(![401, 403, 500].contains(&answer.status().as_u16()), "{method} {path}: {answer:?}");
        }
        site.access.write_notes().await.unwrap();
        let told: Vec<String> = entries(&env).await.into_iter().filter(|row| row.action == "access.refuse")
            .map(|row| row.after.unwrap()).collect();
        for reason in ["missing", "malformed", "wrong_secret", "expired", "scope"] {
            assert!(told.iter().any(|after| after.contains(reason)), "{reason}: {told:?}");
        }
    }

    async fn nothing_is_told_to_whoever_has_no_key(env: Env) {
        let site = Site::start(&env).await;
        for path in ["", "/", "/tasks", "/nothing/here", "/tasks/%2e%2e%2fx", "/%00", "/keys?limit=x"] {
            let answer = site.ask(Method::GET, &format!("/api/v1{path}")).send().await.unwrap();
            let body = problem(answer, StatusCode::UNAUTHORIZED, "unauthorized").await;
            assert_eq!(body["detail"], "a key is needed, and what was sent is no good one", "{path}");
        }
        for method in [Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
            let answer = site.ask(method, "/api/v1/tasks").send().await.unwrap();
            problem(answer, StatusCode::UNAUTHORIZED, "unauthorized").await;
        }
    }

    async fn whatever_goes_wrong_is_a_problem(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Admin]).await;
        let long = "x".repeat(5_000);
        for (path, status, code) in [
            ("/nothing/here", 404, "not_found"),
            ("/tasks/17", 404, "not_found"),
            ("/tasks/x", 400, "invalid"),
            ("/tasks/99999999999999999999", 400, "invalid"),
            ("/tasks/%00", 400, "invalid"),
            ("/keys/0f3a52c9d1e8", 404, "not_found"),
            ("/keys/..%2f..%2fetc%2fpasswd", 404, "not_found"),
            ("/tasks?limit=0", 400, "invalid"),
            ("/tasks?limit=201", 400, "invalid"),
            ("/tasks?limit=-1", 400, "invalid"),
            ("/tasks?state=asleep", 400, "invalid"),
            ("/tasks?cursor=nonsense", 400, "invalid"),
            (&format!("/tasks?cursor={long}"), 400, "invalid"),
            ("/media/1", 404, "not_found"),
            ("/calls/AC1/recording", 403, "forbidden"),
            ("/tasks?stat=dead", 400, "invalid"),
            ("/tasks/17?unmsk=true", 400, "invalid"),
            ("/tasks/%ff", 400, "invalid"),
            ("/%ff/%fe", 404, "not_found"),
        ] {
            let answer = site.get(&format!("/api/v1{path}"), &key).await;
            problem(answer, StatusCode::from_u16(status).unwrap(), code).await;
        }
        let answer = site.ask(Method::DELETE, "/api/v1/tasks").bearer_auth(&key).send().await.unwrap();
        assert!(answer.headers()["allow"].to_str().unwrap().starts_with("GET"), "{answer:?}");
        problem(answer, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").await;
        let post = |body: &str| site.ask(Method::POST, "/api/v1/keys").bearer_auth(&key)
            .header("content-type", "application/json").body(body.to_owned());
        for body in ["", "{", "[]", "{\"name\": 7}", "{\"name\":\"a\",\"scopes\":[]}",
            "{\"name\":\"a\",\"scopes\":[\"root\"]}", "{\"name\":\"a\",\"scopes\":[\"read\"],\"more\":1}",
            "{\"name\":\"\\u0000\",\"scopes\":[\"read\"]}"] {
            problem(post(body).send().await.unwrap(), StatusCode::BAD_REQUEST, "invalid").await;
        }
        let large = format!("\"{}\"", "x".repeat(1 << 20));
        problem(post(&large).send().await.unwrap(), StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").await;
        let answer = site.ask(Method::POST, "/api/v1/keys").bearer_auth(&key).body("{}").send().await.unwrap();
        problem(answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type").await;
    }

    async fn pages_of_a_list_lead_to_each_other_and_a_cursor_to_no_other_list(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Read]).await;
        enqueue(&site, 25).await;
        let mut seen = Vec::new();
        let mut path = "/api/v1/tasks?limit=10".to_owned();
        loop {
            let page = site.read(&path, &key).await;
            seen.extend(page["items"].as_array().unwrap().iter().map(|task| task["id"].as_i64().unwrap()));
            match page["next"].as_str() {
                Some(next) => path = format!("/api/v1/tasks?limit=10&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 25);
        assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
        let page = site.read("/api/v1/tasks?limit=10", &key).await;
        let next = page["next"].as_str().unwrap();
        for path in [
            format!("/api/v1/tasks?state=dead&cursor={next}"),
            format!("/api/v1/audit?cursor={next}"),
            format!("/api/v1/tasks?cursor={next}A"),
            format!("/api/v1/tasks?cursor={}", next.to_uppercase()),
        ] {
            problem(site.get(&path, &key).await, StatusCode::BAD_REQUEST, "invalid").await;
        }
    }

    async fn people_are_masked_and_seeing_them_takes_pii_and_is_in_the_audit(env: Env) {
        let site = Site::start(&env).await;
        enqueue(&site, 1).await;
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let task = site.read("/api/v1/tasks", &read).await["items"][0].clone();
        assert_eq!(task["payload"]["to"], "+*******0101");
        let path = format!("/api/v1/tasks/{}?unmask=true", task["id"]);
        problem(site.get(&path, &read).await, StatusCode::FORBIDDEN, "forbidden").await;
        assert!(!entries(&env).await.iter().any(|row| row.action == "unmask"));
        assert_eq!(site.read(&path, &pii).await["task"]["payload"]["to"], "+12125550101");
        let entry = entries(&env).await.pop().unwrap();
        assert_eq!((entry.action.as_str(), entry.subject), ("unmask", format!("task:{}", task["id"])));
        assert!(pii.contains(entry.actor.strip_prefix("key:").unwrap()));
    }

    async fn keys_are_made_rotated_and_revoked_over_the_api(env: Env) {
        let site = Site::start(&env).await;
        let admin = site.key(&[Scope::Admin]).await;
        let post = async |path: &str, body: Value| {
            let answer = site.ask(Method::POST, path).bearer_auth(&admin).json(&body).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            answer.json::<Value>().await.unwrap()
        };
        let made = post("/api/v1/keys", json!({"name": "export", "scopes": ["operate"], "expires_in_days": 30})).await;
        let (token, id) = (made["token"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
        assert_eq!(made["key"]["scopes"], json!(["read", "operate"]));
        site.read("/api/v1/tasks", token).await;
        let successor = post(&format!("/api/v1/keys/{id}/rotate"), json!({"overlap_seconds": 60})).await;
        assert_eq!(successor["key"]["replaces"], json!(id));
        site.read("/api/v1/tasks", token).await;
        env.clock.advance(TimeDelta::seconds(60));
        problem(site.get("/api/v1/tasks", token).await, StatusCode::UNAUTHORIZED, "unauthorized").await;
        let new_id = successor["key"]["id"].as_str().unwrap();
        let revoked = post(&format!("/api/v1/keys/{new_id}/revoke?reason=lost"), json!({})).await;
        assert_eq!(revoked["state"], "revoked");
        let again = site.ask(Method::POST, &format!("/api/v1/keys/{new_id}/revoke")).bearer_auth(&admin);
        problem(again.send().await.unwrap(), StatusCode::CONFLICT, "conflict").await;
        let listed = site.read("/api/v1/keys", &admin).await;
        assert_eq!(listed["items"].as_array().unwrap().len(), 3);
        assert!(!listed.to_string().contains(token));
        let audit = site.read("/api/v1/audit?action=key.revoke", &admin).await;
        assert_eq!(audit["items"][0]["reason"], "lost");
    }

    async fn dead_letters_are_listed_and_grouped(env: Env) {
        let site = Site::start(&env).await;
        let kit = env.kit(&Acts::new());
        let failing = NewTask::of(&Play { act: Act::FailForGood, ..Play::default() }).unwrap();
        site.tasks.enqueue(&[failing.clone(), failing.clone(), failing]).await.unwrap();
        kit.drain().await.unwrap();
        let key = site.key(&[Scope::Read]).await;
        let listed = site.read("/api/v1/dead-letters?limit=2", &key).await;
        assert_eq!(listed["items"].as_array().unwrap().len(), 2);
        let next = listed["next"].as_str().unwrap();
        let rest = site.read(&format!("/api/v1/dead-letters?limit=2&cursor={next}"), &key).await;
        assert_eq!(rest["items"].as_array().unwrap().len(), 1);
        let groups = site.read("/api/v1/dead-letters/groups", &key).await;
        assert_eq!((groups.as_array().unwrap().len(), &groups[0]["count"]), (1, &json!(3)));
    }

    async fn dead_letters_are_acted_on_over_the_api_and_shown_first_what_it_would_be(env: Env) {
        let site = Site::start(&env).await;
        let acts = Acts::new();
        let failing = NewTask::of(&Play { act: Act::FailWhileBroken, ..Play::default() }).unwrap();
        let ids: Vec<i64> = site.tasks.enqueue(&vec![failing; 4]).await.unwrap().iter().map(|one| one.id().0).collect();
        env.kit(&acts).drain().await.unwrap();
        let key = site.key(&[Scope::Operate]).await;
        let post = |path: &str, body: Value| site.ask(Method::POST, path).bearer_auth(&key).json(&body).send();
        let done = async |path: &str, body: Value| -> Value {
            let answer = post(&format!("/api/v1/dead-letters/{path}"), body).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
            answer.json().await.unwrap()
        };
        for which in [json!({}), json!({"ids": []}), json!({"ids": ids, "all": true}), json!({"kind": ""}),
            json!({"kind": "test.play", "all": true}), json!({"kinds": "test.play"})] {
            let answer = post("/api/v1/dead-letters/discard", json!({"which": which})).await.unwrap();
            problem(answer, StatusCode::BAD_REQUEST, "invalid").await;
        }
        let would = done("retry", json!({"which": {"kind": "test.play"}, "dry_run": true})).await;
        assert_eq!((&would["done"], &would["dry_run"]), (&json!(4), &json!(true)));
        let told = done("discard", json!({"which": {"ids": [ids[0], 999_999]}, "reason": "a test"})).await;
        assert_eq!((&told["ids"], &told["refusals"][0]["why"]), (&json!([ids[0]]), &json!("there is no such task")));
        let unfit = json!({"which": {"ids": [ids[1]]}, "set": [{"pointer": "/act", "value": 7}], "dry_run": true});
        assert_eq!(done("edit", unfit).await["refused"], 1);
        let fit = json!({"which": {"ids": [ids[1]]}, "set": [{"pointer": "/act", "value": "succeed"}], "reason": "a typo"});
        let change = json!([{"pointer": "/act", "before": "fail_while_broken", "after": "succeed"}]);
        assert_eq!(done("edit", fit).await["edited"][0]["changes"], change);
        acts.broken.store(false, std::sync::atomic::Ordering::Relaxed);
        let replay = done("replays", json!({"which": {"kind": "test.play"}, "reason": "it is up"})).await;
        let place = format!("/api/v1/dead-letters/replays/{}", replay["id"]);
        crate::harness::until("the replay ends", async || {
            env.kit(&acts).drain().await.unwrap();
            !site.read(&place, &key).await["ended_at"].is_null()
        })
        .await;
        let replay = site.read(&place, &key).await;
        assert_eq!((&replay["done"], &replay["stopped"]), (&json!(2), &Value::Null), "{replay}");
        let acted: Vec<(String, Option<String>)> = entries(&env).await.into_iter()
            .filter(|row| row.subject.starts_with("task:")).map(|row| (row.action, row.reason)).collect();
        let act = |action: &str, reason: &str| (action.to_owned(), Some(reason.to_owned()));
        assert_eq!(acted, [act("task.discard", "a test"), act("task.edit", "a typo"), act("task.retry", "it is up"), act("task.retry", "it is up")]);
    }

    async fn tasks_are_enqueued_once_for_a_key_and_cancelled_and_changed(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Operate]).await;
        let post = |path: &str, body: Value| site.ask(Method::POST, path).bearer_auth(&key).json(&body);
        let later = env.clock.now() + TimeDelta::hours(1);
        let task = json!({"kind": "test.play", "payload": {"act": "succeed"}, "run_at": later, "reason": "a test"});
        let enqueue = async |request: Option<&str>| -> Value {
            let post = post("/api/v1/tasks", task.clone());
            let post = match request { Some(key) => post.header("idempotency-key", key), None => post };
            let answer = post.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
            answer.json().await.unwrap()
        };
        let first = enqueue(Some("r-1")).await;
        assert_eq!(first["outcome"], "new");
        assert_eq!(enqueue(Some("r-1")).await, json!({"id": first["id"], "outcome": "existing"}));
        assert_ne!(enqueue(Some("r-2")).await["id"], first["id"]);
        assert_ne!(enqueue(None).await["id"], first["id"]);
        let other = json!({"kind": "test.hang", "payload": {}});
        let answer = post("/api/v1/tasks", other).header("idempotency-key", "r-1").send().await.unwrap();
        problem(answer, StatusCode::CONFLICT, "conflict").await;
        for payload in [json!({}), json!({"act": 7}), json!({"act": "succeed", "more": 1})] {
            let answer = post("/api/v1/tasks", json!({"kind": "test.play", "payload": payload})).send().await.unwrap();
            problem(answer, StatusCode::BAD_REQUEST, "invalid").await;
        }
        let place = format!("/api/v1/tasks/{}", first["id"]);
        let answer = post(&format!("{place}/change"), json!({"priority": "low"})).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(site.read(&place, &key).await["task"]["priority"], 3);
        for bad in [json!({}), json!({"queue": "nowhere"})] {
            problem(post(&format!("{place}/change"), bad).send().await.unwrap(), StatusCode::BAD_REQUEST, "invalid").await;
        }
        let cancel = |place: &str| post(&format!("{place}/cancel"), json!({"reason": "no need"})).send();
        assert_eq!(cancel(&place).await.unwrap().json::<Value>().await.unwrap()["told"], false);
        problem(cancel(&place).await.unwrap(), StatusCode::CONFLICT, "conflict").await;
        problem(cancel("/api/v1/tasks/999999").await.unwrap(), StatusCode::NOT_FOUND, "not_found").await;
        let answer = post("/api/v1/queues/test/pause", json!({"reason": "down"})).send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["paused"], true);
        let queues = site.read("/api/v1/queues", &key).await;
        assert_eq!((&queues[0]["name"], &queues[0]["paused"]), (&json!("test"), &json!(true)));
        problem(post("/api/v1/queues/x/pause", json!({})).send().await.unwrap(), StatusCode::NOT_FOUND, "not_found").await;
    }

    async fn a_limit_is_set_for_all_and_never_over_what_somebody_else_has_set_meanwhile(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Operate]).await;
        let place = "/api/v1/limits/queue:test";
        let ask = |method: Method| site.ask(method, place).bearer_auth(&key);
        let seen = site.get(place, &key).await.headers()["etag"].to_str().unwrap().to_owned();
        let set = json!({"max_running": 3, "rate": "10/s", "burst": 20, "reason": "they are slow"});
        let answer = ask(Method::POST).header("if-match", &seen).json(&set).send().await.unwrap();
        let now = answer.headers()["etag"].to_str().unwrap().to_owned();
        let told: Value = answer.json().await.unwrap();
        assert_eq!((&told["max_running"], &told["rate"], &told["burst"]), (&json!(3), &json!("10/s"), &json!(20)));
        assert_eq!(told["set_by"].as_str().map(|by| by.starts_with("key:")), Some(true), "{told}");
        let late = ask(Method::POST).header("if-match", &seen).json(&json!({"max_running": 9})).send();
        problem(late.await.unwrap(), StatusCode::PRECONDITION_FAILED, "outdated").await;
        let late = ask(Method::DELETE).header("if-match", &seen).send();
        problem(late.await.unwrap(), StatusCode::PRECONDITION_FAILED, "outdated").await;
        let answer = ask(Method::POST).json(&json!({"paused": true, "rate": null})).send().await.unwrap();
        let told: Value = answer.json().await.unwrap();
        assert_eq!((&told["paused"], &told["max_running"], &told["rate"]), (&json!(true), &json!(3), &Value::Null));
        assert_eq!(site.read("/api/v1/limits", &key).await[0], told);
        assert_ne!(site.get(place, &key).await.headers()["etag"].to_str().unwrap(), now);
        for bad in [json!({}), json!({"burst": 3}), json!({"rate": "fast"}), json!({"max_running": 0})] {
            problem(ask(Method::POST).json(&bad).send().await.unwrap(), StatusCode::BAD_REQUEST, "invalid").await;
        }
        for (nowhere, status, code) in [
            ("queue:nowhere", StatusCode::NOT_FOUND, "not_found"),
            ("kind:nothing", StatusCode::NOT_FOUND, "not_found"),
            ("test", StatusCode::BAD_REQUEST, "invalid"),
        ] {
            problem(site.get(&format!("/api/v1/limits/{nowhere}"), &key).await, status, code).await;
        }
        let told: Value = ask(Method::DELETE).query(&[("reason", "they are well")]).send().await.unwrap().json().await.unwrap();
        assert_eq!((&told["paused"], &told["set_by"]), (&json!(false), &Value::Null));
        let acts: Vec<String> = entries(&env).await.into_iter().map(|row| row.action).filter(|action| action.starts_with("limit.")).collect();
        assert_eq!(acts, ["limit.set", "limit.set", "limit.clear"]);
    }

    async fn the_allowance_of_a_key_is_told_and_kept(env: Env) {
        let settings = AccessSettings { rate_per_second: 1, rate_burst: 3, session: TimeDelta::hours(1) };
        let site = Site::with(&env, settings, store(env.folder()).await, process(&env, "key")).await;
        let (key, other) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read]).await);
        for left in ["2", "1", "0"] {
            let answer = site.get("/api/v1/tasks", &key).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!((&answer.headers()["ratelimit-limit"], &answer.headers()["ratelimit-remaining"]),
                (&"3".parse().unwrap(), &left.parse().unwrap()));
        }
        let answer = site.get("/api/v1/tasks", &key).await;
        assert_eq!(answer.headers()["retry-after"], "2");
        problem(answer, StatusCode::TOO_MANY_REQUESTS, "rate_limited").await;
        assert_eq!(site.get("/api/v1/tasks", &other).await.status(), StatusCode::OK);
        env.clock.advance(TimeDelta::seconds(1));
        assert_eq!(site.get("/api/v1/tasks", &key).await.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_open_and_its_page_asks_nothing_of_others() {
    let env = Env::sqlite().await;
    let site = Site::start(&env).await;
    let spec: Value =
        site.ask(Method::GET, "/api/v1/openapi.json").send().await.unwrap().json().await.unwrap();
    assert_eq!(spec["components"]["securitySchemes"]["read"]["scheme"], "bearer");
    let answer = site.ask(Method::GET, "/api/v1/docs").send().await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = answer.text().await.unwrap();
    assert!(page.contains("List tasks") && page.contains("read_pii"), "{page}");
    for outside in ["http://", "https://", "<script", "src="] {
        assert!(!page.contains(outside), "{outside}");
    }
}
