//! Pages that keep themselves up to date: by HTTP as a browser asks for it, and in a browser, with the keys of its board.

use std::time::Duration;

use chrono::TimeDelta;
use reqwest::{Response, StatusCode};
use trunkline::access::Scope;
use trunkline_platform::task::{NewTask, TaskState};

use crate::admin::{Site, entries};
use crate::harness::browser::{Browser, Colours, Width, every_screen};
use crate::harness::{Act, Acts, Env, Play, both_engines};

/// Events as they come in.
struct Events {
    answer: Response,
    read: String,
}

impl Events {
    async fn of(site: &Site, address: &str, key: &str) -> Self {
        let query: String = url::form_urlencoded::byte_serialize(address.as_bytes()).collect();
        let answer = site.get(&format!("/live?of={query}"), key).await;
        assert_eq!(answer.status(), StatusCode::OK, "{address}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, read: String::new() }
    }

    /// The name and the data of the next; none when the stream has ended.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let name = event.lines().find_map(|line| line.strip_prefix("event: ")).map(str::to_owned);
                let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                let told = name.map(|name| (name, data.join("\n")));
                self.read = rest.to_owned();
                match told {
                    Some(told) => return Some(told),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.answer.chunk()).await;
            let chunk = chunk.expect("nothing came for half a minute").unwrap()?;
            self.read += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// The first page that says this.
    async fn page_with(&mut self, part: &str) -> String {
        loop {
            let (name, page) = self.next().await.expect("the stream goes on");
            assert_eq!(name, "page");
            if page.contains(part) {
                return page;
            }
        }
    }
}

fn play(act: Act) -> NewTask {
    NewTask::of(&Play { act, ..Play::default() }).unwrap()
}

both_engines! {
    async fn a_page_comes_again_when_something_has_changed(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Read]).await;
        let page = site.get("/tasks", &key).await.text().await.unwrap();
        assert!(page.contains("data-live=\"/tasks\""), "{page}");
        let mut events = Events::of(&site, "/tasks", &key).await;
        events.page_with("There are none").await;
        let id = site.tasks.enqueue(&[play(Act::FailForGood)]).await.unwrap()[0].id();
        let page = events.page_with(&format!("href=\"/tasks/{id}\"")).await;
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains("pending"), "{page}");
        env.kit(&Acts::new()).drain().await.unwrap();
        events.page_with("class=\"state dead\"").await;
        assert_eq!(site.tasks.show(id).await.unwrap().unwrap().state, TaskState::Dead);
    }

    async fn who_may_not_look_any_more_is_sent_no_page(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Read]).await;
        let mut events = Events::of(&site, "/queues", &key).await;
        assert_eq!(events.next().await.unwrap().0, "page");
        env.clock.advance(TimeDelta::days(2));
        assert_eq!(events.next().await, Some(("over".to_owned(), String::new())));
        assert_eq!(events.next().await, None);
        let answer = site.get("/live?of=/queues", &key).await;
        assert_eq!((answer.status(), &answer.headers()["location"]), (StatusCode::SEE_OTHER, &"/login".parse().unwrap()));
    }

    async fn nothing_is_looked_at_in_somebodys_place_but_a_live_page(env: Env) {
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Read, Scope::Pii]).await;
        let id = site.tasks.enqueue(&[play(Act::Succeed)]).await.unwrap()[0].id();
        for no_address in ["", "//evil.example/", "http://evil.example/", "tasks", &"/a".repeat(5_000)] {
            let answer = site.get(&format!("/live?of={no_address}"), &key).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{no_address}");
        }
        assert_eq!(site.get("/live", &key).await.status(), StatusCode::BAD_REQUEST);
        for other in ["/campaigns/new", "/tasks/999999", "/nowhere", "/live?of=/tasks", "/login", "/assets/style.css", "/metrics"] {
            let mut events = Events::of(&site, other, &key).await;
            assert_eq!(events.next().await, Some(("over".to_owned(), String::new())), "{other}");
        }
        let shown = site.get(&format!("/tasks/{id}?unmask=true"), &key).await.text().await.unwrap();
        assert!(!shown.contains("data-live"), "each look at people is one in the audit: {shown}");
        assert_eq!(entries(&env).await.iter().filter(|row| row.action == "unmask").count(), 1);
    }
}

async fn watch(width: Width, colours: Colours) {
    let env = Env::sqlite().await;
    let site = Site::start(&env).await;
    let key = site.key(&[Scope::Operate]).await;
    let browser = Browser::start(width, colours).await;
    browser.enter(&site.url, &key, "/tasks").await;

    browser.press("?").await;
    browser.until("the keys are shown", "return document.getElementById('keys').open").await;
    browser.look("keys-of-the-board").await;
    browser.click("#keys form button").await;
    browser.until("they are gone", "return !document.getElementById('keys').open").await;
    browser.press("gq").await;
    browser.on("/queues").await;
    browser.press("/").await;
    browser.on("/tasks").await;
    browser.until("one can write", "return document.activeElement.id === 'q'").await;
    browser.press("gq").await;
    browser.until("in a field keys are letters", "return document.activeElement.value === 'gq'").await;
    browser.on("/tasks").await;

    browser.go(&format!("{}/tasks", site.url)).await;
    browser.until("it is live", "return document.getElementById('live').innerText.includes('live')").await;
    browser.run("window.stays = true").await;
    let id = site.tasks.enqueue(&[play(Act::Succeed)]).await.unwrap()[0].id();
    let listed = format!("return document.querySelector('a[href=\"/tasks/{id}\"]') !== null");
    browser.until("the new task is listed", &listed).await;
    browser.look("live").await;
    browser.type_into("#q", "state:dead").await;
    let taken = browser.run("return document.querySelector('main').dataset.taken").await;
    let next = site.tasks.enqueue(&[play(Act::Succeed)]).await.unwrap()[0].id();
    let mut events = Events::of(&site, "/tasks", &site.key(&[Scope::Read]).await).await;
    events.page_with(&format!("href=\"/tasks/{next}\"")).await;
    assert_eq!(browser.run("return document.querySelector('main').dataset.taken").await, taken);
    assert_eq!(browser.run("return document.querySelector('#q').value").await, "state:dead");
    browser.run("document.querySelector('#q').value = ''; document.activeElement.blur()").await;
    let listed = format!("return document.querySelector('a[href=\"/tasks/{next}\"]') !== null");
    browser.until("what waited for the writer has come", &listed).await;
    assert_eq!(browser.run("return window.stays").await, true, "it is the page that was opened");

    browser.press("?").await;
    browser.click("#keys-switch").await;
    browser.click("#keys form button").await;
    browser.press("gq").await;
    assert_eq!(browser.run("return location.pathname").await, "/tasks", "who does not want keys has none");
    browser.close().await;
}

every_screen! { a_page_is_alive_and_has_keys: watch }
