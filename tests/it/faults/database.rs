//! PostgreSQL restarted, killed, its connections terminated and hung, under load: it costs time. The execution log
//! is the judge.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use trunkline_jobs::Services;
use trunkline_jobs::media::guard::AddressPolicy;
use trunkline_jobs::media::{FetchConfig, Fetcher, MediaStore};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbOptions};
use trunkline_platform::job::{Job, Registry};
use trunkline_platform::ring::Ring;
use trunkline_platform::task::Tasks;
use trunkline_platform::worker::{WorkerConfig, Workers};

use crate::harness::judge::{all_ended, every_task};
use crate::harness::log::{Echo, Logged, make_log, read_log};
use crate::harness::proxy::proxy;
use crate::harness::{Env, until};
use crate::kept::{self, media, no_provider, no_secrets};
use crate::servers::Postgres;

const TASKS: u64 = 1_500;

fn registry() -> Arc<Registry<Services>> {
    Arc::new(Registry::new().register::<Logged>().and_then(Registry::register::<Echo>).unwrap())
}

async fn services(env: &Env, db: Db) -> Arc<Services> {
    let fetcher = Fetcher::new(FetchConfig {
        max_bytes: 1,
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        max_redirects: 0,
        policy: AddressPolicy { allow_hosts: Vec::new(), allow_http: false },
        user_agent: "none".to_owned(),
        credentials: None,
    });
    let store = MediaStore::local(env.folder().join("media")).await.unwrap();
    let services = kept::services(env, media(fetcher.unwrap(), store), no_provider(env));
    Arc::new(Services { secrets: no_secrets(&db), db, ..services })
}

async fn worker(env: &Env, db: Db) -> Workers {
    let tasks = Tasks::new(db.clone(), Ring::local(), Clock::system());
    let config =
        WorkerConfig { lease: Duration::from_secs(3), default_concurrency: 8, ..WorkerConfig::default() };
    let services = services(env, db).await;
    Workers::start(tasks, registry(), services, &[Logged::QUEUE], config, env.metrics.clone()).await.unwrap()
}

/// Two workers and a load, and something done to the server in the middle of it. The second worker's connections
/// go through a proxy.
async fn work_through(outage: impl AsyncFnOnce(&mut Postgres, &tokio::sync::watch::Sender<bool>)) {
    let mut server = tokio::task::block_in_place(Postgres::start).unwrap();
    server.create_database("faults", None).await.unwrap();
    let env = Env::new(server.url("faults"), None, tempfile::tempdir().unwrap()).await;
    trunkline::schema::migrate(&env.db).await.unwrap();
    make_log(&env.db).await.unwrap();
    let (port, silence) = proxy(server.port()).await;
    let url = env.database_url.replace(&format!(":{}/", server.port()), &format!(":{port}/"));
    let second = Duration::from_secs(1);
    let options = DbOptions { statement_timeout: second, acquire_timeout: second, ..DbOptions::default() };
    let direct = Db::open(&env.database_url.parse().unwrap(), &options).await.unwrap();
    let proxied = Db::open(&url.parse().unwrap(), &options).await.unwrap();
    let workers = [worker(&env, direct).await, worker(&env, proxied).await];

    let tasks = env.live_tasks();
    let loader = tasks.clone();
    let loading = tokio::spawn(async move {
        for number in 0..TASKS {
            let job = Logged {
                number,
                millis: number % 40,
                failures: u32::from(number % 50 == 0),
                deaf: number % 3 == 0,
                line: (number % 5 == 0).then(|| (number % 3).to_string()),
            };
            while loader.enqueue(&[job.task()]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    until("it is being worked off", async || {
        tasks.count_by_kind().await.is_ok_and(|counts| counts.iter().map(|row| row.count).sum::<i64>() > 200)
    })
    .await;
    outage(&mut server, &silence).await;
    loading.await.unwrap();
    until("all has ended", async || all_ended(&tasks).await).await;
    for workers in workers {
        workers.stop().await;
    }
    let rows = every_task(&tasks).await.unwrap();
    let findings = read_log(&env.db, &rows, &HashMap::new(), TASKS).await.unwrap();
    assert!(findings.wrongs.is_empty(), "{}", findings.wrongs.join("\n"));
    assert!(findings.runs >= TASKS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_postgres_loses_nothing() {
    work_through(async |server, _| {
        tokio::task::block_in_place(|| server.stop().and_then(|()| server.start_again())).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_loses_nothing() {
    work_through(async |server, _| {
        tokio::task::block_in_place(|| server.kill().and_then(|()| server.start_again())).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_backends_lose_nothing() {
    work_through(async |server, _| {
        for pause in [0, 30, 200, 5, 400, 90] {
            server.terminate_backends("faults").await.unwrap();
            // The times between them are the test's own, nothing is waited for.
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_hang_lose_nothing() {
    work_through(async |_, silence| {
        silence.send_replace(true);
        tokio::time::sleep(Duration::from_secs(4)).await;
        silence.send_replace(false);
    })
    .await;
}
