//! The isolation lane: tasks that were in the hands of two workers when they died run here one after the
//! other, one at a time in the whole process, each claimed only when it begins. A third death is its own, and
//! makes it a dead letter.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::attempt::{Claimed, Runner};
use super::hands::Hands;
use super::keeper::Lease;
use crate::db::DbError;
use crate::job::Queue;
use crate::task::{Finish, Tasks};

pub(super) struct IsolationLane<S> {
    pub(super) queues: Vec<Queue>,
    pub(super) every: Duration,
    pub(super) tasks: Tasks,
    pub(super) lease: Lease,
    pub(super) hands: Hands,
    pub(super) finishes: mpsc::Sender<Finish>,
    pub(super) runner: Arc<Runner<S>>,
}

impl<S: Send + Sync + 'static> IsolationLane<S> {
    /// Runs until the stop; a task that is running then may finish.
    pub(super) async fn run(self, stop: CancellationToken) {
        // Processes that die young die of something else: no suspect is tried by one that has just begun.
        self.pause(&stop).await;
        while !stop.is_cancelled() {
            match AssertUnwindSafe(self.round(&stop)).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the isolation lane could not claim"
                    );
                }
                Err(_) => tracing::error!("the isolation lane panicked; it goes on"),
            }
            self.pause(&stop).await;
        }
    }

    async fn round(&self, stop: &CancellationToken) -> Result<(), DbError> {
        for &queue in &self.queues {
            while !stop.is_cancelled()
                && let Some(suspect) = self.claim(queue).await?
            {
                tracing::warn!(
                    task.id = suspect.row.id.0,
                    task.kind = suspect.row.kind,
                    "running a task alone: two workers died with it in hand"
                );
                suspect.work(&self.runner).await;
            }
        }
        Ok(())
    }

    async fn pause(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(self.every) => {}
        }
    }

    async fn claim(&self, queue: Queue) -> Result<Option<Claimed>, DbError> {
        let claiming = self.hands.claiming().await;
        let worker = self.lease.worker();
        let row = self.tasks.claim_suspect(&worker, queue).await?;
        let claimed = row.map(|row| {
            let wire = self.hands.take(&row);
            Claimed::new(row, worker, wire, self.tasks.clock().now(), self.finishes.clone())
        });
        claiming.clear();
        Ok(claimed)
    }
}
