//! Promise 1: a webhook answered 2xx is never lost. The program is killed at random under a stream of webhooks;
//! the provider's own list of what was acknowledged is the judge.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::harness::judge::{worked_off, wrongs};
use crate::harness::{Env, Program, both_engines, provider, provider_for, until};

const KILLS: usize = 50;
const SEED: u64 = 4;

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
        worked_off(&tasks).await;
        program.stop().await.unwrap();

        let acknowledged = simulator.deliveries();
        assert!(acknowledged.len() > 100, "only {} deliveries got through", acknowledged.len());
        let wrongs = wrongs(&env, &acknowledged).await.unwrap();
        assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    }
}
