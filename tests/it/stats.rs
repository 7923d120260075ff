//! Figures for those who look: `trunkline stats` and `/metrics`.

use chrono::TimeDelta;
use serde_json::{Value, json};
use trunkline_platform::job::Queue;
use trunkline_platform::task::NewTask;

use crate::harness::{Act, Env, Play, Program, both_engines, until};

fn stats(program: &Program) -> Value {
    serde_json::from_str(&program.run(&["stats", "--json"]).unwrap()).unwrap()
}

fn of<'s>(stats: &'s Value, list: &str, name: &str) -> Option<&'s Value> {
    let field = if list == "queues" { "queue" } else { "kind" };
    stats[list].as_array().unwrap().iter().find(|row| row[field] == name)
}

both_engines! {
    async fn where_many_wait_those_who_look_share_a_count_for_seconds(env: Env) {
        let tasks = env.tasks();
        let batch: Vec<NewTask> = (0..1_000).map(|_| NewTask::of(&Play::default()).unwrap()).collect();
        let due = async |expected: i64| {
            let depths = tasks.queue_depths().await.unwrap();
            assert_eq!(depths.iter().map(|depth| depth.due).sum::<i64>(), expected);
        };
        for _ in 0..20 {
            tasks.enqueue(&batch).await.unwrap();
        }
        due(20_000).await;
        tasks.enqueue(&batch[..1]).await.unwrap();
        due(20_001).await;
        tasks.enqueue(&batch[..1]).await.unwrap();
        due(20_001).await;
        env.clock.advance(TimeDelta::seconds(5));
        due(20_002).await;
    }

    async fn what_fails_is_counted_by_kind_and_by_the_minute_and_what_is_dead_is_measured(env: Env) {
        let mut program = Program::new(&env, &["serve"]).set("USER", "ana");
        program.start().await.unwrap();
        let measured = program.metrics().await;
        for series in [
            "trunkline_dead_letters{kind=\"message.received\"} 0",
            "trunkline_dead_letters_oldest_seconds 0",
            "trunkline_tasks_waiting_for_release 0",
        ] {
            assert!(measured.contains(series), "{series} is not there from the start:\n{measured}");
        }
        for event in 901..904 {
            let payload = json!({"event": event}).to_string();
            program.run(&["jobs", "enqueue", "message.received", "--payload", &payload]).unwrap();
        }
        let future = NewTask {
            kind: "from.the_future",
            queue: Queue::new("events"),
            ..NewTask::of(&Play { act: Act::Succeed, key: None }).unwrap()
        };
        env.live_tasks().enqueue(&[future]).await.unwrap();
        until("they have died and the worker told of it", async || {
            let stats = stats(&program);
            of(&stats, "tasks", "message.received").is_some_and(|row| row["dead"] == 3 && row["failed"] == 3)
                && stats["waiting_for_release"] == 1
        })
        .await;
        let told = stats(&program);
        assert_eq!(of(&told, "tasks", "message.received").unwrap()["done"], 0);
        let queue = of(&told, "queues", "events").unwrap();
        assert_eq!(queue["failed_per_minute"], json!([3.0, 0.6, 0.2]), "{queue}");
        assert!(program.run(&["stats"]).unwrap().contains("1 wait for a newer release"));
        program.stop().await.unwrap();

        // Another process measures what is in the table.
        let mut program = Program::new(&env, &["serve", "--roles", "receiver"]);
        program.start().await.unwrap();
        let measured = program.metrics().await;
        for series in ["trunkline_dead_letters{kind=\"message.received\"} 3", "trunkline_tasks_waiting_for_release 1"] {
            assert!(measured.contains(series), "{series}:\n{measured}");
        }
        program.stop().await.unwrap();
    }
}
