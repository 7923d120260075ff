//! The receiver's commits: many deliveries share one ([`commit`]).

use std::time::Duration;

use trunkline_jobs::events::{Accepted, Delivery, accept};
use trunkline_platform::commit::{self, CommitError, Committer, Limits, Load};
use trunkline_platform::crash_point;
use trunkline_platform::db::DbError;
use trunkline_platform::task::{TaskTx, Tasks};

use super::ReceiverSettings;
use super::metrics::ReceiverMetrics;
use super::refusal::Refusal;

/// The most bytes of one commit.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Deliveries {
    metrics: ReceiverMetrics,
}

impl Load for Deliveries {
    type Item = Delivery;
    type Answer = Accepted;

    async fn write(&self, tx: &mut TaskTx, deliveries: &[Delivery]) -> Result<Vec<Accepted>, DbError> {
        self.metrics.batch_size.observe(deliveries.len() as f64);
        let accepted = accept(tx, deliveries).await?;
        crash_point!("accept.before_commit");
        Ok(accepted)
    }

    fn committed(&self) {
        crash_point!("accept.after_commit");
    }

    fn size(&self, delivery: &Delivery) -> usize {
        delivery.body.len() + delivery.headers.len()
    }
}

/// Where deliveries are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Door(commit::Door<Deliveries>);

pub(super) fn start(
    tasks: Tasks,
    settings: &ReceiverSettings,
    metrics: ReceiverMetrics,
) -> (Committer, Door) {
    let limits = Limits {
        waiting: settings.queue,
        items: settings.batch,
        bytes: BATCH_BYTES,
        writers: settings.writers,
    };
    let (committer, door) = Committer::start(tasks, Deliveries { metrics }, limits);
    (committer, Door(door))
}

impl Door {
    /// Waits until the delivery is committed. Refused at once when too many wait already.
    pub(super) async fn hand_in(&self, delivery: Delivery, deadline: Duration) -> Result<Accepted, Refusal> {
        match tokio::time::timeout(deadline, self.0.hand_in(delivery)).await {
            Ok(Ok(accepted)) => Ok(accepted),
            Ok(Err(CommitError::Full)) => Err(Refusal::Busy),
            // It may be stored all the same, and then a retry is seen.
            Ok(Err(CommitError::GivenUp | CommitError::Database(_))) | Err(_) => Err(Refusal::Storage),
        }
    }
}
