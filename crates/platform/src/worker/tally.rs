//! Tells the database every few seconds how much this process did, so that anybody can ask how fast work goes
//! without counting history. Verdicts cost nothing more for it: the figures are those of the metrics.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::hands::Hands;
use crate::metrics::Metrics;
use crate::task::{Ended, Tasks};

const EVERY: Duration = Duration::from_secs(5);
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// How long the last telling may take when the process stops.
const LAST: Duration = Duration::from_secs(2);
/// Verdicts of attempts that failed.
const FAILED: [&str; 4] = ["failed", "timed_out", "panicked", "permanent"];

/// Counts from the metrics; what was told is not told again.
#[derive(Debug)]
pub(super) struct Tally {
    tasks: Tasks,
    hands: Hands,
    metrics: Metrics,
    /// Per job: kind, queue, and what was told of it.
    told: Vec<Ended>,
}

/// The tally at work.
#[derive(Debug)]
pub(super) struct Tallying {
    stop: tokio::sync::oneshot::Sender<()>,
    task: AbortOnDropHandle<()>,
}

impl Tally {
    pub(super) fn start(
        tasks: Tasks,
        hands: Hands,
        metrics: Metrics,
        jobs: impl Iterator<Item = (&'static str, &'static str)>,
    ) -> Tallying {
        let told = jobs.map(|(kind, queue)| counted(&metrics, kind, queue)).collect();
        let tally = Self { tasks, hands, metrics, told };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        Tallying { stop, task: AbortOnDropHandle::new(tokio::spawn(tally.run(stopped))) }
    }

    async fn run(mut self, mut stopped: tokio::sync::oneshot::Receiver<()>) {
        let mut forgotten: Option<Instant> = None;
        loop {
            let stopping = tokio::select! {
                _ = &mut stopped => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            self.tell().await;
            if stopping {
                return;
            }
            if forgotten.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
                forgotten = Some(Instant::now());
                if let Err(error) = self.tasks.forget_rates().await {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "old rates could not be dropped"
                    );
                }
            }
        }
    }

    /// What cannot be told now is told next time.
    async fn tell(&mut self) {
        let counted: Vec<Ended> =
            self.told.iter().map(|told| counted(&self.metrics, told.kind, told.queue)).collect();
        let news: Vec<Ended> = counted
            .iter()
            .zip(&self.told)
            .map(|(now, told)| Ended {
                done: now.done - told.done,
                failed: now.failed - told.failed,
                ..now.clone()
            })
            .filter(|news| news.done + news.failed > 0)
            .collect();
        if news.is_empty() {
            return;
        }
        let worker = self.hands.worker().map(|worker| worker.as_str().to_owned()).unwrap_or_default();
        match self.tasks.tell(&worker, &news).await {
            Ok(()) => self.told = counted,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the rates could not be told");
            }
        }
    }
}

impl Tallying {
    /// Tells what is left to tell, and ends.
    pub(super) async fn stop(self) {
        let Self { stop, task } = self;
        let _ = stop.send(());
        let _ = timeout(LAST, task).await;
    }
}

fn counted(metrics: &Metrics, kind: &'static str, queue: &'static str) -> Ended {
    let count = |verdict: &str| metrics.finished.with_label_values(&[kind, verdict]).get();
    Ended { kind, queue, done: count("done"), failed: FAILED.into_iter().map(count).sum() }
}
