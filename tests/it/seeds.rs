//! Made-up people, campaigns and pasts, by the program itself.

use chrono::{DateTime, Utc};
use serde_json::Value;
use trunkline_platform::task::{KindCount, TaskState};

use crate::harness::{Env, Program, both_engines, until};

fn told(program: &Program, words: &[&str]) -> Value {
    serde_json::from_str(&tokio::task::block_in_place(|| program.run(words)).unwrap()).unwrap()
}

both_engines! {
    async fn a_made_up_past_is_worked_off_like_a_real_one_and_is_there_once(env: Env) {
        let mut program = Program::new(&env, &["serve"]);
        let seed = ["seed", "history", "--events", "300", "--days", "10", "--json"];
        let made = told(&program, &seed);
        assert_eq!((&made["made"], &made["added"]), (&300.into(), &300.into()));
        assert_eq!(told(&program, &seed)["added"], 0);
        program.start().await.unwrap();
        let tasks = env.live_tasks();
        // A look for a call's texts waits for minutes.
        let ended = |row: &KindCount| {
            row.kind == "calls.texts_wanted" || !matches!(row.state, TaskState::Pending | TaskState::Running)
        };
        until("all of it is worked off", async || tasks.count_by_kind().await.unwrap().iter().all(ended)).await;
        program.stop().await.unwrap();
        let counts = tasks.count_by_kind().await.unwrap();
        let dead: Vec<_> = counts.iter().filter(|row| row.state == TaskState::Dead).collect();
        assert!(dead.is_empty(), "{dead:?}");
        let events = told(&program, &["events", "list", "--limit", "1000", "--json"]);
        let time = |event: &Value| event["received_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        let events: Vec<_> = events.as_array().unwrap().iter().map(time).collect();
        assert_eq!(events.len(), 300);
        let reach = *events.iter().max().unwrap() - *events.iter().min().unwrap();
        assert!((9..=10).contains(&reach.num_days()), "{reach}");
        let calls = told(&program, &["calls", "list", "--json"]);
        assert!(calls["calls"].as_array().is_some_and(|calls| calls.len() > 10), "{calls}");
    }

    async fn nobody_real_is_asked_about_what_never_was(env: Env) {
        let mut program = Program::new(&env, &["serve"]);
        program.set_variable("TRUNKLINE_OPENPHONE_API_KEY", "real");
        program.set_variable("TRUNKLINE_OPENPHONE_API_URL", "https://api.example.com");
        let error = tokio::task::block_in_place(|| program.run(&["seed", "history"])).unwrap_err().to_string();
        assert!(error.contains("calls that never were") && error.contains("openphone.api_url"), "{error}");
    }

    async fn a_made_up_campaign_is_a_draft_to_made_up_people(env: Env) {
        let program = Program::new(&env, &["serve"]);
        let made = told(&program, &["seed", "campaign", "--people", "40", "--json"]);
        let id = made["id"].to_string();
        let shown = told(&program, &["campaigns", "show", &id, "--json"]);
        assert_eq!(shown["state"], "draft", "{shown}");
        let plan = told(&program, &["campaigns", "plan", &id, "--json"]);
        assert!(plan.to_string().contains("40"), "{plan}");
    }
}
