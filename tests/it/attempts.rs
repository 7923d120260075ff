//! How attempts end, and what follows.

use std::sync::Arc;

use chrono::TimeDelta;
use trunkline_platform::task::{NewTask, TaskId, TaskRow, TaskState, Tasks};

use crate::harness::{Act, Acts, Env, Hang, Play, both_engines};

fn play(act: Act) -> NewTask {
    NewTask::of(&Play { act, key: None }).unwrap()
}

async fn enqueue(tasks: &Tasks, act: Act) -> TaskId {
    tasks.enqueue(&[play(act)]).await.unwrap()[0].id()
}

async fn task(tasks: &Tasks, id: TaskId) -> TaskRow {
    tasks.show(id).await.unwrap().unwrap()
}

both_engines! {
    async fn a_task_rolled_back_with_its_cause_was_never_there(env: Env) {
        let tasks = env.tasks();
        let mut tx = tasks.begin().await.unwrap();
        tx.enqueue(&[play(Act::Succeed)]).await.unwrap();
        drop(tx);
        assert_eq!(env.kit(&Acts::new()).drain().await.unwrap(), 0);
        assert!(tasks.count_by_kind().await.unwrap().is_empty());
    }

    async fn a_failed_attempt_waits_for_its_backoff_and_leaves_a_row(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let id = enqueue(&tasks, Act::FailTimes(1)).await;

        assert_eq!(kit.drain().await.unwrap(), 1);
        let waiting = task(&tasks, id).await;
        assert_eq!(waiting.state, TaskState::Pending);
        let wait = waiting.run_at - env.clock.now();
        assert!(wait >= TimeDelta::zero() && wait <= TimeDelta::seconds(10), "waits {wait}");

        assert_eq!(kit.advance(TimeDelta::seconds(10)).await.unwrap(), 1);
        assert_eq!(task(&tasks, id).await.state, TaskState::Done);
        let attempts = tasks.attempts(id).await.unwrap();
        assert_eq!(attempts.len(), 1, "success leaves no row");
        assert_eq!(attempts[0].verdict, "failed");
        assert_eq!(attempts[0].error.as_deref(), Some("calling out: the far end is down"));
    }

    async fn a_task_that_used_up_its_tries_is_a_dead_letter(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let id = enqueue(&tasks, Act::FailTimes(99)).await;
        for _ in 0..5 {
            kit.advance(TimeDelta::minutes(2)).await.unwrap();
        }
        assert_eq!(task(&tasks, id).await.state, TaskState::Dead);
        assert_eq!(acts.runs().len(), 3);
        assert_eq!(tasks.attempts(id).await.unwrap().len(), 3);
    }

    async fn a_permanent_failure_is_a_dead_letter_at_once(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let id = enqueue(&tasks, Act::FailForGood).await;
        env.kit(&acts).drain().await.unwrap();
        let dead = task(&tasks, id).await;
        assert_eq!((dead.state, dead.last_error.as_deref()), (TaskState::Dead, Some("no such number")));
    }

    async fn a_panic_and_a_timeout_are_failures_with_their_own_verdicts(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let panics = enqueue(&tasks, Act::Panic).await;
        let hangs = tasks.enqueue(&[NewTask::of(&Hang {}).unwrap()]).await.unwrap()[0].id();
        env.kit(&acts).drain().await.unwrap();
        for (id, verdict) in [(panics, "panicked"), (hangs, "timed_out")] {
            assert_eq!(task(&tasks, id).await.state, TaskState::Pending);
            assert_eq!(tasks.attempts(id).await.unwrap()[0].verdict, verdict);
        }
    }

    async fn a_snoozed_task_keeps_its_try(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let id = enqueue(&tasks, Act::SnoozeOnce).await;
        kit.drain().await.unwrap();
        assert_eq!(kit.advance(TimeDelta::minutes(59)).await.unwrap(), 0);
        assert_eq!(kit.advance(TimeDelta::minutes(1)).await.unwrap(), 1);
        assert_eq!(acts.runs(), [(id, 1), (id, 1)], "both are the first try");
    }

    async fn a_discarded_task_ends_without_a_dead_letter(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let id = enqueue(&tasks, Act::Discard).await;
        env.kit(&acts).drain().await.unwrap();
        assert_eq!(task(&tasks, id).await.state, TaskState::Discarded);
    }

    async fn follow_ups_carry_on_the_correlation_id_and_name_their_cause(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let spawn = play(Act::Spawn).correlation_id("wh_1");
        let id = tasks.enqueue(&[spawn]).await.unwrap()[0].id();
        assert_eq!(env.kit(&acts).drain().await.unwrap(), 3);
        let children: Vec<_> =
            env.kit(&acts).enqueued::<Play>().await.unwrap().into_iter().filter(|row| row.id != id).collect();
        assert_eq!(children.len(), 2);
        for child in children {
            assert_eq!(child.correlation_id.as_deref(), Some("wh_1"));
            assert_eq!(child.cause, format!("task:{id}"));
        }
    }

    async fn a_kind_this_release_does_not_know_waits_without_using_up_tries(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let unknown = NewTask { kind: "test.from_the_future", ..play(Act::Succeed) };
        let newer = NewTask { version: 2, ..play(Act::Succeed) };
        let ids: Vec<_> = tasks.enqueue(&[unknown, newer]).await.unwrap().iter().map(|e| e.id()).collect();
        for _ in 0..10 {
            kit.advance(TimeDelta::minutes(1)).await.unwrap();
        }
        for id in ids {
            let row = task(&tasks, id).await;
            assert_eq!((row.state, row.attempt - row.refunds), (TaskState::Pending, 0), "{row:?}");
        }
        assert!(acts.runs().is_empty());
    }

    async fn a_payload_that_cannot_be_decoded_is_a_dead_letter_that_says_so(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let broken = NewTask { payload: r#"{"act":"sing"}"#.to_owned(), ..play(Act::Succeed) };
        let id = tasks.enqueue(&[broken]).await.unwrap()[0].id();
        env.kit(&acts).drain().await.unwrap();
        let dead = task(&tasks, id).await;
        assert_eq!(dead.state, TaskState::Dead);
        assert!(dead.last_error.unwrap().contains("cannot be decoded: unknown variant `sing`"));
    }

    async fn a_second_task_under_a_unique_key_is_not_made_until_the_first_has_ended(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let keyed = || NewTask::of(&Play { act: Act::Succeed, key: Some("k".to_owned()) }).unwrap();
        let answers = tasks.enqueue(&[keyed(), play(Act::Succeed), keyed()]).await.unwrap();
        assert!(answers[0].is_new() && answers[1].is_new() && !answers[2].is_new());
        assert_eq!(answers[0].id(), answers[2].id());
        env.kit(&acts).drain().await.unwrap();
        assert!(tasks.enqueue(&[keyed()]).await.unwrap()[0].is_new());
    }

    async fn one_job_runs_without_a_table(env: Env) {
        let acts = Acts::new();
        let job = Play { act: Act::Spawn, key: None };
        let done = trunkline_platform::testkit::run_job(&job, Arc::clone(&acts), env.clock.clone()).await.unwrap();
        assert_eq!(done.follow_ups().len(), 2);
    }
}
