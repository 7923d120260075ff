//! Clocks that are set by an hour while workers run: nothing runs twice at once, and nothing is stuck.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use trunkline_platform::clock::Clock;
use trunkline_platform::job::Job;
use trunkline_platform::task::{NewTask, TaskFilter, TaskState, Tasks};
use trunkline_platform::worker::{WorkerConfig, Workers};

use crate::harness::{Act, Acts, Env, Play, both_engines, registry, until};

const LEASE: Duration = Duration::from_secs(3);
/// Renewals that take more than two leases.
const RENEWALS: i64 = 7;

/// A clock that goes, and that the test can set.
fn going_clock() -> Clock {
    let clock = Clock::manual(Clock::system().now());
    let hands = clock.clone();
    tokio::spawn(async move {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = Instant::now();
            hands.advance(TimeDelta::from_std(now - last).unwrap());
            last = now;
        }
    });
    clock
}

async fn start(env: &Env, tasks: &Tasks, acts: &Arc<Acts>) -> Workers {
    let config = WorkerConfig { lease: LEASE, default_concurrency: 200, ..WorkerConfig::default() };
    Workers::start(tasks.clone(), registry(), Arc::clone(acts), &[Play::QUEUE], config, env.metrics.clone())
        .await
        .unwrap()
}

fn plays(act: &Act, count: usize) -> Vec<NewTask> {
    (0..count).map(|_| NewTask::of(&Play { act: act.clone(), key: None }).unwrap()).collect()
}

async fn all_are_done(tasks: &Tasks) -> bool {
    tasks.count_by_kind().await.unwrap().iter().all(|row| row.state == TaskState::Done)
}

/// The workers that have tasks in hand.
async fn holders(tasks: &Tasks) -> HashSet<String> {
    let running = TaskFilter { state: Some(TaskState::Running), limit: 1_000, ..TaskFilter::default() };
    tasks.list(&running).await.unwrap().into_iter().filter_map(|row| row.worker).collect()
}

/// Every worker has renewed its lease so often since `tasks` was last asked.
async fn renewed(tasks: &Tasks) {
    let before = tasks.leases().await.unwrap();
    until("every lease was renewed through two lengths", async || {
        let now = tasks.leases().await.unwrap();
        before.iter().all(|old| {
            now.iter().find(|new| new.id == old.id).is_none_or(|new| new.beat >= old.beat + RENEWALS)
        })
    })
    .await;
}

/// Two workers, tasks in the hands of both, and clocks set in the middle of it: both, or only one of them.
async fn clocks_set_by(env: Env, hours: i64, both: bool) {
    let acts = Acts::new();
    let ours = Tasks::new(env.db.clone(), env.ring(), going_clock());
    let their_clock = if both { ours.clock().clone() } else { going_clock() };
    let theirs = Tasks::new(env.db.clone(), env.ring(), their_clock);
    let mine = start(&env, &ours, &acts).await;
    let my_worker = ours.leases().await.unwrap().remove(0).id;
    let other = start(&env, &theirs, &acts).await;
    let workers = ours.leases().await.unwrap();
    let other_worker = workers.into_iter().map(|lease| lease.id).find(|id| *id != my_worker).unwrap();
    let mut enqueued = 0;
    until("both have tasks in hand", async || {
        if acts.runs().len() == enqueued {
            for tasks in [&ours, &theirs] {
                tasks.enqueue(&plays(&Act::WaitForGate, 2)).await.unwrap();
            }
            enqueued += 4;
        }
        holders(&ours).await.len() == 2
    })
    .await;
    until("all run", async || acts.runs().len() == enqueued).await;

    assert!(ours.clock().advance(TimeDelta::hours(hours)));
    renewed(&ours).await;
    assert_eq!(acts.runs().len(), enqueued, "none was taken from a worker that lives");
    acts.gate.add_permits(enqueued);
    until("all are done", async || all_are_done(&ours).await).await;

    // A worker that dies is missed as soon as by any other clock.
    until("the other has tasks in hand", async || {
        if acts.runs().len() == enqueued {
            theirs.enqueue(&plays(&Act::WaitForGate, 2)).await.unwrap();
            enqueued += 2;
        }
        holders(&ours).await.contains(&other_worker)
    })
    .await;
    drop(other);
    acts.gate.add_permits(1_000);
    until("nothing is stuck", async || all_are_done(&ours).await).await;
    mine.stop().await;
    assert_eq!(env.metrics.lost_leases.get(), 0);
}

both_engines! {
    async fn clocks_set_forward_take_no_task_from_a_living_worker(env: Env) {
        clocks_set_by(env, 1, true).await;
    }

    async fn clocks_set_back_leave_nothing_with_a_dead_worker(env: Env) {
        clocks_set_by(env, -1, true).await;
    }

    async fn a_machine_whose_clock_is_ahead_takes_no_task_from_the_others(env: Env) {
        clocks_set_by(env, 1, false).await;
    }

    async fn retries_and_snoozes_come_when_the_clock_says_so(env: Env) {
        let acts = Acts::new();
        let tasks = Tasks::new(env.db.clone(), env.ring(), going_clock());
        let workers = start(&env, &tasks, &acts).await;
        tasks.enqueue(&plays(&Act::SnoozeOnce, 1)).await.unwrap();
        until("it was put off by an hour", async || acts.runs().len() == 1).await;
        tasks.clock().advance(TimeDelta::hours(-1));
        tasks.enqueue(&plays(&Act::FailTimes(1), 3)).await.unwrap();
        until("what is due by a clock set back is done", async || acts.runs().len() >= 7).await;
        assert_eq!(acts.runs().len(), 7, "an hour's snooze is not over");
        tasks.clock().advance(TimeDelta::hours(2));
        until("it is over", async || all_are_done(&tasks).await).await;
        workers.stop().await;
    }
}
