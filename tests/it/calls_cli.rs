//! `trunkline calls` and `trunkline search` as an operator runs them.

use serde_json::{Value, json};

use crate::harness::{Env, Program, both_engines};
use crate::kept::Keeper;

const US: &str = "+12125550199";
pub(crate) const HER: &str = "+12125550101";

fn told(kind: &str, minute: u32, resource: &Value) -> String {
    let at = format!("2026-03-02T09:{minute:02}:00Z");
    json!({"id": format!("EV{kind}{minute}"), "apiVersion": "2026-03-30", "type": kind, "createdAt": at,
        "data": {"resource": resource, "context": {"phoneNumberId": "PN1", "conversationId": "CN1", "userId": "US1",
            "participants": {"workspace": [US], "external": [HER]}}}})
    .to_string()
}

pub(crate) fn events() -> Vec<String> {
    let call = |id: &str, minute: u32, status: &str| {
        let at = format!("2026-03-02T09:{minute:02}:00Z");
        told(
            "call.completed",
            minute,
            &json!({"id": id, "direction": "incoming", "from": HER, "to": US,
            "status": status, "createdAt": at, "completedAt": at, "duration": 42}),
        )
    };
    vec![
        call("AC1", 1, "answered"),
        call("AC2", 2, "missed"),
        call("AC3", 3, "answered"),
        told(
            "call.transcript.completed",
            4,
            &json!({"callId": "AC1", "processingStatus": "completed", "dialogue": [
            {"userId": "US1", "content": "How can I help?", "start": 0.5, "end": 2.0},
            {"identifier": HER, "content": "My heater is out.", "start": 62.0, "end": 64.0}]}),
        ),
        told(
            "call.summary.completed",
            5,
            &json!({"callId": "AC1", "processingStatus": "completed",
            "summary": ["The heater stopped."], "nextSteps": ["Book a technician."],
            "jobs": [{"name": "Urgency", "result": {"data": [{"name": "level", "value": "high"}]}}]}),
        ),
        told(
            "message.received",
            6,
            &json!({"id": "MS1", "direction": "incoming", "from": HER, "to": [US],
            "text": "Heater again", "status": "received", "createdAt": "2026-03-02T09:06:00Z"}),
        ),
    ]
}

fn run(program: &Program, words: &[&str]) -> Value {
    let text = program.run(&[words, &["--json"]].concat()).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

fn ids(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

both_engines! {
    async fn calls_are_listed_shown_and_searched(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&events()).await;
        keeper.assert_nothing_failed().await;
        let program = Program::new(&env, &["serve"]);

        let page = run(&program, &["calls", "list", "--limit", "2"]);
        assert_eq!(ids(&page["calls"], "id"), ["AC3", "AC2"]);
        let next = page["next"].as_str().unwrap();
        let page = run(&program, &["calls", "list", "--limit", "2", "--after", next]);
        assert_eq!((ids(&page["calls"], "id"), &page["next"]), (vec!["AC1".to_owned()], &Value::Null));
        assert_eq!((&page["calls"][0]["transcribed"], &page["calls"][0]["caller"]), (&json!(true), &json!("+*******0101")));
        for (words, expected) in [
            (vec!["--status", "missed"], vec!["AC2"]),
            (vec!["--outcome", "answered", "--user", "US1"], vec!["AC3", "AC1"]),
            (vec!["--number", HER, "--since", "2026-03-02T09:02:00Z"], vec!["AC3", "AC2"]),
            (vec!["--until", "2026-03-02T09:02:00Z", "--direction", "incoming"], vec!["AC1"]),
            (vec!["--number", "+10000000000"], vec![]),
            (vec!["--direction", "outgoing"], vec![]),
        ] {
            let page = run(&program, &[vec!["calls", "list"], words.clone()].concat());
            assert_eq!(ids(&page["calls"], "id"), expected, "{words:?}");
        }

        let text = program.run(&["calls", "show", "AC1"]).unwrap();
        assert!(text.contains("1:02  +*******0101: [17 chars]"), "{text}");
        assert!(!text.contains("heater") && !text.contains("1212555"), "{text}");
        let text = program.run(&["calls", "show", "AC1", "--unmask"]).unwrap();
        assert!(text.contains("0:00  US1: How can I help?") && text.contains("1:02  +12125550101: My heater is out."), "{text}");
        assert!(text.contains("Book a technician."), "{text}");
        let shown = run(&program, &["calls", "show", "AC1", "--unmask"]);
        assert_eq!(shown["insights"]["jobs"][0]["name"], "Urgency");
        assert_eq!(shown["dialogue"][1]["start"], 62.0);
        let shown = run(&program, &["calls", "show", "AC1"]).to_string();
        assert!(!shown.contains("heater") && !shown.contains("1212555"), "{shown}");
        assert!(program.run(&["calls", "show", "AC9"]).unwrap_err().to_string().contains("there is no call AC9"));

        let page = run(&program, &["search", "heater"]);
        assert_eq!(ids(&page["hits"], "kind").len(), 3);
        assert!(!page.to_string().contains("eater") && !page.to_string().contains("1212555"), "{page}");
        let page = run(&program, &["calls", "search", "heater is out", "--speaker", "them", "--unmask"]);
        assert_eq!(page["hits"][0]["snippet"]["pieces"][1], json!({"text": "heater is out", "hit": true}));
        let text = program.run(&["calls", "search", "tech*", "--unmask"]).unwrap();
        assert!(text.contains("Book a «technician»."), "{text}");
        let first = run(&program, &["search", "heater", "--limit", "1", "--newest"]);
        let next = first["next"].as_str().unwrap();
        let second = run(&program, &["search", "heater", "--limit", "1", "--newest", "--after", next]);
        assert_eq!((&first["hits"][0]["id"], &second["hits"][0]["id"]), (&json!("MS1"), &json!("AC1")));
        assert_eq!(program.run(&["search", "nowhere"]).unwrap(), "nothing found\n");
        for (words, expected) in [
            (vec!["search", "x", "--after", "there"], "no place in a search"),
            (vec!["calls", "search", "x", "--kind", "message"], "calls have no messages"),
            (vec!["search", "x", "--since", "soon"], "no time"),
            (vec!["calls", "list", "--after", "there"], "no place in the list"),
        ] {
            let refused = program.run(&words).unwrap_err().to_string();
            assert!(refused.contains(expected), "{words:?}: {refused}");
        }
    }
}
