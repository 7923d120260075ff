//! Dead letters through the library: what they died of, what people do to them, and replay with a canary.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use trunkline_platform::audit::{self, Actor, AuditFilter};
use trunkline_platform::db::{Engine, Stmt, Text};
use trunkline_platform::job::Jobs;
use trunkline_platform::task::dead::{
    Batch, BatchOutcome, Canary, DeadAct, DeadFilter, Edit, Order, Refusal, Replayed, Stopped, Target, replay,
};
use trunkline_platform::task::{NewTask, TaskId, TaskRow, TaskState, Tasks, WorkerId};
use trunkline_platform::testkit::Kit;

use crate::harness::{Act, Acts, Env, Keyed, Play, both_engines, registry, until};

fn play(act: Act) -> NewTask {
    NewTask::of(&Play { act, key: None }).unwrap()
}

fn keyed(act: Act) -> NewTask {
    NewTask::of(&Play { act, key: Some("k".to_owned()) }).unwrap()
}

fn ana() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: Some("the far end is back".to_owned()) }
}

async fn task(tasks: &Tasks, id: TaskId) -> TaskRow {
    tasks.show(id).await.unwrap().unwrap()
}

async fn states(tasks: &Tasks, ids: &[TaskId]) -> Vec<TaskState> {
    let mut states = Vec::new();
    for id in ids {
        states.push(task(tasks, *id).await.state);
    }
    states
}

/// Tasks that have died.
async fn dead(env: &Env, kit: &Kit<Acts>, new: &[NewTask]) -> Vec<TaskId> {
    let ids = env.tasks().enqueue(new).await.unwrap().iter().map(|answer| answer.id()).collect();
    kit.drain().await.unwrap();
    ids
}

async fn act(env: &Env, act: DeadAct, ids: &[TaskId], dry_run: bool) -> BatchOutcome {
    Batch::new(&env.tasks(), act, ana(), dry_run).act_on(ids).await.unwrap()
}

fn edit(edit: Edit) -> DeadAct {
    let jobs: Arc<dyn Jobs> = registry();
    DeadAct::Edit(edit, jobs)
}

fn by_kind(kind: &str) -> DeadFilter {
    DeadFilter { kind: Some(kind.to_owned()), ..DeadFilter::default() }
}

/// Replays and lets the workers work whenever it waits.
async fn replayed(env: &Env, kit: &Kit<Acts>, plan: &Canary) -> Replayed {
    let wait = async |length: Duration| {
        kit.advance(TimeDelta::from_std(length).unwrap()).await.unwrap();
        true
    };
    replay(&env.tasks(), &by_kind("test.play"), plan, &ana(), wait, |_| ()).await.unwrap()
}

both_engines! {
    /// As when somebody retried it, and it died of something else, after the list was made.
    async fn what_is_no_longer_as_the_filter_asked_is_left_alone(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let ids = dead(&env, &kit, &[play(Act::FailForGood), play(Act::FailWhileBroken)]).await;
        let group = task(&tasks, ids[0]).await;
        let rows = tasks.read_dead(&ids).await.unwrap();
        assert_ne!(rows[0].fingerprint, rows[1].fingerprint);
        let asked = [
            DeadFilter { fingerprint: rows[0].fingerprint.clone(), ..DeadFilter::default() },
            DeadFilter { error: Some("NO SUCH".to_owned()), ..DeadFilter::default() },
        ];
        for filter in asked {
            for act in [DeadAct::Discard, DeadAct::Retry] {
                let mut batch = Batch::new(&tasks, act, ana(), true).only(filter.clone());
                let outcome = batch.act_on(&ids).await.unwrap();
                assert_eq!(outcome.done, [group.id]);
                assert!(matches!(outcome.refused[..], [ref one] if matches!(one.why, Refusal::OtherDeath)));
            }
        }
        // Both died after this was asked for.
        let before = DeadFilter { until: Some(rows[0].died_at), ..DeadFilter::default() };
        let outcome = Batch::new(&tasks, DeadAct::Retry, ana(), false).only(before).act_on(&ids).await.unwrap();
        assert!(outcome.done.is_empty());
        assert_eq!(states(&tasks, &ids).await, [TaskState::Dead, TaskState::Dead]);
    }

    async fn what_died_of_the_same_is_one_group(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let of_the_far_end = dead(&env, &kit, &[play(Act::FailWhileBroken), play(Act::FailWhileBroken)]).await;
        env.clock.advance(TimeDelta::hours(1));
        let third = dead(&env, &kit, &[play(Act::FailWhileBroken)]).await[0];
        let other = dead(&env, &kit, &[play(Act::FailForGood)]).await[0];
        dead(&env, &kit, &[play(Act::Succeed)]).await;

        let groups = tasks.dead_groups(&DeadFilter::default(), 10).await.unwrap();
        assert_eq!(groups.len(), 2, "{groups:?}");
        assert_eq!((groups[0].count, groups[0].error.as_str()), (3, "the far end refused request <n>"));
        assert_eq!(groups[0].last_died_at - groups[0].first_died_at, TimeDelta::hours(1));
        assert_eq!(groups[0].sample, third);
        assert_eq!((groups[1].count, groups[1].sample), (1, other));
        let counts = tasks.count_dead().await.unwrap();
        assert_eq!((counts.len(), counts[0].count), (1, 4));

        let fingerprint = groups[0].fingerprint.clone();
        let all = DeadFilter { fingerprint, ..DeadFilter::default() };
        let list = |filter: DeadFilter, order| {
            let tasks = tasks.clone();
            async move {
                let rows = tasks.list_dead(&filter, order, None, 10).await.unwrap();
                rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
            }
        };
        assert_eq!(list(all.clone(), Order::Newest).await, [third, of_the_far_end[1], of_the_far_end[0]]);
        assert_eq!(list(all.clone(), Order::Oldest).await, [of_the_far_end[0], of_the_far_end[1], third]);
        let late = DeadFilter { since: Some(env.clock.now()), ..all.clone() };
        assert_eq!(list(late, Order::Newest).await, [third]);
        let early = DeadFilter { until: Some(env.clock.now()), kind: Some("test.play".to_owned()), ..all };
        assert_eq!(list(early, Order::Oldest).await, of_the_far_end);
        let told = |error: &str| DeadFilter { error: Some(error.to_owned()), ..DeadFilter::default() };
        assert_eq!(list(told("NO SUCH number"), Order::Newest).await, [other]);
        assert!(list(told("100%"), Order::Newest).await.is_empty());
        let elsewhere = DeadFilter { queue: Some("elsewhere".to_owned()), ..by_kind("test.play") };
        assert!(list(elsewhere, Order::Newest).await.is_empty());
    }

    async fn a_list_goes_on_where_its_page_ended(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let new: Vec<_> = (0..7).map(|_| play(Act::FailForGood)).collect();
        let ids = dead(&env, &kit, &new).await;
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = tasks.list_dead(&DeadFilter::default(), Order::Oldest, after, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(trunkline_platform::task::dead::Cursor { died_at: last.died_at, id: last.id });
            seen.extend(page.iter().map(|row| row.id));
        }
        assert_eq!(seen, ids);
    }

    async fn a_task_whose_workers_died_has_a_fingerprint_too(env: Env) {
        let tasks = env.tasks();
        let id = tasks.enqueue(&[play(Act::Succeed)]).await.unwrap()[0].id();
        for life in 1..=3 {
            let worker = WorkerId::new(format!("wk_{life}"));
            tasks.register_worker(&worker, "test", TimeDelta::seconds(30)).await.unwrap();
            if life < 3 {
                tasks.claim_due(&worker, <Play as trunkline_platform::job::Job>::QUEUE, 1).await.unwrap();
            } else {
                tasks.claim_suspect(&worker, <Play as trunkline_platform::job::Job>::QUEUE).await.unwrap();
            }
            tasks.resign_worker(&worker).await.unwrap();
            tasks.take_over().await.unwrap();
        }
        let groups = tasks.dead_groups(&DeadFilter::default(), 10).await.unwrap();
        assert_eq!((groups[0].sample, groups[0].error.as_str()), (id, "its worker died <n> times"));
        assert!(groups[0].fingerprint.is_some());
    }

    async fn a_retried_task_has_all_its_tries_again_and_its_token_never_falls(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let id = tasks.enqueue(&[play(Act::FailTimes(99))]).await.unwrap()[0].id();
        for _ in 0..3 {
            kit.advance(TimeDelta::minutes(2)).await.unwrap();
        }
        let died = task(&tasks, id).await;
        assert_eq!((died.state, died.attempt), (TaskState::Dead, 3));

        assert_eq!(act(&env, DeadAct::Retry, &[id], false).await.done, [id]);
        let fresh = task(&tasks, id).await;
        assert_eq!((fresh.state, fresh.attempt, fresh.refunds), (TaskState::Pending, 3, 3));
        assert_eq!((fresh.run_at, fresh.finished_at), (env.clock.now(), None));
        assert!(tasks.count_dead().await.unwrap().is_empty());
        for _ in 0..3 {
            kit.advance(TimeDelta::minutes(2)).await.unwrap();
        }
        assert_eq!(task(&tasks, id).await.attempt, 6, "three more tries");
        assert_eq!(acts.runs().iter().filter(|run| run.1 == 1).count(), 2, "the first try twice");
        assert_eq!(tasks.attempts(id).await.unwrap().len(), 6);
    }

    async fn every_act_is_in_the_audit_with_before_and_after(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let ids = dead(&env, &kit, &[play(Act::FailForGood), play(Act::FailForGood)]).await;
        act(&env, DeadAct::Retry, &ids[..1], false).await;
        act(&env, DeadAct::Discard, &ids[1..], false).await;
        let discarded = task(&tasks, ids[1]).await;
        assert_eq!((discarded.state, discarded.finished_at), (TaskState::Discarded, Some(env.clock.now())));
        for (id, action, after) in [(ids[0], "task.retry", "pending"), (ids[1], "task.discard", "discarded")] {
            let filter = AuditFilter { subject: Some(format!("task:{id}")), limit: 10, ..AuditFilter::default() };
            let rows = audit::list(&env.db, &filter).await.unwrap();
            assert_eq!((rows.len(), rows[0].action.as_str()), (1, action));
            assert_eq!((rows[0].actor.as_str(), rows[0].reason.as_deref()), ("operator:ana", Some("the far end is back")));
            let parsed = |text: &Option<String>| serde_json::from_str::<Value>(text.as_deref().unwrap()).unwrap();
            assert_eq!(parsed(&rows[0].before)["error"], "no such number");
            assert_eq!(parsed(&rows[0].after)["state"], after);
        }
    }

    async fn what_is_no_dead_letter_is_refused_and_the_others_go_on(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let done = dead(&env, &kit, &[play(Act::Succeed)]).await[0];
        let died = dead(&env, &kit, &[play(Act::FailForGood)]).await[0];
        for dry_run in [true, false] {
            let acted = act(&env, DeadAct::Retry, &[done, died, TaskId(999)], dry_run).await;
            assert_eq!(acted.done, [died]);
            assert!(matches!(
                acted.refused.as_slice(),
                [one, other] if one.id == done && matches!(one.why, Refusal::NotDead(TaskState::Done))
                    && other.id == TaskId(999) && matches!(other.why, Refusal::NotThere)
            ), "{acted:?}");
        }
        assert_eq!(states(&tasks, &[done, died]).await, [TaskState::Done, TaskState::Pending]);
        let again = act(&env, DeadAct::Retry, &[died], false).await;
        assert!(again.done.is_empty() && matches!(again.refused[0].why, Refusal::NotDead(TaskState::Pending)));
    }

    async fn a_unique_key_is_given_to_one_of_those_that_want_it(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let first = dead(&env, &kit, &[keyed(Act::FailForGood)]).await[0];
        let second = dead(&env, &kit, &[keyed(Act::FailForGood)]).await[0];
        for dry_run in [true, false] {
            let acted = act(&env, DeadAct::Retry, &[first, second], dry_run).await;
            assert_eq!(acted.done, [first]);
            assert!(matches!(acted.refused[0].why, Refusal::KeyHeld(by) if by == first), "{acted:?}");
        }
        let acted = act(&env, DeadAct::Retry, &[second], false).await;
        assert!(matches!(acted.refused[0].why, Refusal::KeyHeld(by) if by == first), "{acted:?}");
        assert_eq!(states(&tasks, &[first, second]).await, [TaskState::Pending, TaskState::Dead]);
        assert_eq!(act(&env, DeadAct::Discard, &[second], false).await.done, [second], "discarding needs no key");
    }

    async fn a_dry_run_changes_nothing_and_says_what_the_act_will(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let ids = dead(&env, &kit, &[play(Act::FailForGood), keyed(Act::FailForGood)]).await;
        let live = tasks.enqueue(&[keyed(Act::Succeed)]).await.unwrap()[0].id();
        for one in [DeadAct::Retry, DeadAct::Discard, edit(Edit::Set(vec![("/act".to_owned(), json!("succeed"))]))] {
            let would = act(&env, one, &ids, true).await;
            assert!(would.done.contains(&ids[0]));
            assert_eq!(states(&tasks, &ids).await, [TaskState::Dead, TaskState::Dead]);
        }
        let rows = audit::list(&env.db, &AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap();
        assert!(rows.is_empty(), "{rows:?}");
        let would = act(&env, DeadAct::Retry, &ids, true).await;
        let did = act(&env, DeadAct::Retry, &ids, false).await;
        assert_eq!(would.done, did.done);
        assert!(matches!(did.refused[0].why, Refusal::KeyHeld(by) if by == live));
    }

    async fn an_edited_payload_is_checked_and_its_changes_are_kept(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let broken = NewTask { payload: r#"{"act":"sing"}"#.to_owned(), ..play(Act::Succeed) };
        let id = dead(&env, &kit, &[broken]).await[0];
        for (bad, expected) in [
            (Edit::Set(vec![("/act".to_owned(), json!("dance"))]), "/act: expected \"succeed\" or"),
            (Edit::Set(vec![("/acts".to_owned(), json!("succeed"))]), "/acts: expected no such field; there are act, key"),
            (Edit::Replace(json!({"key": "x"})), "/act: expected"),
            (Edit::Set(vec![("/a/b".to_owned(), json!(1))]), "no /a/b to set"),
        ] {
            let acted = act(&env, edit(bad), &[id], false).await;
            let why = acted.refused[0].why.to_string();
            assert!(acted.done.is_empty() && why.contains(expected), "{why}");
        }
        assert_eq!(task(&tasks, id).await.payload, r#"{"act":"sing"}"#);

        let good = Edit::Set(vec![("/act".to_owned(), json!("succeed")), ("/key".to_owned(), json!("k2"))]);
        let acted = act(&env, edit(good), &[id], false).await;
        assert_eq!(acted.edited[0].changes[0], json!({"pointer": "/act", "before": "sing", "after": "succeed"}));
        let edited = task(&tasks, id).await;
        assert_eq!((edited.state, edited.unique_key.as_deref()), (TaskState::Pending, Some("k2")));
        let filter = AuditFilter { action: Some("task.edit".to_owned()), limit: 10, ..AuditFilter::default() };
        let rows = audit::list(&env.db, &filter).await.unwrap();
        let after: Value = serde_json::from_str(rows[0].after.as_deref().unwrap()).unwrap();
        assert_eq!((rows.len(), &after["changes"]), (1, &acted.edited[0].changes));
        assert!(rows[0].before.as_deref().unwrap().contains("sing"));
        kit.drain().await.unwrap();
        assert_eq!(task(&tasks, id).await.state, TaskState::Done);
    }

    async fn keys_that_the_job_makes_follow_an_edit_and_a_line_is_never_changed(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let job = Keyed { fail: true, line: "l1".to_owned(), account: "a1".to_owned() };
        let own = NewTask::of(&job).unwrap();
        let chosen = NewTask { rate_key: Some("vip".to_owned()), ordering_key: None, ..own.clone() };
        let ids = dead(&env, &kit, &[own, chosen]).await;
        let set = |place: &str, value: Value| edit(Edit::Set(vec![(place.to_owned(), value)]));

        let acted = act(&env, set("/line", json!("l2")), &ids[..1], false).await;
        let why = acted.refused[0].why.to_string();
        assert!(why.contains("its ordering key would change") && why.contains("enqueue a new one"), "{why}");
        assert_eq!(task(&tasks, ids[0]).await.state, TaskState::Dead);

        act(&env, set("/account", json!("a2")), &ids, false).await;
        let keys = |row: TaskRow| (row.state, row.rate_key, row.ordering_key);
        let own = keys(task(&tasks, ids[0]).await);
        assert_eq!(own, (TaskState::Pending, Some("a2".to_owned()), Some("l1".to_owned())));
        let chosen = keys(task(&tasks, ids[1]).await);
        assert_eq!(chosen, (TaskState::Pending, Some("vip".to_owned()), None));

        // Out of its line it stays, wherever its payload points.
        kit.drain().await.unwrap();
        tasks.skip(&ids[..1], &ana()).await.unwrap();
        let acted = act(&env, set("/line", json!("l3")), &ids[..1], false).await;
        assert_eq!(acted.done, ids[..1]);
        assert_eq!(task(&tasks, ids[0]).await.ordering_key, None);
    }

    async fn an_edit_begins_with_the_payload_that_stands_when_its_turn_comes(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let id = dead(&env, &kit, &[play(Act::FailForGood)]).await[0];
        // Somebody edits it, and it dies of that again, while ours is on its way.
        static ELSEWHERE: Stmt = Stmt {
            name: "ELSEWHERE",
            text: Text::Same("UPDATE tasks SET payload = $2, died_at = $3 WHERE id = $1"),
        };
        let mut elsewhere = tasks.begin().await.unwrap();
        let newer = r#"{"act":"fail_for_good","key":"newer"}"#;
        let query = ELSEWHERE.bind(id.0).bind(newer).bind(env.clock.now() + TimeDelta::seconds(1));
        query.execute(elsewhere.session()).await.unwrap();
        let ours = {
            let tasks = env.tasks();
            let set = edit(Edit::Set(vec![("/act".to_owned(), json!("succeed"))]));
            tokio::spawn(async move { Batch::new(&tasks, set, ana(), false).act_on(&[id]).await.unwrap() })
        };
        static WAITING: Stmt = Stmt {
            name: "WAITING",
            text: Text::Same(
                "SELECT COUNT(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            ),
        };
        if env.db.engine() == Engine::Postgres {
            until("ours waits for theirs", async || {
                let mut session = env.db.read().await.unwrap();
                let (waiting,): (i64,) = WAITING.query().one(&mut session).await.unwrap();
                waiting > 0
            })
            .await;
        }
        elsewhere.commit().await.unwrap();
        assert_eq!(ours.await.unwrap().done, [id]);
        assert_eq!(task(&tasks, id).await.payload, r#"{"act":"succeed","key":"newer"}"#);
    }

    async fn a_filter_reaches_all_that_match_and_nothing_that_dies_meanwhile(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let new: Vec<_> = (0..1_203).map(|_| play(Act::FailForGood)).collect();
        dead(&env, &kit, &new).await;
        let filter = Target::Filter(by_kind("test.play"));
        let (mut batches, mut done) = (0, 0);
        let told = |acted: &BatchOutcome| {
            batches += 1;
            done += acted.done.len();
            true
        };
        Batch::new(&tasks, DeadAct::Retry, ana(), true).run(&filter, told).await.unwrap();
        assert_eq!((batches, done), (3, 1_203), "a dry run goes through all of them");

        let mut retried = 0;
        let mut batch = Batch::new(&tasks, DeadAct::Retry, ana(), false);
        batch.run(&filter, |acted| { retried += acted.done.len(); true }).await.unwrap();
        assert_eq!(retried, 1_203);
        assert!(tasks.count_dead().await.unwrap().is_empty());
        env.clock.advance(TimeDelta::seconds(1));
        kit.drain().await.unwrap();
        let mut discarded = 0;
        let mut batch = Batch::new(&tasks, DeadAct::Discard, ana(), false);
        batch.run(&filter, |acted| { discarded += acted.done.len(); discarded < 1_000 }).await.unwrap();
        assert_eq!(discarded, 1_000, "it stops between two batches when told to");
        assert_eq!(tasks.count_dead().await.unwrap()[0].count, 203);
    }

    async fn a_replay_goes_on_to_the_rest_when_the_first_went_well(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let new: Vec<_> = (0..60).map(|_| play(Act::FailWhileBroken)).collect();
        let ids = dead(&env, &kit, &new).await;
        acts.broken.store(false, Ordering::Relaxed);
        let begun = env.clock.now();
        let told = replayed(&env, &kit, &Canary::default()).await;
        assert_eq!((told.stages, told.retried, told.done, told.open), (2, 60, 60, 0), "{told:?}");
        assert!(told.stopped.is_none());
        assert!(states(&tasks, &ids).await.iter().all(|state| *state == TaskState::Done));
        // 49 at twenty a second.
        assert!(env.clock.now() - begun >= TimeDelta::seconds(3), "{}", env.clock.now() - begun);
    }

    async fn a_replay_stops_at_the_first_that_fails_of_the_same_and_goes_on_when_run_again(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let new: Vec<_> = (0..30).map(|_| play(Act::FailWhileBroken)).collect();
        let ids = dead(&env, &kit, &new).await;
        let told = replayed(&env, &kit, &Canary::default()).await;
        assert_eq!((told.retried, told.done), (1, 0), "{told:?}");
        assert!(matches!(&told.stopped, Some(Stopped::Repeat { task, .. }) if *task == ids[0]), "{told:?}");
        assert_eq!(tasks.count_dead().await.unwrap()[0].count, 30, "the one that was tried is dead again");

        // The canary sings, the ten do, and then the far end breaks again.
        acts.broken.store(false, Ordering::Relaxed);
        env.clock.advance(TimeDelta::seconds(1));
        let runs = acts.runs().len();
        let wait = async |length: Duration| {
            kit.advance(TimeDelta::from_std(length).unwrap()).await.unwrap();
            acts.broken.store(acts.runs().len() - runs >= 11, Ordering::Relaxed);
            true
        };
        let told = replay(&tasks, &by_kind("test.play"), &Canary::default(), &ana(), wait, |_| ()).await.unwrap();
        assert_eq!((told.stages, told.done), (2, 11), "{told:?}");
        assert!(matches!(told.stopped, Some(Stopped::Repeat { .. })), "{told:?}");

        acts.broken.store(false, Ordering::Relaxed);
        env.clock.advance(TimeDelta::seconds(1));
        let told = replayed(&env, &kit, &Canary::default()).await;
        assert!(told.stopped.is_none(), "{told:?}");
        assert!(states(&tasks, &ids).await.iter().all(|state| *state == TaskState::Done));
    }

    async fn a_failed_attempt_of_a_canary_is_enough_to_stop(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let id = tasks.enqueue(&[play(Act::FailTimes(99))]).await.unwrap()[0].id();
        for _ in 0..3 {
            kit.advance(TimeDelta::minutes(2)).await.unwrap();
        }
        let told = replayed(&env, &kit, &Canary::default()).await;
        assert!(matches!(told.stopped, Some(Stopped::Repeat { task, .. }) if task == id), "{told:?}");
        assert_eq!(task(&tasks, id).await.state, TaskState::Pending, "it goes on by its own backoff");
    }

    async fn a_canary_that_fails_of_something_else_is_no_success(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let id = dead(&env, &kit, &[NewTask { payload: r#"{"act":"sing"}"#.to_owned(), ..play(Act::Succeed) }]).await[0];
        dead(&env, &kit, &[play(Act::FailForGood)]).await;
        // As if the release before had died of something else.
        let groups = tasks.dead_groups(&DeadFilter::default(), 10).await.unwrap();
        assert_eq!(groups.len(), 2);
        SET_ERROR.bind(id.0).execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        let told = replayed(&env, &kit, &Canary::default()).await;
        assert!(matches!(told.stopped, Some(Stopped::NoneDone { task, .. }) if task == id), "{told:?}");
        assert_eq!(told.retried, 1);
    }

    async fn a_replay_without_workers_ends_when_its_patience_does(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        let ids = dead(&env, &kit, &[play(Act::FailForGood), play(Act::FailForGood)]).await;
        let plan = Canary { patience: Duration::from_secs(5), ..Canary::default() };
        let told = replay(&tasks, &by_kind("test.play"), &plan, &ana(), async |_| true, |_| ()).await.unwrap();
        assert!(matches!(&told.stopped, Some(Stopped::Undecided { tasks }) if tasks == &ids[..1]), "{told:?}");
        assert_eq!(states(&tasks, &ids).await, [TaskState::Pending, TaskState::Dead]);
        let stopped = replay(&tasks, &by_kind("test.play"), &plan, &ana(), async |_| false, |_| ()).await.unwrap();
        assert!(matches!(stopped.stopped, Some(Stopped::Interrupted)), "{stopped:?}");
    }

    async fn a_dead_letter_holds_up_its_line_until_it_was_retried_with_success_or_discarded(env: Env) {
        let (tasks, acts) = (env.tasks(), Acts::new());
        let kit = env.kit(&acts);
        let in_line = |key: &str, act| NewTask { ordering_key: Some(key.to_owned()), ..play(act) };
        let new = [
            in_line("a", Act::FailWhileBroken), in_line("a", Act::Succeed), in_line("a", Act::Succeed),
            in_line("b", Act::FailForGood), in_line("b", Act::Succeed), play(Act::FailForGood),
        ];
        let ids = dead(&env, &kit, &new).await;
        let rows = tasks.list_dead(&DeadFilter::default(), Order::Oldest, None, 10).await.unwrap();
        let behind = tasks.waiting_behind(&rows).await.unwrap();
        assert_eq!((behind.get(&ids[0]), behind.get(&ids[3]), behind.get(&ids[5])), (Some(&2), Some(&1), None));

        act(&env, DeadAct::Retry, &[ids[0]], false).await;
        kit.drain().await.unwrap();
        assert_eq!(task(&tasks, ids[1]).await.state, TaskState::Pending, "it died again and holds up its line");
        acts.broken.store(false, Ordering::Relaxed);
        act(&env, DeadAct::Retry, &[ids[0]], false).await;
        act(&env, DeadAct::Discard, &[ids[3]], false).await;
        kit.drain().await.unwrap();
        assert_eq!(states(&tasks, &[ids[1], ids[2], ids[4]]).await, [TaskState::Done; 3]);
    }

    async fn dead_letters_of_a_release_without_fingerprints_are_given_theirs(env: Env) {
        let (tasks, kit) = (env.tasks(), env.kit(&Acts::new()));
        dead(&env, &kit, &[play(Act::FailForGood), play(Act::FailForGood)]).await;
        let told = tasks.dead_groups(&DeadFilter::default(), 10).await.unwrap()[0].fingerprint.clone();
        FORGET.query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        assert_eq!(tasks.mark_old_deaths().await.unwrap(), 2);
        assert_eq!(tasks.mark_old_deaths().await.unwrap(), 0);
        assert_eq!(tasks.dead_groups(&DeadFilter::default(), 10).await.unwrap()[0].fingerprint, told);
    }
}

trunkline_platform::statements! {
    FORGET = same { "UPDATE tasks SET fingerprint = NULL" }
    SET_ERROR = same { "UPDATE tasks SET fingerprint = 'other', last_error = 'other' WHERE id = $1" }
}
