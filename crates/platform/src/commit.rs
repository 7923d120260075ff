//! Group commit without timers: while one transaction is on its way the next batch collects, so that under load
//! many callers share one commit, and one who comes alone does not wait. Each is answered after its commit.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::db::DbError;
use crate::task::{TaskTx, Tasks};

/// What shares commits.
pub trait Load: Send + Sync + 'static {
    type Item: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// Writes all of them inside the transaction; answers each, in order. It may be called again with the same
    /// items after a transaction that failed.
    fn write(
        &self,
        tx: &mut TaskTx,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, DbError>> + Send;

    /// What carries the items to the database: a transaction, unless one statement is all it takes.
    fn begin(
        &self,
        tasks: &Tasks,
        _items: &[Self::Item],
    ) -> impl Future<Output = Result<TaskTx, DbError>> + Send {
        tasks.begin()
    }

    /// They are committed.
    fn committed(&self) {}

    /// How many bytes an item is, roughly.
    fn size(&self, item: &Self::Item) -> usize;
}

/// What bounds a committer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Items that may wait; beyond it they are refused.
    pub waiting: usize,
    /// The most items of one commit, and about how many bytes.
    pub items: usize,
    pub bytes: usize,
    /// Commits on their way at a time. SQLite has one writer and gains nothing from more.
    pub writers: usize,
}

/// Why an item is not known to be committed.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    #[error("too many wait to be committed")]
    Full,
    /// It may be committed all the same.
    #[error("the commit was given up")]
    GivenUp,
    #[error(transparent)]
    Database(#[from] Arc<DbError>),
}

type Answer<L> = Result<<L as Load>::Answer, CommitError>;

/// An item with somebody waiting for what becomes of it.
struct Waiting<L: Load> {
    item: L::Item,
    answer: oneshot::Sender<Answer<L>>,
}

/// The writers. They end when every [`Door`] is gone and what waited is written.
#[derive(Debug)]
pub struct Committer(JoinSet<()>);

/// Where items are handed in. Cheap to clone.
#[derive(Debug)]
pub struct Door<L: Load>(mpsc::Sender<Waiting<L>>);

impl<L: Load> Clone for Door<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Committer {
    pub fn start<L: Load>(tasks: Tasks, load: L, limits: Limits) -> (Self, Door<L>) {
        let (sender, inbox) = mpsc::channel(limits.waiting.max(1));
        let inbox = Arc::new(Mutex::new(inbox));
        let load = Arc::new(load);
        let mut writers = JoinSet::new();
        for _ in 0..limits.writers.max(1) {
            let writer = Writer { tasks: tasks.clone(), load: Arc::clone(&load), limits };
            writers.spawn(writer.run(Arc::clone(&inbox)));
        }
        (Self(writers), Door(sender))
    }

    /// Lets the writers go on without anyone to wait for them.
    pub fn detach(mut self) {
        self.0.detach_all();
    }

    /// Waits for the last commit, which comes when every door is gone, for so long.
    pub async fn finish(mut self, limit: Duration) {
        let ended = async { while self.0.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, ended).await.is_err() {
            self.0.abort_all();
        }
    }
}

impl<L: Load> Door<L> {
    /// Waits until the item is committed. Refused at once when too many wait already. Dropped while it waits, the
    /// item is committed all the same.
    pub async fn hand_in(&self, item: L::Item) -> Answer<L> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Waiting { item, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => CommitError::Full,
            mpsc::error::TrySendError::Closed(_) => CommitError::GivenUp,
        })?;
        answered.await.unwrap_or(Err(CommitError::GivenUp))
    }

    /// The same, waiting for room as well.
    pub async fn hand_in_patiently(&self, item: L::Item) -> Answer<L> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { item, answer };
        self.0.send(waiting).await.map_err(|_| CommitError::GivenUp)?;
        answered.await.unwrap_or(Err(CommitError::GivenUp))
    }
}

struct Writer<L> {
    tasks: Tasks,
    load: Arc<L>,
    limits: Limits,
}

impl<L: Load> Writer<L> {
    async fn run(self, inbox: Arc<Mutex<mpsc::Receiver<Waiting<L>>>>) {
        let most = self.limits.items.max(1);
        let mut waiting = Vec::new();
        while inbox.lock().await.recv_many(&mut waiting, most).await > 0 {
            for batch in self.by_bytes(waiting.drain(..)) {
                let (items, answers): (Vec<_>, Vec<_>) =
                    batch.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
                for (answer, outcome) in answers.into_iter().zip(self.store(items).await) {
                    // When nobody waits any more it is committed all the same.
                    let _ = answer.send(outcome);
                }
            }
        }
    }

    /// Cuts a batch so that no part carries more bytes than allowed, but for one item larger than that.
    fn by_bytes(&self, waiting: impl Iterator<Item = Waiting<L>>) -> Vec<Vec<Waiting<L>>> {
        let mut parts: Vec<Vec<Waiting<L>>> = Vec::new();
        let mut bytes = 0;
        for one in waiting {
            let size = self.load.size(&one.item);
            bytes += size;
            match parts.last_mut() {
                Some(part) if bytes <= self.limits.bytes => part.push(one),
                _ => {
                    bytes = size;
                    parts.push(vec![one]);
                }
            }
        }
        parts
    }

    /// Writes all in one transaction if the database takes them so. Answers each, in order.
    async fn store(&self, items: Vec<L::Item>) -> Vec<Answer<L>> {
        let mut outcome = self.commit(&items).await;
        if matches!(outcome, Err(DbError::Busy { .. })) {
            outcome = self.commit(&items).await;
        }
        let error = match outcome {
            Ok(answers) => return answers.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        tracing::error!(error = &error as &dyn std::error::Error, items = items.len(), "a commit failed");
        if error.is_passing() || items.len() == 1 {
            let error = Arc::new(error);
            return items.iter().map(|_| Err(CommitError::Database(Arc::clone(&error)))).collect();
        }
        // One item the database will never take must not take the others with it.
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            answers.extend(Box::pin(self.store(vec![item])).await);
        }
        answers
    }

    async fn commit(&self, items: &[L::Item]) -> Result<Vec<L::Answer>, DbError> {
        let mut tx = self.load.begin(&self.tasks, items).await?;
        let answers = self.load.write(&mut tx, items).await?;
        tx.commit().await?;
        self.load.committed();
        Ok(answers)
    }
}
