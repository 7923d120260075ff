//! Secrets in versions: sealed, believed by, counted, retired, and changed for one another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Route, Server};
use prometheus::Registry;
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use trunkline::correlation::CorrelationIds;
use trunkline::receiver::{ReceiverMetrics, ReceiverSettings};
use trunkline_jobs::secrets::{
    COUNTS_FOR, Keyring, MasterKeys, Moved, Purpose, RotationRules, SecretRow, State, Vault, VaultError,
};
use trunkline_openphone::event::{EventType, Generation};
use trunkline_openphone::factory::Factory;
use trunkline_openphone::signature::{Key, sign_legacy, sign_standard};
use trunkline_platform::audit::{self, AuditFilter};
use trunkline_platform::clock::Clock;

use crate::campaigns::ana;
use crate::harness::{Env, Program, both_engines, start_time, until};
use crate::kept::statement;

const CONFIGURED: &str = "whsec_c2ltdWxhdGVkIHN0YW5kYXJkIHNlY3JldA==";
const FIRST: &str = "whsec_Zmlyc3Qgc2VjcmV0IG9mIHRoZSB0YWJsZQ==";
const SECOND: &str = "whsec_c2Vjb25kIHNlY3JldCBvZiB0aGUgdGFibGU=";
const LEGACY: &str = "bGVnYWN5IHNlY3JldCBvZiB0aGUgdGFibGU=";

const RULES: RotationRules = RotationRules {
    deliveries: 3,
    quiet: Duration::from_secs(600),
    overdue: Duration::from_secs(3_600),
    every: None,
};

fn vault(env: &Env) -> Vault {
    let key = MasterKeys::generate().unwrap();
    Vault::new(env.db.clone(), MasterKeys::parse([key.expose_secret()]).unwrap(), RULES)
}

async fn add(vault: &Vault, env: &Env, name: &str, secret: &str) -> Result<SecretRow, VaultError> {
    let purpose = Purpose::from(Key::scheme_of(secret));
    vault.add(purpose, name, &SecretString::from(secret), &ana(), env.clock.now()).await
}

async fn came(env: &Env, id: i64, deliveries: i64) {
    let note = statement(format!("UPDATE secrets SET deliveries = {deliveries} WHERE id = {id}"));
    note.query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
}

async fn states(vault: &Vault, env: &Env) -> Vec<(i32, State)> {
    let standing = vault.standing(env.clock.now()).await.unwrap();
    standing.iter().map(|one| (one.row.version, one.row.state)).collect()
}

/// A door with a keyring of its own, on the machine's clock.
struct Gate {
    url: String,
    client: reqwest::Client,
    keyring: Arc<Keyring>,
    next: std::cell::Cell<u32>,
}

impl Gate {
    async fn open(env: &Env, vault: &Vault, configured: &[&str]) -> Self {
        let configured: Vec<SecretString> = configured.iter().map(|&secret| secret.into()).collect();
        let keyring = Arc::new(Keyring::open(&configured, vault.clone(), Clock::system()).await.unwrap());
        tokio::spawn(Arc::clone(&keyring).keep(CancellationToken::new()));
        let settings = ReceiverSettings { keyring: Arc::clone(&keyring), ..ReceiverSettings::default() };
        let metrics = ReceiverMetrics::new(&Registry::new()).unwrap();
        let ids = CorrelationIds::of_webhooks(1);
        let (webhooks, committer) =
            trunkline::receiver::start(settings, env.tasks(), Clock::system(), ids, metrics);
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
        tokio::spawn(async move {
            let _committer = committer;
            Server::new_with_acceptor(acceptor).run(Route::new().at("/", webhooks)).await
        });
        let url = format!("http://{address}/");
        Self { url, client: reqwest::Client::new(), keyring, next: 0.into() }
    }

    async fn post(&self, secret: &str) -> (StatusCode, String) {
        self.next.set(self.next.get() + 1);
        post(&self.client, &self.url, secret, self.next.get()).await
    }
}

/// Delivers something new, signed with this secret, and tells what came of it.
pub(crate) async fn post(
    client: &reqwest::Client,
    url: &str,
    secret: &str,
    number: u32,
) -> (StatusCode, String) {
    let (key, now) = (Key::parse(secret).unwrap(), Clock::system().now());
    let request = client.post(url).header("content-type", "application/json");
    let generation = if secret.starts_with("whsec_") { Generation::Dated } else { Generation::App };
    let event = Factory::new(u64::from(number)).event(EventType::MessageReceived, generation, now).unwrap();
    let request = if generation == Generation::Dated {
        let id = format!("msg_{number}");
        request
            .header("webhook-signature", sign_standard(&key, &id, now.timestamp(), &event.body))
            .header("webhook-id", id)
            .header("webhook-timestamp", now.timestamp())
    } else {
        request.header("openphone-signature", sign_legacy(&key, now.timestamp_millis(), &event.body))
    };
    let answer = request.body(event.body).send().await.unwrap();
    let status = answer.status();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

const ACCEPTED: (StatusCode, String) = (StatusCode::NO_CONTENT, String::new());

fn refused(code: &str) -> (StatusCode, String) {
    (StatusCode::UNAUTHORIZED, code.to_owned())
}

both_engines! {
    async fn the_first_of_a_name_is_in_use_and_another_waits_until_a_delivery_was_signed_with_it(env: Env) {
        let vault = vault(&env);
        let first = add(&vault, &env, "4127", FIRST).await.unwrap();
        assert_eq!((first.state, first.version), (State::Active, 1));
        let second = add(&vault, &env, "4127", SECOND).await.unwrap();
        assert_eq!((second.state, second.version), (State::Incoming, 2));
        assert_eq!(add(&vault, &env, "WH1", LEGACY).await.unwrap().state, State::Active);
        assert!(matches!(add(&vault, &env, "other", FIRST).await, Err(VaultError::There { id, .. }) if id == first.id));
        assert!(matches!(add(&vault, &env, " ", CONFIGURED).await, Err(VaultError::Name)));
        assert!(matches!(add(&vault, &env, "4127", "no base64").await, Err(VaultError::Secret(_))));
        assert!(vault.tend(&ana(), env.clock.now()).await.unwrap().is_empty());
        assert_eq!(vault.open(&second).unwrap().expose_secret(), SECOND);
    }

    async fn the_old_one_goes_only_when_enough_came_under_the_new_one_and_nothing_under_it_alone(env: Env) {
        let vault = vault(&env);
        let old = add(&vault, &env, "4127", FIRST).await.unwrap();
        let new = add(&vault, &env, "4127", SECOND).await.unwrap();
        let tend = async || vault.tend(&ana(), env.clock.now()).await.unwrap().len();
        let retire = async |force| vault.retire(old.id, force, &ana(), env.clock.now()).await;
        assert!(matches!(retire(false).await, Err(VaultError::Needed { .. })), "it is the one in use");
        came(&env, new.id, 1).await;
        assert_eq!(tend().await, 1);
        assert_eq!(states(&vault, &env).await, [(1, State::Retiring), (2, State::Active)]);

        env.clock.advance(TimeDelta::minutes(30));
        assert_eq!(tend().await, 0, "one of three came");
        let error = retire(false).await.unwrap_err().to_string();
        assert!(error.contains("2 more deliveries") && error.contains("--force"), "{error}");
        came(&env, new.id, 3).await;
        let moved = vault.tend(&ana(), env.clock.now()).await.unwrap();
        assert!(matches!(&moved[..], [Moved::Retired(row)] if row.id == old.id), "{moved:?}");
        assert_eq!(states(&vault, &env).await, [(2, State::Active)]);
        assert!(matches!(retire(true).await, Err(VaultError::Retired(_))));
        let kept = statement(format!("SELECT COALESCE(sealed, 'none') FROM secrets WHERE id = {}", old.id));
        let (kept,): (String,) = kept.query().one(&mut env.db.read().await.unwrap()).await.unwrap();
        assert_eq!(kept, "none", "what is retired is forgotten");
    }

    async fn every_act_is_in_the_audit_and_no_secret_is(env: Env) {
        let vault = vault(&env);
        let announced = vault.announce(Purpose::Standard, "4127", &ana(), start_time()).await.unwrap();
        let row = vault.fill(&announced, &FIRST.into(), &ana(), start_time()).await.unwrap();
        assert_eq!(row.id, announced.id);
        let other = vault.announce(Purpose::Standard, "4127", &ana(), start_time()).await.unwrap();
        vault.withdraw(&other, &ana(), start_time()).await.unwrap();
        came(&env, row.id, 9).await;
        vault.tend(&ana(), start_time()).await.unwrap();
        vault.retire(row.id, true, &ana(), start_time()).await.unwrap();
        let mut acts = audit::list(&env.db, &AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
        acts.reverse();
        let done: Vec<&str> = acts.iter().map(|act| act.action.as_str()).collect();
        let expected =
            ["secret.announce", "secret.add", "secret.announce", "secret.withdraw", "secret.activate", "secret.retire"];
        assert_eq!(done, expected);
        let secret = FIRST.trim_start_matches("whsec_");
        assert!(!format!("{acts:?} {:?}", vault.standing(start_time()).await.unwrap()).contains(secret));
    }

    async fn an_answer_that_was_lost_is_announced_again_and_an_earlier_one_told_late_is_kept_too(env: Env) {
        let (vault, now) = (vault(&env), start_time());
        add(&vault, &env, "4127", FIRST).await.unwrap();
        let lost = vault.announce(Purpose::Standard, "4127", &ana(), now).await.unwrap();
        let again = vault.announce(Purpose::Standard, "4127", &ana(), now).await.unwrap();
        assert_eq!(again.id, lost.id);
        let later = now + TimeDelta::minutes(6);
        assert!(vault.standing(later).await.unwrap().iter().any(|one| one.overdue), "somebody has to know");
        vault.fill(&again, &SECOND.into(), &ana(), now).await.unwrap();
        let third = vault.fill(&lost, &CONFIGURED.into(), &ana(), now).await.unwrap();
        assert_eq!((third.version, third.state), (3, State::Incoming));
        let told_twice = vault.fill(&lost, &CONFIGURED.into(), &ana(), now).await.unwrap();
        assert_eq!(told_twice.id, third.id);
        came(&env, third.id, 1).await;
        vault.tend(&ana(), now).await.unwrap();
        let expected = [(1, State::Retiring), (2, State::Retiring), (3, State::Active)];
        assert_eq!(states(&vault, &env).await, expected);
    }

    async fn what_may_be_signed_with_a_secret_that_is_about_to_be_known_waits_for_it(env: Env) {
        let vault = vault(&env);
        let gate = Gate::open(&env, &vault, &[CONFIGURED]).await;
        assert_eq!(gate.post(FIRST).await, refused("signature_invalid"));
        // So long ago that nothing is on its way any more when it is told.
        let now = Clock::system().now() - TimeDelta::minutes(2);
        let announced = vault.announce(Purpose::Standard, "4127", &ana(), now).await.unwrap();
        until("the receiver knows of it", async || {
            gate.keyring.view().unwrap().may_be(trunkline_openphone::signature::Scheme::Standard)
        })
        .await;
        let fill = async {
            // While it waits: the receiver has it in hand.
            assert_eq!(gate.post(CONFIGURED).await, ACCEPTED);
            vault.fill(&announced, &FIRST.into(), &ana(), now).await.unwrap();
        };
        let (answer, ()) = tokio::join!(gate.post(FIRST), fill);
        assert_eq!(answer, ACCEPTED);
        assert_eq!(gate.post(LEGACY).await, refused("secret_not_configured"), "the other scheme awaits none");
        assert_eq!(gate.post(SECOND).await, refused("signature_invalid"), "nothing is awaited any more");
    }

    async fn what_nobody_tells_in_time_is_to_be_sent_again_and_is_not_refused(env: Env) {
        let vault = vault(&env);
        vault.announce(Purpose::Standard, "4127", &ana(), Clock::system().now()).await.unwrap();
        let gate = Gate::open(&env, &vault, &[]).await;
        let awaited = (StatusCode::SERVICE_UNAVAILABLE, "secret_awaited".to_owned());
        assert_eq!(gate.post(FIRST).await, awaited);
    }

    async fn a_secret_of_the_table_is_believed_and_what_came_under_it_outlives_the_process(env: Env) {
        let place = Place::new(&env);
        let mut program = place.program(&env, &["serve", "--roles", "receiver"]);
        program.start().await.unwrap();
        let (client, url) = (reqwest::Client::new(), program.url("/webhooks/openphone"));
        place.add(&program, "4127", FIRST);
        until("it is believed", async || post(&client, &url, FIRST, 1).await == ACCEPTED).await;
        assert_eq!(post(&client, &url, FIRST, 2).await, ACCEPTED);
        assert_eq!(post(&client, &url, FIRST, 2).await, ACCEPTED, "a repeat, which is not counted");
        until("both are written down", async || place.deliveries(&program) == 2).await;
        program.kill();
        program.start().await.unwrap();
        assert_eq!(post(&client, &url, FIRST, 3).await, ACCEPTED);
        program.stop().await.unwrap();
        assert_eq!(place.deliveries(&program), 3, "the last is written down when it stops");
    }

    async fn a_retired_secret_is_refused_by_every_process_although_the_configuration_still_has_it(env: Env) {
        let place = Place::new(&env);
        let mut program = place.program(&env, &["serve", "--roles", "receiver"]);
        program.start().await.unwrap();
        let (client, url) = (reqwest::Client::new(), program.url("/webhooks/openphone"));
        assert_eq!(post(&client, &url, CONFIGURED, 1).await, ACCEPTED);
        place.add(&program, "4127", CONFIGURED);
        let refused_without_force = program.run(&["secrets", "retire", "1", "--by", "ana"]).unwrap_err().to_string();
        assert!(refused_without_force.contains("no other is in use in its place"), "{refused_without_force}");
        let begun = std::time::Instant::now();
        program.run(&["secrets", "retire", "1", "--force", "--by", "ana", "--reason", "it leaked"]).unwrap();
        let mut number = 1;
        until("it is refused", async || {
            number += 1;
            post(&client, &url, CONFIGURED, number).await.0 == StatusCode::UNAUTHORIZED
        })
        .await;
        assert!(begun.elapsed() < COUNTS_FOR, "{:?}", begun.elapsed());
        program.kill();
        program.start().await.unwrap();
        assert_eq!(post(&client, &url, CONFIGURED, 999).await.0, StatusCode::UNAUTHORIZED);
    }

    async fn a_master_key_is_changed_while_deliveries_come(env: Env) {
        let place = Place::new(&env);
        let mut program = place.program(&env, &["serve", "--roles", "receiver"]);
        program.start().await.unwrap();
        let (client, url) = (reqwest::Client::new(), program.url("/webhooks/openphone"));
        place.add(&program, "4127", FIRST);
        until("it is believed", async || post(&client, &url, FIRST, 1).await == ACCEPTED).await;

        let new = program.run(&["secrets", "new-master-key"]).unwrap().trim().to_owned();
        let old = std::fs::read_to_string(&place.master).unwrap();
        let rewrap = ["secrets", "rewrap", "--by", "ana", "--json"];
        std::fs::write(&place.master, &new).unwrap();
        let error = program.run(&rewrap).unwrap_err().to_string();
        assert!(error.contains("not in secrets.master_keys"), "{error}");
        std::fs::write(&place.master, format!("{new}\n{old}")).unwrap();
        let done: Value = serde_json::from_str(&program.run(&rewrap).unwrap()).unwrap();
        assert_eq!((&done["rewrapped"], &done["unreadable"]), (&1.into(), &0.into()));
        assert_eq!(post(&client, &url, FIRST, 2).await, ACCEPTED, "by who read it under the old key");

        std::fs::write(&place.master, &new).unwrap();
        program.stop().await.unwrap();
        program.start().await.unwrap();
        assert_eq!(post(&client, &url, FIRST, 3).await, ACCEPTED);

        // Who has lost the key refuses nothing that may be genuine.
        std::fs::write(&place.master, &old).unwrap();
        program.stop().await.unwrap();
        program.start().await.unwrap();
        let awaited = (StatusCode::SERVICE_UNAVAILABLE, "secret_awaited".to_owned());
        assert_eq!(post(&client, &url, FIRST, 4).await, awaited);
        let metrics = program.metrics().await;
        assert!(metrics.contains("trunkline_secrets_unreadable 1"), "{metrics}");
    }

    async fn without_a_master_key_nothing_is_kept_and_the_remedy_is_told(env: Env) {
        let program = Program::new(&env, &["serve"]);
        let file = env.folder().join("secret");
        std::fs::write(&file, FIRST).unwrap();
        let file = file.display().to_string();
        for words in [
            &["secrets", "add", "4127", "--file", &file, "--by", "ana"][..],
            &["secrets", "rewrap", "--by", "ana"],
        ] {
            let error = program.run(words).unwrap_err().to_string();
            assert!(error.contains("new-master-key") && error.contains("secrets.master_keys"), "{error}");
        }
        assert_eq!(program.run(&["secrets", "list", "--json"]).unwrap().trim(), "[]");
    }
}

/// Where a program finds its master keys.
struct Place {
    master: PathBuf,
    secret: PathBuf,
}

impl Place {
    fn new(env: &Env) -> Self {
        let place = Self { master: env.folder().join("master_keys"), secret: env.folder().join("secret") };
        std::fs::write(&place.master, MasterKeys::generate().unwrap().expose_secret()).unwrap();
        place
    }

    fn program(&self, env: &Env, command: &[&str]) -> Program {
        Program::new(env, command)
            .set("TRUNKLINE_SECRETS_MASTER_KEYS_FILE", self.master.display().to_string())
            .set("TRUNKLINE_SECRETS_DELIVERIES", "3")
    }

    fn add(&self, program: &Program, name: &str, secret: &str) {
        std::fs::write(&self.secret, format!("{secret}\n")).unwrap();
        let file = self.secret.display().to_string();
        program.run(&["secrets", "add", name, "--file", &file, "--by", "ana"]).unwrap();
    }

    fn deliveries(&self, program: &Program) -> i64 {
        let rows: Value =
            serde_json::from_str(&program.run(&["secrets", "list", "--json"]).unwrap()).unwrap();
        rows[0]["deliveries"].as_i64().unwrap()
    }
}
