//! The command line that has no database: what the API does, on an installation elsewhere.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Env, Program, both_engines};

/// The installation, and somebody elsewhere with a key of it.
struct Elsewhere {
    server: Program,
    url: String,
    key: String,
}

impl Elsewhere {
    async fn with(env: &Env, scopes: &str) -> Self {
        let mut server = Program::new(env, &["serve"]);
        server.start().await.unwrap();
        let key = server.run(&["keys", "create", "laptop", "--scope", scopes, "--by", "ana"]).unwrap();
        let file = env.folder().join("key");
        std::fs::write(&file, key).unwrap();
        let url = format!("http://127.0.0.1:{}", server.port());
        Self { server, url, key: file.display().to_string() }
    }

    /// `trunkline remote …` without any setting: its exit code, output, and talk.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.env_clear().args(["remote", "--server", &self.url, "--key-file", &self.key]).args(words);
        let ended = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ended.status.code().unwrap(), text(ended.stdout), text(ended.stderr))
    }

    fn done(&self, words: &[&str]) -> String {
        let (code, out, talk) = self.run(words);
        assert_eq!(code, 0, "{words:?}: {talk}");
        out
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[words, &["--json"]].concat())).unwrap()
    }
}

both_engines! {
    async fn what_the_api_does_can_be_done_from_elsewhere_with_a_key_alone(env: Env) {
        let there = Elsewhere::with(&env, "operate").await;
        let told = there.done(&["pause-queue", "media", "--reason", "they are ill"]);
        assert!(told.contains("paused") && told.contains("true"), "{told}");
        let payload = r#"{"event": 1}"#;
        let words = ["enqueue-task", "--kind", "webhook.handle", "--payload", payload, "--priority", "low"];
        let (code, _, talk) = there.run(&words);
        assert_ne!(code, 0);
        assert!(talk.contains("webhook.handle"), "{talk}");

        let jobs = there.server.run(&["jobs", "list", "--json"]).unwrap();
        let jobs: Value = serde_json::from_str(&jobs).unwrap();
        assert!(jobs.as_array().unwrap().iter().any(|job| job["name"] == "upkeep.tasks"), "{jobs}");
        let words = ["enqueue-task", "--kind", "upkeep.tasks", "--payload", "{}", "--idempotency-key", "once"];
        let task = there.json(&words)["id"].as_i64().unwrap();
        assert_eq!(there.json(&words)["id"], json!(task));
        let shown = there.json(&["show-task", &task.to_string()]);
        assert_eq!(shown["task"]["kind"], "upkeep.tasks");

        let list = there.done(&["list-tasks", "--kind", "upkeep.tasks", "--limit", "1"]);
        assert!(list.starts_with("ID") && list.contains("upkeep.tasks"), "{list}");
        assert_eq!(there.done(&["list-tasks", "--kind", "no.such"]), "there are none\n");
        let audit = there.server.run(&["audit", "list", "--json"]).unwrap();
        assert!(audit.contains("they are ill"), "{audit}");
    }

    async fn a_file_comes_whole_or_not_at_all_and_over_no_other(env: Env) {
        let there = Elsewhere::with(&env, "operate,pii").await;
        there.server.run(&["seed", "contacts", "--count", "300", "--seed", "1"]).unwrap();
        let file = env.folder().join("people.csv").display().to_string();
        let told = there.done(&["export-contacts", "--output", &file]);
        assert_eq!(told, format!("written into {file}\n"));
        assert!(std::fs::read_to_string(&file).unwrap().lines().count() > 300);
        let (code, _, talk) = there.run(&["export-contacts", "--output", &file]);
        assert_eq!((code, talk.contains("already")), (1, true), "{talk}");
        assert!(there.done(&["export-contacts", "--format", "jsonl"]).starts_with('{'));
    }

    async fn who_is_refused_is_told_why_and_nothing_is_done(env: Env) {
        let there = Elsewhere::with(&env, "read").await;
        let (code, _, talk) = there.run(&["pause-queue", "media"]);
        assert_eq!((code, talk.contains("403") && talk.contains("scope")), (1, true), "{talk}");
        let (code, _, talk) = there.run(&["show-task", "17"]);
        assert_eq!((code, talk.contains("404") && talk.contains("request ")), (1, true), "{talk}");
        let (code, _, talk) = there.run(&["list-tasks", "--state", "asleep"]);
        assert_eq!((code, talk.contains("dead, cancelled")), (2, true), "{talk}");
        let (code, _, talk) = there.run(&["list-task"]);
        assert_eq!((code, talk.contains("list-tasks")), (2, true), "{talk}");
        let away = Elsewhere { url: "http://a.example".to_owned(), ..there };
        let (code, _, talk) = away.run(&["list-tasks"]);
        assert_eq!((code, talk.contains("could be read on its way")), (1, true), "{talk}");
    }

    async fn every_operation_is_a_command_that_tells_what_it_takes(env: Env) {
        let there = Elsewhere::with(&env, "read").await;
        let list = there.done(&[]);
        let names: Vec<&str> = list.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
        assert!(names.len() >= 80, "{list}");
        for name in names {
            let help = there.done(&[name, "--help"]);
            assert!(help.contains("Takes a key with the scope"), "{name}: {help}");
        }
    }
}
