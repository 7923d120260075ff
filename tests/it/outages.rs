//! Redis is only a bell: flushed, stopped or frozen in the middle of a backlog, it costs time and nothing else.

use std::sync::Arc;
use std::time::Duration;

use trunkline_platform::clock::Clock;
use trunkline_platform::job::Job;
use trunkline_platform::ring::Ring;
use trunkline_platform::task::{NewTask, Tasks};
use trunkline_platform::worker::{WorkerConfig, Workers};

use crate::harness::{Acts, Env, Play, registry, until};
use crate::servers::Redis;

const BACKLOG: usize = 10_000;

/// Works off a backlog with two workers while something is done to Redis in the middle of it.
async fn backlog_through(outage: impl AsyncFnOnce(&mut Redis)) {
    let env = Env::postgres().await;
    let mut redis = Redis::start().unwrap();
    let acts = Acts::new();
    let tasks = || {
        let ring = Ring::redis(&redis.url(), "outage", env.metrics.clone()).unwrap();
        Tasks::new(env.db.clone(), ring, Clock::system())
    };
    let (ours, theirs) = (tasks(), tasks());
    let mut workers = Vec::new();
    for tasks in [&ours, &theirs] {
        let config = WorkerConfig { default_concurrency: 4, ..WorkerConfig::default() };
        let started = Workers::start(
            tasks.clone(),
            registry(),
            Arc::clone(&acts),
            &[Play::QUEUE],
            config,
            env.metrics.clone(),
        );
        workers.push(started.await.unwrap());
    }
    let enqueuer = ours.clone();
    let enqueuing = tokio::spawn(async move {
        for _ in 0..BACKLOG / 100 {
            let batch: Vec<_> = (0..100).map(|_| NewTask::of(&Play::default()).unwrap()).collect();
            enqueuer.enqueue(&batch).await.unwrap();
        }
    });
    until("the backlog is being worked off", async || acts.runs().len() > BACKLOG / 10).await;
    outage(&mut redis).await;
    enqueuing.await.unwrap();
    until("the backlog is done", async || {
        acts.runs().len() >= BACKLOG && ours.unfinished_due().await.unwrap() == 0
    })
    .await;
    for workers in workers {
        workers.stop().await;
    }
    assert_eq!(acts.runs().len(), BACKLOG, "each ran once");
    assert!(acts.overlaps.lock().unwrap().is_empty(), "none ran in two places");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_loses_nothing() {
    backlog_through(async |redis| redis.flush_all().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_redis_loses_nothing() {
    backlog_through(async |redis| tokio::task::block_in_place(|| redis.stop()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_is_used_again() {
    backlog_through(async |redis| {
        tokio::task::block_in_place(|| redis.stop()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::task::block_in_place(|| redis.start_again()).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_loses_nothing() {
    backlog_through(async |redis| redis.freeze().unwrap()).await;
}
