//! Events found again and done once more: what they left stays as it was, whoever dies on the way; and sent to a copy.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use trunkline_jobs::events::replay::{self, Order, ReplayError, ReplayEvents, ReplayRow};
use trunkline_jobs::events::{self, EventFilter, EventState, survey};
use trunkline_openphone::event::Generation;
use trunkline_openphone::factory::Factory;
use trunkline_platform::audit::{self, AuditFilter};
use trunkline_platform::task::TaskState;

use crate::campaigns::ana;
use crate::faults::crash_points::die_at;
use crate::harness::judge::{every_event, every_task};
use crate::harness::{Env, Program, both_engines, secrets, until};
use crate::kept::{Keeper, statement};

/// Where a page can die; between them lies what it enqueued and that it was turned.
pub(crate) const REPLAYING: [&str; 2] = ["events.replay.before_commit", "events.replay.after_commit"];

/// Somebody texts us.
pub(crate) fn text(number: usize, from: &str, body: &str) -> String {
    json!({"id": format!("EV{number}"), "apiVersion": "2026-03-30", "type": "message.received",
        "createdAt": "2026-03-02T09:00:00Z",
        "data": {"resource": {"id": format!("AC{number}"), "direction": "incoming", "status": "received",
            "text": body, "createdAt": "2026-03-02T09:00:00Z"},
            "context": {"phoneNumberId": "PN1", "conversationId": "CN1", "senderIdentifier": from,
                "recipientIdentifiers": ["+12125550199"]}}})
    .to_string()
}

fn unheard_of(number: usize) -> String {
    json!({"id": format!("EVX{number}"), "type": "moon.rose", "data": {"resource": {}}}).to_string()
}

/// So many things that happened, told by every generation of webhooks.
fn anything(count: usize, now: DateTime<Utc>) -> Vec<String> {
    let mut factory = Factory::new(17);
    let mut bodies = Vec::new();
    for generation in Generation::ALL.into_iter().cycle() {
        bodies.extend(
            factory.anything(generation, now).into_iter().map(|event| String::from_utf8(event.body).unwrap()),
        );
        if bodies.len() >= count {
            bodies.truncate(count);
            return bodies;
        }
    }
    bodies
}

fn all() -> EventFilter {
    EventFilter::default()
}

async fn begun(keeper: &Keeper<'_>, filter: EventFilter, pace: u32) -> i64 {
    replay::begin(&keeper.tasks, &Order { filter, pace }, &ana()).await.unwrap().0
}

async fn shown(env: &Env, id: i64) -> ReplayRow {
    replay::show(&env.db, id).await.unwrap().unwrap()
}

async fn found(env: &Env, filter: EventFilter) -> Vec<i64> {
    let mut ids = Vec::new();
    let mut before = None;
    loop {
        let page = events::find(&env.db, &filter.clone().checked().unwrap(), before, 7).await.unwrap();
        ids.extend(page.events.iter().map(|found| found.event.id.0));
        before = page.next;
        if before.is_none() {
            ids.reverse();
            return ids;
        }
    }
}

both_engines! {
    async fn events_are_found_by_what_they_are_when_they_came_and_what_became_of_them(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell(&[text(1, "+12125550101", "Grüße"), unheard_of(2), text(3, "+12125550103", "hello there")]).await;
        env.clock.advance(TimeDelta::hours(3));
        let since = env.clock.now();
        let many: Vec<String> = (4..34).map(|number| text(number, "+12125550104", "hello")).collect();
        keeper.tell(&many).await;
        env.clock.advance(TimeDelta::hours(3));
        let until = env.clock.now();
        let bad = text(34, "+12125550105", "late").replace("\"id\":\"AC34\",", "");
        keeper.tell(&[bad, text(35, "+12125550105", "late")]).await;
        let late = |filter: EventFilter| EventFilter { since: Some(until), ..filter };

        assert_eq!(found(&env, all()).await, (1..=35).collect::<Vec<_>>());
        let typed = EventFilter { event_type: Some("moon.rose".to_owned()), ..all() };
        assert_eq!(found(&env, typed).await, [2]);
        let between = EventFilter { since: Some(since), until: Some(until), ..all() };
        assert_eq!(found(&env, between).await, (4..=33).collect::<Vec<_>>());
        assert_eq!(found(&env, late(all())).await, [34, 35]);
        let of = |number: &str| EventFilter { number: Some(number.to_owned()), ..all() };
        assert_eq!(found(&env, of("(212) 555-0103")).await, [3]);
        assert_eq!(found(&env, of("+12125550199")).await.len(), 34, "our own number is on the other side");
        let saying = |text: &str| EventFilter { text: Some(text.to_owned()), ..all() };
        assert_eq!(found(&env, saying("GRÜSSE")).await, [] as [i64; 0]);
        assert_eq!(found(&env, saying("GRÜße")).await, [1]);
        assert_eq!(found(&env, saying("hello T")).await, [3]);
        let stand = |state| EventFilter { state: Some(state), ..all() };
        assert_eq!(found(&env, stand(EventState::Unknown)).await, [2]);
        assert_eq!(found(&env, stand(EventState::Pending)).await.len(), 34);
        keeper.kit().drain().await.unwrap();
        assert_eq!(found(&env, stand(EventState::Done)).await.len(), 33);
        assert_eq!(found(&env, late(stand(EventState::Dead))).await, [34]);
        statement("DELETE FROM tasks WHERE state = 'done' AND cause = 'webhook:3'".to_owned())
            .query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        assert_eq!(found(&env, stand(EventState::Gone)).await, [3]);

        let counted = survey(&env.db, &EventFilter { until: Some(until), ..all() }, u64::MAX, |_| {}).await.unwrap();
        let types: Vec<_> = counted.by_type.iter().map(|row| (row.event_type.as_str(), row.count)).collect();
        assert_eq!((types, counted.found, counted.complete), (vec![("message.received", 32), ("moon.rose", 1)], 33, true));
        assert_eq!(counted.sample[0].id.0, 1);
        let part = survey(&env.db, &all(), 1, |_| {}).await.unwrap();
        assert!(part.complete, "one look is a stretch");
    }

    async fn a_replay_leaves_what_there_was_and_mends_what_was_broken(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told = anything(120, env.clock.now());
        keeper.tell_and_work(&told).await;
        keeper.tell_and_work(&[unheard_of(1)]).await;
        let kept = keeper.kept().await;
        let id = begun(&keeper, all(), 1_000).await;
        keeper.kit().advance(TimeDelta::minutes(1)).await.unwrap();
        let row = shown(&env, id).await;
        let events = every_event(&env).await.unwrap();
        let jobless = events.iter().filter(|event| event.job.is_none()).count() as i64;
        assert!(jobless >= 1, "one is of a type that no job knows");
        let told = (row.state.as_str(), row.replayed, row.jobless, row.expected);
        assert_eq!(told, ("complete", 121 - jobless, jobless, Some(121)), "{row:?}");
        assert_eq!(keeper.kept().await, kept);
        keeper.assert_nothing_failed().await;

        let tasks = every_task(&keeper.tasks).await.unwrap();
        for event in events.iter().filter(|event| event.job.is_some()) {
            let cause = format!("replay:{}", event.id);
            let replayed: Vec<_> = tasks.iter().filter(|task| task.cause == cause).collect();
            assert_eq!(replayed.len(), 1, "{cause}");
            assert_eq!(replayed[0].correlation_id.as_deref(), Some(event.correlation_id.as_str()));
            assert_eq!(replayed[0].priority, 3, "behind everything that is new");
        }
        statement("DELETE FROM message_recipients".to_owned())
            .query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        assert_ne!(keeper.kept().await, kept);
        begun(&keeper, all(), 1_000).await;
        keeper.kit().advance(TimeDelta::minutes(1)).await.unwrap();
        assert_eq!(keeper.kept().await, kept);

        let begun = AuditFilter { action: Some("events.replay".to_owned()), limit: 9, ..AuditFilter::default() };
        let entry = audit::list(&env.db, &begun).await.unwrap().pop().unwrap();
        assert_eq!((entry.subject, entry.actor, entry.reason), (format!("event_replay:{id}"), ana().name, ana().reason));
        let after: Value = serde_json::from_str(&entry.after.unwrap()).unwrap();
        assert_eq!((&after["found"], &after["filter"]), (&json!(121), &json!({})));
        assert!(after["by_type"].as_array().unwrap().len() > 3, "{after}");
    }

    async fn it_keeps_its_pace_can_be_stopped_and_goes_on_where_it_was(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told: Vec<String> = (0..25).map(|number| text(number, "+12125550101", "hi")).collect();
        keeper.tell_and_work(&told).await;
        let kit = keeper.kit();
        let id = begun(&keeper, all(), 5).await;
        let other = replay::begin(&keeper.tasks, &Order { filter: all(), pace: 5 }, &ana()).await;
        assert!(matches!(other, Err(ReplayError::Running(running)) if running == id));
        for replayed in [5, 10] {
            kit.drain().await.unwrap();
            assert_eq!(shown(&env, id).await.replayed, replayed);
            kit.advance(TimeDelta::milliseconds(900)).await.unwrap();
            assert_eq!(shown(&env, id).await.replayed, replayed, "five a second and no more");
            env.clock.advance(TimeDelta::milliseconds(100));
        }
        // What comes meanwhile is no part of it.
        keeper.tell(&[text(99, "+12125550101", "new")]).await;
        assert_eq!(replay::cancel(&keeper.tasks, id, &ana()).await.unwrap(), 10);
        kit.advance(TimeDelta::minutes(1)).await.unwrap();
        let row = shown(&env, id).await;
        assert_eq!((row.state.as_str(), row.replayed, row.percent()), ("cancelled", 10, 40));
        assert!(matches!(replay::cancel(&keeper.tasks, id, &ana()).await, Err(ReplayError::Ended(..))));
        assert!(matches!(replay::cancel(&keeper.tasks, 99, &ana()).await, Err(ReplayError::Unknown(99))));

        replay::resume(&keeper.tasks, id, &ana()).await.unwrap();
        // Its task is lost; whoever asks again gives it another.
        statement("DELETE FROM tasks WHERE kind = 'events.replay'".to_owned())
            .query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        assert!(matches!(replay::resume(&keeper.tasks, id, &ana()).await, Err(ReplayError::Running(_))));
        kit.drain().await.unwrap();
        kit.advance(TimeDelta::minutes(1)).await.unwrap();
        let row = shown(&env, id).await;
        assert_eq!((row.state.as_str(), row.replayed, row.looked), ("complete", 25, 25));
        assert!(matches!(replay::resume(&keeper.tasks, id, &ana()).await, Err(ReplayError::Ended(..))));
        let ended: Vec<_> = kit.enqueued::<ReplayEvents>().await.unwrap();
        assert!(ended.iter().all(|task| matches!(task.state, TaskState::Done | TaskState::Discarded)), "{ended:?}");
        let nothing = EventFilter { text: Some("no such word".to_owned()), ..all() };
        let refused = replay::begin(&keeper.tasks, &Order { filter: nothing, pace: 5 }, &ana()).await;
        assert!(matches!(refused, Err(ReplayError::Nothing)));
    }

    async fn an_event_that_an_older_release_did_not_know_gets_its_job(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell(&[text(1, "+12125550101", "hi")]).await;
        for sql in ["UPDATE events SET job = NULL", "DELETE FROM tasks"] {
            statement(sql.to_owned()).query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        }
        let unknown = EventFilter { state: Some(EventState::Unknown), ..all() };
        begun(&keeper, unknown.clone(), 10).await;
        keeper.kit().drain().await.unwrap();
        assert!(found(&env, unknown).await.is_empty());
        let done = EventFilter { state: Some(EventState::Done), ..all() };
        assert_eq!(found(&env, done).await, [1]);
        assert_eq!(keeper.rows("messages", "id text").await, ["messages AC1 hi"]);
    }

    async fn killed_on_every_page_it_replays_each_event_once(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told: Vec<String> = (0..24).map(|number| text(number, "+12125550101", "hi")).collect();
        keeper.tell_and_work(&told).await;
        let mut program = Program::new(&env, &["serve"]);
        let said = program.run(&["events", "replay", "--all", "--dry-run", "--json"]).unwrap();
        let dry: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&dry["found"], &dry["by_type"][0]["count"]), (&json!(24), &json!(24)));
        let said = program.run(&["events", "replay", "--all", "--pace", "4", "--by", "ana", "--reason", "a test", "--json"]).unwrap();
        let id = serde_json::from_str::<Value>(&said).unwrap()["replay"].as_i64().unwrap();
        for (point, hit) in REPLAYING.into_iter().zip([2, 1]).cycle().take(4) {
            die_at(&mut program, point, hit).await;
        }
        assert_eq!(shown(&env, id).await.state, "running");
        program.start().await.unwrap();
        until("the replay is complete", async || shown(&env, id).await.state == "complete").await;
        let tasks = env.live_tasks();
        until("what it enqueued is done", async || {
            let tasks = every_task(&tasks).await.unwrap();
            let replayed = tasks.iter().filter(|task| task.cause.starts_with("replay:"));
            replayed.filter(|task| task.state == TaskState::Done).count() == 24
        })
        .await;
        program.stop().await.unwrap();
        let tasks = every_task(&tasks).await.unwrap();
        let causes = tasks.iter().filter(|task| task.cause.starts_with("replay:")).map(|task| &task.cause);
        assert_eq!(causes.collect::<std::collections::BTreeSet<_>>().len(), 24, "each once");
        let shown = program.run(&["events", "replays", "show", &id.to_string(), "--json"]).unwrap();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((&shown["replayed"], &shown["percent"]), (&json!(24), &json!(100)));
    }
}

/// A copy takes what is sent to it, knows it again when it is sent once more, and gets exactly what we had.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_sent_to_a_development_copy_signed_anew() {
    let (env, other) = (Env::sqlite().await, Env::sqlite().await);
    let program = Program::new(&env, &["serve"]);
    let keeper = Keeper::new(&env).await;
    keeper.tell(&anything(30, env.clock.now())).await;
    let mut copy = Program::new(&other, &["serve", "--roles", "receiver"]);
    copy.start().await.unwrap();
    let file = env.folder().join("secrets");
    std::fs::write(&file, secrets().replace(',', "\n")).unwrap();
    let to = copy.url("/webhooks/openphone");
    let send = |more: &[&str]| {
        let words = [
            "events",
            "replay",
            "--all",
            "--to",
            &to,
            "--secret-file",
            file.to_str().unwrap(),
            "--pace",
            "500",
            "--by",
            "ana",
            "--json",
        ];
        program.run(&[&words[..], more].concat())
    };
    for more in [&[][..], &["--after", "10"][..]] {
        let sent: Value = serde_json::from_str(&send(more).unwrap()).unwrap();
        let count = if more.is_empty() { 30 } else { 20 };
        assert_eq!((&sent["sent"], &sent["answers"]), (&json!(count), &json!({"204": count})), "{sent}");
    }
    let bodies = async |env: &Env| {
        let mut bodies = Vec::new();
        for event in every_event(env).await.unwrap() {
            bodies.push(events::show(&env.db, event.id).await.unwrap().unwrap().body);
        }
        bodies.sort();
        bodies
    };
    assert_eq!(bodies(&other).await, bodies(&env).await);
    assert!(every_task(&keeper.tasks).await.unwrap().iter().all(|task| task.cause.starts_with("webhook:")));
    let book = audit::list(&env.db, &AuditFilter { limit: 9, ..Default::default() }).await.unwrap();
    assert_eq!((book.len(), book[0].action.as_str()), (2, "events.replay_to"));
    assert_eq!(book[0].subject, format!("url:{to}"));

    std::fs::write(&file, "c2VjcmV0IG9mIG5vYm9keQ==").unwrap();
    let refused = send(&[]).unwrap_err().to_string();
    assert!(refused.contains("ended with 1:"), "{refused}");
    copy.stop().await.unwrap();
    let nobody = send(&[]).unwrap_err().to_string();
    assert!(nobody.contains("ended with 1:"), "{nobody}");
}
