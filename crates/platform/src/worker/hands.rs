//! What this process has in its hands: every claimed task from the claim to the written verdict.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::task::{ClaimedRow, TaskId, WorkerId};

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
    tasks: HashMap<(TaskId, i32), CancellationToken>,
    /// A claim failed after the database may have carried it out.
    in_doubt: bool,
}

impl Hands {
    pub(super) fn new(metrics: Metrics) -> Self {
        let shared = Shared { held: Mutex::default(), claiming: RwLock::new(()), metrics };
        Self { shared: Arc::new(shared) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn claiming(&self) -> RwLockReadGuard<'_, ()> {
        self.shared.claiming.read().await
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

    /// Takes a claimed task and hands out the token that is cancelled when its result no longer counts.
    pub(super) fn take(&self, row: &ClaimedRow) -> CancellationToken {
        let token = CancellationToken::new();
        let mut held = self.held();
        held.tasks.insert((row.id, row.attempt), token.clone());
        self.shared.metrics.held.set(i64::try_from(held.tasks.len()).unwrap_or(i64::MAX));
        token
    }

    pub(super) fn release(&self, tasks: impl Iterator<Item = (TaskId, i32)>) {
        let mut held = self.held();
        for task in tasks {
            held.tasks.remove(&task);
        }
        self.shared.metrics.held.set(i64::try_from(held.tasks.len()).unwrap_or(i64::MAX));
    }

    pub(super) fn has(&self, id: TaskId, attempt: i32) -> bool {
        self.held().tasks.contains_key(&(id, attempt))
    }

    pub(super) fn len(&self) -> usize {
        self.held().tasks.len()
    }

    /// Tells every running job that its result no longer counts.
    pub(super) fn cancel_all(&self) {
        for token in self.held().tasks.values() {
            token.cancel();
        }
    }

    pub(super) fn doubt(&self) {
        self.held().in_doubt = true;
    }

    pub(super) fn take_doubt(&self) -> bool {
        std::mem::take(&mut self.held().in_doubt)
    }
}
