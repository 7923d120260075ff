//! Enqueuing what nothing in the database causes. Callers with few tasks share a commit, so that many of them are
//! not limited by the disk; whoever has many takes a transaction of their own.

use std::sync::{Arc, OnceLock};

use super::{Enqueued, NewTask, TaskTx, Tasks};
use crate::commit::{CommitError, Committer, Door, Limits, Load};
use crate::db::{DbError, Engine};

/// From so many tasks on a caller gains nothing by sharing.
const MANY: usize = 100;
/// Callers that wait while so many wait already make the others wait for room.
const WAITING: usize = 1_000;
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The door to the shared commits, opened by the first who needs it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sharing(Arc<OnceLock<Door<Calls>>>);

/// The calls of [`Tasks::enqueue`].
#[derive(Debug)]
struct Calls;

impl Load for Calls {
    type Item = Vec<NewTask>;
    type Answer = Vec<Enqueued>;

    /// Without keys one statement does it all, if it can take so many.
    async fn begin(&self, tasks: &Tasks, calls: &[Vec<NewTask>]) -> Result<TaskTx, DbError> {
        let has_key = |task: &NewTask| task.unique_key.is_some() || task.ordering_key.is_some();
        let count: usize = calls.iter().map(Vec::len).sum();
        if count > BATCH || calls.iter().flatten().any(has_key) {
            tasks.begin().await
        } else {
            tasks.begin_one().await
        }
    }

    async fn write(&self, tx: &mut TaskTx, calls: &[Vec<NewTask>]) -> Result<Vec<Vec<Enqueued>>, DbError> {
        let mut answers = tx.enqueue(&calls.concat()).await?.into_iter();
        Ok(calls.iter().map(|call| answers.by_ref().take(call.len()).collect()).collect())
    }

    fn size(&self, call: &Vec<NewTask>) -> usize {
        call.iter().map(|task| task.payload.len()).sum()
    }
}

impl Tasks {
    /// Enqueues on its own, together with whoever does so at the same time. Dropped while it waits, it may have
    /// enqueued all the same.
    pub async fn enqueue(&self, tasks: &[NewTask]) -> Result<Vec<Enqueued>, DbError> {
        if tasks.len() < MANY {
            return self.sharing_door().hand_in_patiently(tasks.to_vec()).await.map_err(
                |error| match error {
                    CommitError::Database(error) => Arc::try_unwrap(error).unwrap_or_else(DbError::Shared),
                    CommitError::Full | CommitError::GivenUp => DbError::late("ENQUEUE"),
                },
            );
        }
        let mut tx = self.begin().await?;
        let enqueued = tx.enqueue(tasks).await?;
        tx.commit().await?;
        Ok(enqueued)
    }

    fn sharing_door(&self) -> &Door<Calls> {
        self.sharing.0.get_or_init(|| {
            let writers = match self.db.engine() {
                Engine::Postgres => 2,
                Engine::Sqlite => 1,
            };
            let limits = Limits { waiting: WAITING, items: BATCH, bytes: BATCH_BYTES, writers };
            // With tasks of its own: holding our door itself, it would never end.
            let tasks = Self::new(self.db.clone(), self.ring.clone(), self.clock.clone());
            let (committer, door) = Committer::start(tasks, Calls, limits);
            committer.detach();
            door
        })
    }
}
