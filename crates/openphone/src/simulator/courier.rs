//! Webhooks: signed, posted, retried until acknowledged, and, when faults ask for it, sent late,
//! sent twice, or preceded by a forgery.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use http::{StatusCode, header::CONTENT_TYPE};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle, time::sleep};

use super::{
    Delivery, Faults,
    deliveries::{Logged, Trigger},
    journal::Entry,
    lock,
    provider::Provider,
    subscriptions::Subscription,
};
use crate::{
    factory::FactoryEvent,
    signature::{
        OPENPHONE_SIGNATURE, Scheme, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, sign_legacy,
        sign_standard,
    },
};

/// The provider's waits before each attempt, in seconds.
const SCHEDULE: [u64; 8] = [0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000];

/// How old the time of a stale forgery is.
const STALE: TimeDelta = TimeDelta::minutes(10);

/// The stop came first.
pub(super) struct Stopped;

/// How one delivery will go wrong. It follows from the event, whatever else goes on at the time.
struct Fate {
    dropped: bool,
    held: Duration,
    tampered: bool,
    stale: bool,
    duplicated: bool,
}

impl Fate {
    fn draw(faults: &Faults, seed: u64, event_id: &str) -> Self {
        let digest = Sha256::digest(event_id);
        let mixed = digest.iter().take(8).fold(seed, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        let mut rng = StdRng::seed_from_u64(mixed);
        let mut held = Duration::ZERO;
        if Faults::strikes(&mut rng, faults.delay) {
            held += faults.delay_max.mul_f64(rng.random());
        }
        if Faults::strikes(&mut rng, faults.reorder) {
            held += Duration::from_millis(rng.random_range(20..250));
        }
        Self {
            held,
            tampered: Faults::strikes(&mut rng, faults.tamper),
            stale: Faults::strikes(&mut rng, faults.stale_timestamp),
            duplicated: Faults::strikes(&mut rng, faults.duplicate),
            // The last, so that what else befalls a delivery stays what it was.
            dropped: Faults::strikes(&mut rng, faults.drop),
        }
    }
}

impl Provider {
    /// Takes charge of an event, as soon as there is room for one more.
    pub(super) async fn submit(
        self: &Arc<Self>,
        event: FactoryEvent,
    ) -> Result<JoinHandle<Option<Delivery>>, Stopped> {
        let permit = tokio::select! {
            () = self.stopping.cancelled() => return Err(Stopped),
            permit = Arc::clone(&self.pending).acquire_owned() => permit.map_err(|_| Stopped)?,
        };
        Ok(self.dispatch(event, permit))
    }

    /// Takes charge of an event for which there is room.
    pub(super) fn dispatch(
        self: &Arc<Self>,
        event: FactoryEvent,
        permit: OwnedSemaphorePermit,
    ) -> JoinHandle<Option<Delivery>> {
        lock(&self.book).made(&event);
        if let Some(record) = &event.record {
            lock(&self.store).remember(record);
        }
        let mut told = lock(&self.subscriptions).told(&event).into_iter();
        let Some(first) = told.next() else {
            lock(&self.book).untold();
            return self.tasks.spawn(async { None });
        };
        let provider = Arc::clone(self);
        let mark = self.begin();
        self.tasks.spawn(async move {
            let event = Arc::new(event);
            let others: Vec<_> = told
                .map(|other| {
                    let (provider, event) = (Arc::clone(&provider), Arc::clone(&event));
                    provider.tasks.clone().spawn(async move { drop(provider.deliver(&event, &other).await) })
                })
                .collect();
            let delivered = provider.deliver(&event, &first).await;
            for other in others {
                let _ = other.await;
            }
            drop(permit);
            drop(mark);
            delivered.unwrap_or(None)
        })
    }

    /// Delivers an event to one of its subscriptions; `None` if the last attempt failed too.
    async fn deliver(&self, event: &FactoryEvent, to: &Subscription) -> Result<Option<Delivery>, Stopped> {
        let delivery_id = match to.is_first() {
            true => delivery_id(&event.event_id),
            false => delivery_id(&format!("{} for {}", event.event_id, to.id)),
        };
        let fate = Fate::draw(&self.faults, self.seed, &event.event_id);
        if fate.dropped {
            lock(&self.book).dropped();
            return Ok(None);
        }
        lock(&self.deliveries).begin(to, Logged::of(&delivery_id, event, to, self.now()));
        self.pause(fate.held).await?;
        if fate.tampered {
            let mut body = event.body.clone();
            let middle = body.len() / 2;
            body.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
            let signed = self.signature(to, &delivery_id, &event.body, self.now());
            self.forge(to, signed, body).await?;
        }
        if fate.stale {
            let signed = self.signature(to, &delivery_id, &event.body, self.now() - STALE);
            self.forge(to, signed, event.body.clone()).await?;
        }
        let Some(delivery) = self.attempt(event, to, &delivery_id).await? else {
            lock(&self.book).exhausted();
            lock(&self.deliveries).give_up(&delivery_id);
            tracing::warn!(event_type = event.event_type, "a simulated webhook was never acknowledged");
            return Ok(None);
        };
        let first = lock(&self.book).acknowledged(&delivery);
        if first {
            self.journal.write(Entry::Acknowledged(delivery.clone())).await;
        }
        if fate.duplicated {
            self.attempt_once(event, to, &delivery_id).await?;
            lock(&self.book).duplicated();
        }
        Ok(Some(delivery))
    }

    async fn attempt(
        &self,
        event: &FactoryEvent,
        to: &Subscription,
        delivery_id: &str,
    ) -> Result<Option<Delivery>, Stopped> {
        for (attempts, wait) in (1..).zip(SCHEDULE) {
            self.pause(Duration::from_secs(wait).mul_f64(self.retry_scale)).await?;
            let status = self.attempt_once(event, to, delivery_id).await?;
            if status.is_some_and(|status| status.is_success()) {
                return Ok(Some(Delivery {
                    delivery_id: delivery_id.to_owned(),
                    event_id: event.event_id.clone(),
                    event_type: event.event_type.clone(),
                    generation: event.generation.as_str().to_owned(),
                    status: status.map_or(0, |status| status.as_u16()),
                    attempts,
                    acknowledged_at: self.now(),
                    media: event.media.clone(),
                }));
            }
        }
        Ok(None)
    }

    async fn attempt_once(
        &self,
        event: &FactoryEvent,
        to: &Subscription,
        delivery_id: &str,
    ) -> Result<Option<StatusCode>, Stopped> {
        lock(&self.book).attempted();
        let status = self.post_signed(to, delivery_id, event.body.clone()).await?;
        self.log(delivery_id, status, Trigger::Scheduled);
        Ok(status)
    }

    /// Makes one attempt at a delivery of the log, whatever was made before.
    pub(super) async fn post_logged(
        &self,
        to: &Subscription,
        logged: Logged,
        by: Trigger,
    ) -> Result<(), Stopped> {
        let status = self.post_signed(to, &logged.id, logged.body).await?;
        self.log(&logged.id, status, by);
        Ok(())
    }

    fn log(&self, delivery_id: &str, status: Option<StatusCode>, by: Trigger) {
        let status = status.map(|status| status.as_u16());
        lock(&self.deliveries).attempted(delivery_id, status, by, self.now());
    }

    /// Posts a body once, rightly signed now. There is no status if there was no answer.
    pub(super) async fn post_signed(
        &self,
        to: &Subscription,
        delivery_id: &str,
        body: Vec<u8>,
    ) -> Result<Option<StatusCode>, Stopped> {
        let signed = self.signature(to, delivery_id, &body, self.now());
        self.post(to, signed, body).await
    }

    async fn forge(&self, to: &Subscription, signed: Signed, body: Vec<u8>) -> Result<(), Stopped> {
        let status = self.post(to, signed, body).await?;
        lock(&self.book).forged(status.is_some_and(|status| status.is_success()));
        Ok(())
    }

    /// By the secrets that count now, whatever they were when the delivery was begun.
    fn signature(&self, to: &Subscription, id: &str, body: &[u8], at: DateTime<Utc>) -> Signed {
        let now = self.now();
        let keys = lock(&self.subscriptions).get(to.scheme, &to.id).unwrap_or(to).keys(now);
        match to.scheme {
            Scheme::Standard => {
                let signatures: Vec<String> =
                    keys.iter().map(|key| sign_standard(key, id, at.timestamp(), body)).collect();
                vec![
                    (WEBHOOK_ID, id.to_owned()),
                    (WEBHOOK_TIMESTAMP, at.timestamp().to_string()),
                    (WEBHOOK_SIGNATURE, signatures.join(" ")),
                ]
            }
            Scheme::Legacy => {
                let signatures: Vec<String> =
                    keys.iter().map(|key| sign_legacy(key, at.timestamp_millis(), body)).collect();
                vec![(OPENPHONE_SIGNATURE, signatures.join(","))]
            }
        }
    }

    async fn post(
        &self,
        to: &Subscription,
        signed: Signed,
        body: Vec<u8>,
    ) -> Result<Option<StatusCode>, Stopped> {
        let mut targets = self.target.subscribe();
        let target = tokio::select! {
            () = self.stopping.cancelled() => return Err(Stopped),
            target = targets.wait_for(Option::is_some) => target.ok().and_then(|url| (*url).clone()),
        };
        // Without a target everything waits, wherever it is to go.
        let target = match &to.url {
            Some(url) => url.parse().map_err(|_| Stopped)?,
            None => target.ok_or(Stopped)?,
        };
        let _turn = tokio::select! {
            () = self.stopping.cancelled() => return Err(Stopped),
            turn = self.posts.acquire() => turn.map_err(|_| Stopped)?,
        };
        let request = self.http.post(target).header(CONTENT_TYPE, "application/json").body(body);
        let request = signed.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        // A post that has begun is waited for even when stopping: its answer belongs into the tally.
        Ok(request.send().await.ok().map(|response| response.status()))
    }

    pub(super) async fn pause(&self, wait: Duration) -> Result<(), Stopped> {
        if wait.is_zero() && !self.stopping.is_cancelled() {
            return Ok(());
        }
        tokio::select! {
            () = self.stopping.cancelled() => Err(Stopped),
            () = sleep(wait) => Ok(()),
        }
    }
}

type Signed = Vec<(&'static str, String)>;

/// A delivery's id follows from the event's, to the subscriptions that were there from the start.
pub(super) fn delivery_id(event_id: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digest = Sha256::digest(event_id);
    let name: String =
        digest.iter().take(24).map(|byte| char::from(DIGITS[usize::from(*byte) % DIGITS.len()])).collect();
    format!("msg_{name}")
}
