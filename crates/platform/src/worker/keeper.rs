//! Keeps the lease: renews it, takes over what dead workers left, and finds tasks that the table says are
//! ours but that never reached us.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::hands::Hands;
use crate::db::DbError;
use crate::metrics::Metrics;
use crate::task::{Finish, TakenOver, Tasks, Verdict, WorkerId};

/// How often running tasks without a worker are looked for when no lease has run out.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

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

pub(super) struct Keeper {
    pub(super) tasks: Tasks,
    pub(super) lease: Lease,
    pub(super) hands: Hands,
    pub(super) every: Duration,
    pub(super) metrics: Metrics,
    pub(super) finishes: mpsc::Sender<Finish>,
}

impl Keeper {
    /// Keeps the lease until it is aborted.
    pub(super) async fn run(self) {
        self.hands.set_worker(self.lease.worker());
        let mut rounds = tokio::time::interval(self.every.max(Duration::from_millis(10)));
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sweep_at = Instant::now();
        loop {
            rounds.tick().await;
            if let Err(error) = self.round(&mut sweep_at).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the lease could not be looked after"
                );
            }
        }
    }

    async fn round(&self, sweep_at: &mut Instant) -> Result<(), DbError> {
        let worker = self.lease.worker();
        if !self.tasks.heartbeat(&worker, self.lease.length).await? {
            self.lost(&worker).await?;
        }
        if self.tasks.expire_leases().await? > 0 {
            *sweep_at = Instant::now();
        }
        if Instant::now() >= *sweep_at {
            let taken = self.tasks.take_over().await?;
            *sweep_at = Instant::now() + SWEEP_EVERY;
            self.metrics.taken_over.inc_by(taken.requeued + taken.dead);
            if taken != TakenOver::default() {
                tracing::warn!(
                    requeued = taken.requeued,
                    dead = taken.dead,
                    "took over the tasks of dead workers"
                );
            }
        }
        if self.hands.take_doubt()
            && let Err(error) = self.give_back_unheld().await
        {
            self.hands.doubt();
            return Err(error);
        }
        Ok(())
    }

    /// The lease ran out and was ended by somebody: what runs no longer counts.
    async fn lost(&self, worker: &WorkerId) -> Result<(), DbError> {
        tracing::error!(
            worker = worker.as_str(),
            held = self.hands.len(),
            "the lease is lost: cancelling what runs"
        );
        let _no_claims = self.hands.no_claims().await;
        self.hands.cancel_all();
        self.lease.take_anew(&self.tasks).await?;
        self.hands.set_worker(self.lease.worker());
        Ok(())
    }

    /// A claim whose answer was lost leaves tasks running in nobody's hands: gives them back.
    async fn give_back_unheld(&self) -> Result<(), DbError> {
        let _no_claims = self.hands.no_claims().await;
        let worker = self.lease.worker();
        let held = self.tasks.held_by(&worker).await?;
        for row in held.into_iter().filter(|row| !self.hands.has(row.id, row.attempt)) {
            let finish = Finish {
                id: row.id,
                attempt: row.attempt,
                verdict: Verdict::GiveBack,
                error: None,
                label: "given_back",
                worker: worker.as_str().to_owned(),
                started_at: self.tasks.clock().now(),
                duration_ms: 0,
                follow_ups: Vec::new(),
            };
            // The collector lives as long as the keeper.
            let _ = self.finishes.send(finish).await;
        }
        Ok(())
    }
}
