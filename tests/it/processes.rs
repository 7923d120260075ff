//! Several processes: roles that share the work, and the embedded engine that is for one.

use trunkline_jobs::media;
use trunkline_platform::db::Engine;
use trunkline_platform::task::TaskState;

use crate::harness::{Env, Program, both_engines, provider, provider_for, until};
use crate::kept::statement;

const SIGTERM: u32 = 15;

both_engines! {
    /// A deployment that is taken back at once: whoever listens to nothing would be killed with tasks in its hands.
    async fn a_stop_that_comes_while_it_starts_is_heard(env: Env) {
        let held = match env.db.engine() {
            Engine::Postgres => "LOCK TABLE _sqlx_migrations IN ACCESS EXCLUSIVE MODE",
            Engine::Sqlite => "DELETE FROM workers",
        };
        let mut holder = env.db.write().await.unwrap();
        statement(held.to_owned()).query().execute(&mut holder).await.unwrap();
        let mut program = Program::new(&env, &["serve"]);
        program.spawn().unwrap();
        let pid = program.pid().unwrap();
        until("it listens to SIGTERM", async || listens(pid)).await;
        program.stop().await.unwrap();
        assert!(program.output().contains("stopped before it started"), "{}", program.output());
    }
}

/// Whether the process has a handler of its own for SIGTERM, by the bits of those it has some for.
fn listens(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    caught & (1 << (SIGTERM - 1)) != 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_and_two_workers_share_one_database_and_one_ring() {
    let env = Env::postgres().await;
    let mut config = provider();
    config.rate_per_second = 200.0;
    config.max_events = Some(300);
    config.seed = 3;
    let mut receiver = Program::new(&env, &["serve", "--roles", "receiver"]);
    receiver.start().await.unwrap();
    let simulator = provider_for(&receiver, config).await;
    let mut events = Program::new(&env, &["serve", "--roles", "worker", "--queues", "events"]);
    let mut media_worker = Program::new(&env, &["serve", "--roles", "worker,scheduler", "--queues", "media"])
        .allow_host(simulator.addr());
    events.start().await.unwrap();
    media_worker.start().await.unwrap();

    simulator.idle().await;
    let tasks = env.live_tasks();
    until("all work is done", async || {
        let counts = tasks.count_by_kind().await.unwrap();
        !counts.is_empty() && counts.iter().all(|row| row.state == TaskState::Done)
    })
    .await;
    let workers = tasks.workers().await.unwrap();
    let mut queues: Vec<&str> = workers.iter().map(|worker| worker.queues.as_str()).collect();
    queues.sort_unstable();
    assert_eq!(queues, ["events", "media"]);
    assert!(media::count(&env.db).await.unwrap().stored > 0);
    for program in [&mut receiver, &mut events, &mut media_worker] {
        program.stop().await.unwrap();
    }
    assert!(tasks.workers().await.unwrap().is_empty(), "they signed off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_a_sqlite_file_is_refused_with_the_reason() {
    let env = Env::sqlite().await;
    let mut first = Program::new(&env, &["serve"]);
    first.start().await.unwrap();
    let refused = Program::new(&env, &["serve"]).start().await.unwrap_err().to_string();
    assert!(refused.contains("SQLite serves one process"), "{refused}");
    assert!(refused.contains("TRUNKLINE_DATABASE_URL"), "says what to do: {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_without_redis_shares_the_work_as_well() {
    let mut env = Env::postgres().await;
    env.redis_url = None;
    let mut receiver = Program::new(&env, &["serve", "--roles", "receiver"]);
    let mut worker = Program::new(&env, &["serve", "--roles", "worker"]);
    receiver.start().await.unwrap();
    let mut config = provider();
    config.rate_per_second = 100.0;
    config.max_events = Some(20);
    let simulator = provider_for(&receiver, config).await;
    worker = worker.allow_host(simulator.addr());
    worker.start().await.unwrap();
    simulator.idle().await;
    let tasks = env.live_tasks();
    until("all work is done", async || {
        let counts = tasks.count_by_kind().await.unwrap();
        !counts.is_empty() && counts.iter().all(|row| row.state == TaskState::Done)
    })
    .await;
}
