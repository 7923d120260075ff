//! Calls and search over the API.

use reqwest::StatusCode;
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline_jobs::calls::stats::RefreshCallStats;
use trunkline_platform::testkit::run_job;

use crate::admin::{Site, entries, problem};
use crate::calls_cli::{HER, events};
use crate::harness::{Env, both_engines};
use crate::kept::Keeper;

/// A site that knows three calls, what was said in one of them, and a text.
async fn site(env: &Env) -> Site {
    let keeper = Keeper::new(env).await;
    keeper.tell_and_work(&events()).await;
    keeper.assert_nothing_failed().await;
    run_job(&RefreshCallStats {}, keeper.services.clone(), env.clock.clone()).await.unwrap();
    Site::start(env).await
}

fn all<'v>(page: &'v Value, field: &str) -> Vec<&'v str> {
    page["items"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

fn plus(number: &str) -> String {
    number.replace('+', "%2B")
}

both_engines! {
    async fn calls_are_listed_page_by_page_and_narrowed(env: Env) {
        let site = site(&env).await;
        let key = site.key(&[Scope::Read]).await;
        let first = site.read("/api/v1/calls?limit=2", &key).await;
        assert_eq!(all(&first, "id"), ["AC3", "AC2"]);
        let next = first["next"].as_str().unwrap();
        let second = site.read(&format!("/api/v1/calls?limit=2&cursor={next}"), &key).await;
        assert_eq!((all(&second, "id"), &second["next"]), (vec!["AC1"], &Value::Null));
        let call = &second["items"][0];
        assert_eq!((&call["caller"], &call["transcribed"]), (&json!("+*******0101"), &json!(true)));
        for (asked, expected) in [
            ("status=missed".to_owned(), vec!["AC2"]),
            ("outcome=answered&user=US1".to_owned(), vec!["AC3", "AC1"]),
            (format!("number={}&outcome=missed", plus(HER)), vec!["AC2"]),
            ("user=US2".to_owned(), vec![]),
            (format!("number={}&since=2026-03-02T09:02:00Z", plus(HER)), vec!["AC3", "AC2"]),
            ("until=2026-03-02T09:02:00Z&direction=incoming".to_owned(), vec!["AC1"]),
            ("direction=outgoing".to_owned(), vec![]),
        ] {
            let page = site.read(&format!("/api/v1/calls?{asked}"), &key).await;
            assert_eq!(all(&page, "id"), expected, "{asked}");
        }
        for wrong in ["limit=0", "limit=201", "direction=up", "since=soon", "cursor=x",
            &format!("status=missed&cursor={next}")] {
            let answer = site.get(&format!("/api/v1/calls?{wrong}"), &key).await;
            problem(answer, StatusCode::BAD_REQUEST, "invalid").await;
        }
    }

    async fn a_call_is_shown_with_what_was_said_to_who_may_see_it_and_that_is_in_the_audit(env: Env) {
        let site = site(&env).await;
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let masked = site.read("/api/v1/calls/AC1", &read).await;
        assert_eq!(masked["dialogue"][1]["number"], "+*******0101");
        assert_eq!((&masked["transcript_status"], &masked["dialogue"][1]["start"]), (&json!("completed"), &json!(62.0)));
        let text = masked.to_string();
        assert!(!text.contains("heater") && !text.contains("technician") && !text.contains("1212555"), "{text}");
        let answer = site.get("/api/v1/calls/AC1?unmask=true", &read).await;
        problem(answer, StatusCode::FORBIDDEN, "forbidden").await;
        let before = entries(&env).await.len();
        let shown = site.read("/api/v1/calls/AC1?unmask=true", &pii).await;
        assert_eq!(shown["dialogue"][1]["text"], "My heater is out.");
        assert_eq!((&shown["summary"][0], &shown["next_steps"][0]), (&json!("The heater stopped."), &json!("Book a technician.")));
        assert_eq!((&shown["caller"], &shown["insights"]["jobs"][0]["name"]), (&json!(HER), &json!("Urgency")));
        let entries = entries(&env).await;
        assert_eq!(entries.len(), before + 1);
        let entry = entries.last().unwrap();
        assert_eq!((entry.action.as_str(), entry.subject.as_str()), ("unmask", "call:AC1"));
        let answer = site.get("/api/v1/calls/AC9?unmask=true", &pii).await;
        problem(answer, StatusCode::NOT_FOUND, "not_found").await;
    }

    async fn figures_on_calls_are_told_for_a_range_and_by_what_is_asked_for(env: Env) {
        let site = site(&env).await;
        let key = site.key(&[Scope::Read]).await;
        let usual = site.read("/api/v1/calls/stats", &key).await;
        assert_eq!((&usual["from"], &usual["to"], &usual["timezone"]), (&json!("2026-02-01"), &json!("2026-03-02"), &json!("UTC")));
        assert_eq!((&usual["total"]["calls"], &usual["total"]["missed"], &usual["groups"]), (&json!(3), &json!(1), &json!([])));
        assert_eq!((&usual["total"]["median_ms"], usual.get("hours")), (&json!(42_000), None));
        let days = site.read("/api/v1/calls/stats?by=day&from=2026-03-01&to=2026-03-02", &key).await;
        let counted: Vec<_> = days["groups"].as_array().unwrap().iter().map(|day| (&day["name"], &day["calls"])).collect();
        assert_eq!(counted, [(&json!("2026-03-01"), &json!(0)), (&json!("2026-03-02"), &json!(3))]);
        let numbers = site.read("/api/v1/calls/stats?by=number", &key).await;
        assert_eq!((&numbers["groups"][0]["name"], &numbers["groups"][0]["dialled"]), (&json!("PN1"), &json!("+*******0199")));
        let hours = site.read("/api/v1/calls/stats?by=hour", &key).await;
        assert_eq!((hours["hours"].as_array().unwrap().len(), &hours["hours"][9]["calls"]), (168, &json!(3)));
        for wrong in ["by=mood", "from=soon", "from=2026-03-02&to=2026-03-01", "number=%2B19999999999",
            "by=day&from=2020-01-01"] {
            let answer = site.get(&format!("/api/v1/calls/stats?{wrong}"), &key).await;
            problem(answer, StatusCode::BAD_REQUEST, "invalid").await;
        }
    }

    async fn what_is_found_comes_in_pieces_masked_unless_somebody_may_see_it(env: Env) {
        let site = site(&env).await;
        let (read, pii) = (site.key(&[Scope::Read]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let masked = site.read("/api/v1/search?q=heater", &read).await;
        let mut kinds = all(&masked, "kind");
        kinds.sort_unstable();
        assert_eq!(kinds, ["message", "summary", "transcript"]);
        let text = masked.to_string();
        assert!(!text.contains("eater") && !text.contains("1212555"), "{text}");
        let answer = site.get("/api/v1/search?q=heater&unmask=true", &read).await;
        problem(answer, StatusCode::FORBIDDEN, "forbidden").await;

        let said = "/api/v1/search?q=%22heater+is+out%22&speaker=them&kind=transcript&kind=summary&unmask=true";
        let found = site.read(said, &pii).await;
        let hit = &found["items"][0];
        assert_eq!(hit["snippet"]["pieces"], json!([{"text": "My ", "hit": false}, {"text": "heater is out", "hit": true},
            {"text": ".", "hit": false}]));
        assert_eq!((&hit["id"], &hit["start"], &hit["side"], &hit["speaker"]),
            (&json!("AC1"), &json!(62.0), &json!("theirs"), &json!(HER)));
        let entry = entries(&env).await.pop().unwrap();
        assert_eq!((entry.action.as_str(), entry.subject.as_str()), ("unmask", "search"));
        for (asked, expected) in [
            (format!("number={}&newest=true", plus(HER)), vec!["MS1", "AC1", "AC1"]),
            ("q=heater&kind=message".to_owned(), vec!["MS1"]),
            ("q=tech*".to_owned(), vec!["AC1"]),
            ("q=heater&until=2026-03-02T09:05:00Z&kind=message".to_owned(), vec![]),
            ("q=nowhere".to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            let page = site.read(&format!("/api/v1/search?{asked}"), &read).await;
            assert_eq!(all(&page, "id"), expected, "{asked}");
        }
    }

    async fn a_search_goes_on_from_its_cursor_and_another_search_does_not(env: Env) {
        let site = site(&env).await;
        let key = site.key(&[Scope::Read]).await;
        let (mut path, mut found) = ("/api/v1/search?q=heater&newest=true&limit=1".to_owned(), Vec::new());
        let first = site.read(&path, &key).await["next"].as_str().unwrap().to_owned();
        loop {
            let page = site.read(&path, &key).await;
            found.extend(all(&page, "id").into_iter().map(str::to_owned));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/api/v1/search?q=heater&newest=true&limit=1&cursor={next}");
        }
        assert_eq!(found, ["MS1", "AC1", "AC1"]);
        let long = "word ".repeat(600);
        for wrong in [format!("q=heaters&newest=true&cursor={first}"), format!("q=heater&cursor={first}"),
            format!("q=heater&newest=true&kind=message&cursor={first}"), "q=heater&cursor=1.0".to_owned(),
            "kind=fax".to_owned(), "limit=101".to_owned(), format!("q={long}")] {
            let answer = site.get(&format!("/api/v1/search?{wrong}"), &key).await;
            problem(answer, StatusCode::BAD_REQUEST, "invalid").await;
        }
    }
}
