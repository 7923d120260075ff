//! The simulator against a receiver and a sender that are the crate's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use poem::{Endpoint, Request, Response, Server, listener::TcpAcceptor};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use url::Url;

mod webhooks;

use super::*;
use crate::{
    client::{ApiError, ApiKey, Client, ClientConfig, MessageQuery, SendMessage},
    event::{Event, EventType, Generation, MessageStatus, Payload, ProcessingStatus},
    factory::{Factory, FactoryEvent, MediaFile, MediaKind},
    signature::{self, Secrets, Tolerance, WEBHOOK_ID},
};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_secs(1_791_558_000).unwrap()
}

/// A clock that gains a second at every look, so that no two signatures share their time.
fn ticking() -> Clock {
    let ticks = AtomicU32::new(0);
    Arc::new(move || now() + TimeDelta::seconds(i64::from(ticks.fetch_add(1, Ordering::Relaxed) % 60)))
}

fn config() -> SimulatorConfig {
    SimulatorConfig { retry_scale: 0.0, ..SimulatorConfig::new(ticking()) }
}

/// What a receiver got.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Vec<Received>>>);

#[derive(Clone)]
struct Received {
    delivery_id: Option<String>,
    body: Vec<u8>,
    genuine: Result<(), &'static str>,
}

impl Inbox {
    fn all(&self) -> Vec<Received> {
        lock(&self.0).clone()
    }

    fn genuine(&self) -> Vec<Received> {
        self.all().into_iter().filter(|received| received.genuine.is_ok()).collect()
    }
}

/// A receiver that refuses forgeries, and answers the first genuine requests as it is told.
struct Receiver {
    inbox: Inbox,
    failures: AtomicU32,
    secrets: Secrets,
}

impl Endpoint for Receiver {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let body = request.take_body().into_vec().await?;
        let tolerance = Tolerance::default();
        let genuine = signature::verify(&self.secrets, &tolerance, request.headers(), &body, now());
        let genuine = genuine.map(|_| ()).map_err(|error| error.code());
        let delivery_id = request.header(WEBHOOK_ID).map(str::to_owned);
        lock(&self.inbox.0).push(Received { delivery_id, body, genuine });
        let fails = |left: u32| left.checked_sub(1);
        Ok(match genuine {
            Err(_) => StatusCode::UNAUTHORIZED.into(),
            Ok(()) if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() => {
                StatusCode::SERVICE_UNAVAILABLE.into()
            }
            Ok(()) => StatusCode::OK.into(),
        })
    }
}

async fn receiver(failures: u32) -> (Inbox, Url) {
    let config = config();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap()).parse().unwrap();
    let inbox = Inbox::default();
    let receiver = Receiver {
        inbox: inbox.clone(),
        failures: failures.into(),
        secrets: Secrets::parse([
            config.standard_secret.expose_secret(),
            config.legacy_secret.expose_secret(),
        ])
        .unwrap(),
    };
    tokio::spawn(Server::new_with_acceptor(TcpAcceptor::from_tokio(listener).unwrap()).run(receiver));
    (inbox, url)
}

fn client(simulator: &SimulatorHandle) -> Client {
    Client::new(ClientConfig {
        base_url: simulator.url(),
        api_key: ApiKey::of(&config().api_key).unwrap(),
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        user_agent: "test".to_owned(),
    })
    .unwrap()
}

fn text(to: &str) -> SendMessage {
    SendMessage {
        from: "+12125550199".to_owned(),
        to: vec![to.to_owned()],
        content: "Hi".to_owned(),
        user_id: None,
        mark_done: false,
    }
}

fn any_event(generation: Generation) -> FactoryEvent {
    Factory::new(1).event(EventType::MessageReceived, generation, now()).unwrap()
}

#[tokio::test]
async fn a_stream_with_every_fault_is_told_in_full_and_forgeries_are_told_apart() {
    let (inbox, target) = receiver(30).await;
    let faults = "duplicate=0.2,reorder=0.2,delay=0.2,delay_max=0.05,tamper=0.2,stale_timestamp=0.2";
    let simulator = Simulator::start(SimulatorConfig {
        target: Some(target),
        generations: Generation::ALL.to_vec(),
        rate_per_second: 5000.0,
        max_events: Some(300),
        faults: faults.parse().unwrap(),
        ..config()
    })
    .await
    .unwrap();
    simulator.idle().await;

    let tally = simulator.tally();
    assert_eq!((tally.events_made, tally.deliveries_acknowledged, tally.deliveries_pending), (300, 300, 0));
    assert_eq!(tally.events_by_type.values().sum::<u64>(), 300);
    assert!(tally.duplicates_sent > 20 && tally.forgeries_sent > 50);
    assert_eq!(tally.forgeries_accepted, 0);
    assert_eq!(tally.attempts, 300 + 30 + tally.duplicates_sent);

    let events: BTreeSet<String> =
        inbox.genuine().iter().map(|received| Event::parse(&received.body).unwrap().envelope.id).collect();
    let acknowledged = simulator.deliveries();
    assert_eq!(events, acknowledged.iter().map(|delivery| delivery.event_id.clone()).collect());
    let refused = inbox.all().into_iter().filter_map(|received| received.genuine.err()).fold(
        BTreeMap::new(),
        |mut codes, code| {
            *codes.entry(code).or_insert(0u64) += 1;
            codes
        },
    );
    assert_eq!(refused.values().sum::<u64>(), tally.forgeries_sent);
    assert_eq!(refused.keys().copied().collect::<Vec<_>>(), ["signature_invalid", "timestamp_stale"]);
    simulator.stop().await;
}

#[tokio::test]
async fn the_same_seed_makes_the_same_events() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (_, target) = receiver(0).await;
        let simulator = Simulator::start(SimulatorConfig {
            target: Some(target),
            rate_per_second: 1000.0,
            max_events: Some(20),
            seed: 42,
            ..config()
        })
        .await
        .unwrap();
        simulator.idle().await;
        let events = simulator.deliveries().into_iter().map(|delivery| delivery.event_id);
        runs.push(events.collect::<BTreeSet<_>>());
        simulator.stop().await;
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_retry_keeps_its_id_and_is_signed_anew() {
    let (inbox, target) = receiver(2).await;
    let simulator = Simulator::start(SimulatorConfig { target: Some(target), ..config() }).await.unwrap();
    let delivery = simulator.emit(any_event(Generation::Dated)).await.unwrap();
    assert_eq!((delivery.attempts, delivery.status), (3, 200));
    let received = inbox.genuine();
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|received| received.delivery_id.as_ref() == Some(&delivery.delivery_id)));
    assert_eq!(simulator.tally().attempts, 3);
}

#[tokio::test]
async fn a_delivery_is_given_up_after_eight_attempts() {
    let (inbox, target) = receiver(u32::MAX).await;
    let simulator = Simulator::start(SimulatorConfig { target: Some(target), ..config() }).await.unwrap();
    assert_eq!(simulator.emit(any_event(Generation::App)).await, Err(EmitError::Exhausted));
    assert_eq!(inbox.genuine().len(), 8);
    assert_eq!(simulator.tally().deliveries_exhausted, 1);
    simulator.idle().await;
}

#[tokio::test]
async fn deliveries_wait_for_a_target_and_a_stop_does_not_wait_for_them() {
    let simulator = Simulator::start(config()).await.unwrap();
    let (inbox, target) = receiver(0).await;
    let emitted = simulator.emit(any_event(Generation::Api));
    let (emitted, ()) = tokio::join!(emitted, async {
        tokio::task::yield_now().await;
        assert!(inbox.all().is_empty());
        simulator.set_target(Some(target));
    });
    assert!(emitted.is_ok());

    simulator.set_target(None);
    let mut waiting = Box::pin(simulator.emit(any_event(Generation::Dated)));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(waiting);
    simulator.stop().await;
}

#[tokio::test]
async fn any_body_can_be_sent_signed() {
    let (inbox, target) = receiver(0).await;
    let simulator = Simulator::start(SimulatorConfig { target: Some(target), ..config() }).await.unwrap();
    for generation in Generation::ALL {
        assert_eq!(simulator.send_webhook(generation, b"no JSON at all".to_vec()).await, Ok(200));
    }
    assert_eq!(inbox.genuine().len(), 3);
    assert_eq!(simulator.tally().events_made, 0);
}

#[tokio::test]
async fn a_text_is_accepted_delivered_and_told_of() {
    let (inbox, target) = receiver(0).await;
    let simulator = Simulator::start(SimulatorConfig { target: Some(target), ..config() }).await.unwrap();
    let client = client(&simulator);
    let queued = client.send_message(&text("+12015550123")).await.unwrap();
    assert_eq!(queued.status, MessageStatus::Queued);
    simulator.idle().await;

    let message = client.get_message(&queued.id).await.unwrap();
    assert_eq!(message.status, MessageStatus::Delivered);
    let number = client.list_phone_numbers().await.unwrap().remove(0);
    assert_eq!(number.number, "+12125550199");
    let page = client.list_messages(&MessageQuery::with(&number.id, "+12015550123")).await.unwrap();
    assert_eq!(page.items, [message]);
    assert_eq!(page.next_page_token, None);

    let told = inbox.genuine();
    let Payload::Message(told) = Event::parse(&told[0].body).unwrap().payload else { panic!() };
    assert_eq!((told.id, told.status), (queued.id.clone(), MessageStatus::Delivered));
    let accepted = simulator.accepted_messages();
    assert_eq!((accepted.len(), accepted[0].id.as_str()), (1, queued.id.as_str()));
    assert_eq!(simulator.tally().messages_accepted, 1);
}

#[tokio::test]
async fn numbers_with_a_meaning_and_opt_outs_end_as_they_should() {
    let (_, target) = receiver(0).await;
    let simulator = Simulator::start(SimulatorConfig { target: Some(target), ..config() }).await.unwrap();
    let client = client(&simulator);
    let stop = Factory::new(2).incoming_text("+12015550150", " stop ", Generation::App, now());
    simulator.emit(stop).await.unwrap();
    let endings = [
        ("+12015550190", MessageStatus::Failed, None),
        ("+12015550191", MessageStatus::Failed, Some("30008")),
        ("+12015550192", MessageStatus::Undelivered, Some("30007")),
        ("+12015550193", MessageStatus::Sent, None),
        ("+12015550150", MessageStatus::Undelivered, Some("21610")),
    ];
    for (number, _, _) in &endings {
        client.send_message(&text(number)).await.unwrap();
    }
    simulator.idle().await;
    for (accepted, (_, status, code)) in simulator.accepted_messages().iter().zip(&endings) {
        assert_eq!((&accepted.status, accepted.error_code.as_deref()), (status, *code));
    }
    let code = |error: ApiError| error.refusal().unwrap().code.clone().unwrap();
    assert_eq!(code(client.send_message(&text("+12015550194")).await.unwrap_err()), "0206400");
    assert_eq!(code(client.send_message(&text("+12015550195")).await.unwrap_err()), "0204403");
    assert_eq!(code(client.send_message(&text("+12015550196")).await.unwrap_err()), "0200402");
    let opted_out = client.send_message(&text("+12015550197")).await.unwrap_err();
    assert!(opted_out.refusal().unwrap().message.as_ref().unwrap().contains("21610"));
    assert_eq!(simulator.accepted_messages().len(), endings.len());
}

#[tokio::test]
async fn people_answer_texts_and_ask_for_no_more() {
    let (inbox, target) = receiver(0).await;
    let manners = "stop=1,answer_within=0.01".parse().unwrap();
    let simulator =
        Simulator::start(SimulatorConfig { target: Some(target), manners, ..config() }).await.unwrap();
    let person = "+12125550150";
    let first = client(&simulator).send_message(&text(person)).await.unwrap();
    simulator.idle().await;

    let received =
        inbox.genuine().into_iter().find_map(|received| match Event::parse(&received.body).ok()?.payload {
            Payload::Message(message) if message.from.as_deref() == Some(person) => Some(message),
            _ => None,
        });
    assert!(received.is_some(), "the answer was told");

    let second = client(&simulator).send_message(&text(person)).await.unwrap();
    simulator.idle().await;
    let ended = |id: &str| {
        let texts = simulator.accepted_messages();
        let text = texts.into_iter().find(|text| text.id == id).unwrap();
        (text.status, text.error_code)
    };
    assert_eq!(ended(&first.id), (MessageStatus::Delivered, None));
    assert_eq!(ended(&second.id), (MessageStatus::Undelivered, Some("21610".to_owned())));
}

#[tokio::test]
async fn a_late_answer_comes_after_the_caller_has_gone() {
    let faults = "late_response=1,late_by=30".parse().unwrap();
    let simulator = Simulator::start(SimulatorConfig { faults, ..config() }).await.unwrap();
    let impatient = Client::new(ClientConfig {
        base_url: simulator.url(),
        api_key: ApiKey::of(&config().api_key).unwrap(),
        timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(5),
        user_agent: "test".to_owned(),
    })
    .unwrap();
    let error = impatient.send_message(&text("+12125550150")).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(simulator.accepted_messages().len(), 1);
    simulator.stop().await;
}

#[tokio::test]
async fn a_text_can_be_accepted_before_it_is_listed() {
    let ahead = Arc::new(AtomicU32::new(0));
    let seconds = Arc::clone(&ahead);
    let clock = move || now() + TimeDelta::seconds(seconds.load(Ordering::Relaxed).into());
    let faults = "listed_after=40".parse().unwrap();
    let config = SimulatorConfig { faults, clock: Arc::new(clock), ..config() };
    let simulator = Simulator::start(config).await.unwrap();
    let client = client(&simulator);
    let line = client.list_phone_numbers().await.unwrap().remove(0);
    let sent = SendMessage { from: line.number.clone(), ..text("+12125550150") };
    let sent = client.send_message(&sent).await.unwrap();
    let listed = async || {
        client.list_messages(&MessageQuery::with(&line.id, "+12125550150")).await.unwrap().items.len()
    };
    assert_eq!(listed().await, 0);
    assert_eq!(client.get_message(&sent.id).await.unwrap().id, sent.id);
    ahead.store(40, Ordering::Relaxed);
    assert_eq!(listed().await, 1);
}

#[tokio::test]
async fn bad_requests_are_refused_as_the_provider_does() {
    let simulator = Simulator::start(config()).await.unwrap();
    let client = client(&simulator);
    let blank = SendMessage { content: " ".to_owned(), ..text("+12015550123") };
    assert!(matches!(client.send_message(&blank).await, Err(ApiError::Invalid(_))));
    let stranger = SendMessage { from: "PNnobody".to_owned(), ..text("+12015550123") };
    assert!(matches!(client.send_message(&stranger).await, Err(ApiError::NotFound(_))));
    assert!(matches!(client.get_message("ACnothing").await, Err(ApiError::NotFound(_))));
    let intruder = Client::new(ClientConfig {
        base_url: simulator.url(),
        api_key: ApiKey::of(&"Bearer simulated-api-key".into()).unwrap(),
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        user_agent: "test".to_owned(),
    });
    assert!(matches!(intruder.unwrap().list_phone_numbers().await, Err(ApiError::Unauthorized(_))));
    assert_eq!(simulator.tally().messages_accepted, 0);
}

#[tokio::test]
async fn more_than_ten_calls_a_second_are_refused() {
    let simulator = Simulator::start(config()).await.unwrap();
    let client = client(&simulator);
    let asked = futures_util::future::join_all((0..25).map(|_| client.list_phone_numbers())).await;
    let refused = asked.iter().filter(|answer| matches!(answer, Err(ApiError::RateLimited { .. }))).count();
    assert!((1..=15).contains(&refused), "{refused}");
    assert_eq!(simulator.tally().api_calls, 25);
}

#[tokio::test]
async fn a_lost_response_leaves_the_text_accepted() {
    let faults = "lost_response=1".parse().unwrap();
    let simulator = Simulator::start(SimulatorConfig { faults, ..config() }).await.unwrap();
    let error = client(&simulator).send_message(&text("+12015550123")).await.unwrap_err();
    assert!(matches!(error, ApiError::Interrupted(_)), "{error:?}");
    assert_eq!(simulator.accepted_messages().len(), 1);
}

#[tokio::test]
async fn a_server_error_leaves_it_open_whether_the_text_was_accepted() {
    let faults = "server_error=1".parse().unwrap();
    let simulator = Simulator::start(SimulatorConfig { faults, seed: 3, ..config() }).await.unwrap();
    let client = client(&simulator);
    for _ in 0..10 {
        let error = client.send_message(&text("+12015550123")).await.unwrap_err();
        assert!(matches!(error, ApiError::Server(_)), "{error:?}");
        assert!(error.outcome_unknown());
    }
    assert!((1..10).contains(&simulator.accepted_messages().len()));
}

#[tokio::test]
async fn a_call_can_be_asked_about_once_it_was_told() {
    let (_, target) = receiver(0).await;
    let simulator = Simulator::start(SimulatorConfig { target: Some(target), ..config() }).await.unwrap();
    let client = client(&simulator);
    let mut factory = Factory::new(9);
    let events = factory.answered_call(Generation::Dated, now());
    let id = events[0].subject_id.clone();
    for event in events {
        simulator.emit(event).await.unwrap();
    }
    assert_eq!(client.get_call(&id).await.unwrap().answered(), Some(true));
    assert_eq!(client.call_recordings(&id).await.unwrap().len(), 1);
    assert_eq!(client.call_summary(&id).await.unwrap().status, ProcessingStatus::Completed);
    assert!(!client.call_transcript(&id).await.unwrap().dialogue.is_empty());
    assert!(matches!(client.call_voicemail(&id).await, Err(ApiError::NotFound(_))));

    let missed = factory.missed_call(Generation::Dated, now()).remove(0);
    let id = missed.subject_id.clone();
    simulator.emit(missed).await.unwrap();
    assert_eq!(client.call_voicemail(&id).await.unwrap().call_id, Some(id));
}

#[tokio::test]
async fn files_are_served_as_counted_and_only_without_the_key() {
    let (_, target) = receiver(0).await;
    let simulator = Simulator::start(SimulatorConfig { target: Some(target), ..config() }).await.unwrap();
    let base = simulator.url().join("media/").unwrap();
    let pictures = Factory::new(4).with_media_base(base).picture_message(Generation::Dated, now());
    simulator.emit(pictures[0].clone()).await.unwrap();
    let tally: Tally =
        reqwest::get(simulator.url().join("_simulator/tally").unwrap()).await.unwrap().json().await.unwrap();
    assert_eq!(tally, simulator.tally());
    assert_eq!((tally.media_files, tally.api_calls), (pictures[0].media.len() as u64, 0));
    for file in &tally.media {
        let answer = reqwest::get(&file.url).await.unwrap();
        assert_eq!(answer.headers()["content-type"], file.content_type);
        let bytes = answer.bytes().await.unwrap();
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((bytes.len() as u64, digest), (file.size, file.sha256.clone()));
        let leaking = reqwest::Client::new().get(&file.url).header("authorization", "key");
        assert_eq!(leaking.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_stream_brings_files_of_every_kind_a_virus_among_them_and_some_twice() {
    let (_, target) = receiver(0).await;
    let faults = Faults { infected: 0.1, ..Faults::default() };
    let stream = SimulatorConfig { rate_per_second: 20_000.0, max_events: Some(4000), faults, ..config() };
    let simulator = Simulator::start(SimulatorConfig { target: Some(target), ..stream }).await.unwrap();
    simulator.idle().await;
    let told: Vec<MediaFile> =
        simulator.deliveries().into_iter().flat_map(|delivery| delivery.media).collect();
    let kinds: BTreeSet<&str> = told.iter().map(|file| file.content_type.as_str()).collect();
    assert_eq!(kinds, MediaKind::ALL.map(MediaKind::content_type).into());
    let pictures = || told.iter().filter(|file| file.content_type.starts_with("image/"));
    let different: BTreeSet<&str> = pictures().map(|file| file.name.as_str()).collect();
    assert!(different.len() < pictures().count());
}

#[tokio::test]
async fn the_tally_survives_a_restart_and_no_id_comes_back() {
    let folder = std::env::temp_dir().join(format!("trunkline-simulator-{}", std::process::id()));
    let _ = std::fs::remove_file(&folder);
    let (inbox, target) = receiver(0).await;
    let config = SimulatorConfig {
        target: Some(target),
        rate_per_second: 1000.0,
        max_events: Some(20),
        journal: Some(folder.clone()),
        ..config()
    };
    let simulator = Simulator::start(config.clone()).await.unwrap();
    client(&simulator).send_message(&text("+12015550123")).await.unwrap();
    simulator.idle().await;
    let before = simulator.tally();
    let accepted = simulator.accepted_messages();
    simulator.stop().await;
    {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().append(true).open(&folder).unwrap();
        file.write_all(b"{\"entry\":\"acknow").unwrap();
    }

    let simulator = Simulator::start(config.clone()).await.unwrap();
    simulator.idle().await;
    let after = simulator.tally();
    assert_eq!(before.events_made, 21);
    assert_eq!(after.events_made, 41);
    assert_eq!(after.deliveries_acknowledged, 41);
    assert_eq!(after.messages_accepted, 1);
    assert_eq!(simulator.accepted_messages(), accepted);
    simulator.stop().await;

    let simulator = Simulator::start(SimulatorConfig { rate_per_second: 0.0, ..config }).await.unwrap();
    assert_eq!(simulator.tally().deliveries_acknowledged, 41);
    let message = client(&simulator).get_message(&accepted[0].id).await.unwrap();
    assert_eq!(message.status, MessageStatus::Delivered);
    simulator.stop().await;
    assert_eq!(inbox.genuine().len(), 41);
    std::fs::remove_file(folder).unwrap();
}

#[tokio::test]
async fn dropping_the_handle_frees_the_port() {
    let simulator = Simulator::start(config()).await.unwrap();
    let address = simulator.addr();
    drop(simulator);
    for _ in 0..100 {
        if tokio::net::TcpListener::bind(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the port is still taken");
}

#[tokio::test]
async fn contradictions_are_refused_at_the_start() {
    let start = |config| async { Simulator::start(config).await.map(|_| ()).unwrap_err().to_string() };
    let endless = SimulatorConfig { rate_per_second: f64::INFINITY, ..config() };
    assert!(start(endless).await.contains("rate_per_second"));
    let silent = SimulatorConfig { generations: Vec::new(), ..config() };
    assert!(start(silent).await.contains("generations"));
    let unsigned = SimulatorConfig { legacy_secret: "!".into(), ..config() };
    assert!(start(unsigned).await.contains("sign"));
}
