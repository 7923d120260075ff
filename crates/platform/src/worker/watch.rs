//! Watches over leases: ends those that have run out and puts back the tasks of workers that are gone. Every
//! worker does it for the others, and the scheduler for the last one.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::db::DbError;
use crate::metrics::Metrics;
use crate::task::{TakenOver, Tasks};

/// How often running tasks without a worker are looked for when no lease has run out.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// One watcher.
#[derive(Debug)]
pub struct LeaseWatch {
    tasks: Tasks,
    metrics: Metrics,
    lease: Duration,
    looked_at: Instant,
    expire_from: Instant,
    sweep_at: Instant,
}

impl LeaseWatch {
    /// `lease` is how long leases run.
    pub fn new(tasks: Tasks, metrics: Metrics, lease: TimeDelta) -> Self {
        let now = Instant::now();
        let lease = lease.to_std().unwrap_or_default();
        Self { tasks, metrics, lease, looked_at: now, expire_from: now, sweep_at: now }
    }

    /// One look.
    ///
    /// Who could not look for most of a lease could not have renewed one either, and nor perhaps could
    /// anybody else: after an outage of the database everybody gets one lease's time to come back.
    pub async fn look(&mut self) -> Result<(), DbError> {
        self.tasks.db().ping().await?;
        let now = Instant::now();
        if now.duration_since(self.looked_at) > self.lease * 2 / 3 {
            self.expire_from = now + self.lease;
        }
        self.looked_at = now;
        if now >= self.expire_from && self.tasks.expire_leases().await? > 0 {
            self.sweep_at = now;
        }
        if now >= self.sweep_at {
            self.report(self.tasks.take_over().await?);
            self.sweep_at = now + SWEEP_EVERY;
        }
        Ok(())
    }

    fn report(&self, taken: TakenOver) {
        let dead = taken.dead.len() as u64;
        self.metrics.taken_over.inc_by(taken.requeued + dead);
        if taken.requeued > 0 {
            tracing::warn!(requeued = taken.requeued, "put back the tasks of workers that died");
        }
        for (id, kind) in taken.dead {
            self.metrics.dead.with_label_values(&[&kind]).inc();
            tracing::error!(task.id = id.0, task.kind = kind, "the task is a dead letter: its workers died");
        }
    }
}
