//! Schedules: each tick one task, whoever runs, dies or sets the clock.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::Value;
use trunkline_platform::audit::{self, Actor, AuditFilter};
use trunkline_platform::schedule::{
    Outcome, ScheduleMetrics, Scheduler, Schedules, Source, TickRow, operate,
};
use trunkline_platform::task::{TaskFilter, TaskRow, TaskState};

use crate::faults::crash_points::{TICKING, die_at};
use crate::harness::{Acts, Env, Program, both_engines, registry, until};

fn schedules(texts: &[&str]) -> Arc<Schedules> {
    let sources: Vec<Source> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| Source { file: format!("{number}.toml"), text: (*text).to_owned() })
        .collect();
    Arc::new(Schedules::load(&sources, registry().as_ref()).unwrap_or_else(|problems| panic!("{problems:?}")))
}

/// A schedule of every quarter of an hour; `more` is further lines.
fn quarterly(more: &str) -> Arc<Schedules> {
    schedules(&[&format!(
        "name = 'play'\ncron = '*/15 * * * *'\njob = 'test.play'\n{more}\npayload = {{ act = 'succeed' }}"
    )])
}

fn metrics() -> ScheduleMetrics {
    ScheduleMetrics::new(&prometheus::Registry::new()).unwrap()
}

async fn scheduler(env: &Env, schedules: &Arc<Schedules>) -> Scheduler {
    Scheduler::start(env.tasks(), Arc::clone(schedules), metrics()).await.unwrap()
}

async fn history(env: &Env) -> Vec<TickRow> {
    let mut rows = operate::history(&env.db, None, None, 1_000).await.unwrap();
    rows.reverse();
    rows
}

/// Outcomes with how many ticks each stands for, in order.
async fn outcomes(env: &Env) -> Vec<String> {
    history(env).await.iter().map(|row| format!("{} {}", row.outcome, row.ticks)).collect()
}

async fn every_task(env: &Env) -> Vec<TaskRow> {
    env.tasks().list(&TaskFilter { limit: 1_000, ..TaskFilter::default() }).await.unwrap()
}

trunkline_platform::statements! {
    /// No second tick of this schedule can be told of.
    BREAK_A = same { "CREATE UNIQUE INDEX only_one ON schedule_ticks (schedule) WHERE schedule = 'a'" }
    MEND_A = same { "DROP INDEX only_one" }
}

async fn execute(env: &Env, stmt: &'static trunkline_platform::db::Stmt) {
    stmt.query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
}

fn ana() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: Some("to see".to_owned()) }
}

both_engines! {
    async fn many_schedulers_at_once_make_one_task_of_each_tick(env: Env) {
        let all = quarterly("overlap = 'allow'");
        for count in [2, 5] {
            let before = every_task(&env).await.len();
            let mut schedulers = Vec::new();
            for _ in 0..count {
                schedulers.push(scheduler(&env, &all).await);
            }
            for _ in 0..8 {
                env.clock.advance(TimeDelta::minutes(15));
                let fired = join_all(schedulers.iter_mut().map(Scheduler::round)).await;
                assert_eq!(fired.into_iter().map(Result::unwrap).sum::<usize>(), 1);
            }
            assert_eq!(every_task(&env).await.len() - before, 8);
        }
        let history = history(&env).await;
        assert_eq!(history.len(), 16);
        assert!(history.windows(2).all(|pair| pair[1].tick_at - pair[0].tick_at == TimeDelta::minutes(15)));
        assert!(history.iter().all(|row| row.outcome == "fired" && row.task_id.is_some()));
    }

    async fn after_an_outage_missed_ticks_are_made_up_for_as_the_file_says(env: Env) {
        let policies = [("'skip'", "skipped_missed 8"), ("'latest'", "skipped_missed 7 fired 1"),
            ("{ all_up_to = 3 }", "skipped_missed 5 fired 1 fired 1 fired 1")];
        for (policy, expected) in policies {
            let all = quarterly(&format!("overlap = 'allow'\nmissed = {policy}"));
            // What is new has missed nothing.
            let mut first = scheduler(&env, &all).await;
            assert_eq!(first.round().await.unwrap(), 0);
            let seen = history(&env).await.len();
            drop(first);
            env.clock.advance(TimeDelta::minutes(130));
            scheduler(&env, &all).await.round().await.unwrap();
            assert_eq!(outcomes(&env).await[seen..].join(" "), expected, "{policy}");
            // On time again.
            env.clock.advance(TimeDelta::minutes(5));
            assert_eq!(scheduler(&env, &all).await.round().await.unwrap(), 1);
        }
    }

    async fn a_clock_that_jumps_fires_no_tick_twice(env: Env) {
        let all = quarterly("overlap = 'allow'");
        let mut one = scheduler(&env, &all).await;
        env.clock.advance(TimeDelta::minutes(15));
        assert_eq!(one.round().await.unwrap(), 1);
        // An hour forward: three were missed, the last is made up for.
        env.clock.advance(TimeDelta::hours(1));
        assert_eq!(one.round().await.unwrap(), 1);
        // And back: the same ticks come again, also for one that has just started.
        env.clock.advance(TimeDelta::hours(-1));
        let mut other = scheduler(&env, &all).await;
        for _ in 0..4 {
            assert_eq!(one.round().await.unwrap() + other.round().await.unwrap(), 0);
            env.clock.advance(TimeDelta::minutes(15));
        }
        assert_eq!(one.round().await.unwrap() + other.round().await.unwrap(), 0);
        env.clock.advance(TimeDelta::minutes(15));
        assert_eq!(one.round().await.unwrap() + other.round().await.unwrap(), 1);
        assert_eq!(outcomes(&env).await, ["fired 1", "skipped_missed 3", "fired 1", "fired 1"]);
    }

    async fn a_clock_that_was_a_year_ahead_stops_no_schedule_for_a_year(env: Env) {
        let all = quarterly("overlap = 'allow'");
        let mut one = scheduler(&env, &all).await;
        env.clock.advance(TimeDelta::days(365));
        one.round().await.unwrap();
        env.clock.advance(TimeDelta::days(-365));
        one.round().await.unwrap();
        env.clock.advance(TimeDelta::minutes(15));
        assert_eq!(one.round().await.unwrap(), 1);
        // Nor for one that starts only then.
        env.clock.advance(TimeDelta::days(365));
        one.round().await.unwrap();
        env.clock.advance(TimeDelta::days(-365));
        let mut other = scheduler(&env, &all).await;
        other.round().await.unwrap();
        env.clock.advance(TimeDelta::minutes(15));
        assert_eq!(other.round().await.unwrap(), 1);
    }

    async fn a_tick_that_meets_an_unfinished_task_does_as_the_file_says(env: Env) {
        let kit = env.kit(&Acts::new());
        let mut skip = scheduler(&env, &quarterly("overlap = 'skip'")).await;
        env.clock.advance(TimeDelta::minutes(15));
        skip.round().await.unwrap();
        env.clock.advance(TimeDelta::minutes(15));
        skip.round().await.unwrap();
        assert_eq!(outcomes(&env).await, ["fired 1", "skipped_overlap 1"]);
        kit.drain().await.unwrap();
        env.clock.advance(TimeDelta::minutes(15));
        skip.round().await.unwrap();

        let mut cancel = scheduler(&env, &quarterly("overlap = 'cancel_old'")).await;
        env.clock.advance(TimeDelta::minutes(15));
        cancel.round().await.unwrap();
        let states: Vec<_> = every_task(&env).await.iter().rev().map(|task| task.state).collect();
        assert_eq!(states, [TaskState::Done, TaskState::Cancelled, TaskState::Pending]);
        let acts = audit::list(&env.db, &AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap();
        assert_eq!((acts[0].actor.as_str(), acts[0].action.as_str()), ("schedule:play", "task.cancel"));

        let mut allow = scheduler(&env, &quarterly("overlap = 'allow'")).await;
        env.clock.advance(TimeDelta::minutes(15));
        allow.round().await.unwrap();
        assert_eq!(kit.drain().await.unwrap(), 2);
    }

    async fn a_task_of_the_job_that_holds_its_own_key_stands_for_the_tick(env: Env) {
        let all = schedules(&["name = 'k'\ncron = '*/15 * * * *'\njob = 'test.play'\noverlap = 'allow'\n\
            payload = { act = 'succeed', key = 'one' }"]);
        let mut one = scheduler(&env, &all).await;
        for _ in 0..2 {
            env.clock.advance(TimeDelta::minutes(15));
            one.round().await.unwrap();
        }
        let history = history(&env).await;
        assert_eq!(outcomes(&env).await, ["fired 1", "existing 1"]);
        assert_eq!(history[0].task_id, history[1].task_id);
    }

    async fn jitter_puts_the_task_off_and_not_the_tick(env: Env) {
        let all = quarterly("jitter = '10m'\noverlap = 'allow'");
        let mut one = scheduler(&env, &all).await;
        for _ in 0..4 {
            env.clock.advance(TimeDelta::minutes(15));
            one.round().await.unwrap();
        }
        let play = all.get("play").unwrap();
        let put_off: Vec<TimeDelta> = history(&env).await.iter().map(|row| play.jitter_of(row.tick_at)).collect();
        let mut tasks = every_task(&env).await;
        tasks.reverse();
        for ((task, row), jitter) in tasks.iter().zip(history(&env).await).zip(put_off) {
            assert_eq!(task.run_at, row.tick_at + jitter);
            assert_eq!(task.cause, format!("schedule:play@{}", row.tick_at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)));
        }
    }

    async fn paused_it_ticks_nowhere_and_resumed_it_makes_up_for_nothing(env: Env) {
        let (tasks, all) = (env.tasks(), quarterly("missed = { all_up_to = 9 }"));
        let play = all.get("play").unwrap();
        let (mut one, mut other) = (scheduler(&env, &all).await, scheduler(&env, &all).await);
        assert!(operate::pause(&tasks, play, &ana()).await.unwrap());
        assert!(!operate::pause(&tasks, play, &ana()).await.unwrap());
        for _ in 0..3 {
            env.clock.advance(TimeDelta::minutes(15));
            assert_eq!(one.round().await.unwrap() + other.round().await.unwrap(), 0);
        }
        assert_eq!(operate::resume(&tasks, play, &ana()).await.unwrap(), Some(3));
        assert_eq!(operate::resume(&tasks, play, &ana()).await.unwrap(), None);
        assert_eq!(one.round().await.unwrap(), 0);
        env.clock.advance(TimeDelta::minutes(15));
        assert_eq!(one.round().await.unwrap() + other.round().await.unwrap(), 1);
        assert_eq!(outcomes(&env).await, ["skipped_paused 3", "fired 1"]);
    }

    async fn a_trigger_is_one_task_and_one_entry_in_the_book(env: Env) {
        let (tasks, all) = (env.tasks(), quarterly("overlap = 'allow'\nenabled = false"));
        let play = all.get("play").unwrap();
        let mut off = scheduler(&env, &all).await;
        env.clock.advance(TimeDelta::minutes(15));
        assert_eq!(off.round().await.unwrap(), 0, "it is switched off");
        let (outcome, one) = operate::trigger(&tasks, play, &ana()).await.unwrap();
        let (_, other) = operate::trigger(&tasks, play, &ana()).await.unwrap();
        assert_eq!(outcome, Outcome::Fired);
        assert_ne!(one, other, "each is one of its own, also within a microsecond");
        assert_eq!(every_task(&env).await.len(), 2);
        let acts = audit::list(&env.db, &AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap();
        assert_eq!(acts.len(), 2);
        assert_eq!((acts[0].actor.as_str(), acts[0].action.as_str()), ("operator:ana", "schedule.trigger"));
        assert!(history(&env).await.iter().all(|row| row.source == "manual"));
    }

    async fn triggers_at_once_keep_to_the_rule_about_overlap(env: Env) {
        let (tasks, all, ana) = (env.tasks(), quarterly("overlap = 'skip'"), ana());
        let play = all.get("play").unwrap();
        let told = join_all((0..4).map(|_| operate::trigger(&tasks, play, &ana))).await;
        let mut told: Vec<Outcome> = told.into_iter().map(|told| told.unwrap().0).collect();
        told.sort_by_key(|outcome| outcome.as_str());
        assert_eq!(told[..2], [Outcome::Fired, Outcome::SkippedOverlap]);
        assert_eq!(every_task(&env).await.len(), 1);
    }

    async fn a_schedule_that_cannot_be_fired_holds_up_no_other(env: Env) {
        let text = |name: &str| format!("name = '{name}'\ncron = '*/15 * * * *'\njob = 'test.play'\n\
            overlap = 'allow'\npayload = {{ act = 'succeed' }}");
        let all = schedules(&[&text("a"), &text("b")]);
        let mut one = scheduler(&env, &all).await;
        env.clock.advance(TimeDelta::minutes(15));
        assert_eq!(one.round().await.unwrap(), 2);
        execute(&env, &BREAK_A).await;
        env.clock.advance(TimeDelta::minutes(15));
        assert_eq!(one.round().await.unwrap(), 1);
        assert_eq!(history(&env).await.last().unwrap().schedule, "b");
        execute(&env, &MEND_A).await;
        assert_eq!(one.round().await.unwrap(), 1, "it is tried again until it can be fired");
        assert_eq!(every_task(&env).await.len(), 4);
    }

    async fn a_changed_or_newly_enabled_schedule_has_missed_nothing(env: Env) {
        let every = "missed = { all_up_to = 9 }\noverlap = 'allow'";
        scheduler(&env, &quarterly(&format!("{every}\nenabled = false"))).await;
        env.clock.advance(TimeDelta::hours(1));
        let mut on = scheduler(&env, &quarterly(every)).await;
        assert_eq!(on.round().await.unwrap(), 0);
        env.clock.advance(TimeDelta::hours(1));
        let changed = schedules(&["name = 'play'\ncron = '*/5 * * * *'\njob = 'test.play'\n\
            missed = { all_up_to = 99 }\noverlap = 'allow'\npayload = { act = 'succeed' }"]);
        let mut changed = scheduler(&env, &changed).await;
        assert_eq!(changed.round().await.unwrap(), 0);
        env.clock.advance(TimeDelta::minutes(5));
        assert_eq!(changed.round().await.unwrap(), 1);
    }

    async fn hours_pass_in_a_test_in_the_order_of_what_happens_in_them(env: Env) {
        let acts = Acts::new();
        let all = schedules(&["name = 'hourly'\ncron = '0 * * * *'\njob = 'test.play'\n\
            payload = { act = { fail_times = 1 } }"]);
        let kit = env.kit(&acts).with_schedules(all, metrics()).await.unwrap();
        // 09:00 is past; 10:00, 11:00 and 12:00 tick, and each task fails once and is tried again before the next.
        assert_eq!(kit.advance(TimeDelta::hours(3) + TimeDelta::minutes(1)).await.unwrap(), 6);
        let runs = acts.runs();
        assert!(runs.chunks(2).all(|pair| pair[0].0 == pair[1].0), "{runs:?}");
        assert_eq!(outcomes(&env).await, ["fired 1", "fired 1", "fired 1"]);
        let task = kit.assert_enqueued(|play: &crate::harness::Play| play.key.is_none()).await;
        assert_eq!(task.state, TaskState::Done);
    }

    async fn killed_between_ticks_it_loses_none_and_fires_none_twice(env: Env) {
        let folder = env.folder().join("schedules");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("keys.toml"), "name = 'keys'\ncron = '* * * * * *'\njob = 'upkeep.keys'\n\
            missed = { all_up_to = 1000 }\noverlap = 'allow'\n").unwrap();
        let mut program =
            Program::new(&env, &["serve"]).set("TRUNKLINE_SCHEDULES_DIR", folder.display().to_string());
        for round in 1..=4 {
            program.start().await.unwrap();
            until("it ticked", async || history(&env).await.len() > round * 2).await;
            program.kill();
        }
        for point in TICKING {
            die_at(&mut program, point, 2).await;
        }
        program.start().await.unwrap();
        let seen = history(&env).await.len();
        until("it ticked again", async || history(&env).await.len() > seen).await;
        program.stop().await.unwrap();

        let rows = history(&env).await;
        let ticks: Vec<DateTime<Utc>> = rows.iter().map(|row| row.tick_at).collect();
        assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::seconds(1)), "{ticks:?}");
        let fired = rows.iter().filter(|row| row.outcome == "fired").count();
        assert_eq!(every_task(&env).await.len(), fired);
    }

    async fn people_handle_schedules_from_the_command_line(env: Env) {
        let folder = env.folder().join("schedules");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("new-year.toml"), "name = 'new-year'\ncron = '0 0 1 JAN *'\n\
            time_zone = 'America/New_York'\njob = 'upkeep.keys'\n").unwrap();
        let program = Program::new(&env, &["serve"])
            .set("TRUNKLINE_SCHEDULES_DIR", folder.display().to_string())
            .set("TRUNKLINE_SCHEDULES_BUILTIN", "true");
        let run = |words: &[&str]| program.run(words).unwrap();
        let json = |words: &[&str]| -> Value { serde_json::from_str(&run(words)).unwrap() };
        let builtin = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schedules")).unwrap().count();
        let said = format!("{} schedules, all of which can be used\n", builtin + 1);
        assert_eq!(run(&["schedules", "check"]), said);
        let all = json(&["schedules", "list", "--json"]);
        let ours = all.as_array().unwrap().iter().find(|one| one["name"] == "new-year").unwrap();
        assert_eq!(ours["next"].as_array().unwrap().len(), 5);
        assert!(ours["next"][0]["utc"].as_str().unwrap().ends_with("-01-01T05:00:00Z"), "{ours}");
        assert!(ours["next"][0]["local"].as_str().unwrap().ends_with("-01-01T00:00:00-05:00"), "{ours}");
        assert!(run(&["schedules", "list"]).contains("00:00:00 EST"));

        let by = ["--by", "ana", "--reason", "holidays"];
        let act = |verb: &str| run(&[&["schedules", verb, "new-year"], &by[..]].concat());
        assert!(act("pause").contains("new-year is paused"));
        assert!(act("pause").contains("was paused already"));
        assert_eq!(json(&["schedules", "show", "new-year", "--json"])["state"], "paused");
        assert!(act("trigger").contains("is enqueued"));
        let refused = program.run(&[&["schedules", "trigger", "new-year"], &by[..]].concat()).unwrap_err();
        assert!(refused.to_string().contains("has not ended"), "{refused}");
        assert!(act("resume").contains("goes on"));
        assert!(run(&["schedules", "show", "new-year"]).contains("manual"));
        let history = json(&["schedules", "history", "new-year", "--json"]);
        let outcomes: Vec<_> = history.as_array().unwrap().iter().map(|tick| &tick["outcome"]).collect();
        assert_eq!(outcomes, ["skipped_overlap", "fired"]);
        assert_eq!((&history[1]["source"], &history[1]["task_state"]), (&"manual".into(), &"pending".into()));
        let book = json(&["audit", "list", "--subject", "schedule:new-year", "--json"]);
        let acts: Vec<_> = book.as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
        assert_eq!(acts, ["schedule.resume", "schedule.trigger", "schedule.trigger", "schedule.pause"]);
        let unknown = program.run(&["schedules", "show", "old-year"]).unwrap_err().to_string();
        assert!(unknown.contains("schedules list"), "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_at_start_with_file_and_line() {
    let env = Env::sqlite().await;
    let folder = env.folder().join("schedules");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("bad.toml"), "name = 'bad'\ncron = '0 9 * * 1'\njob = 'upkeep.keys'\n")
        .unwrap();
    std::fs::write(folder.join("worse.toml"), "name = 'worse'\ncron = '@daily'\njob = 'upkeep.kyes'\n")
        .unwrap();
    let mut program =
        Program::new(&env, &["serve"]).set("TRUNKLINE_SCHEDULES_DIR", folder.display().to_string());
    let refusals = [
        program.start().await.unwrap_err().to_string(),
        program.run(&["schedules", "check"]).unwrap_err().to_string(),
    ];
    for refused in refusals {
        assert!(refused.contains("bad.toml:2:8: write weekdays by name"), "{refused}");
        assert!(refused.contains("worse.toml:3:7: there is no job \"upkeep.kyes\""), "{refused}");
    }
    let checked = program.run(&["config", "check"]);
    assert!(checked.is_err(), "config check tells of schedules, too");
}
