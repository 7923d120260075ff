//! Unique tasks: one at a time under a key, or one in a period, and the caller learns what became of the second.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_platform::task::{Enqueued, NewTask, OnConflict, TaskId, TaskState, Tasks};

use crate::harness::{Act, Acts, Env, Play, both_engines};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn keyed(act: Act) -> NewTask {
    NewTask::of(&Play { act, key: Some("k".to_owned()) }).unwrap()
}

fn daily(act: Act) -> NewTask {
    NewTask::of(&Play { act, key: None }).unwrap().unique_for("report", DAY)
}

async fn enqueue(tasks: &Tasks, task: NewTask) -> Enqueued {
    tasks.enqueue(&[task]).await.unwrap()[0]
}

async fn due(tasks: &Tasks, id: TaskId) -> DateTime<Utc> {
    tasks.show(id).await.unwrap().unwrap().run_at
}

both_engines! {
    async fn the_second_task_can_replace_the_payload_of_the_one_that_waits(env: Env) {
        let tasks = env.tasks();
        let first = enqueue(&tasks, keyed(Act::Succeed)).await.id();
        let second = keyed(Act::FailForGood).on_conflict(OnConflict::ReplacePayload);
        assert_eq!(enqueue(&tasks, second).await, Enqueued::Replaced(first));
        env.kit(&Acts::new()).drain().await.unwrap();
        assert_eq!(tasks.show(first).await.unwrap().unwrap().state, TaskState::Dead);
    }

    async fn the_second_task_can_push_the_time_of_the_one_that_waits(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let first = enqueue(&tasks, keyed(Act::Succeed)).await.id();
        let later = env.clock.now() + TimeDelta::minutes(5);
        let second = keyed(Act::Succeed).at(later).on_conflict(OnConflict::PushTime);
        assert_eq!(enqueue(&tasks, second).await, Enqueued::Pushed(first));
        assert_eq!(due(&tasks, first).await, later);
        let kit = env.kit(&acts);
        assert_eq!(kit.drain().await.unwrap(), 0);
        assert_eq!(kit.advance(TimeDelta::minutes(5)).await.unwrap(), 1);
    }

    async fn a_task_that_runs_is_left_as_it_is(env: Env) {
        let tasks = env.tasks();
        let first = enqueue(&tasks, keyed(Act::Succeed)).await.id();
        let worker = trunkline_platform::task::WorkerId::new("wk_1");
        tasks.register_worker(&worker, "test", TimeDelta::days(1)).await.unwrap();
        tasks.claim_due(&worker, trunkline_platform::job::Queue::new("test"), 1).await.unwrap();
        for on_conflict in [OnConflict::Keep, OnConflict::ReplacePayload, OnConflict::PushTime] {
            let second = keyed(Act::FailForGood).on_conflict(on_conflict);
            assert_eq!(enqueue(&tasks, second).await, Enqueued::Existing(first));
        }
        assert!(tasks.show(first).await.unwrap().unwrap().payload.contains("succeed"));
    }

    async fn a_key_held_for_a_period_outlives_its_task(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let first = enqueue(&tasks, daily(Act::Succeed)).await;
        assert!(first.is_new());
        kit.drain().await.unwrap();
        kit.advance(TimeDelta::hours(23)).await.unwrap();
        assert_eq!(enqueue(&tasks, daily(Act::Succeed)).await, Enqueued::Existing(first.id()));
        let replaced = daily(Act::Succeed).on_conflict(OnConflict::ReplacePayload);
        assert_eq!(enqueue(&tasks, replaced).await, Enqueued::Existing(first.id()), "it has ended already");
        kit.advance(TimeDelta::hours(1)).await.unwrap();
        assert!(enqueue(&tasks, daily(Act::Succeed)).await.is_new());
    }

    async fn keys_of_both_meanings_share_a_batch(env: Env) {
        let tasks = env.tasks();
        let batch = [daily(Act::Succeed), keyed(Act::Succeed), daily(Act::Succeed), keyed(Act::Succeed)];
        let answers = tasks.enqueue(&batch).await.unwrap();
        let (day, live) = (answers[0].id(), answers[1].id());
        let expected =
            [Enqueued::New(day), Enqueued::New(live), Enqueued::Existing(day), Enqueued::Existing(live)];
        assert_eq!(answers, expected);
    }

    async fn of_many_callers_one_gets_the_period(env: Env) {
        let callers: Vec<_> = (0..16)
            .map(|_| {
                let tasks = env.tasks();
                tokio::spawn(async move { enqueue(&tasks, daily(Act::Succeed)).await })
            })
            .collect();
        let mut answers = Vec::new();
        for caller in callers {
            answers.push(caller.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|answer| answer.is_new()).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.id() == answers[0].id()), "{answers:?}");
    }
}
