//! The rate of requests to the provider: one row for all processes.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use secrecy::SecretString;
use trunkline_jobs::provider::{Lines, Provider, ProviderMetrics, RateLimit, Share};
use trunkline_openphone::client::{ApiError, ApiKey, Client, ClientConfig, Refusal};
use trunkline_openphone::simulator::Simulator;
use trunkline_platform::job::{Failure, FailureKind};

use crate::campaigns::provider_at;
use crate::harness::{self, Env, both_engines};
use crate::kept::no_provider;

const LIMIT: RateLimit = RateLimit { per_second: 10, reserved: 2 };

/// A process of its own: nothing is shared but the database. Nobody listens where it asks.
pub(crate) fn process(env: &Env, key: &str) -> Provider {
    counted(env, key, &prometheus::Registry::new())
}

fn counted(env: &Env, key: &str, registry: &prometheus::Registry) -> Provider {
    let api_key = SecretString::from(key);
    let client = Client::new(ClientConfig {
        base_url: "http://127.0.0.1:1/".parse().unwrap(),
        api_key: ApiKey::of(&api_key).unwrap(),
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        user_agent: "test".to_owned(),
    });
    let metrics = ProviderMetrics::new(registry).unwrap();
    Provider::new(env.db.clone(), Some(client.unwrap()), LIMIT, metrics)
}

async fn take(provider: &Provider, env: &Env, share: Share, wanted: u32) -> u32 {
    let mut tx = env.db.write().await.unwrap();
    let grant = provider.take(&mut tx, share, wanted, env.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    grant.granted
}

fn snoozed_until(failure: &Failure) -> chrono::DateTime<chrono::Utc> {
    match failure.kind {
        FailureKind::Snooze(until) => until,
        other => panic!("{other:?}: {}", failure.error),
    }
}

fn too_many(retry_after: Option<Duration>) -> ApiError {
    ApiError::RateLimited { retry_after, refusal: Refusal::default() }
}

both_engines! {
    async fn three_processes_at_once_share_one_second_and_a_restart_changes_nothing(env: Env) {
        let processes: Vec<Provider> = (0..3).map(|_| process(&env, "key")).collect();
        let takes = processes.iter().cycle().take(12).map(|one| take(one, &env, Share::Repair, 1));
        assert_eq!(join_all(takes).await.iter().sum::<u32>(), 9, "one is reserved");
        assert_eq!(take(&process(&env, "key"), &env, Share::Campaign, 9).await, 0);
        assert_eq!(take(&process(&env, "key"), &env, Share::Reply, 9).await, 1);
        assert_eq!(take(&process(&env, "other key"), &env, Share::Reply, 9).await, 9, "each key has its own");
        env.clock.advance(TimeDelta::milliseconds(1_010));
        assert_eq!(take(&processes[1], &env, Share::Reply, 99).await, 10);
    }

    async fn only_who_wanted_a_token_and_got_none_has_waited(env: Env) {
        let registry = prometheus::Registry::new();
        let provider = counted(&env, "key", &registry);
        let waits = || -> f64 {
            let families = registry.gather();
            let waits = families.iter().find(|family| family.name() == "trunkline_provider_waits_total");
            waits.unwrap().get_metric().iter().map(|metric| metric.get_counter().get_value()).sum()
        };
        take(&provider, &env, Share::Campaign, 0).await;
        let mut tx = env.db.write().await.unwrap();
        provider.hold(&mut tx).await.unwrap();
        drop(tx);
        assert_eq!(waits(), 0.0);
        take(&provider, &env, Share::Campaign, 9).await;
        take(&provider, &env, Share::Campaign, 1).await;
        assert_eq!(waits(), 1.0);
    }

    async fn however_many_look_our_numbers_are_asked_for_once_a_minute(env: Env) {
        let mut config = harness::provider();
        config.target = None;
        let simulator = Simulator::start(config).await.unwrap();
        let provider = provider_at(&env, &simulator, LIMIT);
        let lines = Lines::new(provider.clone(), env.clock.clone());
        let left = async || {
            let all = LIMIT.per_second;
            let left = take(&provider, &env, Share::Reply, all).await;
            env.clock.advance(TimeDelta::seconds(2));
            left
        };
        let told = join_all((0..5).map(|_| lines.list())).await;
        assert!(told.iter().all(|told| told.as_ref().unwrap().as_ref().unwrap().len() > 1), "{told:?}");
        assert_eq!(left().await, 9, "five looks are one question");
        simulator.set_api_keys(Vec::new());
        assert!(lines.clone().list().await.unwrap().is_ok(), "what was told is still fresh");
        env.clock.advance(TimeDelta::minutes(1));
        let why = lines.list().await.unwrap().unwrap_err();
        assert!(why.contains("401") || why.contains("key"), "{why}");
        assert_eq!(left().await, 9);
        assert!(lines.list().await.unwrap().is_err(), "it is not asked again at once");
        assert_eq!(left().await, 10);
        assert!(Lines::new(no_provider(&env), env.clock.clone()).list().await.is_none());
    }

    async fn what_is_rolled_back_was_not_taken(env: Env) {
        let provider = process(&env, "key");
        let mut tx = env.db.write().await.unwrap();
        assert_eq!(provider.take(&mut tx, Share::Reply, 10, env.clock.now()).await.unwrap().granted, 10);
        drop(tx);
        assert_eq!(take(&provider, &env, Share::Reply, 10).await, 10);
    }

    async fn who_finds_no_token_comes_again_at_a_time_of_his_own_and_it_is_no_try(env: Env) {
        let (provider, now) = (process(&env, "key"), env.clock.now());
        take(&provider, &env, Share::Reply, 10).await;
        for expected in [1_010, 1_110, 1_210] {
            let failure = provider.token(Share::Repair, now).await.map(drop).unwrap_err();
            assert_eq!(snoozed_until(&failure), now + TimeDelta::milliseconds(expected));
        }
        env.clock.advance(TimeDelta::milliseconds(1_010));
        assert!(provider.token(Share::Repair, env.clock.now()).await.is_ok());
    }

    async fn a_429_is_obeyed_by_every_process(env: Env) {
        let (one, other, now) = (process(&env, "key"), process(&env, "key"), env.clock.now());
        let wait = Duration::from_secs(30);
        let until = one.heed(&too_many(Some(wait)), now, now).await.unwrap();
        assert_eq!(until, now + TimeDelta::seconds(30));
        let failure = other.token(Share::Reply, now).await.map(drop).unwrap_err();
        assert_eq!(snoozed_until(&failure), until);
        assert_eq!(take(&other, &env, Share::Campaign, 1).await, 0);
        env.clock.advance(TimeDelta::seconds(30));
        assert_eq!(take(&other, &env, Share::Reply, 10).await, 8, "five were left, and three came back");
        let elsewhere = process(&env, "other key");
        assert_eq!(take(&elsewhere, &env, Share::Reply, 10).await, 10);
    }

    async fn without_a_key_a_question_is_a_dead_letter_that_says_what_to_set(env: Env) {
        let failure = no_provider(&env).token(Share::Repair, env.clock.now()).await.map(drop).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent);
        assert!(failure.error.to_string().contains("openphone.api_key"), "{}", failure.error);
    }
}
