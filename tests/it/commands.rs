//! The command line, run as its user would run it.

use std::process::Command;

use chrono::TimeDelta;
use serde_json::Value;
use sha2::{Digest, Sha256};
use trunkline_jobs::campaigns::State;
use trunkline_platform::clock::Clock;

use crate::campaigns::{Stage, numbers, program_and_provider};
use crate::harness::{Env, Program, both_engines, free_port, until};
use crate::kept::statement;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// `trunkline dev` in an empty folder: what it stored is what the provider sent, to the last event and byte.
#[test]
fn dev_stores_what_the_simulated_provider_sent() {
    let folder = tempfile::tempdir().unwrap();
    let trunkline = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(words)
            .env_clear()
            .env("TRUNKLINE_HTTP_LISTEN", format!("127.0.0.1:{}", free_port()))
            .current_dir(folder.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    };
    trunkline(&["dev", "--events", "200", "--rate", "200", "--seed", "11"]);
    let said = trunkline(&["dev", "--events", "100", "--rate", "200", "--seed", "11"]);
    assert!(said.contains("events 300 made, 300 stored"), "the second run goes on from the first: {said}");

    let stats = json(&trunkline(&["stats", "--json"]));
    let journal = std::fs::read_to_string(folder.path().join("trunkline-data/simulator.jsonl")).unwrap();
    let acknowledged: std::collections::HashSet<String> = journal
        .lines()
        .map(json)
        .filter_map(|line| {
            line.pointer("/acknowledged/event_id").or(line.get("event_id"))?.as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(stats["happenings"], acknowledged.len());
    assert_eq!(stats["happenings"], 300);

    let listed = json(&trunkline(&["media", "list", "--limit", "1000", "--json"]));
    let thumbnails: std::collections::HashSet<&str> =
        listed.as_array().unwrap().iter().filter_map(|row| row["thumbnail_sha256"].as_str()).collect();
    let mut files = 0;
    for entry in walk(&folder.path().join("trunkline-data/media")) {
        let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&entry).unwrap();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, name, "a file is named by its content");
        let sent = journal.contains(&hash);
        assert!(sent || thumbnails.contains(hash.as_str()), "the provider sent {hash}, or it is a thumbnail");
        files += usize::from(sent);
    }
    assert!(!thumbnails.is_empty(), "pictures are shown small");
    assert_eq!(stats["media"]["files"], files);
    assert!(files > 0);
}

/// What the README leads a newcomer through: two things are broken on purpose, and each is found and mended by what the
/// program says.
#[tokio::test]
async fn dev_with_trouble_tells_what_is_wrong_and_how_to_mend_it() {
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let trunkline = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.args(words).env_clear().env("TRUNKLINE_HTTP_LISTEN", &listen).current_dir(folder.path());
        command
    };
    let told = |words: &[&str]| {
        let ended = trunkline(words).output().unwrap();
        String::from_utf8(ended.stdout).unwrap() + &String::from_utf8_lossy(&ended.stderr)
    };
    let words = ["dev", "--with-trouble", "--rate", "20", "--people", "0"];
    let mut dev = KillOnDrop(trunkline(&words).stdout(std::process::Stdio::null()).spawn().unwrap());
    let found = || told(&["doctor"]);
    until("both troubles are there", async || {
        let found = found();
        found.contains("1 dead letter waits")
            && found.contains("queue:media is paused, by operator:day-shift")
    })
    .await;

    let dead = json(&told(&["dead", "list", "--json"]));
    let task = dead["dead"][0]["id"].to_string();
    let life = told(&["tasks", "show", &task]);
    assert!(life.contains("was never stored"), "why it died: {life}");
    let event = life.split("apply event ").nth(1).and_then(|rest| rest.split(' ').next());
    let event = event.unwrap_or_else(|| panic!("what was meant: {life}"));
    let change = format!("/event={event}");
    told(&["dead", "edit", &task, "--change", &change, "--by", "ana", "--reason", "a slip"]);
    told(&["queues", "resume", "media", "--by", "ana", "--reason", "their host is well"]);
    until("all is well", async || found() == "all is well\n").await;
    until("the task is done", async || json(&told(&["tasks", "show", &task, "--json"]))["state"] == "done")
        .await;
    assert!(dev.0.try_wait().unwrap().is_none(), "it runs on");
}

struct KillOnDrop(std::process::Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

both_engines! {
    async fn listings_are_json_and_mask_what_is_personal(env: Env) {
        let mut program = Program::new(&env, &["serve"]);
        let mut config = crate::harness::provider();
        config.rate_per_second = 200.0;
        config.max_events = Some(60);
        let simulator = crate::harness::provider_for(&program, config).await;
        program = program.allow_host(simulator.addr());
        program.start().await.unwrap();
        simulator.idle().await;

        let events = json(&program.run(&["events", "list", "--limit", "20", "--json"]).unwrap());
        assert_eq!(events.as_array().unwrap().len(), 20);
        let id = events[0]["id"].to_string();
        let shown = program.run(&["events", "show", &id, "--json"]).unwrap();
        let number = |from: &str| from.chars().take_while(char::is_ascii_digit).count() >= 10;
        assert!(!shown.split('+').skip(1).any(number), "numbers are masked: {shown}");
        json(&shown);

        let tasks = json(&program.run(&["tasks", "list", "--json"]).unwrap());
        let id = tasks[0]["id"].to_string();
        json(&program.run(&["tasks", "show", &id, "--json"]).unwrap());
        assert_eq!(json(&program.run(&["workers", "--json"]).unwrap()).as_array().unwrap().len(), 1);
        let stats = json(&program.run(&["stats", "--json"]).unwrap());
        assert_eq!(stats["happenings"], 60);

        let settings = program.run(&["config", "show", "--json"]).unwrap();
        assert!(!settings.contains("c2ltdWxhdGVk"), "secrets are hidden: {settings}");
        json(&settings);
        program.run(&["config", "check"]).unwrap();
        let refused = program.run(&["tasks", "list", "--state", "asleep"]).unwrap_err().to_string();
        assert!(refused.contains("asleep"), "{refused}");
    }

    async fn whoever_watches_sees_what_works_what_waits_and_what_is_wrong(env: Env) {
        let (_simulator, mut program) = program_and_provider(&env).await;
        program.start().await.unwrap();
        program.run(&["jobs", "enqueue", "message.received", "--payload", r#"{"event": 901}"#, "--by", "ana"]).unwrap();
        program.run(&["queues", "pause", "media", "--by", "ana", "--reason", "a test"]).unwrap();
        let look = || program.run(&["top", "--count", "1"]).unwrap();
        until("it has died", async || look().contains("1 dead letters")).await;
        let told = look();
        for part in ["1 workers alive", "queue:media is paused", "message.received", "was never stored"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let looks = program.run(&["top", "--count", "2", "--every", "1s", "--json"]).unwrap();
        let looks: Vec<Value> = looks.lines().map(json).collect();
        assert_eq!((looks.len(), &looks[0]["dead"]), (2, &Value::from(1)));
        assert!(program.run(&["top", "--every", "1ms"]).unwrap_err().to_string().contains("every second at most"));
    }

    async fn a_campaign_whose_task_is_a_dead_letter_is_said_to_stand_still_and_goes_on_when_that_is_retried(env: Env) {
        let stage = Stage::new(&env, "").await;
        let id = stage.started(&stage.plan(), &numbers(3)).await;
        let died = "UPDATE tasks SET state = 'dead', died_at = run_at, finished_at = run_at WHERE kind = 'campaign.pump'";
        statement(died.to_owned()).query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        // The same hour for the program as for the campaign.
        let clock = env.folder().join("clock");
        let ahead = env.clock.now() - Clock::system().now();
        std::fs::write(&clock, ahead.num_microseconds().unwrap().to_string()).unwrap();
        let program = Program::new(&env, &["serve"]).set("CLOCK_AHEAD", clock.display().to_string());
        let found = || json(&program.run_to_code(&["doctor", "--json"]).unwrap().1);
        let stands_still = |trouble: &Value| trouble["what"].as_str().unwrap().contains(&format!("campaign {id} stands still"));
        let troubles = found();
        let trouble = troubles.as_array().unwrap().iter().find(|trouble| stands_still(trouble)).unwrap();
        assert_eq!(trouble["urgent"], true);
        let remedy = trouble["command"].as_str().unwrap().strip_prefix("trunkline ").unwrap();
        program.run(&remedy.split(' ').chain(["--by", "ana"]).collect::<Vec<_>>()).unwrap();
        assert!(!found().as_array().unwrap().iter().any(stands_still));
        stage.pass(TimeDelta::minutes(1)).await;
        assert_eq!((stage.campaign(id).await.state, stage.accepted().len()), (State::Completed, 3));
    }

    async fn the_doctor_ranks_what_is_not_well_and_its_exit_code_tells_how_bad_it_is(env: Env) {
        let (_simulator, mut program) = program_and_provider(&env).await;
        program.start().await.unwrap();
        let doctor = |program: &Program| {
            let (code, told, _) = program.run_to_code(&["doctor", "--json"]).unwrap();
            let found = json(&told).as_array().unwrap().clone();
            let what = |trouble: &Value| trouble["what"].as_str().unwrap().to_owned();
            (code, found.iter().map(what).collect::<Vec<_>>(), found)
        };
        assert_eq!(doctor(&program).1, ["There is no key: nobody can use the pages or the API"]);
        program.run(&["keys", "create", "on-call", "--scope", "operate", "--by", "ana"]).unwrap();
        assert_eq!(program.run(&["doctor"]).unwrap(), "all is well\n");

        program.run(&["queues", "pause", "media", "--by", "ana", "--reason", "a test"]).unwrap();
        let (code, what, found) = doctor(&program);
        assert_eq!((code, what), (3, vec!["queue:media is paused, by operator:ana".to_owned()]));
        assert_eq!(found[0]["runbook"], "holding-back");
        let remedy = found[0]["command"].as_str().unwrap().strip_prefix("trunkline ").unwrap().to_owned();

        program.stop().await.unwrap();
        let (code, what, _) = doctor(&program);
        assert_eq!((code, what.len()), (4, 2), "{what:?}");
        assert_eq!(what[0], "No worker is alive: nothing is worked off", "the urgent one comes first");
        program.start().await.unwrap();
        program.run(&remedy.split(' ').chain(["--by", "ana"]).collect::<Vec<_>>()).unwrap();
        assert_eq!(program.run(&["doctor"]).unwrap(), "all is well\n");
    }
}
