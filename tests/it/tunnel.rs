//! The tunnel: every webhook once and untouched on a machine that nobody can reach, whatever is cut on the way.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline_jobs::forward::tunnels;
use trunkline_openphone::simulator::SimulatorHandle;
use trunkline_platform::db::{Stmt, Text};

use crate::admin::{Site, entries, problem};
use crate::harness::relay::Relay;
use crate::harness::sink::{Sink, stored, stored_count};
use crate::harness::{Env, Program, both_engines, free_port, provider, provider_for, until};
use crate::kept::Keeper;

const CUTS: usize = 20;
const SEED: u64 = 7;

static COUNT_SESSIONS: Stmt =
    Stmt { name: "COUNT_SESSIONS", text: Text::Same("SELECT COUNT(*) FROM tunnels") };

/// The installation, and a provider that will tell it of so many events.
async fn installation(env: &Env, events: u64, rate: f64) -> (Program, SimulatorHandle) {
    let mut program = Program::new(env, &["serve"]);
    let mut config = provider();
    config.rate_per_second = rate;
    config.max_events = Some(events);
    config.seed = SEED;
    config.faults = "duplicate=0.1,reorder=0.1".parse().unwrap();
    let simulator = provider_for(&program, config).await;
    simulator.set_target(None);
    program = program.allow_host(simulator.addr());
    program.start().await.unwrap();
    (program, simulator)
}

/// A file with a key for a tunnel.
fn key_file(env: &Env, program: &Program, scopes: &str) -> String {
    let key = program.run(&["keys", "create", "laptop", "--scope", scopes, "--by", "ana"]).unwrap();
    let file = env.folder().join(format!("key-{}", scopes.replace(',', "-")));
    std::fs::write(&file, key).unwrap();
    file.display().to_string()
}

fn words<'w>(server: &'w str, key: &'w str, to: &'w str, state: &'w str) -> Vec<&'w str> {
    vec!["tunnel", "--server", server, "--key-file", key, "--to", to, "--state", state]
}

both_engines! {
    async fn the_tunnel_survives_twenty_cuts_without_losing_or_repeating_a_delivery(env: Env) {
        let mut random = StdRng::seed_from_u64(SEED);
        let (mut program, simulator) = installation(&env, 2_000, 60.0).await;
        let (relay, sink) = (Relay::before(program.port()).await, Sink::start().await);
        let key = key_file(&env, &program, "read,pii");
        let (server, to) = (format!("http://127.0.0.1:{}", relay.port), sink.url());
        let state = env.folder().join("place.json").display().to_string();
        let mut tunnel = Program::new(&env, &words(&server, &key, &to, &state));
        tunnel.spawn().unwrap();
        until("the tunnel has a place", async || std::path::Path::new(&state).exists()).await;
        simulator.set_target(Some(program.url("/webhooks/openphone").parse().unwrap()));

        let (mut killed, mut restarted) = (0, 0);
        for cut in 0..CUTS {
            // Something came through since the last cut, unless all of it did.
            let before = sink.count();
            until("deliveries flow", async || {
                sink.count() > before || sink.count() == stored_count(&env).await
            }).await;
            match cut % 5 {
                // In the middle of an answer.
                0 | 2 => {
                    let cuts = relay.cuts();
                    relay.cut_after(random.random_range(1..1_500));
                    until("the answer was cut", async || relay.cuts() > cuts).await;
                }
                // The installation dies.
                3 => {
                    program.kill();
                    relay.cut();
                    program.start().await.unwrap();
                    killed += 1;
                }
                // The tunnel itself is stopped and started.
                4 if restarted < 2 => {
                    relay.cut();
                    tunnel.stop().await.unwrap();
                    tunnel.spawn().unwrap();
                    restarted += 1;
                }
                _ => relay.cut(),
            }
        }
        assert!(relay.cuts() >= CUTS && killed == 4 && restarted == 2);
        simulator.idle().await;
        until("everything was delivered here", async || sink.count() >= stored_count(&env).await).await;
        tunnel.stop().await.unwrap();

        let (arrived, stored) = (sink.arrived(), stored(&env).await);
        assert!(stored.len() >= 1_000, "only {} webhooks were stored", stored.len());
        assert_eq!(arrived.len(), stored.len(), "each once");
        assert_eq!(arrived, stored, "in order, byte for byte");
        let opened = entries(&env).await.iter().filter(|row| row.action == "tunnel.open").count();
        let (sessions,): (i64,) = COUNT_SESSIONS.query().one(&mut env.db.read().await.unwrap()).await.unwrap();
        assert_eq!(opened as i64, sessions, "each session is in the audit once");
        // One whose answer was cut off is opened again.
        assert!(opened > restarted, "{opened} sessions");
        let said = tunnel.output();
        assert!(!said.contains("+1"), "nobody's number is printed: {said}");
    }

    async fn a_tunnel_waits_for_the_local_program_and_goes_on_where_it_was(env: Env) {
        let (program, simulator) = installation(&env, 30, 100.0).await;
        let port = free_port();
        let key = key_file(&env, &program, "read,pii");
        let (server, to) = (program.url(""), format!("http://127.0.0.1:{port}/hooks"));
        let state = env.folder().join("place.json").display().to_string();
        let mut tunnel = Program::new(&env, &words(&server, &key, &to, &state));
        tunnel.spawn().unwrap();
        until("the tunnel has a place", async || std::path::Path::new(&state).exists()).await;
        simulator.set_target(Some(program.url("/webhooks/openphone").parse().unwrap()));
        simulator.idle().await;
        until("it says that nobody listens", async || tunnel.output().contains("trying again")).await;
        tunnel.stop().await.unwrap();
        let sink = Sink::on(port).await;
        tunnel.spawn().unwrap();
        until("everything was delivered here", async || sink.count() >= stored_count(&env).await).await;
        tunnel.stop().await.unwrap();
        assert_eq!(sink.arrived(), stored(&env).await);

        // From the beginning, to another place: so many and no more, as JSON.
        let other = env.folder().join("other.json").display().to_string();
        let mut again = words(&server, &key, &to, &other);
        again.extend(["--from", "beginning", "--count", "5", "--json", "--body"]);
        let lines = program.run(&again).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| line["status"] == 204 && line["again"] == false), "{lines:?}");
        assert!(!json!(lines).to_string().contains("+1"), "bodies are masked");
        assert_eq!(sink.arrived()[stored(&env).await.len()..], stored(&env).await[..5]);
    }

    async fn a_webhook_is_sent_again_at_a_word(env: Env) {
        let (program, simulator) = installation(&env, 12, 100.0).await;
        let sink = Sink::start().await;
        let key = key_file(&env, &program, "read,pii");
        simulator.set_target(Some(program.url("/webhooks/openphone").parse().unwrap()));
        simulator.idle().await;
        let all = stored(&env).await;
        let (server, to) = (program.url(""), sink.url());
        let state = env.folder().join("place.json").display().to_string();
        let mut words = words(&server, &key, &to, &state);
        words.extend(["--from", "beginning", "--interactive"]);
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        until("everything came", async || sink.count() == all.len()).await;
        stdin.write_all(b"r\n").unwrap();
        until("the last came again", async || sink.count() == all.len() + 1).await;
        stdin.write_all(b"nonsense\nr 999999\nr 1\n").unwrap();
        until("the first came again", async || sink.count() == all.len() + 2).await;
        assert_eq!(sink.arrived()[all.len()..], [all[all.len() - 1].clone(), all[0].clone()]);
        stdin.write_all(b"q\n").unwrap();
        let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
    }

    async fn a_tunnel_without_the_right_key_ends_and_says_what_it_takes(env: Env) {
        let (program, _simulator) = installation(&env, 0, 0.0).await;
        let (server, state) = (program.url(""), env.folder().join("place.json").display().to_string());
        let key = key_file(&env, &program, "admin");
        let refused = program.run(&words(&server, &key, "http://127.0.0.1:1/", &state)).unwrap_err().to_string();
        assert!(refused.contains("the scopes read and pii"), "{refused}");
        let plain = program.run(&words("http://trunkline.example.com", &key, "http://127.0.0.1:1/", &state));
        assert!(plain.unwrap_err().to_string().contains("--plain-http"));
    }

    async fn deliveries_are_followed_over_the_api_by_whoever_opened_a_tunnel(env: Env) {
        let site = Site::start(&env).await;
        let keeper = Keeper::new(&env).await;
        let (mine, other) = (site.key(&[Scope::Read, Scope::Pii]).await, site.key(&[Scope::Read, Scope::Pii]).await);
        let event = |at: usize, event_type: &str| {
            format!(r#"{{"id":"EV{at}",  "type":"{event_type}","data":{{"resource":{{"id":"FX{at}"}}}}}}"#)
        };
        keeper.tell(&[event(0, "fax.received")]).await;
        let open = async |body: Value| {
            let answer = site.ask(Method::POST, "/api/v1/tunnels").bearer_auth(&mine).json(&body).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            answer.json::<Value>().await.unwrap()
        };
        let tunnel = open(json!({"types": ["moon.*"]})).await;
        let path = |after: i64, more: &str| format!("/api/v1/tunnels/{}/deliveries?after={after}{more}", tunnel["id"]);
        assert_eq!(site.read(&path(0, ""), &mine).await, json!({"items": [], "next": tunnel["position"]}));
        problem(site.get(&path(0, ""), &other).await, StatusCode::NOT_FOUND, "not_found").await;
        problem(site.get(&path(-1, ""), &mine).await, StatusCode::BAD_REQUEST, "invalid").await;
        for bad in ["&limit=101", "&limit=0", "&wait=26", "&wiat=1"] {
            problem(site.get(&path(0, bad), &mine).await, StatusCode::BAD_REQUEST, "invalid").await;
        }
        // Somebody who waits is told at once.
        let waiting = path(1, "&wait=25");
        let (far, ()) = tokio::join!(site.read(&waiting, &mine), async {
            keeper.tell(&[event(1, "fax.received"), event(2, "moon.rose"), event(3, "moon.set")]).await;
        });
        let bodies = |page: &Value| -> Vec<String> {
            page["items"].as_array().unwrap().iter().map(|item| item["body"].as_str().unwrap().to_owned()).collect()
        };
        let all = bodies(&far);
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [event(2, "moon.rose"), event(3, "moon.set")]);
        let first = site.read(&path(0, "&limit=1"), &mine).await;
        assert_eq!(bodies(&first), all[..1]);
        let rest = site.read(&path(first["next"].as_i64().unwrap(), ""), &mine).await;
        assert_eq!(bodies(&rest), all[1..]);
        let told: Vec<_> = entries(&env).await.into_iter().filter(|row| row.action == "tunnel.open").collect();
        assert_eq!(told.len(), 1, "each session is in the audit once");
        let key = told[0].actor.strip_prefix("key:").unwrap();
        assert!(mine.contains(key));
        let id = tunnel["id"].as_i64().unwrap();
        for (hours, there) in [(23, true), (24, false)] {
            let then = env.clock.now() + TimeDelta::hours(hours);
            assert_eq!(tunnels::find(&env.db, id, key, then).await.unwrap().is_some(), there);
        }
        // However long it takes, it is no longer than somebody waits.
        let tunnel = site.ask(Method::POST, "/api/v1/tunnels").bearer_auth(&other).json(&json!({})).send().await.unwrap();
        let tunnel: Value = tunnel.json().await.unwrap();
        let path = format!("/api/v1/tunnels/{}/deliveries?after={}&wait=1", tunnel["id"], tunnel["position"]);
        let waited = tokio::time::timeout(Duration::from_secs(20), site.read(&path, &other)).await.unwrap();
        assert_eq!(waited["items"], json!([]));
    }
}
