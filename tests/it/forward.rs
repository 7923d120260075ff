//! Development endpoints: what they get, where they must not be, and that nobody in production waits for them.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline_jobs::Services;
use trunkline_jobs::forward::endpoints::{self, EndpointError, EndpointRow, EndpointState, NewEndpoint};
use trunkline_jobs::forward::{EventTypes, ForwardServices};
use trunkline_openphone::signature::{Secrets, Tolerance, verify};
use trunkline_platform::audit::{Actor, AuditRow};
use trunkline_platform::clock::Clock;
use trunkline_platform::task::TaskState;
use trunkline_platform::testkit::Kit;

use crate::admin::{Site, entries, problem};
use crate::harness::sink::{Sink, stored, stored_count};
use crate::harness::{Env, Program, both_engines, provider, provider_for, secrets, until};
use crate::kept::{Keeper, forward};

fn ana() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: None }
}

fn new(url: &str) -> NewEndpoint {
    NewEndpoint { url: url.to_owned(), types: EventTypes::default(), expires_in: TimeDelta::hours(8) }
}

/// The jobs, forwarding to what is listed.
fn kit(env: &Env, keeper: &Keeper<'_>, forward: &ForwardServices) -> Kit<Services> {
    let services = Services { forward: forward.clone(), ..keeper.services_anew() };
    let registry = Arc::new(trunkline_jobs::registry().unwrap());
    Kit::new(env.tasks(), registry, Arc::new(services), env.metrics.clone())
}

fn events(count: usize) -> Vec<String> {
    let event = |at: usize| {
        format!(r#"{{"id":"EV{at}", "type":"fax.received",  "data":{{"resource":{{"id":"FX{at}"}}}}}}"#)
    };
    (0..count).map(event).collect()
}

async fn show(env: &Env, id: i64) -> EndpointRow {
    endpoints::show(&env.db, id).await.unwrap().unwrap()
}

async fn states(env: &Env, id: i64) -> Vec<(String, i32, Option<i32>)> {
    let rows = endpoints::log(&env.db, id, None, 1_000).await.unwrap();
    rows.into_iter().rev().map(|row| (row.state, row.tries, row.status)).collect()
}

async fn refusals(env: &Env) -> Vec<AuditRow> {
    entries(env).await.into_iter().filter(|row| row.action == "endpoint.refuse").collect()
}

both_engines! {
    async fn an_address_outside_the_list_or_private_without_being_listed_is_refused_and_audited_when_it_is_registered(env: Env) {
        let tasks = env.tasks();
        let sink = Sink::start().await;
        let here = sink.url();
        let by_name = here.replace("127.0.0.1", "localhost");
        let tls_by_name = by_name.replace("http:", "https:");
        let cases: [(&[&str], &str); 7] = [
            // Nothing is listed, so nothing may be registered.
            (&[], "https://8.8.8.8/hooks"),
            (&[], &here),
            // Something else is listed.
            (&["10.20.0.0/16", "dev.example.com"], &here),
            (&["10.20.0.0/16"], "http://169.254.169.254/latest/meta-data"),
            // The name is listed, and it leads into private space, which is not.
            (&["localhost"], &by_name),
            (&["localhost"], &tls_by_name),
            // All the world is not its private part.
            (&["0.0.0.0/0"], &here),
        ];
        for (at, (allow, url)) in cases.into_iter().enumerate() {
            let answer = endpoints::register(&tasks, &forward(allow).forwarder, new(url), &ana()).await;
            assert!(matches!(answer, Err(EndpointError::Refused(_))), "{allow:?} {url}: {answer:?}");
            let told = refusals(&env).await;
            assert_eq!(told.len(), at + 1, "{allow:?} {url}");
            let entry = told.last().unwrap();
            assert_eq!((entry.actor.as_str(), entry.subject.as_str()), ("operator:ana", "endpoint"));
            assert!(entry.after.as_ref().unwrap().contains("origin"), "{entry:?}");
        }
        assert!(endpoints::list(&env.db, None, 10).await.unwrap().is_empty());
        assert!(tasks.count_by_kind().await.unwrap().is_empty());
        // Listed as what it is, the same address is registered.
        for (allow, url) in [(["127.0.0.1"], &here), (["127.0.0.0/8"], &by_name)] {
            endpoints::register(&tasks, &forward(&allow).forwarder, new(url), &ana()).await.unwrap();
        }
        assert_eq!(sink.requests(), 0, "whoever is asked about is not spoken to");
    }

    async fn an_endpoint_that_is_no_longer_admitted_is_closed_and_audited_before_anything_is_sent(env: Env) {
        let sink = Sink::start().await;
        let (keeper, tasks) = (Keeper::new(&env).await, env.tasks());
        let by_name = sink.url().replace("127.0.0.1", "localhost");
        for url in [sink.url(), by_name] {
            let listed = forward(&["127.0.0.1"]);
            let row = endpoints::register(&tasks, &listed.forwarder, new(&url), &ana()).await.unwrap();
            let before = refusals(&env).await.len();
            keeper.tell(&events(3).iter().map(|body| body.replace("EV", &format!("EV{}-", row.id))).collect::<Vec<_>>()).await;
            // The operator took it from the list; of the name, the list has no address any more.
            let kit = kit(&env, &keeper, &forward(&["localhost", "10.0.0.0/8"]));
            kit.drain().await.unwrap();
            kit.advance(TimeDelta::minutes(10)).await.unwrap();
            assert_eq!(sink.requests(), 0, "{url}");
            assert_eq!(show(&env, row.id).await.state(env.clock.now()), EndpointState::Refused);
            let told = refusals(&env).await;
            assert_eq!(told.len(), before + 1, "an endpoint is one entry, however much waits for it");
            assert_eq!(told.last().unwrap().subject, format!("endpoint:{}", row.id));
            assert_eq!(told.last().unwrap().actor, "trunkline:forward");
            let states = states(&env, row.id).await;
            assert_eq!(states.iter().map(|(state, ..)| state.as_str()).collect::<Vec<_>>(), ["refused", "dropped", "dropped"]);
        }
        assert!(env.tasks().list(&Default::default()).await.unwrap().iter().all(|task| task.state != TaskState::Dead));
    }

    async fn what_is_not_taken_is_tried_a_few_times_in_order_and_given_up_without_a_dead_letter(env: Env) {
        let sink = Sink::start().await;
        let (keeper, tasks, forward) = (Keeper::new(&env).await, env.tasks(), forward(&["127.0.0.1"]));
        let row = endpoints::register(&tasks, &forward.forwarder, new(&sink.url()), &ana()).await.unwrap();
        let kit = kit(&env, &keeper, &forward);
        sink.answers(500);
        keeper.tell(&events(2)).await;
        kit.drain().await.unwrap();
        kit.advance(TimeDelta::minutes(5)).await.unwrap();
        let failed = ("failed".to_owned(), 3, Some(500));
        assert_eq!(states(&env, row.id).await, [failed.clone(), failed]);
        assert_eq!(sink.requests(), 6);

        sink.hangs();
        keeper.tell(&[events(3).remove(2)]).await;
        kit.advance(TimeDelta::minutes(5)).await.unwrap();
        assert_eq!(states(&env, row.id).await[2], ("failed".to_owned(), 3, None));
        let log = endpoints::log(&env.db, row.id, None, 1).await.unwrap().remove(0);
        assert!(log.error.unwrap().contains("did not answer within"), "what happened is told");

        // A redirect is an answer like any other: nobody follows it.
        sink.answers(302);
        keeper.tell(&[events(4).remove(3)]).await;
        kit.advance(TimeDelta::minutes(5)).await.unwrap();
        assert_eq!(states(&env, row.id).await[3], ("failed".to_owned(), 3, Some(302)));

        sink.answers(204);
        keeper.tell(&[events(5).remove(4)]).await;
        kit.advance(TimeDelta::minutes(5)).await.unwrap();
        assert_eq!(states(&env, row.id).await[4], ("delivered".to_owned(), 1, Some(204)));
        assert!(tasks.list(&Default::default()).await.unwrap().iter().all(|task| task.state != TaskState::Dead));
    }

    async fn an_endpoint_gets_the_types_it_wants_until_it_expires_or_is_removed_and_nothing_runs_without_one(env: Env) {
        let sink = Sink::start().await;
        let (keeper, tasks, forward) = (Keeper::new(&env).await, env.tasks(), forward(&["127.0.0.1"]));
        let kit = kit(&env, &keeper, &forward);
        keeper.tell(&[events(1).remove(0)]).await;
        kit.drain().await.unwrap();
        assert!(tasks.count_by_kind().await.unwrap().is_empty(), "no endpoint, no task");

        let types = "moon.*".parse().unwrap();
        let wanting = NewEndpoint { types, ..new(&sink.url()) };
        let row = endpoints::register(&tasks, &forward.forwarder, wanting, &ana()).await.unwrap();
        let moon = |id: &str| events(1).remove(0).replace("fax.received", "moon.rose").replace("EV0", id);
        keeper.tell(&[events(2).remove(1), moon("EVm1")]).await;
        kit.advance(TimeDelta::minutes(1)).await.unwrap();
        assert_eq!(sink.count(), 1, "what came before, and other types, are not for it");
        assert!(String::from_utf8(sink.arrived().remove(0).body).unwrap().contains("EVm1"));

        let removed = endpoints::remove(&tasks, row.id, &ana()).await.unwrap();
        assert_eq!(removed.state(env.clock.now()), EndpointState::Removed);
        assert!(matches!(endpoints::remove(&tasks, row.id, &ana()).await, Err(EndpointError::Ended(_))));
        keeper.tell(&[moon("EVm2")]).await;
        kit.advance(TimeDelta::minutes(1)).await.unwrap();

        let open = endpoints::register(&tasks, &forward.forwarder, new(&sink.url()), &ana()).await.unwrap();
        let short = NewEndpoint { expires_in: TimeDelta::minutes(5), ..new(&sink.url()) };
        let row = endpoints::register(&tasks, &forward.forwarder, short, &ana()).await.unwrap();
        kit.advance(TimeDelta::minutes(6)).await.unwrap();
        let listed = endpoints::list_open(&env.db, None, 1, env.clock.now()).await.unwrap();
        assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [open.id], "closed ones take nobody's place");
        endpoints::remove(&tasks, open.id, &ana()).await.unwrap();
        assert_eq!(show(&env, row.id).await.state(env.clock.now()), EndpointState::Expired);
        keeper.tell(&[moon("EVm3")]).await;
        kit.advance(TimeDelta::hours(1)).await.unwrap();
        assert_eq!(sink.count(), 1);
        let left = tasks.list(&Default::default()).await.unwrap();
        assert!(left.iter().all(|task| task.state != TaskState::Pending), "nothing goes on without an endpoint");
        let acts: Vec<String> = entries(&env).await.into_iter().map(|row| row.action).collect();
        assert_eq!(acts, ["endpoint.add", "endpoint.remove", "endpoint.add", "endpoint.add", "endpoint.remove"]);
    }

    async fn more_than_an_endpoint_takes_waits_in_the_table_of_events_and_comes_in_order(env: Env) {
        let sink = Sink::start().await;
        let (keeper, tasks, forward) = (Keeper::new(&env).await, env.tasks(), forward(&["127.0.0.1"]));
        let row = endpoints::register(&tasks, &forward.forwarder, new(&sink.url()), &ana()).await.unwrap();
        keeper.tell(&events(250)).await;
        let kit = kit(&env, &keeper, &forward);
        kit.drain().await.unwrap();
        assert!(show(&env, row.id).await.waiting <= 100);
        kit.advance(TimeDelta::seconds(10)).await.unwrap();
        let arrived: Vec<Vec<u8>> = sink.arrived().into_iter().map(|arrived| arrived.body).collect();
        let stored: Vec<Vec<u8>> = stored(&env).await.into_iter().map(|stored| stored.body).collect();
        assert_eq!(arrived.len(), 250);
        assert_eq!(arrived, stored);
    }

    async fn an_endpoint_gets_verified_webhooks_with_headers_and_body_untouched(env: Env) {
        let sink = Sink::start().await;
        let mut program = Program::new(&env, &["serve"]).set("TRUNKLINE_FORWARD_ALLOW", "127.0.0.1");
        let mut config = provider();
        config.rate_per_second = 50.0;
        config.max_events = Some(60);
        let simulator = provider_for(&program, config).await;
        program = program.allow_host(simulator.addr());
        simulator.set_target(None);
        program.start().await.unwrap();
        let added = program.run(&["endpoints", "add", &sink.url(), "--by", "ana", "--json"]).unwrap();
        let added: Value = serde_json::from_str(&added).unwrap();
        assert_eq!(added["state"], "open");
        simulator.set_target(Some(program.url("/webhooks/openphone").parse().unwrap()));
        simulator.idle().await;
        until("everything was forwarded", async || sink.count() >= stored_count(&env).await).await;

        let (mut arrived, mut stored) = (sink.arrived(), stored(&env).await);
        let trusted = Secrets::parse(secrets().split(',')).unwrap();
        for webhook in &arrived {
            let headers = webhook.headers.iter().map(|(name, value)| {
                (name.parse::<poem::http::HeaderName>().unwrap(), poem::http::HeaderValue::from_bytes(value).unwrap())
            });
            let verified = verify(&trusted, &Tolerance::default(), &headers.collect(), &webhook.body, Clock::system().now());
            assert!(verified.is_ok(), "the signature holds at the developer's end: {verified:?}");
        }
        arrived.sort_unstable();
        stored.sort_unstable();
        assert!(stored.len() >= 60);
        assert_eq!(arrived, stored, "each once, byte for byte");

        let log: Value = serde_json::from_str(&program.run(&["endpoints", "log", "1", "--limit", "1000", "--json"]).unwrap()).unwrap();
        assert_eq!(log.as_array().unwrap().len(), stored.len());
        assert!(log.as_array().unwrap().iter().all(|row| row["state"] == "delivered" && row["status"] == 204));
        assert!(program.run(&["endpoints", "list"]).unwrap().contains(&sink.url()));
        program.run(&["endpoints", "remove", "1", "--by", "ana"]).unwrap();
        let refused = program.run(&["endpoints", "add", "http://10.1.2.3/hooks", "--by", "ana"]).unwrap_err().to_string();
        assert!(refused.contains("forward.allow"), "{refused}");
        assert_eq!(refusals(&env).await.len(), 1);
    }

    async fn an_endpoint_that_hangs_never_slows_a_webhook_or_its_work(env: Env) {
        let sink = Sink::start().await;
        sink.hangs();
        let mut program = Program::new(&env, &["serve"])
            .set("TRUNKLINE_FORWARD_ALLOW", "127.0.0.1")
            .set("TRUNKLINE_FORWARD_TIMEOUT", "60s");
        let mut config = provider();
        config.rate_per_second = 100.0;
        config.max_events = Some(200);
        let simulator = provider_for(&program, config).await;
        program = program.allow_host(simulator.addr());
        simulator.set_target(None);
        program.start().await.unwrap();
        for _ in 0..3 {
            program.run(&["endpoints", "add", &sink.url(), "--by", "ana"]).unwrap();
        }
        simulator.set_target(Some(program.url("/webhooks/openphone").parse().unwrap()));
        simulator.idle().await;
        let tally = simulator.tally();
        assert_eq!(tally.deliveries_exhausted, 0);
        assert_eq!(tally.attempts, tally.deliveries_acknowledged, "each webhook was answered the first time");
        until("the hanging endpoints were tried", async || sink.requests() == 3).await;
        let tasks = env.live_tasks();
        until("all other work is done", async || {
            let counts = tasks.count_by_kind().await.unwrap();
            let open = |state| matches!(state, TaskState::Pending | TaskState::Running);
            counts.iter().all(|row| row.kind.starts_with("forward.") || row.kind == "calls.texts_wanted" || !open(row.state))
        }).await;
        let slowest = slowest_answer(&program).await;
        assert!(slowest <= Duration::from_secs(10), "a webhook took {slowest:?}");
        assert_eq!(sink.requests(), 3, "one delivery of each endpoint is on its way, and no more");
    }

    async fn endpoints_are_kept_over_the_api_by_administrators(env: Env) {
        let site = Site::start(&env).await;
        let (admin, operate) = (site.key(&[Scope::Admin]).await, site.key(&[Scope::Operate]).await);
        let add = |key: &str, url: &str| site.ask(Method::POST, "/api/v1/endpoints").bearer_auth(key)
            .json(&json!({"url": url, "expires_in_seconds": 3600, "reason": "trying"}));
        problem(add(&operate, "https://8.8.8.8/").send().await.unwrap(), StatusCode::FORBIDDEN, "forbidden").await;
        let body = problem(add(&admin, "https://8.8.8.8/a?token=x").send().await.unwrap(), StatusCode::FORBIDDEN, "not_listed").await;
        assert!(!body.to_string().contains("token"), "{body}");
        let told = refusals(&env).await;
        assert_eq!((told.len(), told[0].reason.as_deref()), (1, Some("trying")));
        assert!(admin.contains(told[0].actor.strip_prefix("key:").unwrap()));
        problem(add(&admin, "nonsense").send().await.unwrap(), StatusCode::BAD_REQUEST, "invalid").await;

        let row = endpoints::register(&site.tasks, &forward(&["8.8.8.8"]).forwarder, new("https://8.8.8.8/a?token=x"), &ana()).await.unwrap();
        let listed = site.read("/api/v1/endpoints", &operate).await;
        assert_eq!(listed["items"][0]["url"], "https://8.8.8.8/a?[hidden]");
        let path = format!("/api/v1/endpoints/{}", row.id);
        let forwards = site.read(&format!("{path}/forwards"), &operate).await;
        assert_eq!(forwards["items"], json!([]));
        problem(site.get("/api/v1/endpoints/99/forwards", &operate).await, StatusCode::NOT_FOUND, "not_found").await;
        let remove = async || site.ask(Method::DELETE, &path).bearer_auth(&admin).send().await.unwrap();
        assert_eq!(remove().await.json::<Value>().await.unwrap()["state"], "removed");
        problem(remove().await, StatusCode::CONFLICT, "conflict").await;
    }
}

/// The bound of the histogram below which all answers to webhooks lie.
async fn slowest_answer(program: &Program) -> Duration {
    let text = program.metrics().await;
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    let name = "trunkline_webhook_answer_seconds";
    let all = text.lines().find(|line| line.starts_with(&format!("{name}_count"))).map(value).unwrap();
    let bound = text
        .lines()
        .filter(|line| line.starts_with(&format!("{name}_bucket")))
        .find(|line| value(line) >= all);
    let bound =
        bound.and_then(|line| line.split("le=\"").nth(1)?.split('"').next()?.parse::<f64>().ok()).unwrap();
    Duration::try_from_secs_f64(bound).unwrap_or(Duration::MAX)
}
