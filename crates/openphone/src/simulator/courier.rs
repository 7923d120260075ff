//! Webhooks: signed, posted, retried until acknowledged, and, when faults ask for it, sent late,
//! sent twice, or preceded by a forgery.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use http::{StatusCode, header::CONTENT_TYPE};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle, time::sleep};

use super::{Delivery, Faults, journal::Entry, lock, provider::Provider};
use crate::{
    event::Generation,
    factory::FactoryEvent,
    signature::{
        OPENPHONE_SIGNATURE, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, sign_legacy, sign_standard,
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
        if !self.subscribed.load(Ordering::Acquire) {
            lock(&self.book).untold();
            return self.tasks.spawn(async { None });
        }
        let provider = Arc::clone(self);
        let mark = self.begin();
        self.tasks.spawn(async move {
            let delivered = provider.deliver(&event).await;
            drop(permit);
            drop(mark);
            delivered.unwrap_or(None)
        })
    }

    /// Delivers an event; `None` if the last attempt failed too.
    async fn deliver(&self, event: &FactoryEvent) -> Result<Option<Delivery>, Stopped> {
        let delivery_id = delivery_id(&event.event_id);
        let fate = Fate::draw(&self.faults, self.seed, &event.event_id);
        if fate.dropped {
            lock(&self.book).dropped();
            return Ok(None);
        }
        self.pause(fate.held).await?;
        if fate.tampered {
            let mut body = event.body.clone();
            let middle = body.len() / 2;
            body.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
            let signed = self.signature(event.generation, &delivery_id, &event.body, self.now());
            self.forge(signed, body).await?;
        }
        if fate.stale {
            let signed = self.signature(event.generation, &delivery_id, &event.body, self.now() - STALE);
            self.forge(signed, event.body.clone()).await?;
        }
        let Some(delivery) = self.attempt(event, &delivery_id).await? else {
            lock(&self.book).exhausted();
            tracing::warn!(event_type = event.event_type, "a simulated webhook was never acknowledged");
            return Ok(None);
        };
        let first = lock(&self.book).acknowledged(&delivery);
        if first {
            self.journal.write(Entry::Acknowledged(delivery.clone())).await;
        }
        if fate.duplicated {
            self.attempt_once(event, &delivery_id).await?;
            lock(&self.book).duplicated();
        }
        Ok(Some(delivery))
    }

    async fn attempt(&self, event: &FactoryEvent, delivery_id: &str) -> Result<Option<Delivery>, Stopped> {
        for (attempts, wait) in (1..).zip(SCHEDULE) {
            self.pause(Duration::from_secs(wait).mul_f64(self.retry_scale)).await?;
            let status = self.attempt_once(event, delivery_id).await?;
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
        delivery_id: &str,
    ) -> Result<Option<StatusCode>, Stopped> {
        lock(&self.book).attempted();
        self.post_signed(event.generation, delivery_id, event.body.clone()).await
    }

    /// Posts a body once, rightly signed now. There is no status if there was no answer.
    pub(super) async fn post_signed(
        &self,
        generation: Generation,
        delivery_id: &str,
        body: Vec<u8>,
    ) -> Result<Option<StatusCode>, Stopped> {
        let signed = self.signature(generation, delivery_id, &body, self.now());
        self.post(signed, body).await
    }

    async fn forge(&self, signed: Signed, body: Vec<u8>) -> Result<(), Stopped> {
        let status = self.post(signed, body).await?;
        lock(&self.book).forged(status.is_some_and(|status| status.is_success()));
        Ok(())
    }

    fn signature(&self, generation: Generation, id: &str, body: &[u8], at: DateTime<Utc>) -> Signed {
        match generation {
            Generation::Dated => vec![
                (WEBHOOK_ID, id.to_owned()),
                (WEBHOOK_TIMESTAMP, at.timestamp().to_string()),
                (WEBHOOK_SIGNATURE, sign_standard(&self.standard_key, id, at.timestamp(), body)),
            ],
            Generation::App | Generation::Api => {
                vec![(OPENPHONE_SIGNATURE, sign_legacy(&self.legacy_key, at.timestamp_millis(), body))]
            }
        }
    }

    async fn post(&self, signed: Signed, body: Vec<u8>) -> Result<Option<StatusCode>, Stopped> {
        let mut targets = self.target.subscribe();
        let target = tokio::select! {
            () = self.stopping.cancelled() => return Err(Stopped),
            target = targets.wait_for(Option::is_some) => target.ok().and_then(|url| (*url).clone()),
        };
        let target = target.ok_or(Stopped)?;
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

/// There is one endpoint, so a delivery's id follows from the event's.
pub(super) fn delivery_id(event_id: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digest = Sha256::digest(event_id);
    let name: String =
        digest.iter().take(24).map(|byte| char::from(DIGITS[usize::from(*byte) % DIGITS.len()])).collect();
    format!("msg_{name}")
}
