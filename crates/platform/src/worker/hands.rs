//! What this process has in its hands: every claimed task from the claim to the written verdict.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::db::DbError;
use crate::job::Wire;
use crate::metrics::Metrics;
use crate::task::{ClaimedRow, Finish, Progress, TaskId, Tasks, WorkerId};

#[derive(Clone, Debug)]
pub(super) struct Hands {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    held: Mutex<Held>,
    /// Held for reading from before a claim until its rows are in `held`; for writing by whoever compares
    /// `held` with the table, so that a claim on its way is never mistaken for one that was lost.
    claiming: RwLock<()>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Held {
    worker: Option<WorkerId>,
    tasks: HashMap<(TaskId, i32), Wire>,
    /// Looks at the table still to be made, because a claim was cut off after the database may have carried it
    /// out.
    doubts: u8,
}

/// How often the table is looked at after a claim in doubt: the database may carry it out after the first look.
const LOOKS: u8 = 3;

/// A claim on its way. Dropped before it is cleared, it leaves a doubt.
pub(super) struct Claiming<'h> {
    hands: &'h Hands,
    _guard: RwLockReadGuard<'h, ()>,
    cleared: bool,
}

impl Claiming<'_> {
    /// The claim was answered and what it took is in hand.
    pub(super) fn clear(mut self) {
        self.cleared = true;
    }
}

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        if !self.cleared {
            self.hands.held().doubts = LOOKS;
        }
    }
}

impl Hands {
    pub(super) fn new(metrics: Metrics) -> Self {
        let shared = Shared { held: Mutex::default(), claiming: RwLock::new(()), metrics };
        Self { shared: Arc::new(shared) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn claiming(&self) -> Claiming<'_> {
        let guard = self.shared.claiming.read().await;
        Claiming { hands: self, _guard: guard, cleared: false }
    }

    pub(super) async fn no_claims(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared.claiming.write().await
    }

    pub(super) fn set_worker(&self, worker: WorkerId) {
        self.held().worker = Some(worker);
    }

    pub(super) fn worker(&self) -> Option<WorkerId> {
        self.held().worker.clone()
    }

    /// Takes a claimed task and hands out its wire.
    pub(super) fn take(&self, row: &ClaimedRow) -> Wire {
        let wire = Wire::default();
        let mut held = self.held();
        held.tasks.insert((row.id, row.attempt), wire.clone());
        self.shared.metrics.held.set(i64::try_from(held.tasks.len()).unwrap_or(i64::MAX));
        wire
    }

    pub(super) fn release(&self, tasks: impl Iterator<Item = (TaskId, i32)>) {
        let mut held = self.held();
        for task in tasks {
            held.tasks.remove(&task);
        }
        self.shared.metrics.held.set(i64::try_from(held.tasks.len()).unwrap_or(i64::MAX));
    }

    /// Lets go of tasks whose verdicts were lost on the way; what the table still says of them is settled later.
    pub(super) fn disown(&self, tasks: impl Iterator<Item = (TaskId, i32)>) {
        self.release(tasks);
        self.held().doubts = LOOKS;
    }

    pub(super) fn has(&self, id: TaskId, attempt: i32) -> bool {
        self.held().tasks.contains_key(&(id, attempt))
    }

    pub(super) fn len(&self) -> usize {
        self.held().tasks.len()
    }

    /// Tells every running job that its result no longer counts.
    pub(super) fn cancel_all(&self) {
        for wire in self.held().tasks.values() {
            wire.cancelled.cancel();
        }
    }

    /// Tells one running job to stop. False when it is not here, or was told before.
    pub(super) fn cancel(&self, id: TaskId, attempt: i32) -> bool {
        match self.held().tasks.get(&(id, attempt)) {
            Some(wire) if !wire.cancelled.is_cancelled() => {
                wire.cancelled.cancel();
                true
            }
            _ => false,
        }
    }

    /// What the running jobs said of their progress since the last time.
    pub(super) fn progress(&self) -> Vec<(TaskId, i32, Progress)> {
        let held = self.held();
        held.tasks.iter().filter_map(|(&(id, attempt), wire)| Some((id, attempt, wire.read()?))).collect()
    }

    pub(super) fn in_doubt(&self) -> bool {
        self.held().doubts > 0
    }

    /// Gives back the tasks that the table says this worker runs and that never reached it.
    pub(super) async fn settle_doubt(&self, tasks: &Tasks, worker: &WorkerId) -> Result<(), DbError> {
        let _no_claims = self.no_claims().await;
        let now = tasks.clock().now();
        let held = tasks.held_by(worker).await?;
        let unheld: Vec<Finish> = held
            .into_iter()
            .filter(|row| !self.has(row.id, row.attempt))
            .map(|row| Finish::give_back(row.id, row.attempt, worker, now))
            .collect();
        for batch in unheld.chunks(500) {
            tasks.finish(batch).await?;
        }
        let mut held = self.held();
        held.doubts = held.doubts.saturating_sub(1);
        Ok(())
    }
}
