//! Watches over leases: ends those that are not renewed and puts back the tasks of workers that are gone. Every
//! worker does it for the others, and the scheduler for the last one.
//!
//! Whether a lease is renewed is told by looking at it twice, with a stopwatch in between. The time of day that
//! stands in it is another machine's, and either clock may be wrong or be set while we look.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::db::DbError;
use crate::metrics::Metrics;
use crate::task::{LeaseRow, TakenOver, Tasks};

/// How often running tasks without a worker are looked for when no lease has run out.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// One watcher.
#[derive(Debug)]
pub struct LeaseWatch {
    tasks: Tasks,
    metrics: Metrics,
    lease: Duration,
    looked_at: Instant,
    sweep_at: Instant,
    /// By worker.
    seen: HashMap<String, Seen>,
}

/// A lease as it was last seen.
#[derive(Debug)]
struct Seen {
    beat: i64,
    /// Since when it has been like that.
    since: Instant,
    /// When notice was given.
    noticed: Option<Instant>,
}

impl LeaseWatch {
    /// `lease` is how long leases run that do not tell.
    pub fn new(tasks: Tasks, metrics: Metrics, lease: TimeDelta) -> Self {
        let now = Instant::now();
        let lease = lease.to_std().unwrap_or_default();
        Self { tasks, metrics, lease, looked_at: now, sweep_at: now, seen: HashMap::new() }
    }

    /// One look.
    ///
    /// Who could not look for most of a lease could not have renewed one either, and nor perhaps could
    /// anybody else: after an outage of the database everybody gets one lease's time to come back.
    pub async fn look(&mut self) -> Result<(), DbError> {
        let leases = self.tasks.leases().await?;
        let now = Instant::now();
        if now.duration_since(self.looked_at) > self.lease * 2 / 3 {
            self.seen.clear();
        }
        self.looked_at = now;
        match self.end_silent(leases, now).await {
            Ok(true) => self.sweep_at = now,
            Ok(false) => {}
            Err(error) => {
                // While nothing can be written, nobody can renew anything either.
                self.seen.clear();
                return Err(error);
            }
        }
        if now >= self.sweep_at {
            self.report(self.tasks.take_over().await?);
            self.tasks.heal_lines().await?;
            self.tasks.trim_rates().await?;
            self.sweep_at = now + SWEEP_EVERY;
        }
        Ok(())
    }

    /// Ends the leases that have not been renewed for as long as they run. Halfway there notice is given: a write
    /// that proves that their holders could have written, too, and still can.
    async fn end_silent(&mut self, leases: Vec<LeaseRow>, now: Instant) -> Result<bool, DbError> {
        let mut before = std::mem::take(&mut self.seen);
        let mut ended = false;
        for lease in leases {
            let mut seen = match before.remove(&lease.id) {
                Some(seen) if seen.beat == lease.beat => seen,
                _ => Seen { beat: lease.beat, since: now, noticed: None },
            };
            let length = lease.lease_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
            let length = length.unwrap_or(self.lease);
            let silent = now.duration_since(seen.since);
            match seen.noticed {
                None if silent >= length / 2 => {
                    seen.noticed = self.tasks.give_notice(&lease).await?.then_some(now);
                }
                Some(noticed) if silent >= length && now.duration_since(noticed) >= length / 2 => {
                    ended |= self.tasks.end_lease(&lease).await?;
                }
                _ => {}
            }
            self.seen.insert(lease.id, seen);
        }
        Ok(ended)
    }

    fn report(&self, taken: TakenOver) {
        let dead = taken.dead.len() as u64;
        self.metrics.taken_over.inc_by(taken.requeued + taken.cancelled + dead);
        self.metrics.cancelled.inc_by(taken.cancelled);
        if taken.requeued > 0 {
            tracing::warn!(requeued = taken.requeued, "put back the tasks of workers that died");
        }
        for (id, kind) in taken.dead {
            self.metrics.dead.with_label_values(&[&kind]).inc();
            tracing::error!(task.id = id.0, task.kind = kind, "the task is a dead letter: its workers died");
        }
    }
}
