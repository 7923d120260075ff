//! Events and schedules over the API and on their pages, as HTTP and in a real browser.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline_jobs::events::replay;
use trunkline_platform::task::TaskState;

use crate::admin::{Site, entries, problem};
use crate::dashboard::{page, send};
use crate::event_replays::text;
use crate::harness::browser::{Browser, Colours, Width, every_screen};
use crate::harness::judge::every_task;
use crate::harness::{Env, both_engines, until};
use crate::kept::Keeper;

const HER: &str = "+12125550101";

/// 500 texts of hers, and 40 of somebody else, all of them kept.
async fn told(env: &Env) -> Keeper<'_> {
    let keeper = Keeper::new(env).await;
    let hers: Vec<String> = (0..500).map(|number| text(number, HER, "where is my order")).collect();
    let others: Vec<String> = (500..540).map(|number| text(number, "+12125550102", "thanks")).collect();
    keeper.tell_and_work(&[others, hers].concat()).await;
    keeper
}

async fn post(site: &Site, path: &str, key: &str, body: Value) -> reqwest::Response {
    site.ask(Method::POST, path).bearer_auth(key).json(&body).send().await.unwrap()
}

both_engines! {
    async fn events_are_found_shown_and_replayed_over_the_api(env: Env) {
        let (site, keeper) = (Site::start(&env).await, told(&env).await);
        let (read, operate) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Operate]).await);
        let pii = site.key(&[Scope::Read, Scope::Pii]).await;
        let (mut path, mut seen) = ("/api/v1/events?number=%2B12125550102&limit=15".to_owned(), Vec::new());
        loop {
            let page = site.read(&path, &read).await;
            seen.extend(page["items"].as_array().unwrap().iter().map(|event| event["id"].as_i64().unwrap()));
            match page["next"].as_str() {
                Some(next) => path = format!("/api/v1/events?number=%2B12125550102&limit=15&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 40, "{seen:?}");
        assert!(seen.is_sorted_by(|newer, older| newer > older), "each once, the newest first: {seen:?}");
        for bad in ["number=ana", "since=x", "state=asleep", "since=2026-03-02T09:00:00Z&until=2026-03-02T09:00:00Z"] {
            let answer = site.get(&format!("/api/v1/events?{bad}"), &read).await;
            problem(answer, StatusCode::BAD_REQUEST, "invalid").await;
        }
        let one = format!("/api/v1/events/{}", seen[0]);
        let unmasked = format!("{one}?unmask=true");
        let shown = site.read(&one, &read).await;
        assert_eq!((&shown["event"]["state"], &shown["event"]["job"]), (&json!("done"), &json!("message.received")), "{shown}");
        assert!(!shown.to_string().contains("2125550102") && !shown.to_string().contains("thanks"), "{shown}");
        problem(site.get(&unmasked, &read).await, StatusCode::FORBIDDEN, "forbidden").await;
        assert!(site.read(&unmasked, &pii).await.to_string().contains("thanks"));
        problem(site.get("/api/v1/events/9999", &read).await, StatusCode::NOT_FOUND, "not_found").await;

        let replays = "/api/v1/events/replays";
        let hers = json!({"number": HER, "text": "ORDER"});
        let dry = post(&site, replays, &operate, json!({"which": hers, "dry_run": true})).await;
        let dry: Value = dry.json().await.unwrap();
        assert_eq!((&dry["found"], &dry["complete"], &dry["replay"]), (&json!(500), &json!(true), &Value::Null), "{dry}");
        for body in [json!({"which": {}}), json!({"which": {"all": true, "text": "x"}}), json!({"which": hers, "pace": 0})] {
            problem(post(&site, replays, &operate, body).await, StatusCode::BAD_REQUEST, "invalid").await;
        }
        let none = json!({"which": {"text": "no such word"}});
        problem(post(&site, replays, &operate, none).await, StatusCode::CONFLICT, "conflict").await;
        let begun = post(&site, replays, &operate, json!({"which": hers, "pace": 100, "reason": "a test"})).await;
        assert_eq!(begun.status(), StatusCode::OK);
        let begun: Value = begun.json().await.unwrap();
        assert_eq!((&begun["replay"]["id"], &begun["replay"]["expected"]), (&json!(1), &json!(500)), "{begun}");
        assert!(!begun.to_string().contains("12125550101"), "{begun}");
        let again = post(&site, replays, &operate, json!({"which": hers})).await;
        let said = problem(again, StatusCode::CONFLICT, "conflict").await;
        assert!(said["detail"].as_str().unwrap().contains("replay 1 is under way"), "{said}");
        keeper.kit().drain().await.unwrap();
        let cancelled = post(&site, "/api/v1/events/replays/1/cancel", &operate, json!({"reason": "enough"})).await;
        let cancelled: Value = cancelled.json().await.unwrap();
        assert_eq!((&cancelled["state"], &cancelled["replayed"]), (&json!("cancelled"), &json!(100)));
        let resumed = post(&site, "/api/v1/events/replays/1/resume", &operate, json!({})).await;
        assert_eq!(resumed.status(), StatusCode::OK);
        keeper.kit().drain().await.unwrap();
        keeper.kit().advance(chrono::TimeDelta::minutes(1)).await.unwrap();
        let ended = site.read("/api/v1/events/replays/1", &read).await;
        assert_eq!((&ended["state"], &ended["replayed"], &ended["percent"]), (&json!("complete"), &json!(500), &json!(100)));
        assert_eq!(site.read(replays, &read).await["items"].as_array().unwrap().len(), 1);
        problem(site.get("/api/v1/events/replays/7", &read).await, StatusCode::NOT_FOUND, "not_found").await;
        let acts: Vec<String> = entries(&env).await.into_iter().filter(|row| row.subject == "event_replay:1")
            .map(|row| row.action).collect();
        assert_eq!(acts, ["events.replay", "events.replay.cancel", "events.replay.resume"]);
    }

    async fn schedules_are_looked_at_paused_and_fired_over_the_api_and_on_their_pages(env: Env) {
        let site = Site::start(&env).await;
        let (read, operate) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Operate]).await);
        let all = site.read("/api/v1/schedules", &read).await;
        assert_eq!((&all[0]["name"], &all[0]["state"]), (&json!("play"), &json!("new")), "{all}");
        assert_eq!(all[0]["next"].as_array().unwrap().len(), 5);
        let act = async |word: &str| {
            let answer = post(&site, &format!("/api/v1/schedules/play/{word}"), &operate, json!({"reason": "a test"})).await;
            assert_eq!(answer.status(), StatusCode::OK, "{word}");
            answer.json::<Value>().await.unwrap()
        };
        assert_eq!(act("pause").await["state"], "paused");
        assert_eq!(act("resume").await["state"], "on");
        let fired = act("fire").await;
        assert_eq!(fired["outcome"], "fired");
        problem(post(&site, "/api/v1/schedules/play/fire", &operate, json!({})).await, StatusCode::CONFLICT, "conflict").await;
        problem(site.get("/api/v1/schedules/none", &read).await, StatusCode::NOT_FOUND, "not_found").await;
        let ticks = site.read("/api/v1/schedules/play/ticks", &read).await;
        assert!(ticks["items"].as_array().unwrap().iter().any(|tick| tick["task"] == fired["task"]), "{ticks}");

        let list = page(&site, "/schedules", &read).await;
        assert!(list.contains("/schedules/play") && list.contains("test.play"), "{list}");
        let shown = page(&site, "/schedules/play", &read).await;
        assert!(shown.contains("*/15 * * * *") && shown.contains("manual") && !shown.contains("<form method=\"post\" action=\"/schedules"), "{shown}");
        assert!(send(&site, "/schedules/play/pause", &operate, &[]).await.unwrap_err().contains("Say why"));
        let why = [("reason", "a test")];
        assert_eq!(send(&site, "/schedules/play/pause", &operate, &why).await.as_deref(), Ok("/schedules/play?did=pause"));
        assert!(page(&site, "/schedules/play", &operate).await.contains("Resume it"));
        assert!(send(&site, "/schedules/play/fire", &operate, &why).await.unwrap_err().contains("has not ended"));
        assert_eq!(site.get("/schedules/none", &read).await.status(), StatusCode::NOT_FOUND);
    }

    async fn what_a_replay_would_be_is_shown_first_and_whoever_may_only_look_cannot_begin_one(env: Env) {
        let (site, keeper) = (Site::start(&env).await, told(&env).await);
        let (read, operate) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Operate]).await);
        let found = page(&site, "/events?number=2125550102&state=done", &read).await;
        assert_eq!(found.matches("href=\"/events/").count() - found.matches("href=\"/events/replays").count(), 40, "{found}");
        assert!(!found.contains("href=\"/events/replay?"), "{found}");
        for (query, says) in [("since=soon", "is no time"), ("number=ana", "number cannot be read"), ("state=x", "no state")] {
            assert!(page(&site, &format!("/events?{query}"), &read).await.contains(says), "{query}");
        }
        let event = page(&site, "/events/1", &read).await;
        assert!(event.contains("message.received") && event.contains("webhook:1") && !event.contains("thanks"), "{event}");
        let filter = "number=%2B12125550102&text=thanks";
        for path in [format!("/events/replay?{filter}"), "/events/1?unmask=true".to_owned()] {
            assert_eq!(site.get(&path, &read).await.status(), StatusCode::FORBIDDEN, "{path}");
        }
        let would = page(&site, &format!("/events/replay?{filter}"), &operate).await;
        assert!(would.contains("<strong>40</strong>") && !would.contains("<code>thanks"), "{would}");
        assert!(replay::list(&env.db, None, 10).await.unwrap().is_empty(), "nothing is done yet");
        let fields = [("number", "+12125550102"), ("pace", "50"), ("reason", "they came to nothing")];
        for (fields, says) in [
            (vec![("reason", "x"), ("pace", "5")], "Nothing is chosen"),
            (vec![("text", "thanks"), ("pace", "5")], "Say why"),
            (vec![("text", "thanks"), ("pace", "0"), ("reason", "x")], "1 to 1000"),
            (vec![("text", "no such word"), ("pace", "5"), ("reason", "x")], "no event is as described"),
        ] {
            let told = send(&site, "/events/replay", &operate, &fields).await.unwrap_err();
            assert!(told.contains(says), "{fields:?}: {told}");
            send(&site, "/events/replay", &read, &fields).await.unwrap_err();
        }
        assert_eq!(send(&site, "/events/replay", &operate, &fields).await.as_deref(), Ok("/events/replays/1"));
        let goes = page(&site, "/events/replays/1", &read).await;
        assert!(goes.contains("It goes on") && !goes.contains("Stop it") && !goes.contains("2125550102"), "{goes}");
        let stop = [("reason", "enough")];
        assert!(send(&site, "/events/replays/1/cancel", &read, &stop).await.is_err());
        send(&site, "/events/replays/1/cancel", &operate, &stop).await.unwrap();
        assert!(page(&site, "/events/replays/1", &operate).await.contains("Go on"));
        send(&site, "/events/replays/1/resume", &operate, &stop).await.unwrap();
        keeper.kit().drain().await.unwrap();
        assert!(page(&site, "/events/replays", &read).await.contains("complete"));
    }

    async fn nothing_that_an_event_tells_is_taken_for_a_page(env: Env) {
        let (site, keeper) = (Site::start(&env).await, Keeper::new(&env).await);
        let key = site.key(&[Scope::Admin, Scope::Pii]).await;
        let bad = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'";
        let event = json!({"id": format!("EV{bad}"), "type": format!("moon{bad}"), "apiVersion": bad,
            "data": {"resource": {"id": bad, bad: bad}}});
        keeper.tell(&[event.to_string()]).await;
        let escaped: String = url::form_urlencoded::byte_serialize(bad.as_bytes()).collect();
        for path in ["/events".to_owned(), "/events/1".to_owned(), "/events/1?unmask=true".to_owned(),
            format!("/events?type={escaped}&text={escaped}&since={escaped}"), format!("/events?text={escaped}"),
            format!("/events/replay?text={escaped}"), "/events/replay?all=yes".to_owned(), "/events/replays".to_owned()] {
            let told = site.get(&path, &key).await.text().await.unwrap();
            for tag in ["<script>alert", "<img"] {
                assert!(!told.contains(tag), "{path}: {told}");
            }
        }
    }
}

/// Replay 500 events by filter, with a dry run first.
async fn replay_500(width: Width, colours: Colours) {
    let env = Env::sqlite().await;
    let (site, keeper) = (Site::start(&env).await, told(&env).await);
    let key = site.key(&[Scope::Operate]).await;
    let browser = Browser::start(width, colours).await;
    browser.enter(&site.url, &key, "/events").await;
    browser.look("events").await;
    browser.type_into("#number", HER).await;
    browser.type_into("#text", "where is my order").await;
    browser.click("form.filter button").await;
    browser.until("the filter is in the address", "return location.search.includes('order')").await;
    browser.on("/events").await;
    browser.look("events-found").await;
    browser.click("p.buttons a.button").await;
    browser.on("/events/replay").await;
    assert!(browser.text().await.contains("500 would be done once more"), "{}", browser.text().await);
    browser.look("replay-rehearsal").await;
    browser.run("document.querySelector('#pace').value = '200'").await;
    browser.type_into("#reason", "orders were not joined").await;
    browser.click("main form button").await;
    browser.on("/events/replays/1").await;
    keeper.kit().drain().await.unwrap();
    browser.until("it has begun", "return document.body.innerText.includes('200 of 500')").await;
    browser.look("replay-goes-on").await;
    until("the replay is done", async || {
        keeper.kit().advance(chrono::TimeDelta::seconds(1)).await.unwrap();
        replay::show(&env.db, 1).await.unwrap().unwrap().state == "complete"
    })
    .await;
    browser.go(&format!("{}/events/replays/1", site.url)).await;
    browser.until("all of them", "return document.body.innerText.includes('500 of 500')").await;
    browser.look("replay-done").await;
    let tasks = every_task(&site.tasks).await.unwrap();
    let done = tasks.iter().filter(|task| task.cause.starts_with("replay:") && task.state == TaskState::Done);
    assert_eq!(done.count(), 500);
    browser.click("a[href^='/audit']").await;
    browser.on("/audit").await;
    let told = browser.text().await;
    assert!(told.contains("events.replay") && told.contains("orders were not joined"), "{told}");
    assert!(!told.contains("2125550101"), "{told}");
    for (path, name) in [
        ("/events/41", "event"),
        ("/events/replays", "replays"),
        ("/schedules", "schedules"),
        ("/schedules/play", "schedule"),
    ] {
        browser.go(&format!("{}{path}", site.url)).await;
        browser.look(name).await;
    }
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)").await;
    browser.type_into("#why-fire", "to see it").await;
    browser.click("form[action$='/fire'] button").await;
    browser.until("the task is shown", "return location.pathname.startsWith('/tasks/')").await;
    browser.close().await;
}

every_screen! { somebody_replays_500_events_by_filter_with_a_dry_run_first: replay_500 }
