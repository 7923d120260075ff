//! The queue as apalis sees it: a [`Backend`] that hands over tasks which are claimed already.
//!
//! All waiting happens elsewhere ([`fetch`](super::fetch)); polling here only looks into a channel, so that
//! completions never wait for a claim.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::attempt::Claimed;

/// Hands claimed tasks to an apalis worker.
pub(super) struct QueueBackend {
    claimed: mpsc::Receiver<Claimed>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl QueueBackend {
    pub(super) fn new(claimed: mpsc::Receiver<Claimed>, stop: &CancellationToken) -> Self {
        Self { claimed, stopped: Box::pin(stop.clone().cancelled_owned()) }
    }

    /// Gives back what nobody has begun, and lets the worker end once its running jobs have.
    fn end(&mut self, worker: &WorkerContext) {
        self.claimed.close();
        while self.claimed.try_recv().is_ok() {}
        // A worker that is stopped already has nothing to be told.
        let _ = worker.stop();
    }
}

impl Backend for QueueBackend {
    type Task = Task<Claimed>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            self.end(worker);
            return Poll::Ready(None);
        }
        match self.claimed.poll_recv(cx) {
            Poll::Ready(Some(claimed)) => Poll::Ready(Some(Ok(Task::new(claimed)))),
            Poll::Ready(None) => {
                self.end(worker);
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_close(&mut self, _: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.end(worker);
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for QueueBackend {
    type Args = Claimed;
    type Id = i64;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = tower::layer::util::Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Self::Layer {
        tower::layer::util::Identity::new()
    }
}
