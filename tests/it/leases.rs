//! What happens to the tasks of a worker that is gone.

use chrono::TimeDelta;
use trunkline_platform::job::Job;
use trunkline_platform::task::{NewTask, TakenOver, TaskState, Tasks, WorkerId};

use crate::harness::{Env, Play, both_engines, end_leases};

const LEASE: TimeDelta = TimeDelta::seconds(30);

async fn claim_one(tasks: &Tasks, name: &str) -> WorkerId {
    let worker = WorkerId::new(name);
    tasks.register_worker(&worker, "test", LEASE).await.unwrap();
    let usual = tasks.claim_due(&worker, Play::QUEUE, 1).await.unwrap().len();
    let alone = tasks.claim_suspect(&worker, Play::QUEUE).await.unwrap().is_some();
    assert_eq!(usual + usize::from(alone), 1);
    worker
}

both_engines! {
    async fn a_lease_that_is_renewed_keeps_its_tasks(env: Env) {
        let tasks = env.tasks();
        tasks.enqueue(&[NewTask::of(&Play::default()).unwrap()]).await.unwrap();
        let worker = claim_one(&tasks, "wk_1").await;
        for _ in 0..5 {
            let seen = tasks.leases().await.unwrap().remove(0);
            env.clock.advance(TimeDelta::seconds(20));
            assert!(tasks.heartbeat(&worker, LEASE).await.unwrap());
            assert!(!tasks.end_lease(&seen).await.unwrap());
            assert_eq!(tasks.take_over().await.unwrap(), TakenOver::default());
        }
    }

    async fn a_dead_workers_task_is_taken_over_and_its_heartbeat_refused(env: Env) {
        let tasks = env.tasks();
        let id = tasks.enqueue(&[NewTask::of(&Play::default()).unwrap()]).await.unwrap()[0].id();
        let worker = claim_one(&tasks, "wk_1").await;
        end_leases(&tasks).await;
        assert_eq!(tasks.take_over().await.unwrap(), TakenOver { requeued: 1, ..TakenOver::default() });
        assert!(!tasks.heartbeat(&worker, LEASE).await.unwrap());

        let row = tasks.show(id).await.unwrap().unwrap();
        assert_eq!((row.state, row.crashes), (TaskState::Pending, 1));
        let attempts = tasks.attempts(id).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].verdict.as_str()), (1, "lease_expired"));
        assert_eq!(attempts[0].worker, "wk_1");
    }

    async fn a_task_that_keeps_killing_its_worker_becomes_a_dead_letter_that_says_so(env: Env) {
        let tasks = env.tasks();
        let task = NewTask { max_attempts: 50, ..NewTask::of(&Play::default()).unwrap() };
        let id = tasks.enqueue(&[task]).await.unwrap()[0].id();
        for n in 0..3 {
            claim_one(&tasks, &format!("wk_{n}")).await;
            end_leases(&tasks).await;
            tasks.take_over().await.unwrap();
        }
        let row = tasks.show(id).await.unwrap().unwrap();
        assert_eq!((row.state, row.last_error.as_deref()), (TaskState::Dead, Some("its worker died 3 times")));
    }

    async fn a_task_two_workers_died_with_runs_alone_and_is_cleared_by_succeeding(env: Env) {
        let tasks = env.tasks();
        let id = tasks.enqueue(&[NewTask::of(&Play::default()).unwrap()]).await.unwrap()[0].id();
        for n in 0..2 {
            claim_one(&tasks, &format!("wk_{n}")).await;
            end_leases(&tasks).await;
            tasks.take_over().await.unwrap();
        }
        let worker = WorkerId::new("wk_2");
        tasks.register_worker(&worker, "test", LEASE).await.unwrap();
        assert!(tasks.claim_due(&worker, Play::QUEUE, 10).await.unwrap().is_empty());
        assert!(tasks.claim(&worker, Play::QUEUE, vec![id.0]).await.unwrap().is_empty());
        env.kit(&crate::harness::Acts::new()).drain().await.unwrap();
        assert_eq!(tasks.show(id).await.unwrap().unwrap().state, TaskState::Done);
    }

    async fn a_lease_that_was_renewed_since_it_was_looked_at_is_not_ended(env: Env) {
        let tasks = env.tasks();
        let worker = WorkerId::new("wk_1");
        tasks.register_worker(&worker, "test", LEASE).await.unwrap();
        let seen = tasks.leases().await.unwrap().remove(0);
        // By a clock that stands still, and so tells nothing.
        assert!(tasks.heartbeat(&worker, LEASE).await.unwrap());
        assert!(!tasks.end_lease(&seen).await.unwrap());
        let seen = tasks.leases().await.unwrap().remove(0);
        assert_eq!(seen.lease_ms, Some(30_000));
        assert!(tasks.end_lease(&seen).await.unwrap());
        assert!(!tasks.heartbeat(&worker, LEASE).await.unwrap());
    }

    async fn many_take_overs_at_once_put_each_task_back_once(env: Env) {
        let tasks = env.tasks();
        let many: Vec<_> = (0..600).map(|_| NewTask::of(&Play::default()).unwrap()).collect();
        tasks.enqueue(&many).await.unwrap();
        let worker = WorkerId::new("wk_1");
        tasks.register_worker(&worker, "test", LEASE).await.unwrap();
        assert_eq!(tasks.claim_due(&worker, Play::QUEUE, 600).await.unwrap().len(), 600);
        end_leases(&tasks).await;

        let sweeps: Vec<_> = (0..4)
            .map(|_| {
                let tasks = tasks.clone();
                tokio::spawn(async move { tasks.take_over().await.unwrap().requeued })
            })
            .collect();
        let mut requeued = 0;
        for sweep in sweeps {
            requeued += sweep.await.unwrap();
        }
        assert_eq!(requeued, 600);
    }
}
