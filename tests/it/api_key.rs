//! The key that opens the provider's API is changed while the program asks: nothing fails, the old one goes when the new one
//! has proved itself, and what opens nothing, or another workspace, is not taken.

use secrecy::SecretString;
use serde_json::Value;
use trunkline_platform::audit::{self, AuditFilter};

use crate::harness::{Env, Program, both_engines, until};
use crate::rotation::Stage;

const NAME: &str = "openphone";

impl Stage {
    /// Keeps a key by the command; the version it became.
    fn add_api_key(&self, env: &Env, key: &str) -> anyhow::Result<Value> {
        let file = env.folder().join("api_key");
        std::fs::write(&file, format!("{key}\n"))?;
        let file = file.display().to_string();
        let words = ["secrets", "add-api-key", "--file", &file, "--by", "ana", "--json"];
        let text = tokio::task::block_in_place(|| self.program.run(&words))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Has the provider asked once more for everything, and waits until that is done.
    async fn reconcile(&self) {
        let run = |words: &[&str]| -> anyhow::Result<Value> {
            let text = tokio::task::block_in_place(|| self.program.run(words))?;
            Ok(serde_json::from_str(&text)?)
        };
        run(&["reconcile", "run", "--by", "ana", "--json"]).unwrap();
        until("the run has come to its end", async || {
            run(&["reconcile", "status", "--json"]).unwrap()["running"].is_null()
        })
        .await;
        let last = run(&["reconcile", "status", "--json"]).unwrap();
        assert_eq!(last["last"]["state"], "complete", "{last}\n{}", self.program.output());
    }

    /// How often the provider answered under a version, as far as it was written down.
    fn answers(&self, version: i64) -> i64 {
        let text = tokio::task::block_in_place(|| self.program.run(&["secrets", "list", "--json"])).unwrap();
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        let row = rows.iter().find(|row| row["version"] == version).unwrap();
        row["deliveries"].as_i64().unwrap()
    }

    fn accepted_by_the_provider(&self, keys: &[&str]) {
        self.simulator.set_api_keys(keys.iter().map(|key| SecretString::from(*key)).collect());
    }
}

both_engines! {
    async fn a_new_api_key_is_used_by_every_process_and_the_old_one_goes(env: Env) {
        let mut stage = Stage::new(&env, |_| {}).await;
        stage.accepted_by_the_provider(&["simulated-api-key", "second-key", "third-key"]);
        stage.start().await;
        stage.reconcile().await;
        assert!(stage.secrets().is_empty(), "the key of the configuration is in no table");

        let second = stage.add_api_key(&env, "second-key").unwrap();
        assert_eq!((&second["name"], &second["version"], &second["state"]), (&NAME.into(), &1.into(), &"active".into()));
        let third = stage.add_api_key(&env, "third-key").unwrap();
        assert_eq!((&third["version"], &third["state"]), (&2.into(), &"active".into()));
        assert_eq!(stage.secrets(), [(1, "retiring".to_owned()), (2, "active".to_owned())]);
        stage.tend();
        assert_eq!(stage.secrets()[0].1, "retiring", "nothing was answered under the third yet");

        // Twenty answers under it.
        until("the second is retired", async || {
            stage.reconcile().await;
            stage.tend();
            stage.secrets() == [(1, "retired".to_owned()), (2, "active".to_owned())]
        })
        .await;
        // Whoever still asked under another would be refused now.
        stage.accepted_by_the_provider(&["third-key"]);
        stage.reconcile().await;
        stage.program.stop().await.unwrap();
        stage.start().await;
        stage.reconcile().await;

        let acts = audit::list(&env.db, &AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
        let written = format!("{acts:?}{second}{third}{}", stage.program.output());
        for key in ["second-key", "third-key"] {
            assert!(!written.contains(key), "{key} was written down");
        }
        for action in ["secret.add", "secret.activate", "secret.retire"] {
            assert!(acts.iter().any(|row| row.action == action), "{action}");
        }
    }

    async fn a_key_that_opens_nothing_is_not_taken_and_one_that_was_retired_is_not_asked_under(env: Env) {
        let mut stage = Stage::new(&env, |_| {}).await;
        stage.start().await;
        let refused = stage.add_api_key(&env, "no-key").unwrap_err().to_string();
        assert!(refused.contains("the provider does not know this key"), "{refused}");
        assert!(stage.secrets().is_empty());

        // The key of the configuration is taken into the table, and another put in its place because it leaked.
        let configured = "simulated-api-key";
        let first = stage.add_api_key(&env, configured).unwrap();
        stage.accepted_by_the_provider(&[configured, "second-key"]);
        stage.add_api_key(&env, "second-key").unwrap();
        let id = first["id"].to_string();
        let words = ["secrets", "retire", &id, "--force", "--by", "ana"];
        let told = tokio::task::block_in_place(|| stage.program.run(&words)).unwrap();
        assert!(told.contains("delete it in the workspace's settings"), "{told}");
        until("the second is asked under", async || {
            stage.reconcile().await;
            stage.answers(2) > 0
        })
        .await;
        stage.accepted_by_the_provider(&["second-key"]);
        stage.reconcile().await;
        let again = stage.add_api_key(&env, configured).unwrap_err().to_string();
        assert!(again.contains("does not know"), "{again}");
    }

    async fn without_any_key_the_commands_that_ask_say_how_to_get_one(env: Env) {
        let program = Program::new(&env, &["serve"]);
        for words in [&["reconcile", "run", "--by", "ana"][..], &["campaigns", "start", "1", "--by", "ana"]] {
            let error = tokio::task::block_in_place(|| program.run(words)).unwrap_err().to_string();
            assert!(error.contains("trunkline secrets add-api-key"), "{error}");
        }
    }
}
