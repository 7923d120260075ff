//! Group commit without timers: while one transaction is on its way the next batch collects, so that under
//! load many webhooks share one commit and an idle server answers at once.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use trunkline_jobs::events::{Accepted, Delivery, accept};
use trunkline_platform::db::DbError;
use trunkline_platform::task::Tasks;

use super::metrics::ReceiverMetrics;
use super::refusal::Refusal;

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

    /// Waits for the last commit. The endpoint must be gone, or this waits for ever.
    pub async fn finish(self) {
        let _ = self.0.await;
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
    let mut batch = Vec::with_capacity(most);
    while inbox.recv_many(&mut batch, most).await > 0 {
        metrics.batch_size.observe(batch.len() as f64);
        let (deliveries, answers): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|waiting| (waiting.delivery, waiting.answer)).unzip();
        match commit(&tasks, &deliveries).await {
            Ok(outcomes) => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // Nobody waits any more: the delivery is stored all the same.
                    let _ = answer.send(Ok(outcome));
                }
            }
            Err(error) if error.is_passing() || deliveries.len() == 1 => {
                report(&error, deliveries.len());
                for answer in answers {
                    let _ = answer.send(Err(Refusal::Storage));
                }
            }
            // One delivery the database will never take must not take the others with it.
            Err(error) => {
                report(&error, deliveries.len());
                for (delivery, answer) in deliveries.into_iter().zip(answers) {
                    let outcome = commit(&tasks, std::slice::from_ref(&delivery)).await;
                    let _ = answer.send(
                        outcome
                            .map_err(|error| {
                                report(&error, 1);
                                Refusal::Storage
                            })
                            .and_then(|outcomes| outcomes.into_iter().next().ok_or(Refusal::Storage)),
                    );
                }
            }
        }
    }
}

async fn commit(tasks: &Tasks, deliveries: &[Delivery]) -> Result<Vec<Accepted>, DbError> {
    let mut tx = tasks.begin().await?;
    let outcomes = accept(&mut tx, deliveries).await?;
    tx.commit().await?;
    Ok(outcomes)
}

fn report(error: &DbError, deliveries: usize) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        deliveries,
        "webhooks could not be stored; the provider is told to send them again"
    );
}
