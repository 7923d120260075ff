//! Limits of queues and kinds: pauses, so many at a time, so many per period. They hold across processes.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::audit::Actor;
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue, Registry};
use trunkline_platform::task::{
    ClaimedRow, Finish, Limit, NewTask, Rate, Scope, TaskState, Tasks, Unfinished, Verdict, WorkerId,
};
use trunkline_platform::worker::{WorkerConfig, Workers};

use crate::harness::{Act, Acts, Env, Play, both_engines, registry, until};

/// Declares limits of its own.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Narrow {}

impl Job for Narrow {
    type Services = Acts;
    const NAME: &'static str = "test.narrow";
    const QUEUE: Queue = Play::QUEUE;
    const MAX_RUNNING: Option<u32> = Some(2);

    async fn run(&self, _: &Context<Acts>) -> Result<Done, Failure> {
        Ok(Done::new())
    }
}

fn actor() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: Some("the far end is slow".to_owned()) }
}

fn queue() -> Scope {
    Scope::Queue(Play::QUEUE.name().to_owned())
}

fn kind() -> Scope {
    Scope::Kind(Play::NAME.to_owned())
}

async fn limit(tasks: &Tasks, scope: &Scope, limit: Limit) {
    tasks.set_limit(scope, None, &actor(), |_| limit).await.unwrap();
}

async fn enqueue(tasks: &Tasks, count: usize) {
    let batch: Vec<_> = (0..count).map(|_| NewTask::of(&Play::default()).unwrap()).collect();
    tasks.enqueue(&batch).await.unwrap();
}

async fn worker(tasks: &Tasks, name: &str) -> WorkerId {
    let worker = WorkerId::new(name);
    tasks.register_worker(&worker, "test", TimeDelta::days(1)).await.unwrap();
    worker
}

async fn claim(tasks: &Tasks, worker: &WorkerId) -> Vec<ClaimedRow> {
    tasks.claim_due(worker, Play::QUEUE, 100).await.unwrap()
}

async fn finish(tasks: &Tasks, worker: &WorkerId, rows: &[ClaimedRow]) {
    let ended = |row: &ClaimedRow| Finish {
        id: row.id,
        attempt: row.attempt,
        verdict: Verdict::Done,
        error: None,
        label: "done",
        worker: worker.as_str().to_owned(),
        started_at: tasks.clock().now(),
        duration_ms: 1,
        follow_ups: Vec::new(),
    };
    tasks.finish(&rows.iter().map(ended).collect::<Vec<_>>()).await.unwrap();
}

both_engines! {
    async fn nothing_starts_from_a_paused_queue_until_it_is_resumed(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        enqueue(&tasks, 3).await;
        limit(&tasks, &queue(), Limit { paused: true, ..Limit::default() }).await;
        assert_eq!(kit.drain().await.unwrap(), 0);
        let id = tasks.enqueue(&[NewTask::of(&Play::default()).unwrap()]).await.unwrap()[0].id();
        let me = worker(&tasks, "wk_a").await;
        assert!(tasks.claim(&me, Play::QUEUE, vec![id.0]).await.unwrap().is_empty(), "not by its id either");
        limit(&tasks, &queue(), Limit::default()).await;
        assert_eq!(kit.drain().await.unwrap(), 4);
        assert!(tasks.limits().await.unwrap().is_empty(), "no limit leaves no row");
    }

    async fn a_paused_kind_does_not_hold_up_the_rest_of_its_queue(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        enqueue(&tasks, 30).await;
        let other = NewTask { kind: "test.hang", payload: "{}".to_owned(), ..NewTask::of(&Play::default()).unwrap() };
        tasks.enqueue(&[other]).await.unwrap();
        limit(&tasks, &kind(), Limit { paused: true, ..Limit::default() }).await;
        assert_eq!(kit.drain().await.unwrap(), 1);
        limit(&tasks, &kind(), Limit::default()).await;
        assert_eq!(kit.drain().await.unwrap(), 30);
    }

    async fn so_many_at_a_time_in_all_processes_together(env: Env) {
        let tasks = env.tasks();
        let (a, b) = (worker(&tasks, "wk_a").await, worker(&tasks, "wk_b").await);
        for scope in [queue(), kind()] {
            limit(&tasks, &scope, Limit { max_running: Some(3), ..Limit::default() }).await;
            enqueue(&tasks, 5).await;
            let first = tasks.claim_due(&a, Play::QUEUE, 2).await.unwrap();
            let second = claim(&tasks, &b).await;
            assert_eq!((first.len(), second.len()), (2, 1));
            assert!(claim(&tasks, &a).await.is_empty());
            assert_eq!(tasks.limits().await.unwrap()[0].running, 3);
            finish(&tasks, &b, &second).await;
            let third = claim(&tasks, &a).await;
            assert_eq!(third.len(), 1, "who ended made room for one");
            finish(&tasks, &a, &first).await;
            finish(&tasks, &a, &third).await;
            let rest = claim(&tasks, &a).await;
            finish(&tasks, &a, &rest).await;
            assert_eq!(rest.len(), 1);
            limit(&tasks, &scope, Limit::default()).await;
        }
    }

    async fn those_who_run_already_count_when_a_limit_is_set_and_the_dead_give_their_place_back(env: Env) {
        let tasks = env.tasks();
        let (a, b) = (worker(&tasks, "wk_a").await, worker(&tasks, "wk_b").await);
        enqueue(&tasks, 4).await;
        let running = tasks.claim_due(&a, Play::QUEUE, 2).await.unwrap();
        limit(&tasks, &queue(), Limit { max_running: Some(2), ..Limit::default() }).await;
        assert!(claim(&tasks, &b).await.is_empty());
        assert_eq!(running.len(), 2);
        tasks.resign_worker(&a).await.unwrap();
        tasks.take_over().await.unwrap();
        assert_eq!(claim(&tasks, &b).await.len(), 2);
    }

    async fn a_suspect_is_under_the_limits_of_its_queue_like_everybody_else(env: Env) {
        let tasks = env.tasks();
        enqueue(&tasks, 1).await;
        for name in ["wk_1", "wk_2"] {
            let worker = worker(&tasks, name).await;
            assert_eq!(claim(&tasks, &worker).await.len(), 1);
            tasks.resign_worker(&worker).await.unwrap();
            tasks.take_over().await.unwrap();
        }
        let me = worker(&tasks, "wk_3").await;
        limit(&tasks, &queue(), Limit { max_running: Some(1), ..Limit::default() }).await;
        enqueue(&tasks, 1).await;
        let ordinary = claim(&tasks, &me).await;
        assert_eq!(ordinary.len(), 1);
        assert!(tasks.claim_suspect(&me, Play::QUEUE).await.unwrap().is_none(), "the place is taken");
        finish(&tasks, &me, &ordinary).await;
        limit(&tasks, &kind(), Limit { paused: true, ..Limit::default() }).await;
        assert!(tasks.claim_suspect(&me, Play::QUEUE).await.unwrap().is_none(), "its kind is paused");
        limit(&tasks, &kind(), Limit::default()).await;
        assert!(tasks.claim_suspect(&me, Play::QUEUE).await.unwrap().is_some());
        enqueue(&tasks, 1).await;
        assert!(claim(&tasks, &me).await.is_empty(), "and it takes a place itself");
    }

    async fn a_queues_rate_holds_over_time(env: Env) {
        let tasks = env.tasks();
        let me = worker(&tasks, "wk_a").await;
        enqueue(&tasks, 50).await;
        let rate = Rate::per_second(10).burst(4);
        limit(&tasks, &queue(), Limit { rate: Some(rate), ..Limit::default() }).await;
        let mut claimed = Vec::new();
        for _ in 0..20 {
            claimed.push(claim(&tasks, &me).await.len());
            env.clock.advance(TimeDelta::milliseconds(100));
        }
        assert_eq!(claimed[0], 4, "the burst");
        assert!(claimed[1..].iter().all(|&count| count == 1), "{claimed:?}");
    }

    async fn a_kinds_rate_is_for_each_key_and_who_waits_for_it_stands_in_nobodys_way(env: Env) {
        let tasks = env.tasks();
        let me = worker(&tasks, "wk_a").await;
        let keyed = |key: &str| NewTask { rate_key: Some(key.to_owned()), ..NewTask::of(&Play::default()).unwrap() };
        let batch: Vec<NewTask> = (0..40).map(|_| keyed("busy")).chain([keyed("calm"), keyed("calm")]).collect();
        tasks.enqueue(&batch).await.unwrap();
        limit(&tasks, &kind(), Limit { rate: Some(Rate::per_second(1).burst(1)), ..Limit::default() }).await;

        let first = tasks.claim_due(&me, Play::QUEUE, 10).await.unwrap();
        assert_eq!(first.len(), 2, "one of each key");
        let waiting = tasks.queue_depths().await.unwrap();
        assert_eq!((waiting[0].due, waiting[0].delayed), (0, 40), "the others are put off to their turns");
        assert!(claim(&tasks, &me).await.is_empty());
        let mut counts = Vec::new();
        for _ in 0..39 {
            env.clock.advance(TimeDelta::seconds(1));
            counts.push(claim(&tasks, &me).await.len());
        }
        assert_eq!(counts[0], 2, "the second of the calm key and the next of the busy one");
        assert!(counts[1..].iter().all(|&count| count == 1), "{counts:?}");
        assert!(tasks.queue_depths().await.unwrap().iter().all(|depth| depth.due + depth.delayed == 0));
    }

    async fn who_was_put_off_by_a_rate_comes_back_when_it_is_changed(env: Env) {
        let tasks = env.tasks();
        let me = worker(&tasks, "wk_a").await;
        enqueue(&tasks, 20).await;
        let later = NewTask::of(&Play::default()).unwrap().at(env.clock.now() + TimeDelta::hours(5));
        tasks.enqueue(&[later]).await.unwrap();
        let rated = |rate| Limit { rate: Some(rate), ..Limit::default() };
        limit(&tasks, &kind(), rated(Rate::per(1, Duration::from_secs(3_600)).burst(1))).await;
        assert_eq!(claim(&tasks, &me).await.len(), 1);
        limit(&tasks, &kind(), rated(Rate::per_second(5).burst(5))).await;
        assert_eq!(claim(&tasks, &me).await.len(), 5);
        limit(&tasks, &kind(), Limit::default()).await;
        assert_eq!(claim(&tasks, &me).await.len(), 14, "and nobody whose own time has not come");
    }

    async fn a_line_that_was_cancelled_leaves_no_gap_for_those_who_come_later(env: Env) {
        let tasks = env.tasks();
        let me = worker(&tasks, "wk_a").await;
        limit(&tasks, &kind(), Limit { rate: Some(Rate::per_second(1).burst(1)), ..Limit::default() }).await;
        enqueue(&tasks, 50).await;
        assert_eq!(claim(&tasks, &me).await.len(), 1);
        let all = Unfinished { state: Some(TaskState::Pending), ..Unfinished::default() };
        let waiting = tasks.unfinished(&all, 100).await.unwrap();
        tasks.cancel(&waiting, &actor()).await.unwrap();
        enqueue(&tasks, 1).await;
        assert!(claim(&tasks, &me).await.is_empty());
        env.clock.advance(TimeDelta::seconds(1));
        assert_eq!(claim(&tasks, &me).await.len(), 1);
    }

    async fn a_worker_without_a_lease_uses_up_no_rate(env: Env) {
        let tasks = env.tasks();
        limit(&tasks, &kind(), Limit { rate: Some(Rate::per(1, Duration::from_secs(3_600))), ..Limit::default() }).await;
        enqueue(&tasks, 2).await;
        assert!(claim(&tasks, &WorkerId::new("wk_gone")).await.is_empty());
        let me = worker(&tasks, "wk_a").await;
        assert_eq!(claim(&tasks, &me).await.len(), 1);
    }

    async fn a_clock_that_runs_ahead_uses_up_no_more_than_a_burst(env: Env) {
        let (tasks, me) = (env.tasks(), worker(&env.tasks(), "wk_a").await);
        limit(&tasks, &kind(), Limit { rate: Some(Rate::per_second(1).burst(2)), ..Limit::default() }).await;
        enqueue(&tasks, 2).await;
        env.clock.advance(TimeDelta::hours(1));
        assert_eq!(claim(&tasks, &me).await.len(), 2);
        env.clock.advance(TimeDelta::hours(-1));
        enqueue(&tasks, 2).await;
        assert!(claim(&tasks, &me).await.is_empty(), "what was taken counts");
        env.clock.advance(TimeDelta::seconds(2));
        assert_eq!(claim(&tasks, &me).await.len(), 2, "and not nothing for an hour");
    }

    async fn what_a_job_declares_holds_until_a_person_says_otherwise(env: Env) {
        let (tasks, me) = (env.tasks(), worker(&env.tasks(), "wk_a").await);
        let jobs = Registry::new().register::<Narrow>().unwrap();
        let narrow = Scope::Kind(Narrow::NAME.to_owned());
        let batch: Vec<_> = (0..6).map(|_| NewTask::of(&Narrow {}).unwrap()).collect();
        tasks.enqueue(&batch).await.unwrap();
        assert_eq!(tasks.claim_due(&me, Narrow::QUEUE, 1).await.unwrap().len(), 1);
        tasks.declare_limits(&jobs).await.unwrap();
        assert_eq!(claim(&tasks, &me).await.len(), 1, "who ran before it was declared counts");

        limit(&tasks, &narrow, Limit::default()).await;
        tasks.declare_limits(&jobs).await.unwrap();
        assert_eq!(tasks.claim_due(&me, Narrow::QUEUE, 2).await.unwrap().len(), 2, "no limit was meant");
        assert_eq!(tasks.limits().await.unwrap()[0].set_by, "operator:ana");

        let declared = jobs.get(Narrow::NAME).unwrap().limit();
        tasks.clear_limit(&narrow, declared, None, &actor()).await.unwrap();
        assert!(claim(&tasks, &me).await.is_empty(), "and all four that run count at once");
        let row = &tasks.limits().await.unwrap()[0];
        assert_eq!((row.limit.max_running, row.running, row.is_declared()), (Some(2), 4, true));
    }

    /// Without it the twelve would take two minutes, and the test waits for one.
    async fn a_small_burst_does_not_slow_a_rate_down_to_the_poll(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        limit(&tasks, &kind(), Limit { rate: Some(Rate::per_second(10).burst(1)), ..Limit::default() }).await;
        let config = WorkerConfig { poll_interval: Duration::from_secs(10), ..WorkerConfig::default() };
        let workers = Workers::start(tasks.clone(), registry(), Arc::clone(&acts), &[Play::QUEUE], config, env.metrics.clone());
        let workers = workers.await.unwrap();
        enqueue(&tasks, 12).await;
        until("all are done", async || acts.runs().len() == 12).await;
        workers.stop().await;
    }

    async fn under_a_limit_a_process_claims_only_what_it_can_run(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        limit(&tasks, &queue(), Limit { max_running: Some(50), ..Limit::default() }).await;
        let config = WorkerConfig { default_concurrency: 2, ..WorkerConfig::default() };
        let workers = Workers::start(tasks.clone(), registry(), Arc::clone(&acts), &[Play::QUEUE], config, env.metrics.clone());
        let workers = workers.await.unwrap();
        let batch: Vec<_> =
            (0..30).map(|_| NewTask::of(&Play { act: Act::WaitForGate, key: None }).unwrap()).collect();
        tasks.enqueue(&batch).await.unwrap();
        for ended in 0..30usize {
            until("it runs what it can", async || acts.runs().len() == 30.min(ended + 2)).await;
            // The verdicts of those that have just ended may not be written yet.
            until("no more is claimed than can be run", async || {
                let depths = tasks.queue_depths().await.unwrap();
                depths.iter().map(|depth| depth.running).sum::<i64>() <= 2
            })
            .await;
            acts.gate.add_permits(1);
        }
        workers.stop().await;
    }

    async fn somebody_urgent_goes_before_all_who_wait_for_a_rate(env: Env) {
        let tasks = env.tasks();
        let me = worker(&tasks, "wk_a").await;
        enqueue(&tasks, 100).await;
        limit(&tasks, &kind(), Limit { rate: Some(Rate::per_second(1).burst(1)), ..Limit::default() }).await;
        assert_eq!(claim(&tasks, &me).await.len(), 1);
        let urgent = NewTask::of(&Play::default()).unwrap().priority(Priority::URGENT);
        let id = tasks.enqueue(&[urgent]).await.unwrap()[0].id();
        assert!(claim(&tasks, &me).await.is_empty());
        env.clock.advance(TimeDelta::seconds(1));
        let next = claim(&tasks, &me).await;
        assert_eq!(next.iter().map(|row| row.id).collect::<Vec<_>>(), [id]);
        env.clock.advance(TimeDelta::seconds(1));
        assert_eq!(claim(&tasks, &me).await.len(), 1, "and the line goes on behind it");
    }

    /// Two processes with room for 32 each; the table sees every overlap there is.
    async fn a_limit_holds_while_real_workers_race(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        limit(&tasks, &queue(), Limit { max_running: Some(3), ..Limit::default() }).await;
        let config = WorkerConfig { poll_interval: Duration::from_millis(100), ..WorkerConfig::default() };
        let start = || Workers::start(tasks.clone(), registry(), Arc::clone(&acts), &[Play::QUEUE], config.clone(), env.metrics.clone());
        let pools = [start().await.unwrap(), start().await.unwrap()];
        let batch: Vec<_> =
            (0..40).map(|_| NewTask::of(&Play { act: Act::WaitForGate, key: None }).unwrap()).collect();
        tasks.enqueue(&batch).await.unwrap();
        let running = async || tasks.queue_depths().await.unwrap().iter().map(|depth| depth.running).sum::<i64>();
        for ended in 0..40i64 {
            until("it is full again", async || running().await == 3.min(40 - ended)).await;
            acts.gate.add_permits(1);
            until("one more has ended", async || {
                assert!(running().await <= 3);
                done(&tasks).await > ended
            })
            .await;
        }
        for pool in pools {
            pool.stop().await;
        }
    }
}

async fn done(tasks: &Tasks) -> i64 {
    let counts = tasks.count_by_kind().await.unwrap();
    counts.iter().filter(|row| row.state == TaskState::Done).map(|row| row.count).sum()
}
