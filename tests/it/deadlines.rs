//! A database that goes silent or fails in the middle must not hang the process, and must be used again as soon
//! as it is well.

use std::time::Duration;

use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbError, DbOptions};
use trunkline_platform::ring::Ring;
use trunkline_platform::task::{NewTask, TaskState, Tasks};
use trunkline_platform::worker::{WorkerConfig, Workers};

use trunkline_platform::job::Job;

use crate::harness::proxy::proxy;
use crate::harness::{Acts, Env, Play, both_engines, registry, until};
use crate::servers;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_silent_is_given_up_and_used_again_when_it_answers() {
    let env = Env::postgres().await;
    let server = servers::postgres().unwrap();
    let (port, silence) = proxy(server.port()).await;
    let url = env.database_url.replace(&format!(":{}/", server.port()), &format!(":{port}/"));
    let second = Duration::from_secs(1);
    let options = DbOptions { statement_timeout: second, acquire_timeout: second, ..DbOptions::default() };
    let db = Db::open(&url.parse().unwrap(), &options).await.unwrap();
    let tasks = Tasks::new(db, Ring::local(), Clock::system());
    let acts = Acts::new();
    let config = WorkerConfig { lease: Duration::from_secs(3), grace: second, ..WorkerConfig::default() };
    let workers =
        Workers::start(tasks.clone(), registry(), acts.clone(), &[Play::QUEUE], config, env.metrics.clone())
            .await
            .unwrap();
    let enqueue = || async { tasks.enqueue(&[NewTask::of(&Play::default()).unwrap()]).await };
    enqueue().await.unwrap();
    until("the first is done", async || acts.runs().len() == 1).await;

    silence.send_replace(true);
    assert!(matches!(enqueue().await, Err(DbError::Away { .. })), "a deadline, not a hang");
    silence.send_replace(false);
    until("another can be enqueued", async || enqueue().await.is_ok()).await;
    until("all are done", async || tasks.unfinished_due().await.is_ok_and(|left| left == 0)).await;
    tokio::time::timeout(Duration::from_secs(20), workers.stop()).await.expect("the stop ends");
    assert!(acts.overlaps.lock().unwrap().is_empty());
}

both_engines! {
    async fn a_transaction_that_was_given_up_leaves_the_next_one_well(env: Env) {
        let tasks = env.tasks();
        for _ in 0..30 {
            let mut tx = tasks.begin().await.unwrap();
            tx.enqueue(&[NewTask::of(&Play::default()).unwrap()]).await.unwrap();
            drop(tx);
        }
        for _ in 0..30 {
            // Cut off somewhere on its way.
            let tasks = tasks.clone();
            let enqueuing = tokio::spawn(async move { tasks.enqueue(&[NewTask::of(&Play::default()).unwrap()]).await });
            tokio::task::yield_now().await;
            enqueuing.abort();
            let _ = enqueuing.await;
        }
        let made = tasks.enqueue(&[NewTask::of(&Play::default()).unwrap()]).await.unwrap();
        env.kit(&Acts::new()).drain().await.unwrap();
        assert_eq!(tasks.show(made[0].id()).await.unwrap().unwrap().state, TaskState::Done);
    }

    async fn text_a_database_cannot_hold_is_made_holdable(env: Env) {
        let tasks = env.tasks();
        let task = NewTask::of(&Play { key: Some("a\0b".to_owned()), ..Play::default() }).unwrap();
        let odd = task.correlation_id("c\0d").cause("e\0f");
        let first = tasks.enqueue(std::slice::from_ref(&odd)).await.unwrap()[0];
        let second = tasks.enqueue(&[odd]).await.unwrap()[0];
        assert!(first.is_new() && !second.is_new());
        assert_eq!(tasks.show(first.id()).await.unwrap().unwrap().correlation_id.as_deref(), Some("c\u{fffd}d"));
    }
}
