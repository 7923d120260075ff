//! Carries word between the table and the running jobs of this process: who shall stop, and how far they are. A
//! task that somebody cancels is told within a second, whichever process runs it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

use super::hands::Hands;
use super::keeper::Lease;
use crate::db::DbError;
use crate::task::Tasks;

const EVERY: Duration = Duration::from_millis(400);
/// Progress written at a time.
const BATCH: usize = 500;

pub(super) struct Messenger {
    pub(super) tasks: Tasks,
    pub(super) lease: Lease,
    pub(super) hands: Hands,
}

impl Messenger {
    /// Goes back and forth until it is aborted.
    pub(super) async fn run(self) {
        let mut rounds = tokio::time::interval(EVERY);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            if self.hands.len() == 0 {
                continue;
            }
            match AssertUnwindSafe(self.round()).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "running jobs could not be told of cancellations, or their progress not be written"
                ),
                Err(_) => tracing::error!("the messenger panicked; it goes on"),
            }
        }
    }

    async fn round(&self) -> Result<(), DbError> {
        for task in self.tasks.cancelling(&self.lease.worker()).await? {
            if self.hands.cancel(task.id, task.attempt) {
                tracing::info!(task.id = task.id.0, "somebody cancelled the task: telling its job");
            }
        }
        let said = self.hands.progress();
        for batch in said.chunks(BATCH) {
            let counted = self.tasks.save_progress(batch).await?;
            for (id, attempt, _) in batch.iter().filter(|(id, ..)| !counted.contains(id)) {
                // Nobody's any more, or ended a moment ago: then the token is of no use to anybody.
                self.hands.cancel(*id, *attempt);
            }
        }
        Ok(())
    }
}
