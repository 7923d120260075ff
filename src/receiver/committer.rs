//! Group commit without timers: while one transaction is on its way the next batch collects, so that under
//! load many webhooks share one commit and an idle server answers at once.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use trunkline_jobs::events::{Accepted, Delivery, accept};
use trunkline_platform::crash_point;
use trunkline_platform::db::DbError;
use trunkline_platform::task::Tasks;

use super::metrics::ReceiverMetrics;
use super::refusal::Refusal;

/// The most bytes of one commit.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// A delivery with somebody waiting for what becomes of it.
struct Waiting {
    delivery: Delivery,
    answer: oneshot::Sender<Result<Accepted, Refusal>>,
}

/// The committer's task. It ends when every [`Door`] is gone and what waited is written.
#[derive(Debug)]
pub struct Committer(tokio::task::JoinHandle<()>);

/// Where deliveries are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Door(mpsc::Sender<Waiting>);

impl Committer {
    pub(super) fn start(tasks: Tasks, queue: usize, batch: usize, metrics: ReceiverMetrics) -> (Self, Door) {
        let (sender, inbox) = mpsc::channel(queue.max(1));
        let task = tokio::spawn(run(tasks, inbox, batch.max(1), metrics));
        (Self(task), Door(sender))
    }

    /// Waits for the last commit, which comes when the endpoint is gone, for so long.
    pub async fn finish(mut self, limit: Duration) {
        if tokio::time::timeout(limit, &mut self.0).await.is_err() {
            self.0.abort();
        }
    }
}

impl Door {
    /// Waits until the delivery is committed. Refused at once when too many wait already.
    pub(super) async fn hand_in(&self, delivery: Delivery, deadline: Duration) -> Result<Accepted, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Waiting { delivery, answer }).map_err(|_| Refusal::Busy)?;
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(outcome)) => outcome,
            // Too late, or the committer is gone: it may be stored all the same, and then a retry is seen.
            Ok(Err(_)) | Err(_) => Err(Refusal::Storage),
        }
    }
}

async fn run(tasks: Tasks, mut inbox: mpsc::Receiver<Waiting>, most: usize, metrics: ReceiverMetrics) {
    let mut waiting = Vec::with_capacity(most);
    while inbox.recv_many(&mut waiting, most).await > 0 {
        for batch in by_bytes(waiting.drain(..)) {
            metrics.batch_size.observe(batch.len() as f64);
            let (deliveries, answers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|waiting| (waiting.delivery, waiting.answer)).unzip();
            for (answer, outcome) in answers.into_iter().zip(store(&tasks, deliveries).await) {
                // When nobody waits any more the delivery is stored all the same.
                let _ = answer.send(outcome);
            }
        }
    }
}

/// Cuts a batch so that no part carries more than [`BATCH_BYTES`], but for one delivery larger than that.
fn by_bytes(waiting: impl Iterator<Item = Waiting>) -> Vec<Vec<Waiting>> {
    let mut parts: Vec<Vec<Waiting>> = Vec::new();
    let mut bytes = 0;
    for one in waiting {
        let size = one.delivery.body.len() + one.delivery.headers.len();
        bytes += size;
        match parts.last_mut() {
            Some(part) if bytes <= BATCH_BYTES => part.push(one),
            _ => {
                bytes = size;
                parts.push(vec![one]);
            }
        }
    }
    parts
}

/// Stores deliveries, all in one transaction if the database takes them so. Answers each, in order.
async fn store(tasks: &Tasks, deliveries: Vec<Delivery>) -> Vec<Result<Accepted, Refusal>> {
    let mut outcome = commit(tasks, &deliveries).await;
    if matches!(outcome, Err(DbError::Busy { .. })) {
        outcome = commit(tasks, &deliveries).await;
    }
    let error = match outcome {
        Ok(accepted) => return accepted.into_iter().map(Ok).collect(),
        Err(error) => error,
    };
    report(&error, deliveries.len());
    if error.is_passing() || deliveries.len() == 1 {
        return deliveries.iter().map(|_| Err(Refusal::Storage)).collect();
    }
    // One delivery the database will never take must not take the others with it.
    let mut outcomes = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        outcomes.extend(Box::pin(store(tasks, vec![delivery])).await);
    }
    outcomes
}

async fn commit(tasks: &Tasks, deliveries: &[Delivery]) -> Result<Vec<Accepted>, DbError> {
    let mut tx = tasks.begin().await?;
    let outcomes = accept(&mut tx, deliveries).await?;
    crash_point!("accept.before_commit");
    tx.commit().await?;
    crash_point!("accept.after_commit");
    Ok(outcomes)
}

fn report(error: &DbError, deliveries: usize) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        deliveries,
        "webhooks could not be stored; the provider is told to send them again"
    );
}
