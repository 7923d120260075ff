//! Keeps the lease: renews it, takes over what dead workers left, and finds tasks that the table says are
//! ours but that never reached us. The renewal is a task of its own, so that it never stands behind the rest.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::time::{Instant, Interval};
use tokio_util::task::AbortOnDropHandle;

use super::hands::Hands;
use crate::db::DbError;
use crate::metrics::Metrics;
use crate::task::{Tasks, WorkerId};
use crate::worker::LeaseWatch;

/// This process's lease and the id it runs under at the moment.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    worker: Arc<Mutex<WorkerId>>,
    queues: Arc<str>,
    length: TimeDelta,
}

impl Lease {
    pub(super) async fn take(tasks: &Tasks, queues: &str, length: TimeDelta) -> Result<Self, DbError> {
        let worker = new_worker_id();
        tasks.register_worker(&worker, queues, length).await?;
        Ok(Self { worker: Arc::new(Mutex::new(worker)), queues: queues.into(), length })
    }

    pub(super) fn worker(&self) -> WorkerId {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn take_anew(&self, tasks: &Tasks) -> Result<(), DbError> {
        let worker = new_worker_id();
        tasks.register_worker(&worker, &self.queues, self.length).await?;
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = worker;
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an id that no other process may share; nothing else depends on it"
)]
fn new_worker_id() -> WorkerId {
    WorkerId::new(format!("wk_{:016x}", rand::Rng::next_u64(&mut rand::rng())))
}

#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) tasks: Tasks,
    pub(super) lease: Lease,
    pub(super) hands: Hands,
    pub(super) every: Duration,
    pub(super) metrics: Metrics,
}

impl Keeper {
    /// Keeps the lease until it is aborted.
    pub(super) async fn run(self) {
        self.hands.set_worker(self.lease.worker());
        let _heart = AbortOnDropHandle::new(tokio::spawn(self.clone().beat()));
        let mut watch = LeaseWatch::new(self.tasks.clone(), self.metrics.clone(), self.lease.length);
        let mut rounds = self.rounds();
        loop {
            rounds.tick().await;
            if AssertUnwindSafe(self.look_after(&mut watch)).catch_unwind().await.is_err() {
                tracing::error!("the watch over leases panicked; it goes on");
            }
        }
    }

    /// Renews the lease, and does nothing else.
    async fn beat(self) {
        let length = self.lease.length.to_std().unwrap_or_default();
        let mut good_until = Instant::now() + length;
        let mut rounds = self.rounds();
        loop {
            rounds.tick().await;
            let asked_at = Instant::now();
            match AssertUnwindSafe(self.renew()).catch_unwind().await {
                Ok(Ok(())) => good_until = asked_at + length,
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the lease could not be renewed"
                    );
                    if Instant::now() >= good_until {
                        // Others may have taken over by now.
                        self.hands.cancel_all();
                    }
                }
                Err(_) => tracing::error!("the keeper of the lease panicked; it goes on"),
            }
        }
    }

    fn rounds(&self) -> Interval {
        let mut rounds = tokio::time::interval(self.every.max(Duration::from_millis(10)));
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        rounds
    }

    async fn renew(&self) -> Result<(), DbError> {
        let worker = self.lease.worker();
        if !self.tasks.heartbeat(&worker, self.lease.length).await? {
            self.lost(&worker).await?;
        }
        Ok(())
    }

    /// What can wait; the lease cannot.
    async fn look_after(&self, watch: &mut LeaseWatch) {
        if let Err(error) = watch.look().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "other workers' leases could not be looked at"
            );
        }
        if self.hands.in_doubt()
            && let Err(error) = self.hands.settle_doubt(&self.tasks, &self.lease.worker()).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what the table says is ours could not be looked at"
            );
        }
    }

    /// The lease ran out and was ended by somebody: what runs no longer counts.
    async fn lost(&self, worker: &WorkerId) -> Result<(), DbError> {
        tracing::error!(
            worker = worker.as_str(),
            held = self.hands.len(),
            "the lease is lost: cancelling what runs"
        );
        self.hands.cancel_all();
        let _no_claims = self.hands.no_claims().await;
        // What was claimed while the last claim was waited for.
        self.hands.cancel_all();
        self.lease.take_anew(&self.tasks).await?;
        self.hands.set_worker(self.lease.worker());
        Ok(())
    }
}
