//! The webhooks of the workspace, and what they sign with.

use super::*;
use crate::client::{DeliveryQuery, LegacyFamily, NewSubscription, SubscriptionChange};

const PRESENT: &str = "4100";

async fn started(overlap: Duration) -> (Inbox, SimulatorHandle, Client) {
    started_failing(0, overlap).await
}

/// Before a receiver that answers the first genuine requests with 503.
async fn started_failing(failures: u32, overlap: Duration) -> (Inbox, SimulatorHandle, Client) {
    let (inbox, target) = receiver(failures).await;
    let config = SimulatorConfig {
        target: Some(target),
        calls_per_second: 1_000,
        rotation_overlap: overlap,
        clock: Arc::new(now),
        ..config()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let client = client(&simulator);
    (inbox, simulator, client)
}

fn wanted(url: &Url) -> NewSubscription {
    NewSubscription {
        url: url.to_string(),
        events: vec!["message.received".to_owned()],
        resource_ids: Vec::new(),
        label: Some("ours".to_owned()),
        enabled: false,
    }
}

/// The deliveries that came. Whoever does not know the secret of a webhook refuses each, so it comes more than once.
fn deliveries(inbox: &Inbox) -> BTreeSet<String> {
    inbox.all().into_iter().filter_map(|received| received.delivery_id).collect()
}

#[tokio::test]
async fn a_present_webhook_is_made_changed_told_and_deleted() {
    let (_, simulator, client) = started(Duration::ZERO).await;
    let (inbox, url) = receiver(0).await;
    let made = client.create_webhook(&wanted(&url)).await.unwrap();
    assert!(made.key.is_some() && !made.enabled && made.label.as_deref() == Some("ours"), "{made:?}");
    assert!(client.get_webhook(&made.id).await.unwrap().key.is_none(), "its secret is told once");
    assert_eq!(client.list_webhooks().await.unwrap().len(), 2);

    simulator.emit(any_event(Generation::Dated)).await.unwrap();
    assert!(inbox.all().is_empty(), "disabled, it tells nothing");
    let change = SubscriptionChange { enabled: Some(true), ..SubscriptionChange::default() };
    assert!(client.change_webhook(&made.id, &change).await.unwrap().enabled);
    let mut factory = Factory::new(9);
    let event = factory.event(EventType::MessageReceived, Generation::Dated, now()).unwrap();
    let first = simulator.emit(event).await.unwrap();
    let told = deliveries(&inbox);
    assert_eq!(told.len(), 1);
    assert!(!told.contains(&first.delivery_id), "each has deliveries of its own");
    let call = factory.event(EventType::CallCompleted, Generation::Dated, now()).unwrap();
    simulator.emit(call).await.unwrap();
    assert_eq!(deliveries(&inbox), told, "it tells what it was made for");
    client.test_webhook(&made.id, "message.delivered").await.unwrap();
    let come = async {
        while deliveries(&inbox).len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), come).await.unwrap();

    client.delete_webhook(&made.id).await.unwrap();
    assert!(matches!(client.get_webhook(&made.id).await, Err(ApiError::NotFound(_))));
    assert!(matches!(client.rotate_webhook(&made.id).await, Err(ApiError::NotFound(_))));
}

#[tokio::test]
async fn a_rotated_secret_signs_at_once_and_alone_without_an_overlap() {
    for (overlap, accepted) in [(Duration::ZERO, 0), (Duration::from_secs(60), 1)] {
        let (inbox, simulator, client) = started(overlap).await;
        let secret = client.rotate_webhook(PRESENT).await.unwrap();
        let _ = simulator.emit(any_event(Generation::Dated)).await;
        assert_eq!(inbox.genuine().len(), accepted, "by who knows the old secret alone");
        let again = client.rotate_webhook(PRESENT).await.unwrap();
        assert_ne!(again.expose_secret(), secret.expose_secret());
    }
}

#[tokio::test]
async fn older_webhooks_tell_their_secret_and_cannot_be_changed() {
    let (_, simulator, client) = started(Duration::ZERO).await;
    let (_, url) = receiver(0).await;
    let wanted = NewSubscription { enabled: true, ..wanted(&url) };
    let made = client.create_legacy_webhook(LegacyFamily::Messages, &wanted).await.unwrap();
    let listed = client.list_legacy_webhooks(None).await.unwrap();
    let listed = listed.iter().find(|one| one.id == made.id).unwrap();
    let secret = |one: &crate::client::Subscription| one.key.as_ref().unwrap().expose_secret().to_owned();
    assert_eq!(secret(listed), secret(&made));
    assert!(client.list_legacy_webhooks(Some("USnobody")).await.unwrap().is_empty());
    let misplaced = client.create_legacy_webhook(LegacyFamily::Calls, &wanted).await;
    assert!(matches!(misplaced, Err(ApiError::Invalid(_))), "{misplaced:?}");
    client.delete_legacy_webhook(&made.id).await.unwrap();
    assert!(matches!(client.get_legacy_webhook(&made.id).await, Err(ApiError::NotFound(_))));
    drop(simulator);
}

#[tokio::test]
async fn who_does_not_name_the_version_is_refused() {
    let (_, simulator, _) = started(Duration::ZERO).await;
    let url = simulator.url().join("webhooks").unwrap();
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_log_has_every_delivery_and_makes_one_more_attempt_when_asked() {
    // Three deliveries are tried eight times each.
    let (inbox, simulator, client) = started_failing(24, Duration::ZERO).await;
    let (mut factory, mut events) = (Factory::new(9), Vec::new());
    for kind in [EventType::MessageReceived, EventType::ContactUpdated, EventType::CallCompleted] {
        let event = factory.event(kind, Generation::Dated, now()).unwrap();
        events.push(event.event_id.clone());
        assert_eq!(simulator.emit(event).await.err(), Some(EmitError::Exhausted));
    }
    let query = DeliveryQuery {
        webhook_id: PRESENT.to_owned(),
        created_after: Some(now() - TimeDelta::minutes(1)),
        created_before: Some(now() + TimeDelta::minutes(1)),
        max_results: 2,
        page_token: None,
    };
    let first = client.list_deliveries(&query).await.unwrap();
    assert_eq!(first.items.len(), 2);
    let next = DeliveryQuery { page_token: first.next_page_token, ..query.clone() };
    let second = client.list_deliveries(&next).await.unwrap();
    assert_eq!((second.items.len(), second.next_page_token), (1, None));
    let listed: Vec<_> = first.items.into_iter().chain(second.items).collect();
    for (logged, event_id) in listed.iter().rev().zip(&events) {
        let event = client.logged_event(PRESENT, &logged.id).await.unwrap().unwrap();
        assert_eq!(event["id"].as_str(), Some(event_id.as_str()), "the newest is listed first");
        assert!(event["data"]["resource"].is_object(), "{event}");
    }

    client.resend_delivery(PRESENT, &listed[0].id).await.unwrap();
    let come = async {
        while inbox.all().len() < 25 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), come).await.unwrap();
    assert_eq!(deliveries(&inbox).len(), 3, "under the id it had");
    assert!(matches!(client.resend_delivery(PRESENT, "msg_none").await, Err(ApiError::NotFound(_))));
    let lost = DeliveryQuery { page_token: Some("msg_none".to_owned()), ..query };
    assert!(matches!(client.list_deliveries(&lost).await, Err(ApiError::Invalid(_))));
}
