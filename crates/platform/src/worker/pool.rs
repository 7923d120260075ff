//! The pool of one queue: its fetch loop and its apalis worker, started again when either dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use apalis::layers::WorkerBuilderExt;
use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use apalis_core::worker::builder::WorkerBuilder;
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::attempt::{Claimed, Runner};
use super::backend::QueueBackend;
use super::fetch::{Fetcher, Limits, MAX_WINDOW};
use super::hands::Hands;
use super::keeper::Lease;
use crate::job::Queue;
use crate::metrics::Metrics;
use crate::task::{Finish, Tasks};

const FIRST_RESTART: Duration = Duration::from_millis(100);
const LAST_RESTART: Duration = Duration::from_secs(10);
/// A pool that lived this long starts again without having to wait long.
const HEALTHY: Duration = Duration::from_secs(60);

pub(super) struct Pool<S> {
    pub(super) queue: Queue,
    pub(super) concurrency: usize,
    pub(super) poll_interval: Duration,
    pub(super) tasks: Tasks,
    pub(super) lease: Lease,
    pub(super) hands: Hands,
    pub(super) finishes: mpsc::Sender<Finish>,
    pub(super) runner: Arc<Runner<S>>,
    pub(super) metrics: Metrics,
    pub(super) pulse: Pulse,
    pub(super) stop: CancellationToken,
}

/// When a pool last looked at the table.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<AtomicI64>);

impl Pulse {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self(Arc::new(AtomicI64::new(now.timestamp_micros())))
    }

    pub(super) fn beat(&self, now: DateTime<Utc>) {
        self.0.store(now.timestamp_micros(), Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::Relaxed)).unwrap_or_default()
    }
}

impl<S: Send + Sync + 'static> Pool<S> {
    /// Runs the pool until the stop, however often it dies.
    pub(super) async fn supervise(self) {
        self.metrics.pool_restarts.with_label_values(&[self.queue.name()]).reset();
        let mut wait = FIRST_RESTART;
        loop {
            let born = tokio::time::Instant::now();
            let end = self.run_once().await;
            if self.stop.is_cancelled() {
                return;
            }
            self.metrics.pool_restarts.with_label_values(&[self.queue.name()]).inc();
            tracing::error!(queue = self.queue.name(), end, "the pool died; starting it again");
            if born.elapsed() > HEALTHY {
                wait = FIRST_RESTART;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(LAST_RESTART);
        }
    }

    /// Returns when the worker has ended: after a stop, with every running job finished, or by mishap.
    async fn run_once(&self) -> String {
        let (claimed, inbox) = mpsc::channel(MAX_WINDOW);
        let fetcher = Fetcher {
            queue: self.queue,
            concurrency: self.concurrency,
            poll_interval: self.poll_interval,
            tasks: self.tasks.clone(),
            lease: self.lease.clone(),
            hands: self.hands.clone(),
            listener: self.tasks.ring().listen(self.queue),
            claimed,
            finishes: self.finishes.clone(),
            metrics: self.metrics.clone(),
            pulse: self.pulse.clone(),
            limits: Limits::unknown(self.concurrency),
        };
        // When the fetcher dies its channel closes and the worker ends after it; when the worker dies the
        // handle ends the fetcher.
        let fetching = AbortOnDropHandle::new(tokio::spawn(fetcher.run(self.stop.clone())));
        let worker = WorkerBuilder::new(format!("trunkline-{}", self.queue.name()))
            .backend(QueueBackend::new(inbox, &self.stop))
            .concurrency(self.concurrency)
            .build(Attempts(Arc::clone(&self.runner)));
        let worked = worker.run().await;
        fetching.abort();
        match (fetching.await, worked) {
            (Err(dead), _) if dead.is_panic() => "the fetch loop panicked".to_owned(),
            (_, Err(error)) => format!("the worker ended: {error}"),
            _ => "the worker ended".to_owned(),
        }
    }
}

/// The service around which apalis puts its layers: runs one attempt on a task of its own, so that jobs use
/// every core and none can hold up the others.
struct Attempts<S>(Arc<Runner<S>>);

impl<S: Send + Sync + 'static> tower::Service<Task<Claimed>> for Attempts<S> {
    type Response = ();
    type Error = BoxDynError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxDynError>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Claimed>) -> Self::Future {
        let runner = Arc::clone(&self.0);
        Box::pin(async move {
            let (claimed, _) = task.take();
            let attempt = AbortOnDropHandle::new(tokio::spawn(async move { claimed.work(&runner).await }));
            // A panic outside the job's own net drops the claim, which gives the task back.
            let _ = attempt.await;
            Ok(())
        })
    }
}
