//! What webhooks missed is asked for: afterwards the tables are the provider's truth, whatever was dropped and whoever
//! died on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Route, Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use trunkline::config::SchedulesConfig;
use trunkline::correlation::CorrelationIds;
use trunkline::receiver::{ReceiverMetrics, ReceiverSettings};
use trunkline_jobs::provider::{Provider, ProviderMetrics, RateLimit};
use trunkline_jobs::reconcile::{self, Details, Order, ReconcilePage, StartReconcile};
use trunkline_jobs::secrets::Keyring;
use trunkline_jobs::subscriptions::{Expected, SubscriptionServices};
use trunkline_jobs::{Services, events};
use trunkline_openphone::client::{ApiKey, Client, ClientConfig, DeliveryQuery, webhook_events};
use trunkline_openphone::event::{EventType, Generation};
use trunkline_openphone::factory::Factory;
use trunkline_openphone::simulator::{Simulator, SimulatorConfig, SimulatorHandle, Truth};
use trunkline_platform::audit::{self, Actor};
use trunkline_platform::db::Stmt;
use trunkline_platform::schedule::ScheduleMetrics;
use trunkline_platform::task::TaskState;
use trunkline_platform::testkit::Kit;
use url::Url;

use crate::faults::crash_points::die_at;
use crate::harness::{Env, Program, both_engines, provider, until};
use crate::kept::{Keeper, statement};

/// Where a page can die; between them lies what it told and that it was turned.
pub(crate) const RECONCILING: [&str; 2] = ["reconcile.before_commit", "reconcile.after_commit"];

/// The provider on the test's clock, and a receiver for what it tells.
async fn simulator(env: &Env, change: impl FnOnce(&mut SimulatorConfig)) -> SimulatorHandle {
    let clock = env.clock.clone();
    let mut config = provider();
    config.clock = Arc::new(move || clock.now());
    config.limits_by_clock = true;
    config.retry_scale = 0.0;
    let secrets = [config.standard_secret.expose_secret(), config.legacy_secret.expose_secret()];
    let settings = ReceiverSettings {
        keyring: Arc::new(Keyring::fixed(secrets).unwrap()),
        ..ReceiverSettings::default()
    };
    let metrics = ReceiverMetrics::new(&prometheus::Registry::new()).unwrap();
    let ids = CorrelationIds::of_webhooks(1);
    let (webhooks, committer) =
        trunkline::receiver::start(settings, env.tasks(), env.clock.clone(), ids, metrics);
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
    tokio::spawn(async move {
        let _committer = committer;
        Server::new_with_acceptor(acceptor).run(Route::new().at("/webhooks/openphone", webhooks)).await
    });
    config.target = Some(format!("http://{address}/webhooks/openphone").parse().unwrap());
    change(&mut config);
    Simulator::start(config).await.unwrap()
}

fn client(simulator: &SimulatorHandle) -> Client {
    Client::new(ClientConfig {
        base_url: simulator.url(),
        api_key: ApiKey::of(&SecretString::from("simulated-api-key")).unwrap(),
        timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(30),
        user_agent: "test".to_owned(),
    })
    .unwrap()
}

async fn keeper<'e>(env: &'e Env, simulator: &SimulatorHandle) -> Keeper<'e> {
    let metrics = ProviderMetrics::new(&prometheus::Registry::new()).unwrap();
    let limit = RateLimit { per_second: 10, reserved: 2 };
    let provider = Provider::new(env.db.clone(), Some(client(simulator)), limit, metrics);
    Keeper::with_provider(env, provider).await
}

/// Lets something happen, told or not.
async fn happen(
    simulator: &SimulatorHandle,
    factory: &mut Factory,
    generation: Generation,
    now: DateTime<Utc>,
) {
    for event in factory.anything(generation, now) {
        // What is dropped comes to no end; that is the point.
        let _ = simulator.emit(event).await;
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or("-")
}

fn millis(value: &Value, key: &str) -> Option<i64> {
    value[key].as_str().map(|time| time.parse::<DateTime<Utc>>().unwrap().timestamp_millis())
}

fn seconds(value: &Value) -> i64 {
    value["duration"].as_i64().unwrap_or(0)
}

/// The provider's truth in lines, as [`kept`] writes ours.
fn told(truth: &Truth) -> Vec<String> {
    let mut lines = Vec::new();
    for message in &truth.messages {
        let mut to: Vec<&str> = message["to"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        to.sort_unstable();
        lines.push(format!(
            "message {} {} {} {} {} {:?} {} {:?} {to:?} files {}",
            text(message, "id"),
            text(message, "conversationId"),
            text(message, "phoneNumberId"),
            text(message, "direction"),
            text(message, "from"),
            text(message, "text"),
            text(message, "status"),
            millis(message, "createdAt"),
            message["media"].as_array().unwrap().len(),
        ));
    }
    for call in &truth.calls {
        let ends: Vec<&str> =
            call["participants"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let (from, to) =
            if call["direction"] == "incoming" { (ends[1], ends[0]) } else { (ends[0], ends[1]) };
        lines.push(format!(
            "call {} {} {} {} {from} {to} {:?} {:?} {} {:?} {} over",
            text(call, "id"),
            text(call, "phoneNumberId"),
            text(call, "userId"),
            text(call, "direction"),
            millis(call, "createdAt"),
            millis(call, "answeredAt"),
            text(call, "answeredBy"),
            millis(call, "completedAt"),
            seconds(call),
        ));
    }
    lines.extend(
        truth.recordings.iter().map(|item| format!("recording {} {}", text(item, "callId"), seconds(item))),
    );
    lines.extend(truth.summaries.iter().map(|summary| {
        format!("summary {} {} {}", text(summary, "callId"), summary["summary"], summary["nextSteps"])
    }));
    lines.extend(truth.transcripts.iter().map(|transcript| {
        let said: Vec<String> = transcript["dialogue"]
            .as_array()
            .unwrap()
            .iter()
            .map(|turn| {
                format!("{}:{}:{}", text(turn, "userId"), text(turn, "identifier"), text(turn, "content"))
            })
            .collect();
        format!("transcript {} {} {said:?}", text(transcript, "callId"), seconds(transcript))
    }));
    lines.sort_unstable();
    lines
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    id: String,
    conversation_id: Option<String>,
    phone_number_id: Option<String>,
    direction: String,
    sender: Option<String>,
    text: Option<String>,
    status: String,
    created_at: Option<DateTime<Utc>>,
    files: i64,
}

#[derive(sqlx::FromRow)]
struct CallRow {
    id: String,
    phone_number_id: Option<String>,
    user_id: Option<String>,
    direction: Option<String>,
    caller: Option<String>,
    callee: Option<String>,
    created_at: Option<DateTime<Utc>>,
    answered_at: Option<DateTime<Utc>>,
    answered_by: Option<String>,
    completed_at: Option<DateTime<Utc>>,
    duration_ms: Option<i64>,
    status_final: bool,
}

#[derive(sqlx::FromRow)]
struct Pair {
    id: String,
    value: String,
}

#[derive(sqlx::FromRow)]
struct Timed {
    id: String,
    duration_ms: Option<i64>,
    one: Option<String>,
    two: Option<String>,
}

async fn rows<T: trunkline_platform::db::Row>(env: &Env, select: &str) -> Vec<T> {
    let statement: &'static Stmt = statement(select.to_owned());
    statement.query().all(&mut env.db.read().await.unwrap()).await.unwrap()
}

/// Our rows in lines.
async fn kept(env: &Env) -> Vec<String> {
    let at = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_millis());
    let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut to: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Pair { id, value } in
        rows(env, "SELECT message_id AS id, number AS value FROM message_recipients ORDER BY number").await
    {
        to.entry(id).or_default().push(value);
    }
    let mut lines = Vec::new();
    let messages: Vec<MessageRow> = rows(
        env,
        "SELECT id, conversation_id, phone_number_id, direction, sender, text, status, created_at,
            (SELECT COUNT(*) FROM media WHERE owner_type = 'message' AND owner_id = messages.id) AS files FROM messages",
    )
    .await;
    for row in messages {
        let to = to.remove(&row.id).unwrap_or_default();
        lines.push(format!(
            "message {} {} {} {} {} {:?} {} {:?} {to:?} files {}",
            row.id,
            or(row.conversation_id),
            or(row.phone_number_id),
            row.direction,
            or(row.sender),
            or(row.text),
            row.status,
            at(row.created_at),
            row.files
        ));
    }
    let calls: Vec<CallRow> = rows(
        env,
        "SELECT id, phone_number_id, user_id, direction, caller, callee, created_at, answered_at, answered_by,
            completed_at, duration_ms, status_final FROM calls",
    )
    .await;
    for row in calls {
        lines.push(format!(
            "call {} {} {} {} {} {} {:?} {:?} {} {:?} {} {}",
            row.id,
            or(row.phone_number_id),
            or(row.user_id),
            or(row.direction),
            or(row.caller),
            or(row.callee),
            at(row.created_at),
            at(row.answered_at),
            or(row.answered_by),
            at(row.completed_at),
            row.duration_ms.unwrap_or(0) / 1_000,
            if row.status_final { "over" } else { "not over" },
        ));
    }
    let recordings: Vec<Timed> =
        rows(env, "SELECT call_id AS id, duration_ms, NULL AS one, NULL AS two FROM call_recordings").await;
    lines.extend(
        recordings
            .into_iter()
            .map(|row| format!("recording {} {}", row.id, row.duration_ms.unwrap_or(0) / 1_000)),
    );
    let summaries: Vec<Timed> = rows(
        env,
        "SELECT call_id AS id, CAST(NULL AS BIGINT) AS duration_ms, summary AS one, next_steps AS two FROM call_summaries",
    )
    .await;
    lines.extend(
        summaries.into_iter().map(|row| format!("summary {} {} {}", row.id, or(row.one), or(row.two))),
    );
    let transcripts: Vec<Timed> =
        rows(env, "SELECT call_id AS id, duration_ms, dialogue AS one, NULL AS two FROM call_transcripts")
            .await;
    lines.extend(transcripts.into_iter().map(|row| {
        let dialogue: Value = serde_json::from_str(&or(row.one)).unwrap();
        let said: Vec<String> = dialogue
            .as_array()
            .unwrap()
            .iter()
            .map(|turn| {
                format!("{}:{}:{}", text(turn, "user_id"), text(turn, "identifier"), text(turn, "content"))
            })
            .collect();
        format!("transcript {} {} {said:?}", row.id, row.duration_ms.unwrap_or(0) / 1_000)
    }));
    lines.sort_unstable();
    lines
}

/// Our tables are the provider's truth, row by row.
async fn assert_truth(env: &Env, simulator: &SimulatorHandle) {
    let truth = simulator.truth();
    let (told, kept) = (told(&truth), kept(env).await);
    assert!(!told.is_empty());
    let without = |all: &[String], others: &[String]| -> Vec<String> {
        all.iter().filter(|line| others.binary_search(line).is_err()).cloned().collect()
    };
    let (missing, extra) = (without(&told, &kept), without(&kept, &told));
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?}, instead {extra:#?}");
    assert_eq!(told.len(), kept.len(), "nothing is there twice");
    for voicemail in &truth.voicemails {
        let (call, id) = (text(voicemail, "callId"), text(voicemail, "id"));
        let select = format!(
            "SELECT id, COALESCE(transcript, '') AS value FROM voicemails WHERE call_id = '{call}' OR voicemail_id = '{id}'"
        );
        assert_eq!(rows::<Pair>(env, &select).await.len(), 1, "{voicemail}");
    }
}

/// The same, by an installation that knows where the provider reaches it.
async fn keeper_at<'e>(env: &'e Env, simulator: &SimulatorHandle, url: Url) -> Keeper<'e> {
    let mut keeper = keeper(env, simulator).await;
    let expected = Expected { url, events: BTreeSet::new(), numbers: BTreeSet::new() };
    let subscriptions = SubscriptionServices { expected: Some(expected), configured: Vec::new() };
    keeper.services = Arc::new(Services { subscriptions, ..keeper.services_anew() });
    keeper
}

/// Lets a run look at everything, and returns what it came to.
async fn run(keeper: &Keeper<'_>, env: &Env, order: &Order) -> Details {
    let run = reconcile::begin_by_hand(&keeper.tasks, order, &by_hand()).await.unwrap();
    work(&keeper.kit()).await;
    let run = reconcile::show(&env.db, run).await.unwrap().unwrap();
    assert_eq!(run.run.state, "complete", "{run:?}");
    run
}

/// What is due is done, and what waits for the rate.
async fn work(kit: &Kit<Services>) {
    kit.drain().await.unwrap();
    kit.advance(TimeDelta::minutes(5)).await.unwrap();
}

fn by_hand() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: Some("a test".to_owned()) }
}

fn figure(details: &Details, kind: &str) -> (i64, i64, i64) {
    let row = details.counts.iter().find(|row| row.kind == kind);
    row.map_or((0, 0, 0), |row| (row.found, row.missing, row.repaired))
}

/// Only the schedules of reconciliation, as they come with the program.
fn schedules(env: &Env) -> trunkline_platform::schedule::Schedules {
    let folder = env.folder().join("schedules");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["reconcile.toml", "reconcile-deep.toml"] {
        let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules").join(file);
        std::fs::copy(from, folder.join(file)).unwrap();
    }
    let config = SchedulesConfig { dir: Some(folder), builtin: false };
    trunkline::schedules::load(&config, &trunkline_jobs::registry().unwrap()).unwrap()
}

both_engines! {
    async fn after_a_day_of_lost_webhooks_the_tables_are_the_providers_truth(env: Env) {
        const HAPPENINGS: i32 = 160;
        let simulator = simulator(&env, |config| config.faults.drop = 0.2).await;
        let keeper = keeper(&env, &simulator).await;
        let metrics = ScheduleMetrics::new(&prometheus::Registry::new()).unwrap();
        let kit = keeper.kit().with_schedules(Arc::new(schedules(&env)), metrics).await.unwrap();
        let mut factory = Factory::new(11).with_media_base(simulator.url().join("media/").unwrap());
        for (n, generation) in (0..HAPPENINGS).zip(Generation::ALL.into_iter().cycle()) {
            kit.advance(TimeDelta::days(1) / HAPPENINGS).await.unwrap();
            let hours = f64::from(n) * 24.0 / f64::from(HAPPENINGS);
            simulator.subscribe(!(10.0..11.0).contains(&hours));
            happen(&simulator, &mut factory, generation, env.clock.now()).await;
        }
        kit.advance(TimeDelta::minutes(40)).await.unwrap();

        keeper.assert_nothing_failed().await;
        assert_truth(&env, &simulator).await;
        let tally = simulator.tally();
        assert!(tally.deliveries_dropped > 20 && tally.deliveries_untold > 3, "{tally:?}");
        assert_eq!(tally.api_calls_limited, 0, "the limit was never exceeded");
        assert!(tally.api_calls_peak <= 9, "{} in one second", tally.api_calls_peak);
        let runs = reconcile::list(&env.db, None, 1_000).await.unwrap();
        let asked: i64 = runs.iter().map(|run| run.sum(|row| row.requests)).sum();
        let repaired: i64 = runs.iter().map(|run| run.sum(|row| row.repaired)).sum();
        assert!(runs.len() > 90 && runs.iter().all(|run| run.run.state == "complete"), "{}", runs.len());
        assert!(repaired > 20, "{repaired}");
        println!(
            "{} runs, {asked} requests of {} in all, at most {} in a second, {repaired} repaired; {} deliveries dropped, {} untold",
            runs.len(), tally.api_calls, tally.api_calls_peak, tally.deliveries_dropped, tally.deliveries_untold
        );
        // Now that nothing is missing, nothing is told.
        let last = reconcile::status(&env.db).await.unwrap().last.unwrap();
        assert_eq!(last.sum(|row| row.missing), 0, "{last:?}");
    }

    async fn a_dry_run_counts_and_tells_nothing_and_a_range_is_a_range(env: Env) {
        let simulator = simulator(&env, |_| {}).await;
        let keeper = keeper(&env, &simulator).await;
        let (kit, mut factory) = (keeper.kit(), Factory::new(5));
        simulator.subscribe(false);
        for _ in 0..30 {
            env.clock.advance(TimeDelta::minutes(10));
            happen(&simulator, &mut factory, Generation::Dated, env.clock.now()).await;
        }
        env.clock.advance(TimeDelta::minutes(10));
        let begun = env.clock.now();
        let order = Order { dry_run: true, ..Order::default() };
        let run = reconcile::begin_by_hand(&keeper.tasks, &order, &by_hand()).await.unwrap();
        work(&kit).await;
        let dry = reconcile::show(&env.db, run).await.unwrap().unwrap();
        assert_eq!(dry.run.state, "complete");
        let (found, missing, repaired) = figure(&dry, "messages");
        assert!(found > 5 && found == missing && repaired == 0, "{dry:?}");
        assert!(kept(&env).await.is_empty());

        let from = begun - TimeDelta::hours(2);
        let order = Order { from: Some(from), to: Some(begun - TimeDelta::hours(1)), ..Order::default() };
        let run = reconcile::begin_by_hand(&keeper.tasks, &order, &by_hand()).await.unwrap();
        work(&kit).await;
        let ranged = reconcile::show(&env.db, run).await.unwrap().unwrap();
        let (found, missing, repaired) = figure(&ranged, "messages");
        assert!(found > 0 && found < figure(&dry, "messages").0 && missing == repaired && found == missing, "{ranged:?}");
        let order = Order { number: Some("PNq1w2e3r0".to_owned()), ..Order::default() };
        let run = reconcile::begin_by_hand(&keeper.tasks, &order, &by_hand()).await.unwrap();
        work(&kit).await;
        let one = reconcile::show(&env.db, run).await.unwrap().unwrap();
        assert_eq!(figure(&one, "numbers").0, 1);
        assert!(figure(&one, "messages").1 < figure(&dry, "messages").1, "the range was repaired: {one:?}");
        reconcile::begin_by_hand(&keeper.tasks, &Order::default(), &by_hand()).await.unwrap();
        work(&kit).await;
        assert_truth(&env, &simulator).await;
        let book = audit::list(&env.db, &audit::AuditFilter { limit: 10, ..Default::default() }).await.unwrap();
        assert_eq!(book.iter().filter(|row| row.action == "reconcile.run").count(), 4);
    }

    async fn what_the_provider_could_not_deliver_enters_as_it_would_have_come(env: Env) {
        let mut target = None;
        let simulator = simulator(&env, |config| target = config.target.clone()).await;
        let target = target.unwrap();
        let keeper = keeper_at(&env, &simulator, target.clone()).await;
        let mut factory = Factory::new(5);
        // Nobody is at home for whatever the provider can tell; 60 is more than a page of the log.
        simulator.set_target(Some("http://127.0.0.1:1/".parse().unwrap()));
        let mut ids = Vec::new();
        let kinds: Vec<EventType> = webhook_events().filter_map(EventType::from_name).collect();
        for kind in kinds.into_iter().cycle().take(60) {
            env.clock.advance(TimeDelta::minutes(1));
            let Some(event) = factory.event(kind, Generation::Dated, env.clock.now()) else { continue };
            ids.push(event.event_id.clone());
            simulator.emit(event).await.unwrap_err();
        }
        env.clock.advance(TimeDelta::minutes(10));
        simulator.set_target(Some(target));
        let lost = i64::try_from(ids.len()).unwrap();
        assert!(lost > 50, "{lost}");

        let dry = run(&keeper, &env, &Order { dry_run: true, ..Order::default() }).await;
        assert_eq!(figure(&dry, "deliveries"), (lost, lost, 0), "{dry:?}");
        assert!(events::count(&env.db).await.unwrap().is_empty());

        let wet = run(&keeper, &env, &Order::default()).await;
        assert_eq!((figure(&wet, "webhooks").0, figure(&wet, "deliveries")), (1, (lost, lost, lost)), "{wet:?}");
        keeper.assert_nothing_failed().await;
        let stored = rows::<Pair>(&env, "SELECT event_id AS id, scheme AS value FROM events WHERE dedupe_key LIKE 'delivery:%'").await;
        let mut stored: Vec<String> = stored.into_iter().map(|row| { assert_eq!(row.value, "reconciled"); row.id }).collect();
        stored.sort();
        ids.sort();
        assert_eq!(stored, ids, "every one of them, once");

        // One that comes after all is the same.
        let before: i64 = events::count(&env.db).await.unwrap().iter().map(|row| row.count).sum();
        let query = DeliveryQuery {
            webhook_id: "4100".to_owned(), created_after: None, created_before: None, max_results: 1, page_token: None,
        };
        let client = client(&simulator);
        let late = client.list_deliveries(&query).await.unwrap().items.remove(0);
        let attempts = simulator.tally().attempts;
        client.resend_delivery("4100", &late.id).await.unwrap();
        until("it has come", async || simulator.logged().iter().any(|(id, attempts)| *id == late.id && *attempts == 9)).await;
        assert_eq!(simulator.tally().attempts, attempts, "asked for, not by the schedule");
        let after: i64 = events::count(&env.db).await.unwrap().iter().map(|row| row.count).sum();
        assert_eq!(before, after);
        let again = run(&keeper, &env, &Order::default()).await;
        assert_eq!(again.sum(|row| row.missing), 0, "{again:?}");
    }

    async fn what_the_log_does_not_tell_is_sent_again(env: Env) {
        let mut target = None;
        let simulator = simulator(&env, |config| target = config.target.clone()).await;
        let target = target.unwrap();
        let keeper = keeper_at(&env, &simulator, target.clone()).await;
        simulator.set_target(Some("http://127.0.0.1:1/".parse().unwrap()));
        client(&simulator).test_webhook("4100", "message.received").await.unwrap();
        until("it was tried", async || simulator.logged().iter().any(|(_, attempts)| *attempts == 1)).await;
        simulator.set_target(Some(target));
        env.clock.advance(TimeDelta::minutes(10));

        let dry = run(&keeper, &env, &Order { dry_run: true, ..Order::default() }).await;
        assert_eq!(figure(&dry, "deliveries"), (1, 1, 0), "{dry:?}");
        assert!(simulator.logged().iter().all(|(_, attempts)| *attempts == 1), "nothing was asked for");
        let wet = run(&keeper, &env, &Order::default()).await;
        assert_eq!(figure(&wet, "deliveries"), (1, 1, 0), "{wet:?}");
        until("the sample came", async || !events::count(&env.db).await.unwrap().is_empty()).await;
        let then = run(&keeper, &env, &Order { overlap_minutes: 60, ..Order::default() }).await;
        assert_eq!(figure(&then, "deliveries"), (1, 0, 0), "{then:?}");
    }

    async fn an_address_nobody_told_us_has_no_log_and_neither_has_a_run_for_one_number(env: Env) {
        let simulator = simulator(&env, |_| {}).await;
        let without = run(&keeper(&env, &simulator).await, &env, &Order::default()).await;
        assert_eq!((figure(&without, "webhooks"), figure(&without, "deliveries")), ((0, 0, 0), (0, 0, 0)));
        let elsewhere = "https://elsewhere.example.com/webhooks/openphone".parse().unwrap();
        let keeper = keeper_at(&env, &simulator, elsewhere).await;
        assert_eq!(figure(&run(&keeper, &env, &Order::default()).await, "webhooks"), (0, 0, 0));
        let order = Order { number: Some("PNq1w2e3r0".to_owned()), ..Order::default() };
        let one = run(&keeper, &env, &order).await;
        assert!(one.counts.iter().all(|row| row.kind != "webhooks"), "{one:?}");
    }

    async fn there_is_one_run_at_a_time_and_one_whose_task_was_lost_goes_on(env: Env) {
        let simulator = simulator(&env, |_| {}).await;
        let keeper = keeper(&env, &simulator).await;
        let run = reconcile::begin_by_hand(&keeper.tasks, &Order::default(), &by_hand()).await.unwrap();
        let refused = reconcile::begin_by_hand(&keeper.tasks, &Order::default(), &by_hand()).await.unwrap_err();
        assert!(refused.to_string().contains(&format!("run {run} is under way")), "{refused}");
        statement("DELETE FROM tasks".to_owned())
            .query()
            .execute(&mut env.db.write_one().await.unwrap())
            .await
            .unwrap();
        let kit = keeper.kit();
        let mut tx = keeper.tasks.begin().await.unwrap();
        let start = StartReconcile { overlap_minutes: 60 };
        tx.enqueue(&[trunkline_platform::task::NewTask::of(&start).unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
        work(&kit).await;
        let runs = reconcile::list(&env.db, None, 10).await.unwrap();
        assert_eq!(runs.len(), 1, "it was not begun twice");
        assert_eq!((runs[0].run.id, runs[0].run.state.as_str()), (run, "complete"));
    }

    async fn a_provider_in_trouble_is_asked_again_and_the_result_is_the_same(env: Env) {
        let simulator = simulator(&env, |config| {
            config.faults.server_error = 0.2;
            config.faults.rate_limited = 0.1;
            config.faults.lost_response = 0.05;
        })
        .await;
        let keeper = keeper(&env, &simulator).await;
        let mut factory = Factory::new(8);
        simulator.subscribe(false);
        for _ in 0..40 {
            env.clock.advance(TimeDelta::minutes(5));
            happen(&simulator, &mut factory, Generation::Dated, env.clock.now()).await;
        }
        env.clock.advance(TimeDelta::minutes(5));
        let run = reconcile::begin_by_hand(&keeper.tasks, &Order::default(), &by_hand()).await.unwrap();
        let kit = keeper.kit();
        kit.drain().await.unwrap();
        for _ in 0..48 {
            kit.advance(TimeDelta::minutes(30)).await.unwrap();
            if reconcile::show(&env.db, run).await.unwrap().unwrap().run.state != "running" {
                break;
            }
        }
        assert_eq!(reconcile::show(&env.db, run).await.unwrap().unwrap().run.state, "complete");
        assert_truth(&env, &simulator).await;
    }

    async fn a_run_that_cannot_go_on_says_why_and_the_marks_stay(env: Env) {
        let simulator = simulator(&env, |config| config.api_key = SecretString::from("another")).await;
        let keeper = keeper(&env, &simulator).await;
        let run = reconcile::begin_by_hand(&keeper.tasks, &Order::default(), &by_hand()).await.unwrap();
        keeper.kit().drain().await.unwrap();
        let failed = reconcile::show(&env.db, run).await.unwrap().unwrap();
        assert_eq!(failed.run.state, "failed");
        assert!(failed.run.error.unwrap().contains("does not know our API key"));
        assert!(keeper.rows("reconcile_marks", "phone_number_id").await.is_empty());
        let dead = keeper.kit().enqueued::<ReconcilePage>().await.unwrap();
        assert_eq!(dead[0].state, TaskState::Dead);
        reconcile::begin_by_hand(&keeper.tasks, &Order::default(), &by_hand()).await.unwrap();
    }
}

/// Kills the program at random pages, before and after their commits, and lets it end its work then.
async fn killed(env: Env, kills: u32) {
    let mut random = StdRng::seed_from_u64(50);
    let clock = trunkline_platform::clock::Clock::system();
    let mut config = provider();
    config.calls_per_second = 1_000;
    config.target = Some("http://127.0.0.1:9/".parse().unwrap());
    let simulator = Simulator::start(config).await.unwrap();
    simulator.subscribe(false);
    let mut factory = Factory::new(21).with_media_base(simulator.url().join("media/").unwrap());
    for n in 0..200 {
        let then = clock.now() - TimeDelta::minutes(15) - TimeDelta::minutes(n);
        happen(&simulator, &mut factory, Generation::Dated, then).await;
    }
    let mut program = Program::new(&env, &["serve"])
        .allow_host(simulator.addr())
        .set("TRUNKLINE_OPENPHONE_API_URL", simulator.url())
        .set("TRUNKLINE_OPENPHONE_API_KEY", "simulated-api-key")
        .set("TRUNKLINE_OPENPHONE_RATE", "1000");
    let begun = program.run(&["reconcile", "run", "--from", "8h", "--by", "ana", "--json"]).unwrap();
    let run = serde_json::from_str::<Value>(&begun).unwrap()["run"].as_i64().unwrap();
    for _ in 0..kills {
        // One page or more is turned between two deaths, as nobody can ask for a page and die for ever.
        let point = RECONCILING[random.random_range(0..RECONCILING.len())];
        die_at(&mut program, point, random.random_range(2..5)).await;
    }
    assert_eq!(reconcile::show(&env.db, run).await.unwrap().unwrap().run.state, "running");
    program.start().await.unwrap();
    until("the run is complete", async || {
        reconcile::show(&env.db, run).await.unwrap().unwrap().run.state == "complete"
    })
    .await;
    let tasks = env.live_tasks();
    until("all that was told is kept", async || {
        let counts = tasks.count_by_kind().await.unwrap();
        counts.iter().all(|row| {
            row.kind == "calls.texts_wanted" || !matches!(row.state, TaskState::Pending | TaskState::Running)
        })
    })
    .await;
    program.stop().await.unwrap();
    assert_truth(&env, &simulator).await;
    let pages = simulator.pages_asked();
    let often: Vec<_> = pages.iter().filter(|(_, times)| **times > 2).collect();
    assert!(often.is_empty(), "asked for more than twice: {often:#?}");
    let twice = pages.values().filter(|times| **times == 2).count();
    assert!(pages.len() > 200, "{}", pages.len());
    println!("{kills} kills, {} pages, {twice} of them asked for twice", pages.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_fifty_times_it_ends_with_the_same_result_and_no_page_is_asked_for_thrice() {
    killed(Env::sqlite().await, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_postgres_too() {
    killed(Env::postgres().await, 6).await;
}
