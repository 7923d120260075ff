//! The program dies at every named point of accepting, claiming, finishing and taking over, before and after each
//! commit, under a stream of webhooks. The provider's own list of what was acknowledged is the judge.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_openphone::event::Generation;
use trunkline_openphone::factory::Factory;
use trunkline_platform::task::TaskState;

use crate::answers::ANSWERING;
use crate::audience::FREEZING;
use crate::campaigns::SENDING;
use crate::contacts::IMPORTING;
use crate::event_replays::REPLAYING;
use crate::experiments::DECIDING;
use crate::harness::judge::{all_ended, every_task, wrongs};
use crate::harness::{Env, Program, both_engines, provider, provider_for, start_time, until};
use crate::reconcile::RECONCILING;
use crate::rotation::CHANGING;

/// Under load, in this order: a take-over needs a worker that died with tasks in hand.
const UNDER_LOAD: [&str; 12] = [
    "accept.before_commit",
    "accept.after_commit",
    "bell.before_ring",
    "claim.before_commit",
    "claim.after_commit",
    "take_over.before_commit",
    "take_over.after_commit",
    "finish.before_follow_ups",
    "finish.before_commit",
    "claim.after_commit",
    "take_over.before_commit",
    "finish.after_commit",
];
/// Nothing is taken over by the clock on SQLite: a start ends every lease.
const POSTGRES_ONLY: &str = "expire.after_commit";
/// The schedules die at these themselves.
pub(crate) const TICKING: [&str; 2] = ["tick.before_commit", "tick.after_commit"];
/// The third death of one task.
const ALONE: &str = "claim_suspect.after_commit";

/// Starts the program, and waits until it has died at the point.
pub(crate) async fn die_at(program: &mut Program, point: &str, hit: u32) {
    program.arm(point, hit);
    program.spawn().unwrap();
    let died = program.died(Duration::from_secs(30)).await;
    assert!(died, "it did not come to {point} for the {hit}th time:\n{}", program.output());
    program.disarm();
}

both_engines! {
    async fn killed_at_every_named_point_it_loses_nothing_and_does_nothing_twice(env: Env) {
        let mut random = StdRng::seed_from_u64(7);
        let mut config = provider();
        config.rate_per_second = 150.0;
        config.seed = 7;
        config.faults = "duplicate=0.1,reorder=0.1".parse().unwrap();
        let mut program = Program::new(&env, &["serve"]);
        let simulator = provider_for(&program, config).await;
        program = program.allow_host(simulator.addr());

        for point in UNDER_LOAD {
            // A take-over is one transaction, with at most a few in a row.
            let hit = if point.starts_with("take_over") { 1 } else { random.random_range(1..4) };
            die_at(&mut program, point, hit).await;
        }
        if env.redis_url.is_some() {
            die_at(&mut program, POSTGRES_ONLY, 1).await;
        }
        program.start().await.unwrap();
        simulator.set_target(None);
        let tasks = env.live_tasks();
        until("all work has ended", async || all_ended(&tasks).await).await;
        program.stop().await.unwrap();
        let acknowledged = simulator.deliveries();
        assert!(acknowledged.len() > 20, "only {} deliveries got through", acknowledged.len());
        let wrongs = wrongs(&env, &acknowledged).await.unwrap();
        assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    }

    async fn the_third_death_with_one_task_makes_it_a_dead_letter_and_hurts_no_other(env: Env) {
        let mut program = Program::new(&env, &["serve", "--queues", "events"]);
        let simulator = provider_for(&program, provider()).await;
        let event = Factory::new(3).text(Generation::Dated, start_time()).remove(0);
        program.arm("bell.before_ring", 1);
        program.spawn().unwrap();
        let emitting = tokio::spawn(async move {
            let _ = simulator.emit(event).await;
            simulator
        });
        assert!(program.died(Duration::from_secs(30)).await, "stored, and no bell rung");
        program.disarm();
        for point in ["claim.after_commit", "claim.after_commit", ALONE] {
            die_at(&mut program, point, 1).await;
        }
        program.start().await.unwrap();
        let tasks = env.live_tasks();
        until("the task is a dead letter", async || {
            let rows = every_task(&tasks).await.unwrap();
            rows.iter().any(|task| {
                task.state == TaskState::Dead && task.last_error.as_deref() == Some("its worker died 3 times")
            })
        })
        .await;
        let simulator = emitting.await.unwrap();
        assert_eq!(simulator.deliveries().len(), 1, "the provider came again and got its answer");
        assert_eq!(every_task(&tasks).await.unwrap().len(), 1);
    }
}

/// Every `crash_point!("…")` below `folder`.
fn points_below(folder: &Path, points: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            points_below(&path, points);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let named = text.split("crash_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            points.extend(named.map(str::to_owned));
        }
    }
}

#[test]
fn every_crash_point_in_the_source_is_died_at() {
    let mut named = BTreeSet::new();
    for folder in ["src", "crates/platform/src", "jobs"] {
        points_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut named);
    }
    let known = UNDER_LOAD
        .into_iter()
        .chain([POSTGRES_ONLY, ALONE])
        .chain(TICKING)
        .chain(crate::keys::ROTATING)
        .chain(SENDING)
        .chain(ANSWERING)
        .chain(FREEZING)
        .chain(DECIDING)
        .chain(IMPORTING)
        .chain(RECONCILING)
        .chain(REPLAYING)
        .chain(CHANGING)
        .map(str::to_owned)
        .collect();
    assert_eq!(named, known);
}

/// Compiles a program that asks by how much its clock is ahead and then comes to a crash point, and tells what its start
/// with both comes to, and its bytes.
fn with_what_tests_can_do(folder: &Path, optimised: bool) -> (Output, Vec<u8>) {
    let platform = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/platform/src");
    let (crash, ahead) = (platform.join("crash.rs"), platform.join("ahead.rs"));
    let source = format!(
        "#[path = {crash:?}] pub mod crash;\n#[path = {ahead:?}] pub mod ahead;\n\
         fn main() {{ eprint!(\"{{}}\", ahead::microseconds()); crash_point!(\"here\"); eprint!(\" lives\"); }}\n"
    );
    std::fs::write(folder.join("main.rs"), source).unwrap();
    let program = folder.join(if optimised { "release" } else { "debug" });
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "main.rs", "-o"]).arg(&program).current_dir(folder);
    if optimised {
        rustc.arg("-O");
    }
    assert!(rustc.status().unwrap().success());
    let clock = folder.join("clock");
    std::fs::write(&clock, "17").unwrap();
    let output =
        Command::new(&program).env("CRASH_AT", "here:1").env("CLOCK_AHEAD", &clock).output().unwrap();
    (output, std::fs::read(program).unwrap())
}

#[test]
fn a_release_build_knows_no_crash_point_and_no_clock_but_the_machines() {
    let folder = tempfile::tempdir().unwrap();
    let told = |bytes: &[u8], name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    let (output, bytes) = with_what_tests_can_do(folder.path(), false);
    assert!(!output.status.success() && told(&bytes, "CRASH_AT"), "a debug build dies there");
    assert!(output.stderr == b"17" && told(&bytes, "CLOCK_AHEAD"));
    let (output, bytes) = with_what_tests_can_do(folder.path(), true);
    assert_eq!((output.status.success(), output.stderr.as_slice()), (true, &b"0 lives"[..]));
    assert!(!told(&bytes, "CRASH_AT") && !told(&bytes, "CLOCK_AHEAD"));
}
