//! What people do to single tasks: cancel and change, with an entry in the audit for each.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use trunkline_platform::audit::{self, Actor, AuditFilter};
use trunkline_platform::job::{Job, Priority};
use trunkline_platform::task::{Change, NewTask, Outcome, TaskId, TaskState, Tasks, Unfinished, WorkerId};
use trunkline_platform::worker::{WorkerConfig, Workers};

use crate::harness::{Act, Acts, Env, Play, both_engines, end_leases, registry, until};

fn actor() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: Some("no longer wanted".to_owned()) }
}

async fn enqueue(tasks: &Tasks, act: Act) -> TaskId {
    tasks.enqueue(&[NewTask::of(&Play { act, key: None }).unwrap()]).await.unwrap()[0].id()
}

async fn state(tasks: &Tasks, id: TaskId) -> TaskState {
    tasks.show(id).await.unwrap().unwrap().state
}

async fn start(env: &Env, tasks: &Tasks, acts: &Arc<Acts>) -> Workers {
    let config = WorkerConfig { lease: Duration::from_secs(3), ..WorkerConfig::default() };
    Workers::start(tasks.clone(), registry(), Arc::clone(acts), &[Play::QUEUE], config, env.metrics.clone())
        .await
        .unwrap()
}

both_engines! {
    async fn a_task_that_waits_is_cancelled_at_once_and_never_runs(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let id = enqueue(&tasks, Act::Succeed).await;
        let acted = tasks.cancel(&[id, TaskId(404)], &actor()).await.unwrap();
        assert_eq!(acted[0].outcome, Outcome::Done);
        assert!(matches!(&acted[1].outcome, Outcome::Refused { why } if why.contains("there is no such task")));
        assert_eq!(env.kit(&acts).drain().await.unwrap(), 0);
        assert_eq!(state(&tasks, id).await, TaskState::Cancelled);
        let again = tasks.cancel(&[id], &actor()).await.unwrap();
        assert!(matches!(&again[0].outcome, Outcome::Refused { why } if why.contains("it has ended (cancelled)")));

        let entries = audit::list(tasks.db(), &AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap();
        assert_eq!(entries.len(), 1, "what was refused left no entry");
        assert_eq!((entries[0].action.as_str(), entries[0].subject.as_str()), ("task.cancel", format!("task:{id}").as_str()));
        assert_eq!(entries[0].before.as_deref(), Some(r#"{"state":"pending"}"#));
        assert_eq!(entries[0].after.as_deref(), Some(r#"{"state":"cancelled"}"#));
    }

    async fn a_running_job_is_told_by_another_process_and_its_task_ends_cancelled(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let workers = start(&env, &tasks, &acts).await;
        let id = enqueue(&tasks, Act::WaitForStop).await;
        until("it says how far it is", async || tasks.progress(id).await.unwrap().is_some()).await;
        let progress = tasks.progress(id).await.unwrap().unwrap();
        assert_eq!((progress.done, progress.total, progress.note.as_deref()), (1, Some(2), Some("half-way")));

        // Another handle on the table stands for another process: it shares nothing with the workers.
        let elsewhere = Tasks::new(env.db.clone(), env.ring(), tasks.clock().clone());
        let asked_at = std::time::Instant::now();
        assert_eq!(elsewhere.cancel(&[id], &actor()).await.unwrap()[0].outcome, Outcome::Told);
        until("it is cancelled", async || state(&tasks, id).await == TaskState::Cancelled).await;
        // Generous: what matters is that it is nowhere near a lease or a time limit.
        assert!(asked_at.elapsed() < Duration::from_secs(20));
        assert_eq!(env.metrics.cancelled.get(), 1);
        assert_eq!(acts.runs().len(), 1, "it is not tried again");
        workers.stop().await;
    }

    async fn a_last_try_that_ends_as_cancelled_counts_as_that_and_not_as_a_dead_letter(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let workers = start(&env, &tasks, &acts).await;
        let last = NewTask { max_attempts: 1, ..NewTask::of(&Play { act: Act::WaitForStop, key: None }).unwrap() };
        let id = tasks.enqueue(&[last]).await.unwrap()[0].id();
        until("it runs", async || !acts.runs().is_empty()).await;
        tasks.cancel(&[id], &actor()).await.unwrap();
        until("it is counted", async || env.metrics.cancelled.get() == 1).await;
        assert_eq!(state(&tasks, id).await, TaskState::Cancelled);
        let dead = env.metrics.dead.with_label_values(&["test.play"]);
        assert_eq!(dead.get(), 0);

        enqueue(&tasks, Act::FailForGood).await;
        until("a real death is counted", async || dead.get() == 1).await;
        workers.stop().await;
    }

    async fn a_job_that_does_not_heed_is_dropped_and_one_that_succeeds_all_the_same_is_done(env: Env) {
        let (tasks, acts) = (env.live_tasks(), Acts::new());
        let workers = start(&env, &tasks, &acts).await;
        let deaf = enqueue(&tasks, Act::WaitForGate).await;
        until("it runs", async || state(&tasks, deaf).await == TaskState::Running).await;
        tasks.cancel(&[deaf], &actor()).await.unwrap();
        until("it is cancelled", async || state(&tasks, deaf).await == TaskState::Cancelled).await;

        let quick = enqueue(&tasks, Act::WaitForGate).await;
        until("it runs", async || acts.runs().len() == 2).await;
        acts.gate.add_permits(1);
        tasks.cancel(&[quick], &actor()).await.unwrap();
        until("it has ended", async || !matches!(state(&tasks, quick).await, TaskState::Running | TaskState::Pending)).await;
        assert_eq!(state(&tasks, quick).await, TaskState::Done);
        workers.stop().await;
    }

    async fn a_cancelled_task_whose_worker_dies_is_not_taken_over(env: Env) {
        let tasks = env.tasks();
        let worker = WorkerId::new("wk_gone");
        tasks.register_worker(&worker, "test", TimeDelta::seconds(30)).await.unwrap();
        let id = enqueue(&tasks, Act::Succeed).await;
        assert_eq!(tasks.claim_due(&worker, Play::QUEUE, 10).await.unwrap().len(), 1);
        tasks.cancel(&[id], &actor()).await.unwrap();
        end_leases(&tasks).await;
        let taken = tasks.take_over().await.unwrap();
        assert_eq!((taken.requeued, taken.cancelled), (0, 1));
        assert_eq!(state(&tasks, id).await, TaskState::Cancelled);
    }

    async fn a_task_that_no_longer_is_what_it_was_chosen_by_is_refused(env: Env) {
        let tasks = env.tasks();
        let worker = WorkerId::new("wk_1");
        tasks.register_worker(&worker, "test", TimeDelta::seconds(30)).await.unwrap();
        let pending = Unfinished { state: Some(TaskState::Pending), ..Unfinished::default() };
        let here = Unfinished { queue: Some("test".to_owned()), ..Unfinished::default() };
        let begun = enqueue(&tasks, Act::Succeed).await;
        let chosen = tasks.unfinished(&pending, 10).await.unwrap();
        assert_eq!(tasks.claim_due(&worker, Play::QUEUE, 10).await.unwrap().len(), 1);
        let acted = tasks.cancel_those(&chosen, &pending, &actor()).await.unwrap();
        let why = "it is running by now and not pending any more".to_owned();
        assert_eq!((acted[0].id, &acted[0].outcome), (begun, &Outcome::Refused { why }));
        assert!(tasks.show(begun).await.unwrap().unwrap().cancel_requested_at.is_none());

        let moved = enqueue(&tasks, Act::Succeed).await;
        let away = Change { queue: Some("elsewhere".to_owned()), ..Change::default() };
        tasks.change(&[moved], &away, &actor()).await.unwrap();
        let sooner = Change { priority: Some(Priority::URGENT), ..Change::default() };
        let acted = tasks.change_those(&[moved], &here, &sooner, &actor()).await.unwrap();
        let why = "it is in queue elsewhere by now and not in test any more".to_owned();
        assert_eq!(acted[0].outcome, Outcome::Refused { why });
    }

    async fn priority_time_and_queue_of_a_waiting_task_can_be_changed(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let id = enqueue(&tasks, Act::Succeed).await;
        let later = env.clock.now() + TimeDelta::hours(1);
        let change = Change { run_at: Some(later), priority: Some(Priority::URGENT), queue: None };
        assert_eq!(tasks.change(&[id], &change, &actor()).await.unwrap()[0].outcome, Outcome::Done);
        assert_eq!(kit.drain().await.unwrap(), 0);
        let change = Change { queue: Some("elsewhere".to_owned()), ..Change::default() };
        tasks.change(&[id], &change, &actor()).await.unwrap();
        assert_eq!(kit.advance(TimeDelta::hours(2)).await.unwrap(), 0, "nobody works on that queue");
        let change = Change { queue: Some(Play::QUEUE.name().to_owned()), ..Change::default() };
        tasks.change(&[id], &change, &actor()).await.unwrap();
        assert_eq!(kit.drain().await.unwrap(), 1);
        let refused = tasks.change(&[id], &change, &actor()).await.unwrap();
        assert!(matches!(&refused[0].outcome, Outcome::Refused { why } if why == "it has ended (done)"));
        let row = tasks.show(id).await.unwrap().unwrap();
        assert_eq!((row.priority, row.run_at), (0, later));
    }
}

/// The verbs as their user runs them, on a database that no server is at work on.
mod command_line {
    use serde_json::Value;

    use super::*;
    use crate::harness::Program;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
    }

    fn real(program: &Program, words: &[&str]) -> Value {
        json(&program.run(words).unwrap())
    }

    /// A task of a job the program knows.
    fn known(event: i64) -> NewTask {
        NewTask {
            kind: "message.received",
            payload: format!(r#"{{"event":{event}}}"#),
            queue: trunkline_jobs::EVENTS,
            ..NewTask::of(&Play::default()).unwrap()
        }
    }

    both_engines! {
        async fn tasks_are_cancelled_and_changed_with_a_dry_run_first(env: Env) {
            let (tasks, program) = (env.live_tasks(), Program::new(&env, &[]));
            let made = tasks.enqueue(&(1..=4).map(known).collect::<Vec<_>>()).await.unwrap();
            let ids: Vec<String> = made.iter().map(|one| one.id().to_string()).collect();

            let would = real(&program, &["tasks", "cancel", "--kind", "message.received", "--dry-run", "--json"]);
            assert_eq!(would["tasks"].as_array().unwrap().len(), 4);
            assert_eq!(state(&tasks, made[0].id()).await, TaskState::Pending, "nothing was done");
            let did = real(&program, &["tasks", "cancel", &ids[0], &ids[1], "--by", "ana", "--reason", "test", "--json"]);
            assert_eq!((did["done"].as_i64(), did["refused"].as_i64()), (Some(2), Some(0)));
            assert_eq!(state(&tasks, made[1].id()).await, TaskState::Cancelled);

            let error = program.run(&["tasks", "cancel", &ids[0], "--by", "ana"]).unwrap_err().to_string();
            assert!(error.contains("none of the tasks was cancelled"), "{error}");
            let error = program.run(&["tasks", "cancel", "--by", "ana"]).unwrap_err().to_string();
            assert!(error.contains("which tasks?"), "{error}");
            let error = program.run(&["tasks", "cancel", "--state", "done", "--by", "ana"]).unwrap_err().to_string();
            assert!(error.contains("a task that is done has ended: say pending or running"), "{error}");

            let did = real(&program, &["tasks", "change", "--all", "--priority", "urgent", "--in", "2h", "--by", "ana", "--json"]);
            assert_eq!(did["done"], 2);
            let row = tasks.show(made[2].id()).await.unwrap().unwrap();
            assert_eq!(row.priority, 0);
            assert!(row.run_at > tasks.clock().now() + TimeDelta::minutes(110));
            let error = program.run(&["tasks", "change", &ids[2], "--to", "nowhere", "--by", "ana"]).unwrap_err().to_string();
            assert!(error.contains("there is no queue \"nowhere\"; the queues are"), "{error}");

            let audit = real(&program, &["audit", "list", "--json"]);
            let actors: Vec<&str> = audit.as_array().unwrap().iter().map(|row| row["actor"].as_str().unwrap()).collect();
            assert_eq!(actors, ["operator:ana"; 4]);
        }

        async fn queues_are_paused_and_limited_from_the_command_line(env: Env) {
            let (tasks, program) = (env.live_tasks(), Program::new(&env, &[]));
            tasks.enqueue(&[known(1)]).await.unwrap();
            let paused = real(&program, &["queues", "pause", "events", "--by", "ana", "--json"]);
            assert_eq!((paused["paused"].as_bool(), paused["changed"].as_bool()), (Some(true), Some(true)));
            let again = program.run(&["queues", "pause", "events", "--by", "ana"]).unwrap();
            assert_eq!(again, "queue events is already paused\n");
            let listed = real(&program, &["queues", "list", "--json"]);
            let events = listed.as_array().unwrap().iter().find(|row| row["queue"] == "events").unwrap();
            assert_eq!((events["due"].as_i64(), events["limit"]["paused"].as_bool()), (Some(1), Some(true)));
            program.run(&["queues", "resume", "events", "--by", "ana"]).unwrap();

            let told = program.run(&["limits", "set", "kind:media.download", "--running", "4", "--rate", "10/s", "--burst", "2", "--by", "ana"]);
            assert_eq!(told.unwrap(), "kind:media.download: at most 4 at a time; 10/s, 2 at once\n");
            let limits = real(&program, &["limits", "list", "--json"]);
            assert_eq!(limits.as_array().unwrap().len(), 1);
            assert_eq!((limits[0]["max_running"].as_i64(), limits[0]["set_by"].as_str()), (Some(4), Some("operator:ana")));
            let told = program.run(&["limits", "clear", "kind:media.download", "--by", "ana"]).unwrap();
            assert_eq!(told, "kind:media.download: no limit\n");
            for (words, why) in [
                (["limits", "set", "kind:nothing", "--pause"], "there is no job \"nothing\"; the jobs are"),
                (["limits", "set", "queue:events", "--burst=3"], "say --rate as well"),
                (["limits", "set", "queue:events", "--by=ana"], "nothing to set"),
                (["limits", "set", "media", "--pause"], "write queue:NAME or kind:NAME"),
                (["limits", "set", "queue:events", "--rate=fast"], "is no rate"),
            ] {
                let error = program.run(&words).unwrap_err().to_string();
                assert!(error.contains(why), "{words:?}: {error}");
            }
        }
    }
}
