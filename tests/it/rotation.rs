//! The secret of a webhook is changed while deliveries come: none is refused, and the old secret is when it has gone. Whoever
//! dies on the way goes on. And the provider's webhooks are held against what is expected.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde_json::Value;
use trunkline_jobs::events;
use trunkline_jobs::secrets::MasterKeys;
use trunkline_openphone::client::{ApiKey, Client, ClientConfig, LegacyFamily, NewSubscription};
use trunkline_openphone::event::Generation;
use trunkline_openphone::factory::Factory;
use trunkline_openphone::simulator::{Delivery, SimulatorConfig, SimulatorHandle};
use trunkline_platform::audit::{self, AuditFilter};
use trunkline_platform::clock::Clock;

use crate::harness::{Env, Program, both_engines, provider, provider_for, until};
use crate::secrets::post;

/// Where a rotation and the making of a webhook can die.
pub(crate) const CHANGING: [&str; 3] =
    ["webhooks.after_creation", "webhooks.before_rotation", "webhooks.after_rotation"];
/// The webhooks that the simulator has from the start.
const PRESENT: &str = "4100";
const OLDER: &str = "WH00000000000000000000000000000001";
const PER_SECOND: f64 = 25.0;

/// The program under a steady stream of present webhooks, with a provider that signs with the new secret alone from the
/// moment it is asked for one.
pub(crate) struct Stage {
    pub(crate) program: Program,
    pub(crate) simulator: SimulatorHandle,
    client: Client,
}

impl Stage {
    pub(crate) async fn new(env: &Env, change: impl FnOnce(&mut SimulatorConfig)) -> Self {
        let master = env.folder().join("master_keys");
        std::fs::write(&master, MasterKeys::generate().unwrap().expose_secret()).unwrap();
        let program = Program::new(env, &["serve"]);
        let mut config = provider();
        config.generations = vec![Generation::Dated];
        config.rotation_overlap = Duration::ZERO;
        // The test asks beside the program, which keeps to a rate of its own.
        config.calls_per_second = 100;
        change(&mut config);
        let api_key = config.api_key.clone();
        let simulator = provider_for(&program, config).await;
        // What happens before the program listens waits, so that none is tried in vain.
        simulator.set_target(None);
        let url = program.url("/webhooks/openphone");
        let program = program
            .allow_host(simulator.addr())
            .set("TRUNKLINE_OPENPHONE_API_URL", simulator.url())
            .set("TRUNKLINE_OPENPHONE_API_KEY", api_key.expose_secret())
            .set("TRUNKLINE_WEBHOOKS_PUBLIC_URL", url)
            .set("TRUNKLINE_SECRETS_MASTER_KEYS_FILE", master.display().to_string())
            .set("TRUNKLINE_SECRETS_DELIVERIES", "20")
            .set("TRUNKLINE_SECRETS_QUIET", "1s");
        let client = Client::new(ClientConfig {
            base_url: simulator.url(),
            api_key: ApiKey::of(&api_key).unwrap(),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            user_agent: "test".to_owned(),
        });
        Self { program, simulator, client: client.unwrap() }
    }

    pub(crate) async fn start(&mut self) {
        self.program.start().await.unwrap();
        self.simulator.set_target(Some(self.program.url("/webhooks/openphone").parse().unwrap()));
    }

    async fn webhooks(&self, words: &[&str]) -> anyhow::Result<Value> {
        let mut words: Vec<&str> = std::iter::once("webhooks").chain(words.iter().copied()).collect();
        words.push("--json");
        if words[1] != "status" {
            words.extend(["--by", "ana"]);
        }
        let text = tokio::task::block_in_place(|| self.program.run(&words))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The versions of a webhook's secret and their states.
    pub(crate) fn secrets(&self) -> Vec<(i64, String)> {
        let text = tokio::task::block_in_place(|| self.program.run(&["secrets", "list", "--all", "--json"]))
            .unwrap();
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut states: Vec<(i64, String)> = rows
            .iter()
            .map(|row| (row["version"].as_i64().unwrap(), row["state"].as_str().unwrap().to_owned()))
            .collect();
        states.sort();
        states
    }

    pub(crate) fn tend(&self) {
        tokio::task::block_in_place(|| self.program.run(&["secrets", "tend", "--by", "ana"])).unwrap();
    }

    /// Moves the secrets on until they stand so.
    async fn until_secrets_are(&self, expected: &[(i64, &str)]) {
        let expected: Vec<(i64, String)> =
            expected.iter().map(|(version, state)| (*version, (*state).to_owned())).collect();
        until(&format!("the secrets are {expected:?}"), async || {
            self.tend();
            self.secrets() == expected
        })
        .await;
    }

    async fn delivered(&self, more: usize) {
        let before = self.simulator.deliveries().len();
        until("more is delivered", async || self.simulator.deliveries().len() >= before + more).await;
    }

    /// Every attempt since then was answered 2xx: none was made a second time.
    fn assert_none_was_refused(&self, since: DateTime<Utc>) {
        let again = |one: &Delivery| one.attempts > 1 && one.acknowledged_at > since;
        let again: Vec<_> = self.simulator.deliveries().into_iter().filter(again).collect();
        assert!(again.is_empty(), "{again:?}\n{}", self.program.output());
        assert_eq!(self.simulator.tally().deliveries_exhausted, 0);
    }

    /// What a delivery gets that is signed with the secret from the start.
    async fn signed_with_the_first(&self, number: u32) -> StatusCode {
        let (url, first) = (self.program.url("/webhooks/openphone"), provider().standard_secret);
        post(&reqwest::Client::new(), &url, first.expose_secret(), 900 + number).await.0
    }
}

both_engines! {
    async fn rotation_under_continuous_load_refuses_no_delivery_and_the_old_secret_after_retirement(env: Env) {
        let mut stage = Stage::new(&env, |config| config.rate_per_second = PER_SECOND).await;
        stage.start().await;
        // What happened before the program listened was told again.
        stage.delivered(20).await;
        let since = Clock::system().now();
        assert_eq!(stage.signed_with_the_first(1).await, StatusCode::NO_CONTENT);
        let told = stage.webhooks(&["rotate", PRESENT]).await.unwrap();
        assert_eq!(told["secret"]["version"], 2, "the first was taken over from the configuration");
        stage.delivered(20).await;
        stage.until_secrets_are(&[(1, "retired"), (2, "active")]).await;
        let refused = StatusCode::UNAUTHORIZED;
        until("the old secret is refused", async || stage.signed_with_the_first(2).await == refused).await;
        stage.delivered(20).await;
        stage.assert_none_was_refused(since);

        let secret = stage.client.rotate_webhook(PRESENT).await.unwrap();
        let acts = audit::list(&env.db, &AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
        let written = format!("{acts:?}{}{told}", stage.program.output());
        assert!(!written.contains("whsec_") && !written.contains(secret.expose_secret()));
    }

    async fn a_provider_that_signs_with_both_for_a_while_changes_nothing(env: Env) {
        let mut stage = Stage::new(&env, |config| {
            config.rate_per_second = PER_SECOND;
            config.rotation_overlap = Duration::from_secs(3_600);
        })
        .await;
        stage.start().await;
        stage.delivered(20).await;
        let since = Clock::system().now();
        stage.webhooks(&["rotate", PRESENT]).await.unwrap();
        stage.until_secrets_are(&[(1, "retired"), (2, "active")]).await;
        stage.delivered(10).await;
        stage.assert_none_was_refused(since);
    }

    async fn whoever_dies_in_a_rotation_rotates_again_and_nothing_is_lost(env: Env) {
        let mut stage = Stage::new(&env, |config| config.rate_per_second = PER_SECOND).await;
        stage.start().await;
        stage.delivered(5).await;
        for point in ["webhooks.before_rotation", "webhooks.after_rotation"] {
            stage.program.arm(point, 1);
            assert!(stage.webhooks(&["rotate", PRESENT]).await.is_err(), "it did not die at {point}");
            stage.program.disarm();
            assert_eq!(stage.secrets(), [(1, "active".to_owned()), (2, "incoming".to_owned())], "{point}");
        }
        // The provider signs with what nobody knows: held, sent again, and not given up.
        stage.webhooks(&["rotate", PRESENT]).await.unwrap();
        stage.until_secrets_are(&[(1, "retired"), (2, "active")]).await;
        stage.delivered(10).await;
        stage.simulator.subscribe(false);
        stage.simulator.idle().await;
        let tally = stage.simulator.tally();
        assert_eq!(tally.deliveries_exhausted, 0);
        let stored: i64 = events::count(&env.db).await.unwrap().iter().map(|row| row.count).sum();
        assert_eq!(stored, i64::try_from(tally.deliveries_acknowledged).unwrap());
        let metrics = stage.program.metrics().await;
        let refused = metrics.lines().find(|line| line.contains("code=\"signature_invalid\"")).unwrap();
        assert!(refused.ends_with(" 0"), "{refused}");
    }

    async fn what_is_wrong_with_the_webhooks_is_told_and_put_right(env: Env) {
        let mut stage = Stage::new(&env, |_| {}).await;
        stage.start().await;
        let status = stage.webhooks(&["status"]).await.unwrap();
        assert_eq!(status["findings"].as_array().unwrap().len(), 0, "{status}");
        let older = "WH00000000000000000000000000000001";
        let rehearsed = stage.webhooks(&["rotate", older, "--dry-run"]).await.unwrap_err().to_string();
        let refused = stage.webhooks(&["rotate", older]).await.unwrap_err().to_string();
        let why = |error: &str| error.split_once('\n').unwrap().1.to_owned();
        assert_eq!(why(&rehearsed), why(&refused), "a dry run refuses what would be refused");

        stage.simulator.subscribe(false);
        let error = stage.webhooks(&["status"]).await.unwrap_err().to_string();
        assert!(error.contains("ended with 1:"), "{error}");
        let plan = stage.webhooks(&["create", "--dry-run"]).await.unwrap();
        assert_eq!(plan["plan"][0]["action"], "rotate", "{plan}");
        assert_eq!(plan["plan"][1]["action"], "enable", "{plan}");
        assert!(!stage.client.get_webhook(PRESENT).await.unwrap().enabled, "it was only asked");
        stage.webhooks(&["create"]).await.unwrap();
        assert!(stage.client.get_webhook(PRESENT).await.unwrap().enabled);
        let event = Factory::new(1).text(Generation::Dated, Clock::system().now()).remove(0);
        assert_eq!(stage.simulator.emit(event).await.unwrap().attempts, 1, "signed with what was learned");

        stage.webhooks(&["delete", PRESENT]).await.unwrap();
        stage.webhooks(&["delete", OLDER]).await.unwrap();
        assert!(stage.webhooks(&["status"]).await.is_err(), "none is there");
        stage.program.arm("webhooks.after_creation", 1);
        assert!(stage.webhooks(&["create"]).await.is_err(), "it died");
        stage.program.disarm();
        let left = stage.client.list_webhooks().await.unwrap();
        assert!(left.len() == 1 && !left[0].enabled, "made, and nothing is told before its secret is known");
        stage.webhooks(&["create"]).await.unwrap();
        let made = stage.client.list_webhooks().await.unwrap();
        assert!(made.len() == 1 && made[0].enabled && made[0].id == left[0].id, "{made:?}");
        let event = Factory::new(2).text(Generation::Dated, Clock::system().now()).remove(0);
        assert_eq!(stage.simulator.emit(event).await.unwrap().attempts, 1);
        assert!(stage.webhooks(&["create"]).await.unwrap()["done"].as_array().unwrap().is_empty());
    }

    async fn older_webhooks_go_when_a_present_one_is_seen_to_tell_all_they_do(env: Env) {
        let mut stage = Stage::new(&env, |_| {}).await;
        stage.start().await;
        stage.webhooks(&["delete", PRESENT]).await.unwrap();
        let beside = NewSubscription {
            url: stage.program.url("/webhooks/openphone"),
            events: vec!["message.received".to_owned()],
            resource_ids: Vec::new(),
            label: None,
            enabled: true,
        };
        stage.client.create_legacy_webhook(LegacyFamily::Messages, &beside).await.unwrap();
        let plan = stage.webhooks(&["move", "--dry-run"]).await.unwrap();
        assert_eq!((&plan["plan"][0]["action"], plan["older"].as_array().unwrap().len()), (&"create".into(), 2));
        stage.webhooks(&["move"]).await.unwrap();
        let error = stage.webhooks(&["move", "--finish"]).await.unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");

        let mut factory = Factory::new(3);
        let present = stage.client.list_webhooks().await.unwrap().remove(0).id;
        // Neither secret sees enough alone; a delivery is not counted whose answer came too late, so that it was sent again.
        for number in 0..30 {
            if number == 15 {
                stage.webhooks(&["rotate", &present]).await.unwrap();
            }
            let event = factory.text(Generation::Dated, Clock::system().now()).remove(0);
            stage.simulator.emit(event).await.unwrap();
        }
        until("enough was seen, before and after the rotation", async || {
            stage.tend();
            stage.webhooks(&["move"]).await.unwrap()["missing"].as_array().unwrap().is_empty()
        })
        .await;
        stage.webhooks(&["move", "--finish"]).await.unwrap();
        assert!(stage.client.list_legacy_webhooks(None).await.unwrap().is_empty());
        assert_eq!(stage.client.list_webhooks().await.unwrap().len(), 1);
    }

    async fn a_schedule_notices_that_a_webhook_was_disabled(env: Env) {
        let mut stage = Stage::new(&env, |config| config.rate_per_second = 0.0).await;
        stage.program.set_variable("TRUNKLINE_SCHEDULES_BUILTIN", "true");
        stage.start().await;
        let program = &stage.program;
        stage.simulator.subscribe(false);
        tokio::task::block_in_place(|| {
            program.run(&["schedules", "trigger", "webhooks.watch", "--by", "ana"]).unwrap()
        });
        let disabled = "trunkline_webhook_problems{problem=\"disabled\"} 2";
        until("it is in the metrics", async || program.metrics().await.contains(disabled)).await;
        assert!(program.output().contains("the provider's webhooks are not as they should be"));
    }
}
