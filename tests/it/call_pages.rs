//! Calls on their pages, as HTTP and in a real browser: found, counted, read and listened to.

use reqwest::StatusCode;
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline_jobs::calls::stats::RefreshCallStats;
use trunkline_platform::testkit::run_job;

use crate::admin::{Site, entries};
use crate::calls_cli::{HER, events};
use crate::dashboard::page;
use crate::harness::browser::{Browser, Colours, Width, every_screen};
use crate::harness::{Env, both_engines};
use crate::kept::Keeper;
use crate::listening::{CALL, voicemail, with_recordings};

/// What would be a page of its own if it were not shown as text.
const BAD: &str = "</li><script>alert(1)</script><img src=x onerror=alert(1)>\"'";

/// A site that knows three calls, what was said in one of them, and a text.
async fn site(env: &Env) -> Site {
    let keeper = Keeper::new(env).await;
    keeper.tell_and_work(&events()).await;
    count(env, &keeper).await;
    Site::start(env).await
}

async fn count(env: &Env, keeper: &Keeper<'_>) {
    keeper.assert_nothing_failed().await;
    run_job(&RefreshCallStats {}, keeper.services.clone(), env.clock.clone()).await.unwrap();
}

fn transcript(call: &str, dialogue: &Value) -> String {
    json!({"id": format!("EVT{call}"), "apiVersion": "2026-03-30", "type": "call.transcript.completed",
        "createdAt": "2026-03-02T09:06:00Z",
        "data": {"resource": {"callId": call, "processingStatus": "completed", "dialogue": dialogue}}})
    .to_string()
}

fn summary(call: &str, summary: &str) -> String {
    json!({"id": format!("EVS{call}"), "apiVersion": "2026-03-30", "type": "call.summary.completed",
        "createdAt": "2026-03-02T09:07:00Z",
        "data": {"resource": {"callId": call, "processingStatus": "completed", "summary": [summary],
            "nextSteps": [summary], "jobs": [{"name": summary}]}}})
    .to_string()
}

/// The link that says so.
fn link(page: &str, says: &str) -> String {
    let before = page.split(says).next().unwrap();
    before.rsplit("href=\"").next().unwrap().split('"').next().unwrap().replace("&amp;", "&")
}

both_engines! {
    async fn calls_are_listed_narrowed_and_masked(env: Env) {
        let site = site(&env).await;
        let key = site.key(&[Scope::Read, Scope::Pii]).await;
        let list = page(&site, "/calls", &key).await;
        let places: Vec<usize> = ["AC3", "AC2", "AC1"].iter()
            .map(|id| list.find(&format!("href=\"/calls/{id}\"")).unwrap()).collect();
        assert!(places.is_sorted(), "the newest first: {list}");
        assert!(list.contains("+*******0101") && list.contains("0:42") && list.contains("transcript, summary"), "{list}");
        assert!(list.contains("Mon 2026-03-02 09:01") && !list.contains("1212555"), "{list}");
        for (query, expected) in [
            ("outcome=missed", vec!["AC2"]),
            ("status=answered&until=2026-03-02T09:02:00Z", vec!["AC1"]),
            ("number=(212)+555-0101&since=2026-03-02T09:02:00Z&direction=incoming", vec!["AC3", "AC2"]),
            ("user=US1", vec!["AC3", "AC2", "AC1"]),
            ("user=US9", vec![]),
            ("direction=outgoing", vec![]),
            ("before=2026-03-02T09:03:00.000000Z%2CAC3", vec!["AC2", "AC1"]),
        ] {
            let told = page(&site, &format!("/calls?{query}"), &key).await;
            let found: Vec<&str> = ["AC3", "AC2", "AC1"].into_iter()
                .filter(|id| told.contains(&format!("href=\"/calls/{id}\""))).collect();
            assert_eq!(found, expected, "{query}");
            if !query.starts_with("before") {
                let query = query.replace("(212)+555-0101", "%2B12125550101");
                let api = site.read(&format!("/api/v1/calls?{query}"), &key).await;
                assert_eq!(api["items"].as_array().unwrap().len(), expected.len(), "{query}");
            }
        }
        for wrong in ["since=soon", "until=x"] {
            assert!(page(&site, &format!("/calls?{wrong}"), &key).await.contains("is no time"), "{wrong}");
        }
        assert!(page(&site, "/calls?before=AC1", &key).await.contains("is no place in the list"));
    }

    async fn pages_of_calls_follow_one_another(env: Env) {
        let keeper = Keeper::new(&env).await;
        let call = |at: u32| json!({"id": format!("EV{at}"), "apiVersion": "2026-03-30", "type": "call.completed",
            "createdAt": "2026-03-02T09:00:00Z", "data": {"resource": {"id": format!("AC{at:02}"), "direction": "incoming",
                "from": HER, "to": "+12125550199", "status": "missed", "createdAt": "2026-03-02T08:00:00Z",
                "completedAt": "2026-03-02T08:00:00Z"}}}).to_string();
        keeper.tell_and_work(&(0..60).map(call).collect::<Vec<_>>()).await;
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Read]).await;
        let first = page(&site, "/calls?outcome=missed", &key).await;
        assert_eq!(first.matches("href=\"/calls/AC").count(), 50);
        let second = page(&site, &link(&first, ">Next page"), &key).await;
        assert_eq!(second.matches("href=\"/calls/AC").count(), 10);
        assert!(!second.contains("Next page") && second.contains("href=\"/calls/AC00\""), "{second}");
    }

    async fn a_call_is_told_whole_to_who_may_see_it_and_that_is_in_the_audit(env: Env) {
        let site = site(&env).await;
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let masked = page(&site, "/calls/AC1", &read).await;
        for part in ["0:42", "answered", "+*******0101", "[17 chars]", "1:02", "What was said", "Next steps"] {
            assert!(masked.contains(part), "{part}: {masked}");
        }
        for secret in ["heater", "technician", "1212555", "Show numbers", "<audio"] {
            assert!(!masked.contains(secret), "{secret}: {masked}");
        }
        assert_eq!(site.get("/calls/AC1?unmask=true", &read).await.status(), StatusCode::FORBIDDEN);
        let before = entries(&env).await.len();
        assert!(page(&site, "/calls/AC1", &pii).await.contains("/calls/AC1?unmask=true"));
        assert_eq!(entries(&env).await.len(), before);
        let shown = page(&site, "/calls/AC1?unmask=true", &pii).await;
        for part in [HER, "My heater is out.", "The heater stopped.", "Book a technician.", "Urgency"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let entry = entries(&env).await.pop().unwrap();
        assert_eq!((entry.action.as_str(), entry.subject.as_str()), ("unmask", "call:AC1"));
        for missing in ["/calls/AC9", "/calls/AC9?unmask=true", "/calls/%00", "/calls/%27"] {
            assert_eq!(site.get(missing, &pii).await.status(), StatusCode::NOT_FOUND, "{missing}");
        }
        assert_eq!(entries(&env).await.len(), before + 1);
    }

    async fn what_was_said_leads_to_its_moment_in_the_recording_for_who_may_listen(env: Env) {
        let site = with_recordings(&env).await;
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&[transcript(CALL, &json!([{"userId": "US1", "content": "Hello.", "start": 0.5},
            {"identifier": HER, "content": "My heater is out.", "start": 45.25}]))]).await;
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let told = page(&site, &format!("/calls/{CALL}"), &read).await;
        assert!(told.contains("0:45") && !told.contains("at=45"), "no link without a player: {told}");
        let told = page(&site, &format!("/calls/{CALL}"), &pii).await;
        assert!(!told.contains("autoplay") && told.matches("<audio").count() == 2, "{told}");
        let to = link(&told, "aria-label=\"Listen from 0:45\"");
        assert_eq!(to, format!("/calls/{CALL}?at=45.25#said-1"));
        let there = page(&site, to.split('#').next().unwrap(), &pii).await;
        assert!(there.contains("content?redirect=false#t=45.2\"") && there.matches("autoplay").count() == 1, "{there}");
        for odd in ["NaN", "inf", "-5", "x", "1e400"] {
            page(&site, &format!("/calls/{CALL}?at={odd}"), &pii).await;
        }
    }

    async fn what_was_written_and_said_is_found_and_masked_unless_somebody_may_see_it(env: Env) {
        let site = site(&env).await;
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let masked = page(&site, "/calls/search?q=heater", &read).await;
        assert_eq!(masked.matches("<mark>").count(), 3, "{masked}");
        assert!(masked.contains("<mark>[6 chars]</mark>") && masked.contains("/calls/AC1?at=62"), "{masked}");
        for secret in ["My ", "again", "1212555", "Show numbers"] {
            assert!(!masked.contains(secret), "{secret}: {masked}");
        }
        assert_eq!(site.get("/calls/search?q=heater&unmask=true", &read).await.status(), StatusCode::FORBIDDEN);
        let offered = page(&site, "/calls/search?q=heater&kind=transcript", &pii).await;
        assert_eq!(offered.matches("<mark>").count(), 1, "{offered}");
        let before = entries(&env).await.len();
        let shown = page(&site, &link(&offered, ">Show numbers"), &pii).await;
        assert!(shown.contains("My <mark>heater</mark> is out.") && shown.contains(HER), "{shown}");
        let entry = entries(&env).await.pop().unwrap();
        assert_eq!((entry.action.as_str(), entry.subject.as_str()), ("unmask", "search"));
        page(&site, "/calls/search?unmask=true", &pii).await;
        assert_eq!(entries(&env).await.len(), before + 1, "an empty search shows nobody");
        for (query, expected) in [
            ("q=%22heater+is+out%22", 1), ("q=tech*", 1), ("q=nowhere", 0), ("conversation=CN1&order=newest", 3),
            ("q=heater&until=2026-03-02T09:05:00Z&kind=message", 0), ("number=(212)+555-0101&kind=message", 1), ("", 0),
        ] {
            let told = page(&site, &format!("/calls/search?{query}"), &read).await;
            assert_eq!(told.matches("class=\"said\"").count(), expected, "{query}: {told}");
        }
        let long = format!("q={}", "word+".repeat(600));
        for (wrong, says) in [("q=x&kind=letter", "no kind"), ("q=x&since=soon", "no time"), ("q=x&after=x", "no place"),
            (long.as_str(), "too long")] {
            assert!(page(&site, &format!("/calls/search?{wrong}"), &read).await.contains(says), "{wrong}");
        }
    }

    async fn figures_are_told_for_a_range_by_number_and_period_and_by_the_hours_of_a_week(env: Env) {
        let site = site(&env).await;
        let key = site.key(&[Scope::Read]).await;
        let told = page(&site, "/calls/figures", &key).await;
        for part in ["2026-02-01 to 2026-03-02", "33.3%", "42s", "Busiest: Monday from 09:00, 3 calls, 1 of them missed",
            "class=\"h5\"", "+*******0199", "/calls?outcome=missed&amp;since=2026-02-01T00%3A00%3A00Z&amp;until=2026-03-03"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("1212555") && !told.contains(" style="), "{told}");
        let missed = page(&site, &link(&told, ">missed<"), &key).await;
        assert_eq!(missed.matches("href=\"/calls/AC").count(), 1, "{missed}");
        let days = page(&site, "/calls/figures?by=day&from=2026-03-01&to=2026-03-02&number=%2B12125550199", &key).await;
        assert!(days.contains("<td>2026-03-01</td>") && days.contains("<td>2026-03-02</td>"), "{days}");
        let none = page(&site, "/calls/figures?user=US9", &key).await;
        assert!(none.contains("It never rang") && none.contains("There are no calls"), "{none}");
        for (wrong, says) in [("from=soon", "is no day"), ("from=2026-03-02&to=2026-03-01", "comes first"),
            ("number=%2B19999999999", "no call was ever on a line"), ("by=day&from=2020-01-01", "more than 400")] {
            assert!(page(&site, &format!("/calls/figures?{wrong}"), &key).await.contains(says), "{wrong}");
        }
        assert_eq!(site.get("/calls/figures", "").await.headers()["location"], "/login");
    }

    async fn a_voicemail_is_listened_to_on_the_page_of_its_call_by_who_may(env: Env) {
        let site = with_recordings(&env).await;
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&[voicemail().await]).await;
        keeper.assert_nothing_failed().await;
        let path = format!("/calls/{CALL}");
        let players = async |scopes: &[Scope]| {
            let told = page(&site, &path, &site.key(scopes).await).await;
            let (_, left) = told.split_once("Voicemail").unwrap();
            left.matches("<audio").count()
        };
        assert_eq!(players(&[Scope::Read]).await, 0);
        assert_eq!(players(&[Scope::Read, Scope::Pii]).await, 1);
    }

    async fn nothing_that_was_said_in_a_call_is_taken_for_a_page(env: Env) {
        let keeper = Keeper::new(&env).await;
        let id = format!("AC{BAD}");
        let call = json!({"id": "EV1", "apiVersion": "2026-03-30", "type": "call.completed", "createdAt": "2026-03-02T09:00:00Z",
            "data": {"resource": {"id": id, "direction": "incoming", "from": HER, "to": BAD, "status": BAD,
                "answeredBy": BAD, "createdAt": "2026-03-02T08:00:00Z", "completedAt": "2026-03-02T08:00:00Z", "duration": 5},
                "context": {"phoneNumberId": BAD, "conversationId": BAD, "userId": BAD}}});
        let said = json!([{"userId": BAD, "content": BAD, "start": 1.0}, {"identifier": BAD, "content": BAD}]);
        keeper.tell_and_work(&[call.to_string(), transcript(&id, &said), summary(&id, BAD)]).await;
        count(&env, &keeper).await;
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Admin, Scope::Pii]).await;
        let list = page(&site, "/calls", &key).await;
        let place = link(&list, "<time datetime=\"2026-03-02T08:00:00.000Z\"");
        assert!(place.starts_with("/calls/AC%3C%2Fli%3E%3Cscript"), "{place}");
        let escaped: String = url::form_urlencoded::byte_serialize(BAD.as_bytes()).collect();
        for path in ["/calls".to_owned(), place.clone(), format!("{place}?unmask=true&at={escaped}"), "/calls/figures?by=user".to_owned(),
            "/calls/figures".to_owned(), format!("/calls/figures?from={escaped}&number={escaped}&user={escaped}&by={escaped}"),
            format!("/calls?number={escaped}&user={escaped}&status={escaped}&outcome={escaped}"), format!("/calls?since={escaped}"),
            "/calls/search?q=alert&unmask=true".to_owned(), format!("/calls/search?q={escaped}&conversation={escaped}"),
            format!("/calls/search?kind={escaped}")] {
            let answer = site.get(&path, &key).await;
            let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
            assert!(policy.contains("default-src 'none'"), "{policy}");
            let (status, told) = (answer.status(), answer.text().await.unwrap());
            assert_eq!(status, StatusCode::OK, "{path}: {told}");
            for tag in ["<script>alert", "<img", "</li><script"] {
                assert!(!told.contains(tag), "{path}: {told}");
            }
        }
        let found = page(&site, "/calls/search?q=alert&unmask=true", &key).await;
        assert!(found.contains("&lt;script&gt;<mark>alert</mark>(1)"), "{found}");
    }
}

/// From a word that somebody remembers to the moment at which it was said.
async fn listen(width: Width, colours: Colours) {
    let env = Env::sqlite().await;
    let site = with_recordings(&env).await;
    let keeper = Keeper::new(&env).await;
    let line = |at: u32| {
        let who = if at.is_multiple_of(10) { json!({"userId": "US1"}) } else { json!({"identifier": HER}) };
        let mut line = json!({"content": format!("This is what was said at second {at}, and a little more."), "start": at});
        line.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        line
    };
    let mut dialogue: Vec<Value> = (0..12).map(|at| line(at * 5)).collect();
    dialogue[9]["content"] = json!("My heater is out of order again.");
    keeper.tell_and_work(&events()).await;
    let told =
        [transcript(CALL, &json!(dialogue)), summary(CALL, "She calls about her boiler."), voicemail().await];
    keeper.tell_and_work(&told).await;
    count(&env, &keeper).await;
    let key = site.key(&[Scope::Read, Scope::Pii]).await;
    let browser = Browser::start(width, colours).await;
    browser.enter(&site.url, &key, "/calls").await;
    browser.look("calls").await;
    browser.type_into("#q", "\"out of order\"").await;
    browser.click("form[role=search] button").await;
    browser.on("/calls/search").await;
    assert_eq!(browser.run("return document.querySelectorAll('main mark').length").await, json!(1));
    browser.look("calls-search-masked").await;
    browser.click("main p a[href*='unmask=true']").await;
    browser.until("people are shown", "return document.body.innerText.includes('My heater is')").await;
    browser.look("calls-search").await;
    browser.click("ol.entries a").await;
    browser.on(&format!("/calls/{CALL}")).await;
    let player = "const player = document.querySelector('section.player audio'); ";
    browser
        .until(
            "it begins at the moment",
            &format!("{player}return player.readyState >= 1 && player.currentTime >= 45"),
        )
        .await;
    browser.look("call-at-a-moment").await;
    browser.click("main p a[href*='unmask=true']").await;
    browser.until("people are shown", "return document.body.innerText.includes('boiler')").await;
    browser.look("call-shown").await;
    browser.click("a[aria-label='Listen from 0:30']").await;
    browser
        .until(
            "it begins there",
            &format!("{player}return player.readyState >= 1 && Math.abs(player.currentTime - 30) < 10"),
        )
        .await;
    browser.until("it plays", &format!("{player}return !player.paused && player.currentTime > 30")).await;
    let in_sight = "const box = document.querySelector('li:target').getBoundingClientRect(); \
        const above = document.querySelector('section.player').getBoundingClientRect(); \
        return box.top >= above.bottom && box.bottom <= window.innerHeight";
    browser.until("the line is beside its player", in_sight).await;
    browser.look("call-line").await;
    browser.go(&format!("{}/calls/figures", site.url)).await;
    browser.on("/calls/figures").await;
    browser.look("calls-figures").await;
    let fits =
        "return document.querySelector('.heat').scrollWidth <= document.querySelector('main').clientWidth";
    assert_eq!(browser.run(fits).await, json!(true));
    browser.run("document.querySelector('.heat').scrollIntoView()").await;
    browser.look("calls-heat").await;
    browser.close().await;
}

every_screen! { somebody_finds_what_was_said_and_hears_it: listen }
