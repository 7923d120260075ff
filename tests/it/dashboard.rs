//! The pages on which people find out what is wrong and mend it: as HTTP, and in a real browser.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline_platform::audit::Actor;
use trunkline_platform::task::{Limit, NewTask, Scope as Held, TaskId, TaskState};

use crate::admin::{Site, entries};
use crate::harness::browser::{Browser, Colours, Width, every_screen};
use crate::harness::{Act, Acts, Env, Play, both_engines, until};

/// One that died of its payload and three that died of what they call, which is broken.
async fn troubled(env: &Env) -> (Site, Arc<Acts>, TaskId) {
    let site = Site::start(env).await;
    let acts = Acts::new();
    let task = |act: Act| NewTask::of(&Play { act, ..Play::default() }).unwrap();
    let broken = task(Act::FailWhileBroken);
    let tasks = [task(Act::FailForGood), broken.clone(), broken.clone(), broken];
    let made = site.tasks.enqueue(&tasks).await.unwrap();
    env.kit(&acts).drain().await.unwrap();
    (site, acts, made[0].id())
}

pub(crate) async fn page(site: &Site, path: &str, key: &str) -> String {
    let answer = site.get(path, key).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    text
}

fn post(site: &Site, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    site.ask(Method::POST, path).header("content-type", "application/x-www-form-urlencoded").body(body)
}

/// Sends a form and answers where it leads, or the page that says no.
pub(crate) async fn send(
    site: &Site,
    path: &str,
    key: &str,
    fields: &[(&str, &str)],
) -> Result<String, String> {
    let answer = post(site, path, fields).bearer_auth(key).send().await.unwrap();
    match answer.status() {
        StatusCode::SEE_OTHER => Ok(answer.headers()["location"].to_str().unwrap().to_owned()),
        _ => Err(answer.text().await.unwrap()),
    }
}

async fn state(site: &Site, id: TaskId) -> TaskState {
    site.tasks.show(id).await.unwrap().unwrap().state
}

both_engines! {
    async fn the_overview_tells_what_is_wrong_and_where_it_is_dealt_with(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Operate]).await;
        let worker = trunkline_platform::task::WorkerId::new("wk_1");
        site.tasks.register_worker(&worker, "test", TimeDelta::days(1)).await.unwrap();
        assert!(page(&site, "/", &key).await.contains("All is well"));
        let (site, ..) = troubled(&env).await;
        let told = page(&site, "/", &key).await;
        for part in ["4 dead letters wait", "href=\"/dead\"", "/runbooks/dead-letters", "the far end refused request"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let paused = send(&site, "/queues/test/pause", &key, &[("reason", "the far end is down")]).await;
        assert_eq!(paused.as_deref(), Ok("/queues?did=pause"));
        site.tasks.enqueue(&[NewTask::of(&Play::default()).unwrap()]).await.unwrap();
        env.clock.advance(TimeDelta::minutes(6));
        let told = page(&site, "/", &key).await;
        assert!(told.contains("queue:test is paused, by key:"), "{told}");
        assert!(!told.contains("has waited for"), "a paused queue is not stuck: {told}");
        let scope = Held::Queue("test".to_owned());
        let later = Actor { name: "operator:ben".to_owned(), reason: Some("while it is down".to_owned()) };
        let narrow = |limit: Limit| Limit { max_running: Some(3), ..limit };
        site.tasks.set_limit(&scope, None, &later, narrow).await.unwrap();
        let told = page(&site, "/queues", &key).await;
        assert!(told.contains(": the far end is down") && !told.contains("while it is down"), "{told}");
        send(&site, "/queues/test/resume", &key, &[("reason", "it is up")]).await.unwrap();
        assert!(page(&site, "/", &key).await.contains("In the queue test a task that is due has waited for 6m 0s"));
        let acts: Vec<String> = entries(&env).await.into_iter().filter(|row| row.subject == "queue:test")
            .map(|row| format!("{} {}", row.action, row.reason.unwrap())).collect();
        assert_eq!(acts, ["queue.pause the far end is down", "limit.set while it is down", "queue.resume it is up"]);
        assert!(page(&site, "/runbooks/dead-letters", &key).await.contains("trunkline dead"));
        assert_eq!(site.get("/runbooks/passwd", &key).await.status(), StatusCode::NOT_FOUND);
    }

    async fn what_would_be_done_to_dead_letters_is_shown_before_it_is_done(env: Env) {
        let (site, acts, alone) = troubled(&env).await;
        let key = site.key(&[Scope::Operate]).await;
        let groups = page(&site, "/dead", &key).await;
        assert!(groups.contains("no such number") && groups.contains("the far end refused request"), "{groups}");
        let list = page(&site, "/dead/list?error=FAR+END", &key).await;
        assert_eq!(list.matches("type=\"checkbox\"").count(), 3, "{list}");
        let would = page(&site, "/dead/act?act=retry&which=filter&error=far+end", &key).await;
        assert!(would.contains("<strong>3</strong> would be retried"), "{would}");
        assert_eq!(entries(&env).await.iter().filter(|row| row.subject.starts_with("task:")).count(), 0);
        for (fields, says) in [
            (vec![("act", "retry"), ("which", "filter"), ("error", "far end")], "Say why"),
            (vec![("act", "retry"), ("reason", "x")], "Nothing is chosen"),
            (vec![("act", "retry"), ("which", "filter"), ("reason", "x")], "Nothing is chosen"),
            (vec![("act", "burn"), ("id", "1"), ("reason", "x")], "nothing of this name"),
        ] {
            let told = send(&site, "/dead/act", &key, &fields).await.unwrap_err();
            assert!(told.contains(says), "{fields:?}: {told}");
        }
        let id = alone.to_string();
        let done = send(&site, "/dead/act", &key, &[("act", "discard"), ("id", &id), ("reason", "a test")]).await;
        assert_eq!(done, Ok(format!("/tasks/{id}?did=discard&done=1&refused=0")));
        assert_eq!(state(&site, alone).await, TaskState::Discarded);
        acts.broken.store(false, Ordering::Relaxed);
        let all = [("act", "retry"), ("which", "filter"), ("all", "yes"), ("reason", "it is up")];
        assert_eq!(send(&site, "/dead/act", &key, &all).await.as_deref(), Ok("/dead?did=retry&done=3&refused=0"));
        env.kit(&acts).drain().await.unwrap();
        assert!(page(&site, "/dead", &key).await.contains("There are none"));
        let reasons = entries(&env).await.into_iter().filter(|row| row.action == "task.retry").map(|row| row.reason);
        assert_eq!(reasons.collect::<Vec<_>>(), vec![Some("it is up".to_owned()); 3]);
    }

    async fn a_payload_is_mended_and_what_does_not_fit_is_told_beside_the_form(env: Env) {
        let (site, acts, id) = troubled(&env).await;
        let key = site.key(&[Scope::Operate]).await;
        let place = format!("/tasks/{id}/edit");
        assert!(page(&site, &place, &key).await.contains("fail_for_good"));
        let attempt = |payload: &'static str, earnest: bool| {
            let mut fields = vec![("payload", payload), ("reason", "a typo")];
            if earnest {
                fields.push(("do", "yes"));
            }
            let (site, place, key) = (&site, &place, &key);
            async move { send(site, place, key, &fields).await }
        };
        for (payload, says) in [("{", "This is no JSON"), ("{}", "nothing is there"), ("{\"act\": 7}", "expected")] {
            let told = attempt(payload, true).await.unwrap_err();
            assert!(told.contains(says) && told.contains("<textarea"), "{payload}: {told}");
        }
        let would = attempt("{\"act\": \"succeed\"}", false).await.unwrap_err();
        assert!(would.contains("<del>&quot;fail_for_good&quot;</del>"), "{would}");
        assert_eq!(state(&site, id).await, TaskState::Dead);
        assert_eq!(attempt("{\"act\": \"succeed\"}", true).await, Ok(format!("/tasks/{id}?did=edit")));
        env.kit(&acts).drain().await.unwrap();
        assert_eq!(state(&site, id).await, TaskState::Done);
        let told = page(&site, &format!("/tasks/{id}"), &key).await;
        assert!(told.contains("task.edit by key:") && told.contains("(a typo)"), "{told}");
        let audit = page(&site, &format!("/audit?subject=task:{id}"), &key).await;
        assert!(audit.contains("<ins>&quot;succeed&quot;</ins>"), "{audit}");
    }

    async fn tasks_are_found_by_words_cancelled_and_changed(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Operate]).await;
        let later = NewTask::of(&Play::default()).unwrap().at(env.clock.now() + TimeDelta::hours(1));
        let made = site.tasks.enqueue(&vec![later; 52]).await.unwrap();
        let (first, last) = (made[0].id(), made[51].id());
        let found = page(&site, "/tasks?q=state:pending+queue:test", &key).await;
        assert!(found.contains(&format!("/tasks/{last}\"")) && !found.contains(&format!("/tasks/{first}\"")));
        let next = found.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
        assert!(page(&site, &next, &key).await.contains(&format!("/tasks/{first}\"")));
        assert!(page(&site, "/tasks?q=state:dead", &key).await.contains("There are none"));
        assert!(page(&site, "/tasks?q=asleep", &key).await.contains("is no filter"));
        assert_eq!(site.get("/tasks?q=17", &key).await.headers()["location"], "/tasks/17");
        for missing in ["/tasks/999999", "/tasks/x", "/tasks/99999999999999999999"] {
            assert_eq!(site.get(missing, &key).await.status(), StatusCode::NOT_FOUND);
        }
        let place = format!("/tasks/{first}/change");
        let fields = [("priority", "urgent"), ("queue", "test"), ("at", "5m"), ("reason", "sooner")];
        assert_eq!(send(&site, &place, &key, &fields).await, Ok(format!("/tasks/{first}?did=change")));
        let row = site.tasks.show(first).await.unwrap().unwrap();
        assert_eq!((row.priority, row.run_at), (0, env.clock.now() + TimeDelta::minutes(5)));
        for (name, value, says) in [("queue", "nowhere", "no queue"), ("priority", "some", "urgent"), ("at", "soon", "no time")] {
            let told = send(&site, &place, &key, &[(name, value), ("reason", "x")]).await.unwrap_err();
            assert!(told.contains(says), "{name}: {told}");
        }
        let cancel = format!("/tasks/{last}/cancel");
        assert!(send(&site, &cancel, &key, &[]).await.unwrap_err().contains("Say why"));
        assert_eq!(send(&site, &cancel, &key, &[("reason", "no need")]).await, Ok(format!("/tasks/{last}?did=cancel")));
        assert!(send(&site, &cancel, &key, &[("reason", "again")]).await.unwrap_err().contains("there is nothing to cancel"));
    }

    async fn whoever_may_only_look_cannot_act_and_numbers_are_masked(env: Env) {
        let site = Site::start(&env).await;
        let mut task = NewTask::of(&Play { act: Act::FailForGood, ..Play::default() }).unwrap();
        task.payload = json!({"act": "fail_for_good", "key": "call +12125550101"}).to_string();
        let id = site.tasks.enqueue(&[task]).await.unwrap()[0].id();
        env.kit(&Acts::new()).drain().await.unwrap();
        let (read, operate) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Operate]).await);
        let pii = site.key(&[Scope::Operate, Scope::Pii]).await;
        let (place, edit) = (format!("/tasks/{id}"), format!("/tasks/{id}/edit"));
        let told = page(&site, &place, &read).await;
        assert!(!told.contains("2125550101") && !told.contains("<button type=\"submit\">Retry"), "{told}");
        for path in [format!("/dead/act?act=retry&id={id}"), edit.clone(), format!("{place}?unmask=true")] {
            assert_eq!(site.get(&path, &read).await.status(), StatusCode::FORBIDDEN, "{path}");
        }
        for path in [format!("{place}/cancel"), format!("{place}/change"), edit.clone(), "/dead/act".to_owned(),
            "/queues/test/pause".to_owned(), "/dead/replays/1/stop".to_owned()] {
            let answer = post(&site, &path, &[("reason", "x")]).bearer_auth(&read).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
            let answer = post(&site, &path, &[("reason", "x")]).send().await.unwrap();
            assert_eq!(answer.headers()["location"], "/login", "{path}");
        }
        let form = page(&site, &edit, &operate).await;
        assert!(!form.contains("2125550101") && form.contains("id=\"pointer\"") && !form.contains("<textarea"), "{form}");
        assert!(page(&site, &format!("{edit}?unmask=true"), &pii).await.contains("+12125550101"));
        assert_eq!(entries(&env).await.iter().filter(|row| row.action == "unmask").count(), 1);
        let set = [("pointer", "/act"), ("value", "succeed"), ("reason", "a typo"), ("do", "yes")];
        assert_eq!(send(&site, &edit, &operate, &set).await, Ok(format!("{place}?did=edit")));
        let payload: Value = serde_json::from_str(&site.tasks.show(id).await.unwrap().unwrap().payload).unwrap();
        assert_eq!(payload, json!({"act": "succeed", "key": "call +12125550101"}));
    }

    async fn nothing_that_was_stored_is_taken_for_a_page(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Admin, Scope::Pii]).await;
        let bad = "</pre></textarea><script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href=javascript:alert(1)>";
        let mut task = NewTask::of(&Play { act: Act::FailForGood, ..Play::default() }).unwrap();
        task.payload = json!({ "act": bad, bad: bad }).to_string();
        task.cause = format!("operator:{bad}");
        task.correlation_id = Some(bad.to_owned());
        task.ordering_key = Some(bad.to_owned());
        let id = site.tasks.enqueue(&[task]).await.unwrap()[0].id();
        env.kit(&Acts::new()).drain().await.unwrap();
        let escaped = "%3C%2Ftextarea%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E\"'%3E";
        let reason = [("reason", bad)];
        send(&site, "/queues/test/pause", &key, &reason).await.unwrap();
        for path in ["/".to_owned(), "/dead".to_owned(), "/dead/list".to_owned(), format!("/dead/list?error={escaped}&kind={escaped}"),
            format!("/dead/act?act=retry&id={id}"), format!("/tasks/{id}"), format!("/tasks/{id}?unmask=true"),
            format!("/tasks/{id}/edit"), format!("/tasks/{id}/edit?unmask=true"), format!("/tasks?q={escaped}"),
            format!("/audit?subject={escaped}"), "/audit".to_owned(), "/queues".to_owned()] {
            let answer = site.get(&path, &key).await;
            let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
            assert!(policy.contains("default-src 'none'"), "{policy}");
            let told = answer.text().await.unwrap();
            for tag in ["<script>alert", "<img", "<a href=javascript"] {
                assert!(!told.contains(tag), "{path}: {told}");
            }
        }
    }
}

/// The whole way, as somebody goes it at night.
async fn mend(width: Width, colours: Colours) {
    let env = Env::sqlite().await;
    let (site, acts, id) = troubled(&env).await;
    let kit = env.kit(&acts);
    let key = site.key(&[Scope::Operate]).await;
    let browser = Browser::start(width, colours).await;
    browser.go(&format!("{}/login", site.url)).await;
    browser.look("login").await;
    browser.type_into("#key", &key).await;
    browser.click("button").await;
    browser.on("/").await;
    assert!(browser.text().await.contains("4 dead letters wait for somebody"));
    browser.look("overview").await;
    browser.click("nav a[href='/dead']").await;
    browser.on("/dead").await;
    browser.look("groups").await;
    browser
        .run("[...document.querySelectorAll('td a')].find(a => a.textContent === 'no such number').click()")
        .await;
    browser.on("/dead/list").await;
    browser.look("group").await;
    browser.click(&format!("a[href='/tasks/{id}']")).await;
    browser.on(&format!("/tasks/{id}")).await;
    browser.look("task").await;
    browser.click(&format!("a[href='/tasks/{id}/edit']")).await;
    browser.on(&format!("/tasks/{id}/edit")).await;
    browser.run("document.querySelector('#payload').value = '{\"act\": \"nonsense\"}'").await;
    browser.type_into("#reason", "the payload was wrong").await;
    browser.click("main button").await;
    browser.until("what is wrong is told", "return !!document.querySelector('#problem')").await;
    browser.look("edit").await;
    browser.run("document.querySelector('#payload').value = '{\"act\": \"succeed\"}'").await;
    browser.click("main button").await;
    browser.until("the change is shown", "return !!document.querySelector('main ins')").await;
    browser.look("confirm").await;
    browser.click("main button").await;
    browser.on(&format!("/tasks/{id}")).await;
    kit.drain().await.unwrap();
    browser.go(&format!("{}/tasks/{id}", site.url)).await;
    browser.until("it is done", "return document.querySelector('h1 .state').textContent === 'done'").await;
    browser.look("done").await;

    acts.broken.store(false, Ordering::Relaxed);
    browser.go(&format!("{}/dead", site.url)).await;
    browser.click("td a").await;
    browser.on("/dead/list").await;
    browser.click("input[value=filter]").await;
    browser.click("button[value=replay]").await;
    browser.on("/dead/act").await;
    assert!(browser.text().await.contains("3 would be retried: one first"));
    browser.look("rehearsal").await;
    browser.type_into("#reason", "the far end is up").await;
    browser.click("main button").await;
    browser.on("/dead/replays/1").await;
    browser.look("replay").await;
    until("the replay is done", async || {
        kit.drain().await.unwrap();
        page(&site, "/dead/replays/1", &key).await.contains("It is done.")
    })
    .await;
    browser.go(&format!("{}/dead/replays/1", site.url)).await;
    browser.look("replayed").await;
    browser.click("nav a[href='/audit']").await;
    browser.on("/audit").await;
    let told = browser.text().await;
    for part in ["task.edit", "the payload was wrong", "task.retry", "the far end is up"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    browser.look("audit").await;
    for (path, name) in [("/tasks", "tasks"), ("/queues", "queues"), ("/runbooks/dead-letters", "runbook")] {
        browser.go(&format!("{}{path}", site.url)).await;
        browser.look(name).await;
    }
    browser.go(&format!("{}/", site.url)).await;
    assert!(!browser.text().await.contains("dead letters wait"));
    browser.close().await;
}

every_screen! { somebody_finds_why_tasks_died_and_mends_them: mend }
