//! Collects verdicts and writes them in fenced batches. Nothing is written twice and nothing is lost while
//! the database is away: the channel fills, and jobs wait to hand over their verdicts.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::hands::Hands;
use crate::metrics::Metrics;
use crate::task::{Finish, Tasks};

const QUEUE: usize = 4_000;
const BATCH: usize = 500;
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How long verdicts are still tried when the process stops while the database is away; then the leases
/// expire and the tasks run again.
const LAST_TRIES: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Collector {
    finishes: mpsc::Sender<Finish>,
    stopping: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Collector {
    pub(super) fn start(tasks: Tasks, hands: Hands, metrics: Metrics) -> Self {
        let (finishes, inbox) = mpsc::channel(QUEUE);
        let stopping = CancellationToken::new();
        let writer = Writer { tasks, hands, metrics, stopping: stopping.clone() };
        let task = tokio::spawn(writer.run(inbox));
        Self { finishes, stopping, task }
    }

    pub(super) fn sender(&self) -> mpsc::Sender<Finish> {
        self.finishes.clone()
    }

    /// Writes what is left and ends. Every other sender is gone by now.
    pub(super) async fn stop(self) {
        self.stopping.cancel();
        drop(self.finishes);
        let _ = self.task.await;
    }
}

struct Writer {
    tasks: Tasks,
    hands: Hands,
    metrics: Metrics,
    stopping: CancellationToken,
}

impl Writer {
    async fn run(self, mut inbox: mpsc::Receiver<Finish>) {
        let mut batch = Vec::with_capacity(BATCH);
        while inbox.recv_many(&mut batch, BATCH).await > 0 {
            if self.write(&batch).await {
                self.hands.release(batch.iter().map(|finish| (finish.id, finish.attempt)));
            }
            batch.clear();
        }
    }

    /// False when the verdicts were given up because the process stops while the database is away.
    async fn write(&self, batch: &[Finish]) -> bool {
        let mut wait = FIRST_RETRY;
        let mut given_up = None;
        loop {
            match self.tasks.finish(batch).await {
                Ok(finished) => {
                    self.metrics.lost_leases.inc_by(finished.lost.len() as u64);
                    for id in finished.lost {
                        tracing::warn!(
                            task.id = id.0,
                            "the verdict came too late: the task was no longer ours"
                        );
                    }
                    return true;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        verdicts = batch.len(),
                        "verdicts could not be written; trying again"
                    );
                    if self.stopping.is_cancelled() {
                        let deadline = *given_up.get_or_insert(tokio::time::Instant::now() + LAST_TRIES);
                        if tokio::time::Instant::now() >= deadline {
                            return false;
                        }
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LAST_RETRY);
                }
            }
        }
    }
}
