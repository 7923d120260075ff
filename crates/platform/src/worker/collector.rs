//! Collects verdicts and writes them in fenced batches. While the database is away nothing is lost: the channel
//! fills, and jobs wait to hand over their verdicts. A verdict the database will never take becomes a dead letter
//! that says so, and holds up no other.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hands::Hands;
use crate::chain;
use crate::metrics::Metrics;
use crate::task::{Finish, Finished, Tasks, Verdict};

const QUEUE: usize = 4_000;
const BATCH: usize = 500;
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How long verdicts are still tried when the process stops while the database is away; then the leases
/// expire and the tasks run again.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// The label of a verdict that stands for one the database did not take.
const UNWRITABLE: &str = "unwritable";

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

    /// Writes what is left and ends. Should a sender never let go, or the database stay away, it is given up
    /// after a while: the leases expire and those tasks run again.
    pub(super) async fn stop(mut self) {
        self.stopping.cancel();
        drop(self.finishes);
        if tokio::time::timeout(LAST_TRIES + Duration::from_secs(2), &mut self.task).await.is_err() {
            self.task.abort();
        }
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
            let held: Vec<_> = batch.iter().map(|finish| (finish.id, finish.attempt)).collect();
            let written = AssertUnwindSafe(self.write(std::mem::take(&mut batch))).catch_unwind().await;
            match written {
                Ok(true) => self.hands.release(held.into_iter()),
                Ok(false) => {}
                Err(_) => {
                    tracing::error!(verdicts = held.len(), "writing verdicts panicked");
                    self.hands.disown(held.into_iter());
                }
            }
        }
    }

    /// False when the verdicts were given up because the process stops while the database is away.
    async fn write(&self, batch: Vec<Finish>) -> bool {
        let mut wait = FIRST_RETRY;
        let mut given_up = None;
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let error = match self.tasks.finish(&part).await {
                Ok(finished) => {
                    self.count(&finished, &part);
                    continue;
                }
                Err(error) => error,
            };
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                verdicts = part.len(),
                "verdicts could not be written; trying again"
            );
            if !error.is_passing() && part.len() > 1 {
                parts.push(part.split_off(part.len() / 2));
                parts.push(part);
                continue;
            }
            if !error.is_passing()
                && let Some(finish) = part.first_mut().filter(|finish| finish.label != UNWRITABLE)
            {
                finish.verdict = Verdict::Dead;
                finish.label = UNWRITABLE;
                finish.error = Some(format!("its verdict could not be written: {}", chain(&error)));
                finish.follow_ups.clear();
                parts.push(part);
                continue;
            }
            parts.push(part);
            if self.stopping.is_cancelled() {
                let deadline = *given_up.get_or_insert(Instant::now() + LAST_TRIES);
                if Instant::now() >= deadline {
                    return false;
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
        true
    }

    fn count(&self, finished: &Finished, part: &[Finish]) {
        for (id, kind) in &finished.dead {
            self.metrics.dead.with_label_values(&[kind.as_str()]).inc();
            let verdict = part.iter().find(|finish| finish.id == *id).map(|finish| finish.label);
            tracing::error!(task.id = id.0, task.kind = kind, verdict, "the task is a dead letter");
        }
        self.metrics.cancelled.inc_by(finished.cancelled as u64);
        self.metrics.lost_leases.inc_by(finished.lost.len() as u64);
        for id in &finished.lost {
            tracing::warn!(task.id = id.0, "the verdict came too late: the task was no longer ours");
        }
    }
}
