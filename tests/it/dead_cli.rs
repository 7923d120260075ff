//! `trunkline dead` and `trunkline jobs` as an operator runs them.

use serde_json::{Value, json};

use crate::harness::{Env, Program, both_engines, until};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

fn run(program: &Program, words: &[&str]) -> Value {
    json_of(&program.run(&[words, &["--json"]].concat()).unwrap())
}

/// What a command that is refused says.
fn refused(program: &Program, words: &[&str]) -> String {
    program.run(words).unwrap_err().to_string()
}

/// Enqueues jobs about events that are not there, which die of it.
async fn die(program: &Program, events: std::ops::Range<u32>) -> Vec<String> {
    let before = run(program, &["dead", "list"])["dead"].as_array().unwrap().len();
    let mut ids = Vec::new();
    for event in events {
        let payload = json!({"event": event}).to_string();
        let words = ["jobs", "enqueue", "message.received", "--by", "ana", "--payload", &payload];
        ids.push(run(program, &words)["id"].to_string());
    }
    until("they have died", async || {
        run(program, &["dead", "list"])["dead"].as_array().unwrap().len() == before + ids.len()
    })
    .await;
    ids
}

both_engines! {
    async fn dead_letters_are_looked_at_retried_edited_and_discarded(env: Env) {
        let mut program = Program::new(&env, &["serve"]).set("USER", "ana");
        program.start().await.unwrap();
        let ids = die(&program, 901..904).await;

        let groups = run(&program, &["dead", "groups"]);
        assert_eq!((groups.as_array().unwrap().len(), &groups[0]["count"]), (1, &json!(3)));
        assert!(groups[0]["error"].as_str().unwrap().starts_with("event <n> was never stored"), "{groups:?}");
        let fingerprint = groups[0]["fingerprint"].as_str().unwrap().to_owned();
        let page = run(&program, &["dead", "list", "--fingerprint", &fingerprint, "--limit", "2"]);
        assert_eq!(page["dead"].as_array().unwrap().len(), 2);
        let next = page["next"].as_str().unwrap();
        let page = run(&program, &["dead", "list", "--limit", "2", "--after", next]);
        assert_eq!((page["dead"].as_array().unwrap().len(), &page["next"]), (1, &Value::Null));
        let shown = run(&program, &["dead", "show", &ids[0]]);
        assert_eq!((&shown["payload"], &shown["group"]["count"]), (&json!({"event": 901}), &json!(3)));
        assert!(program.run(&["dead", "show", &ids[0]]).unwrap().contains("event 901 was never stored"));

        let would = run(&program, &["dead", "discard", "--error", "was never", "--dry-run"]);
        assert_eq!(would["done"].as_array().unwrap().len(), 3);
        let edited = run(&program, &["dead", "edit", &ids[0], "--change", "/event=905", "--reason", "a typo"]);
        assert_eq!(edited["edited"][0]["changes"], json!([{"pointer": "/event", "before": 901, "after": 905}]));
        until("the edited one has died again", async || {
            run(&program, &["dead", "list", "--error", "event 905"])["dead"].as_array().unwrap().len() == 1
        })
        .await;
        let acts = run(&program, &["audit", "list", "--action", "task.edit"]);
        assert_eq!((&acts[0]["actor"], &acts[0]["reason"]), (&json!("operator:ana"), &json!("a typo")));
        let discarded = run(&program, &["dead", "discard", &ids[0], &ids[1]]);
        assert_eq!(discarded["done"].as_array().unwrap().len(), 2);
        let told = program.run(&["dead", "retry", "--kind", "message.received", "--dry-run"]).unwrap();
        assert_eq!(told, format!("task {0} would be retried\n1 would be retried, 0 refused\n", ids[2]));

        for (words, expected) in [
            (vec!["dead", "retry"], "--fingerprint"),
            (vec!["dead", "retry", "1", "--all"], "do not go together"),
            (vec!["dead", "edit", &ids[2]], "--payload"),
            (vec!["dead", "edit", &ids[2], "--change", "event=7"], "/place/in/payload=VALUE"),
            (vec!["dead", "show", &ids[0]], "is discarded and no dead letter"),
            (vec!["dead", "show", "999999"], "there is no task 999999"),
            (vec!["dead", "list", "--since", "yesterday"], "no time"),
        ] {
            let told = refused(&program, &words);
            assert!(told.contains(expected), "{words:?}: {told}");
        }
        // Refusals of single tasks are part of the answer; the exit code tells that there were some.
        assert!(program.run(&["dead", "retry", &ids[0]]).is_err());
        assert!(program.run(&["dead", "edit", &ids[2], "--payload", "{}"]).is_err());
        assert!(program.run(&["dead", "skip", &ids[2]]).is_err(), "it is in no line");
        program.stop().await.unwrap();
    }

    async fn a_replay_that_fails_again_ends_with_its_own_exit_code(env: Env) {
        let mut program = Program::new(&env, &["serve"]).set("USER", "ana");
        program.start().await.unwrap();
        die(&program, 901..904).await;
        let would = run(&program, &["dead", "replay", "--kind", "message.received", "--dry-run"]);
        assert_eq!((&would["retried"], &would["refused"]), (&json!(3), &json!(0)));
        let told = refused(&program, &["dead", "replay", "--kind", "message.received"]);
        assert!(told.contains("ended with 3:") && told.contains("1 retried"), "{told}");
        until("it is dead again", async || run(&program, &["dead", "groups"])[0]["count"] == 3).await;
        assert!(refused(&program, &["dead", "replay"]).contains("--fingerprint"));
        assert!(refused(&program, &["dead", "replay", "--all", "--pace", "fast"]).contains("20/s"));
        program.stop().await.unwrap();
    }

    async fn a_job_is_enqueued_by_hand_when_its_payload_fits(env: Env) {
        let program = Program::new(&env, &["serve"]).set("USER", "ana");
        let listed = run(&program, &["jobs", "list"]);
        assert!(listed.as_array().unwrap().iter().any(|job| job["name"] == "media.download" && job["queue"] == "media"));
        let schema = json_of(&program.run(&["jobs", "schema", "message.received"]).unwrap());
        assert!(schema["properties"]["event"].is_object(), "{schema}");

        let enqueue = |words: &[&str]| program.run(&[&["jobs", "enqueue", "message.received"], words].concat());
        for (payload, expected) in [
            (r#"{"event": "seven"}"#, "/event: expected a whole number"),
            ("{}", "/event: expected a whole number, and nothing is there"),
            (r#"{"event": 7, "evnt": 8}"#, "/evnt: expected no such field; there are event"),
            ("seven", "@FILE"),
        ] {
            let told = enqueue(&["--payload", payload]).unwrap_err().to_string();
            assert!(told.contains(expected), "{payload}: {told}");
        }
        assert!(refused(&program, &["jobs", "enqueue", "no.job", "--payload", "{}"]).contains("trunkline jobs list"));
        let told = enqueue(&["--payload", r#"{"event": 7}"#, "--at", "soon"]).unwrap_err().to_string();
        assert!(told.contains("2026-03-02T09:00:00Z"), "{told}");

        let would = json_of(&enqueue(&["--payload", r#"{"event": 7}"#, "--in", "5m", "--dry-run"]).unwrap());
        assert_eq!((&would["dry_run"], &would["payload"]), (&json!(true), &json!({"event": 7})));
        assert_eq!(run(&program, &["tasks", "list"]), json!([]));

        let file = env.folder().join("payload.json");
        std::fs::write(&file, r#"{"event": 7}"#).unwrap();
        let from_file = format!("@{}", file.display());
        let words = ["--payload", &from_file, "--in", "1h", "--priority", "low", "--unique-key", "k", "--json"];
        let first = json_of(&enqueue(&words).unwrap());
        assert_eq!(first["outcome"], "new");
        let second = json_of(&enqueue(&words).unwrap());
        assert_eq!((&second["outcome"], &second["id"]), (&json!("existing"), &first["id"]));
        let task = run(&program, &["tasks", "show", &first["id"].to_string()]);
        assert_eq!((&task["cause"], &task["priority"], &task["unique_key"]), (&json!("operator:ana"), &json!(3), &json!("k")));
        let acts = run(&program, &["audit", "list", "--action", "task.enqueue"]);
        assert_eq!(acts.as_array().unwrap().len(), 2);
        assert_eq!(acts[1]["after"]["outcome"], "new");
    }
}
