//! Promise 1: a webhook answered 2xx is never lost. The program is killed at random under a stream of webhooks;
//! the provider's own list of what was acknowledged is the judge.

use std::collections::HashSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_jobs::events::{self, EventFilter, EventSummary};
use trunkline_platform::task::{TaskFilter, TaskRow, TaskState};

use crate::harness::{Env, Program, both_engines, provider, provider_for, until};

const KILLS: usize = 50;
const SEED: u64 = 4;

async fn every_event(env: &Env) -> Vec<EventSummary> {
    let mut all: Vec<EventSummary> = Vec::new();
    loop {
        let before = all.last().map(|event| event.id);
        let page =
            events::list(&env.db, &EventFilter { before, limit: 1_000, ..Default::default() }).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn every_task(env: &Env) -> Vec<TaskRow> {
    let tasks = env.live_tasks();
    let mut all: Vec<TaskRow> = Vec::new();
    loop {
        let before = all.last().map(|task| task.id);
        let page = tasks.list(&TaskFilter { before, limit: 1_000, ..Default::default() }).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

both_engines! {
    async fn killed_fifty_times_under_load_it_loses_no_acknowledged_webhook(env: Env) {
        let mut random = StdRng::seed_from_u64(SEED);
        let mut config = provider();
        config.rate_per_second = 150.0;
        config.seed = SEED;
        config.faults = "duplicate=0.1,reorder=0.1".parse().unwrap();
        let mut program = Program::new(&env, &["serve"]);
        let simulator = provider_for(&program, config).await;
        program = program.allow_host(simulator.addr());

        for _ in 0..KILLS {
            program.start().await.unwrap();
            tokio::time::sleep(Duration::from_millis(random.random_range(0..250))).await;
            program.kill();
        }
        program.start().await.unwrap();
        until("the provider got something through", async || !simulator.deliveries().is_empty()).await;
        simulator.set_target(None);
        let tasks = env.live_tasks();
        until("all work has ended", async || {
            let counts = tasks.count_by_kind().await.unwrap();
            counts.iter().all(|row| !matches!(row.state, TaskState::Pending | TaskState::Running))
        })
        .await;
        program.stop().await.unwrap();

        let acknowledged = simulator.deliveries();
        assert!(acknowledged.len() > 100, "only {} deliveries got through", acknowledged.len());
        let stored = every_event(&env).await;
        let ids: HashSet<&str> = stored.iter().map(|event| event.event_id.as_str()).collect();
        for delivery in &acknowledged {
            assert!(ids.contains(delivery.event_id.as_str()), "lost: {delivery:?}");
        }

        let rows = every_task(&env).await;
        for event in stored.iter().filter(|event| event.job.is_some()) {
            let cause = format!("webhook:{}", event.id);
            let caused = rows.iter().filter(|task| task.cause == cause).count();
            assert_eq!(caused, 1, "event {} became {caused} tasks", event.id);
        }
        let not_done: Vec<_> = rows.iter().filter(|task| task.state != TaskState::Done).collect();
        assert!(not_done.is_empty(), "{not_done:#?}");
        for task in &rows {
            let ended = tasks.attempts(task.id).await.unwrap().len();
            assert!(ended < usize::try_from(task.attempt).unwrap(), "task {} was done twice: {task:?}", task.id);
        }
    }
}
