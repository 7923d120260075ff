//! Real workers on the machine's clock: pools, bells, take-over and drain.

use std::sync::Arc;
use std::time::Duration;

use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Stmt, Text};
use trunkline_platform::job::{Job, Priority, Queue};
use trunkline_platform::ring::Ring;
use trunkline_platform::task::{NewTask, TaskState, Tasks, WorkerId};
use trunkline_platform::worker::{WorkerConfig, Workers};

use crate::harness::{Act, Acts, Env, Play, both_engines, registry, until};

async fn start(env: &Env, tasks: &Tasks, acts: &Arc<Acts>, config: WorkerConfig) -> Workers {
    Workers::start(tasks.clone(), registry(), Arc::clone(acts), &[Play::QUEUE], config, env.metrics.clone())
        .await
        .unwrap()
}

fn config() -> WorkerConfig {
    WorkerConfig {
        lease: Duration::from_secs(2),
        grace: Duration::from_millis(300),
        ..WorkerConfig::default()
    }
}

async fn count(tasks: &Tasks, state: TaskState) -> i64 {
    tasks.count_by_kind().await.unwrap().iter().filter(|row| row.state == state).map(|row| row.count).sum()
}

fn plays(act: &Act, count: usize) -> Vec<NewTask> {
    (0..count).map(|_| NewTask::of(&Play { act: act.clone(), key: None }).unwrap()).collect()
}

both_engines! {
    async fn every_task_is_done_once(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let workers = start(&env, &tasks, &acts, config()).await;
        for _ in 0..10 {
            tasks.enqueue(&plays(&Act::Succeed, 200)).await.unwrap();
        }
        until("2000 are done", async || count(&tasks, TaskState::Done).await == 2_000).await;
        workers.stop().await;
        assert_eq!(acts.runs().len(), 2_000);
        assert!(acts.overlaps.lock().unwrap().is_empty());
        assert_eq!(env.metrics.lost_leases.get(), 0);
        assert!(tasks.workers().await.unwrap().is_empty(), "it signed off");
    }

    async fn without_any_bell_tasks_are_found_within_the_poll_interval(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let workers = start(&env, &tasks, &acts, config()).await;
        // A ring nobody listens to stands for every lost bell.
        let unheard = Tasks::new(env.db.clone(), Ring::local(), Clock::system());
        unheard.enqueue(&plays(&Act::Succeed, 5)).await.unwrap();
        until("5 are done", async || count(&tasks, TaskState::Done).await == 5).await;
        workers.stop().await;
    }

    async fn bells_for_tasks_that_are_not_there_or_not_ready_do_no_harm(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let workers = start(&env, &tasks, &acts, config()).await;
        let made = tasks.enqueue(&plays(&Act::Succeed, 3)).await.unwrap();
        let false_bells = made.iter().map(|e| e.id().0).chain([987_654_321, -1]).flat_map(|id| [id; 3]);
        tasks.ring().push(
            false_bells
                .map(|id| trunkline_platform::ring::Bell {
                    queue: Play::QUEUE.name().to_owned(),
                    priority: Priority::NORMAL,
                    id: trunkline_platform::task::TaskId(id),
                })
                .collect(),
        );
        until("3 are done", async || count(&tasks, TaskState::Done).await == 3).await;
        workers.stop().await;
        assert_eq!(acts.runs().len(), 3);
    }

    async fn concurrency_is_a_limit(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let two = WorkerConfig { default_concurrency: 2, ..config() };
        tasks.enqueue(&plays(&Act::WaitForGate, 10)).await.unwrap();
        let workers = start(&env, &tasks, &acts, two).await;
        until("two run", async || acts.runs().len() == 2).await;
        for released in 3..=10 {
            acts.gate.add_permits(1);
            until("one more runs", async || acts.runs().len() == released).await;
        }
        acts.gate.add_permits(2);
        until("all are done", async || count(&tasks, TaskState::Done).await == 10).await;
        workers.stop().await;
    }

    async fn a_stop_gives_back_what_does_not_finish_in_time_with_its_try_restored(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let four = WorkerConfig { default_concurrency: 4, grace: Duration::from_millis(50), ..config() };
        tasks.enqueue(&plays(&Act::WaitForGate, 20)).await.unwrap();
        let workers = start(&env, &tasks, &acts, four).await;
        until("four run", async || acts.runs().len() == 4).await;
        workers.stop().await;
        let depth = tasks.queue_depths().await.unwrap().remove(0);
        assert_eq!((depth.due, depth.running), (20, 0));
        for row in tasks.list(&trunkline_platform::task::TaskFilter { limit: 100, ..Default::default() }).await.unwrap() {
            assert_eq!(row.attempt, row.refunds, "task {} lost a try", row.id);
        }
    }

    async fn a_dead_processs_tasks_are_worked_off_by_another(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        tasks.enqueue(&plays(&Act::Succeed, 10)).await.unwrap();
        let dead = WorkerId::new("wk_dead");
        tasks.register_worker(&dead, "test", chrono::TimeDelta::milliseconds(100)).await.unwrap();
        assert_eq!(tasks.claim_due(&dead, Play::QUEUE, 10).await.unwrap().len(), 10);
        let workers = start(&env, &tasks, &acts, config()).await;
        until("10 are done", async || count(&tasks, TaskState::Done).await == 10).await;
        workers.stop().await;
    }

    async fn a_worker_that_lost_its_lease_cancels_what_runs_and_goes_on_under_a_new_name(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        tasks.enqueue(&plays(&Act::WaitForGate, 1)).await.unwrap();
        let short = WorkerConfig { lease: Duration::from_millis(300), ..config() };
        let workers = start(&env, &tasks, &acts, short).await;
        until("it runs", async || acts.runs().len() == 1).await;
        let before = tasks.workers().await.unwrap().remove(0).id;
        tasks.expire_all_leases().await.unwrap();
        until("there is a new lease", async || {
            tasks.workers().await.unwrap().first().is_some_and(|worker| worker.id != before)
        })
        .await;
        acts.gate.add_permits(10);
        until("it is done", async || count(&tasks, TaskState::Done).await == 1).await;
        workers.stop().await;
    }

    async fn readiness_names_a_queue_nobody_looks_at(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let workers = start(&env, &tasks, &acts, config()).await;
        let readiness = workers.readiness();
        until("it has looked", async || readiness.silent(tasks.clock().now()).is_empty()).await;
        workers.stop().await;
        let later = tasks.clock().now() + chrono::TimeDelta::seconds(60);
        assert_eq!(readiness.silent(later), [Queue::new("test")]);
    }
}

/// SQLite reads whatever others have locked, and has one writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_while_the_look_for_lost_tasks_stands_still() {
    let env = Env::postgres().await;
    let (tasks, acts) = (env.live_tasks(), Acts::new());
    let mut blocker = tasks.begin().await.unwrap();
    static LOCK: Stmt = Stmt { name: "LOCK", text: Text::Same("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE") };
    LOCK.query().execute(blocker.session()).await.unwrap();
    let workers = start(&env, &tasks, &acts, config()).await;
    until("the lease was renewed five times", async || tasks.leases().await.unwrap()[0].beat >= 5).await;
    drop(blocker);
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_the_database_will_never_take_becomes_a_dead_letter_and_holds_up_no_other() {
    let env = Env::postgres().await;
    let (tasks, acts) = (env.live_tasks(), Acts::new());
    let mut batch = plays(&Act::Succeed, 50);
    batch.insert(20, plays(&Act::SpawnUnholdable, 1).remove(0));
    let bad = tasks.enqueue(&batch).await.unwrap()[20].id();
    let workers = start(&env, &tasks, &acts, config()).await;
    until("50 are done", async || count(&tasks, TaskState::Done).await == 50).await;
    until("one is dead", async || count(&tasks, TaskState::Dead).await == 1).await;
    workers.stop().await;
    let row = tasks.show(bad).await.unwrap().unwrap();
    assert!(row.last_error.unwrap().starts_with("its verdict could not be written: "));
}
