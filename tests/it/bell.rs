//! PostgreSQL's own bell: processes without Redis tell one another of new tasks, and losing the connection that
//! listens costs time only.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};
use trunkline_platform::clock::Clock;
use trunkline_platform::job::Job;
use trunkline_platform::ring::Ring;
use trunkline_platform::task::{NewTask, Tasks};
use trunkline_platform::worker::{WorkerConfig, Workers};

use crate::harness::{Acts, Env, Play, Program, registry, until};

/// Longer than any test waits: only the bell can bring work.
const NO_POLL: Duration = Duration::from_secs(600);

/// One process as far as the bell knows: a ring of its own.
fn process(env: &Env) -> Tasks {
    Tasks::new(env.db.clone(), Ring::of_database(&env.db, env.metrics.clone()), Clock::system())
}

async fn work(env: &Env, tasks: &Tasks, acts: &Arc<Acts>, poll_interval: Duration) -> Workers {
    let config = WorkerConfig { poll_interval, ..WorkerConfig::default() };
    let workers = Workers::start(
        tasks.clone(),
        registry(),
        Arc::clone(acts),
        &[Play::QUEUE],
        config,
        env.metrics.clone(),
    );
    workers.await.unwrap()
}

async fn enqueue(tasks: &Tasks, count: usize) {
    let batch: Vec<_> = (0..count).map(|_| NewTask::of(&Play::default()).unwrap()).collect();
    tasks.enqueue(&batch).await.unwrap();
}

/// Listens beside the processes, or ends their listening.
async fn beside(env: &Env) -> PgConnection {
    PgConnection::connect(&env.database_url).await.unwrap()
}

async fn end_all_listening(env: &Env) -> u64 {
    let query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'trunkline bell'";
    sqlx::query(query).execute(&mut beside(env).await).await.unwrap().rows_affected()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_hears_of_new_tasks_without_looking() {
    let env = Env::postgres().await;
    let (enqueuer, worker, acts) = (process(&env), process(&env), Acts::new());
    until("both listen", async || enqueuer.ring().ping().await.is_ok() && worker.ring().ping().await.is_ok())
        .await;
    enqueue(&enqueuer, 1).await;
    let workers = work(&env, &worker, &acts, NO_POLL).await;
    until("the first look found one", async || acts.runs().len() == 1).await;
    for done in [2, 3, 4] {
        enqueue(&enqueuer, 1).await;
        until("the bell brought the next", async || acts.runs().len() == done).await;
    }
    enqueue(&enqueuer, 3_000).await;
    until("one bell brought many", async || acts.runs().len() == 3_004).await;
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_at_once_is_heard_when_it_waits_for_its_bell() {
    let env = Env::postgres().await;
    let (worker, acts) = (process(&env), Acts::new());
    let workers = work(&env, &worker, &acts, NO_POLL).await;
    until("it listens", async || worker.ring().ping().await.is_ok()).await;
    enqueue(&worker, 1).await;
    until("it has looked", async || acts.runs().len() == 1).await;
    let brief = process(&env);
    enqueue(&brief, 1).await;
    brief.ring().flush(NO_POLL).await;
    drop(brief);
    until("the bell brought it", async || acts.runs().len() == 2).await;

    // Redis: what was flushed is there.
    let redis = env.tasks();
    enqueue(&redis, 3).await;
    redis.ring().flush(NO_POLL).await;
    assert_eq!(redis.ring().len(Play::QUEUE, Play::PRIORITY).await, 3);
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_while_nobody_listened_is_looked_for_when_the_connection_is_back() {
    let env = Env::postgres().await;
    let (enqueuer, worker, acts) = (process(&env), process(&env), Acts::new());
    let workers = work(&env, &worker, &acts, NO_POLL).await;
    for done in [1, 2, 3] {
        until("both listen", async || {
            enqueuer.ring().ping().await.is_ok() && worker.ring().ping().await.is_ok()
        })
        .await;
        assert_eq!(end_all_listening(&env).await, 2);
        enqueue(&enqueuer, 1).await;
        until("the task is found all the same", async || acts.runs().len() == done).await;
    }
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_anyone_listening_the_table_is_looked_at() {
    let env = Env::postgres().await;
    let (enqueuer, worker, acts) = (process(&env), process(&env), Acts::new());
    let workers = work(&env, &worker, &acts, Duration::from_secs(1)).await;
    for done in 1..=3 {
        end_all_listening(&env).await;
        enqueue(&enqueuer, 1).await;
        until("it is found", async || acts.runs().len() == done).await;
    }
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_announced_once_and_not_once_per_task() {
    let env = Env::postgres().await;
    let tasks = process(&env);
    until("it listens", async || tasks.ring().ping().await.is_ok()).await;
    let mut ears = sqlx::postgres::PgListener::connect(&env.database_url).await.unwrap();
    ears.listen("trunkline").await.unwrap();
    enqueue(&tasks, 500).await;
    assert_eq!(ears.recv().await.unwrap().payload().trim(), Play::QUEUE.name());
    // Whatever was sent before this comes before this.
    sqlx::query("SELECT pg_notify('trunkline', 'end')").execute(&mut beside(&env).await).await.unwrap();
    assert_eq!(ears.recv().await.unwrap().payload(), "end");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_readiness_tells_whether_the_program_listens() {
    let mut env = Env::postgres().await;
    env.redis_url = None;
    let mut program = Program::new(&env, &["serve"]);
    program.start().await.unwrap();
    until("it says that it listens", async || {
        let body = reqwest::get(program.url("/readyz")).await.unwrap().text().await.unwrap();
        body.contains(r#""listen":{"ok":true}"#) && !body.contains("redis")
    })
    .await;
    let query = "SELECT COUNT(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'trunkline bell'";
    let row = sqlx::query(query).fetch_one(&mut beside(&env).await).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 1, "one connection listens");
    program.stop().await.unwrap();
}
