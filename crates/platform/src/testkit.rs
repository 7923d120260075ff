//! Running jobs in tests: by hand, in order, without pools and without waiting.

use std::sync::Arc;

use chrono::TimeDelta;

use crate::clock::Clock;
use crate::db::DbError;
use crate::job::{Context, Done, Failure, Job, Registry, TaskMeta, Wire};
use crate::metrics::Metrics;
use crate::task::{TaskFilter, TaskId, TaskRow, Tasks, WorkerId};
use crate::worker::Runner;

/// The most tasks one [`Kit::drain`] works off before it says that they never end.
const DRAIN_LIMIT: usize = 100_000;

/// Works off tasks on the caller's own time.
pub struct Kit<S> {
    tasks: Tasks,
    runner: Runner<S>,
    worker: WorkerId,
}

impl<S: Send + Sync + 'static> Kit<S> {
    pub fn new(tasks: Tasks, registry: Arc<Registry<S>>, services: Arc<S>, metrics: Metrics) -> Self {
        let clock = tasks.clock().clone();
        let runner = Runner { registry, services, clock, seed: 1, metrics };
        Self { tasks, runner, worker: WorkerId::new("wk_testkit") }
    }

    /// Runs every task that is due, and what follows from it, until nothing moves. Returns how many attempts
    /// were made. Tasks put off to a later time stay; advance the clock and drain again.
    ///
    /// # Panics
    /// When the tasks never end.
    pub async fn drain(&self) -> Result<usize, DbError> {
        self.tasks.register_worker(&self.worker, "testkit", TimeDelta::days(1)).await?;
        let mut attempts = 0;
        loop {
            let mut round = Vec::new();
            for queue in self.runner.registry.queues() {
                for row in self.tasks.claim_due(&self.worker, queue, 100).await? {
                    round.push(self.runner.attempt(&row, &self.worker, Wire::default()).await);
                }
                if let Some(row) = self.tasks.claim_suspect(&self.worker, queue).await? {
                    round.push(self.runner.attempt(&row, &self.worker, Wire::default()).await);
                }
            }
            if round.is_empty() {
                return Ok(attempts);
            }
            attempts += round.len();
            assert!(attempts <= DRAIN_LIMIT, "{DRAIN_LIMIT} attempts and still not drained");
            self.tasks.finish(&round).await?;
        }
    }

    /// Moves the manual clock and drains.
    pub async fn advance(&self, by: TimeDelta) -> Result<usize, DbError> {
        assert!(self.tasks.clock().advance(by), "only a manual clock can be advanced");
        self.drain().await
    }

    /// The tasks of one job, the newest first.
    pub async fn enqueued<J: Job>(&self) -> Result<Vec<TaskRow>, DbError> {
        let filter = TaskFilter { kind: Some(J::NAME.to_owned()), limit: 1_000, ..TaskFilter::default() };
        self.tasks.list(&filter).await
    }
}

/// Runs one job outside any table, and hands back its outcome with the tasks it wants to follow.
pub async fn run_job<J: Job>(job: &J, services: Arc<J::Services>, clock: Clock) -> Result<Done, Failure> {
    let task = TaskMeta {
        id: TaskId(1),
        kind: J::NAME.to_owned(),
        attempt: 1,
        max_attempts: u32::from(J::RETRY.max_attempts()),
        token: 1,
        correlation_id: "test".to_owned(),
        created_at: clock.now(),
    };
    job.run(&Context::new(services, task, clock, 1, Wire::default())).await
}
