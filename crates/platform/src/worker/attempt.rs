//! One attempt: from a claimed row to a verdict, whatever the job does.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Instrument;

use crate::chain;
use crate::clock::Clock;
use crate::job::{AnyJob, Context, Failure, FailureKind, Registry, TaskMeta, Wire};
use crate::metrics::Metrics;
use crate::task::{ClaimedRow, Finish, NewTask, Verdict, WorkerId};

/// How long a task of an unknown kind first waits for a release that knows it; it waits longer each time, up to
/// twenty times as long.
const UNKNOWN_KIND_WAIT: TimeDelta = TimeDelta::seconds(30);
/// The longest a task can be put off. Beyond it lie dates that a database cannot hold.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(3_650);
/// How long a job that is told to stop may take to do so before it is dropped where it stands.
pub(super) const HEED_WITHIN: Duration = Duration::from_secs(1);
/// The most of an error's text that is kept.
const MAX_ERROR_CHARS: usize = 4_000;

/// A claimed task on its way through the process. Dropped before its verdict, it is given back.
pub(crate) struct Claimed {
    pub(super) row: ClaimedRow,
    pub(super) worker: WorkerId,
    pub(super) wire: Wire,
    pub(super) claimed_at: DateTime<Utc>,
    finishes: Option<mpsc::Sender<Finish>>,
    /// Its place among the jobs that run here at a time, under a limit.
    place: Option<OwnedSemaphorePermit>,
}

impl Claimed {
    pub(super) fn new(
        row: ClaimedRow,
        worker: WorkerId,
        wire: Wire,
        claimed_at: DateTime<Utc>,
        finishes: mpsc::Sender<Finish>,
    ) -> Self {
        Self { row, worker, wire, claimed_at, finishes: Some(finishes), place: None }
    }

    pub(super) fn in_place(self, place: OwnedSemaphorePermit) -> Self {
        let mut claimed = self;
        claimed.place = Some(place);
        claimed
    }

    /// Runs the job and sends its verdict to the collector, waiting for room there. Cut off while it waits, the
    /// task is given back.
    pub(super) async fn work<S: Send + Sync + 'static>(mut self, runner: &Runner<S>) {
        let finish = runner.attempt(&self.row, &self.worker, self.wire.clone()).await;
        let Some(finishes) = self.finishes.clone() else { return };
        // The collector outlives every attempt; should it be gone, the lease expires.
        if let Ok(room) = finishes.reserve().await {
            self.finishes = None;
            room.send(finish);
        }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let Some(finishes) = self.finishes.take() else { return };
        let finish = Finish::give_back(self.row.id, self.row.attempt, &self.worker, self.claimed_at);
        if let Err(mpsc::error::TrySendError::Full(finish)) = finishes.try_send(finish)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { finishes.send(finish).await });
        }
    }
}

/// Runs attempts.
pub(crate) struct Runner<S> {
    pub(crate) registry: Arc<Registry<S>>,
    pub(crate) services: Arc<S>,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) metrics: Metrics,
}

/// How the job's future ended.
enum End {
    Done(Vec<NewTask>),
    Failed(Failure),
    TimedOut(Duration),
    Panicked(String),
    /// Did not heed the sign to stop.
    CutShort,
    UnknownKind,
}

impl<S: Send + Sync + 'static> Runner<S> {
    /// Runs one attempt to its end. Never panics and never fails: whatever happens becomes a verdict.
    pub(crate) async fn attempt(&self, row: &ClaimedRow, worker: &WorkerId, wire: Wire) -> Finish {
        let correlation_id = row.correlation_id.clone().unwrap_or_else(|| format!("task-{}", row.id));
        let span = tracing::info_span!(
            "task",
            task.id = row.id.0,
            task.kind = row.kind,
            task.try = row.tries(),
            correlation_id
        );
        let started_at = self.clock.now();
        if let Ok(waited) = (started_at - row.run_at).to_std() {
            self.metrics.pickup_seconds.observe(waited.as_secs_f64());
        }
        let started = std::time::Instant::now();
        let judged = async { self.judge(row, self.run(row, correlation_id, wire).await) };
        // The net is around the verdict as well: an error that panics when it is told is still a failure.
        let judged = AssertUnwindSafe(judged).catch_unwind().instrument(span.clone()).await;
        let (verdict, label, error, follow_ups) = judged.unwrap_or_else(|panic| {
            span.in_scope(|| self.judge(row, End::Panicked(panic_text(panic.as_ref()))))
        });
        let ran = started.elapsed();
        self.metrics.run_seconds.with_label_values(&[&row.kind]).observe(ran.as_secs_f64());
        self.metrics.finished.with_label_values(&[row.kind.as_str(), label]).inc();
        Finish {
            id: row.id,
            attempt: row.attempt,
            verdict,
            error,
            label,
            worker: worker.as_str().to_owned(),
            started_at,
            duration_ms: i64::try_from(ran.as_millis()).unwrap_or(i64::MAX),
            follow_ups,
        }
    }

    async fn run(&self, row: &ClaimedRow, correlation_id: String, wire: Wire) -> End {
        if wire.cancelled.is_cancelled() {
            return End::CutShort;
        }
        let Some(job) = self.registry.get(&row.kind) else { return End::UnknownKind };
        let Ok(version) = u16::try_from(row.version) else { return End::UnknownKind };
        if version > job.version {
            return End::UnknownKind;
        }
        let meta = TaskMeta {
            id: row.id,
            kind: row.kind.clone(),
            attempt: row.tries(),
            max_attempts: u32::try_from(row.max_attempts).unwrap_or(u32::MAX),
            token: row.attempt,
            correlation_id,
            created_at: row.created_at,
        };
        let seed = self.attempt_seed(row);
        let stop = wire.cancelled.clone();
        let cx = Context::new(Arc::clone(&self.services), meta, self.clock.clone(), seed, wire);
        let running = job.run(version, row.payload.clone(), cx);
        let cut_short = async {
            stop.cancelled().await;
            tokio::time::sleep(HEED_WITHIN).await;
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(job.timeout, running) => ended,
            () = cut_short => return End::CutShort,
        };
        match ended {
            Err(_) => {
                // What the job set going beside itself must not run on beside the next try.
                stop.cancel();
                End::TimedOut(job.timeout)
            }
            Ok(Ok(done)) => End::Done(done.follow_ups),
            Ok(Err(failure)) => End::Failed(failure),
        }
    }

    fn judge(&self, row: &ClaimedRow, end: End) -> (Verdict, &'static str, Option<String>, Vec<NewTask>) {
        let now = self.clock.now();
        let (mut verdict, label, error) = match end {
            End::Done(follow_ups) => {
                tracing::info!(follow_ups = follow_ups.len(), "done");
                return (Verdict::Done, "done", None, follow_ups);
            }
            End::CutShort => return (Verdict::GiveBack, "cut_short", None, Vec::new()),
            End::UnknownKind => {
                let error =
                    "this release does not know the job or its payload version; waiting for one that does";
                let wait = UNKNOWN_KIND_WAIT * (1 + row.refunds).clamp(1, 20);
                (Verdict::Snooze { at: now + wait }, "unknown_kind", error.to_owned())
            }
            End::TimedOut(limit) => {
                (self.retry(row, now, None), "timed_out", format!("did not end within {limit:?}"))
            }
            End::Panicked(text) => (self.retry(row, now, None), "panicked", format!("panicked: {text}")),
            End::Failed(Failure { kind, error }) => {
                let (verdict, label) = match kind {
                    FailureKind::Retry => (self.retry(row, now, None), "failed"),
                    FailureKind::RetryAfter(wait) => (self.retry(row, now, Some(wait)), "failed"),
                    FailureKind::Snooze(at) => {
                        (Verdict::Snooze { at: at.min(now + LONGEST_WAIT) }, "snoozed")
                    }
                    FailureKind::Permanent => (Verdict::Dead, "permanent"),
                    FailureKind::Discard => (Verdict::Discarded, "discarded"),
                };
                (verdict, label, chain(error.as_ref()))
            }
        };
        if matches!(verdict, Verdict::Retry { .. }) && row.is_last_try() {
            verdict = Verdict::Dead;
        }
        let error: String = error.chars().take(MAX_ERROR_CHARS).map(without_nul).collect();
        match &verdict {
            Verdict::Dead => {
                // Whether it becomes a dead letter is known when this is written: somebody may want it cancelled.
                tracing::warn!(verdict = label, error, "the attempt failed and no other follows");
            }
            Verdict::Retry { at } => {
                tracing::warn!(verdict = label, error, retry_at = %at, "the attempt failed")
            }
            _ => tracing::info!(verdict = label, reason = error, "the attempt was put off"),
        }
        (verdict, label, Some(error), Vec::new())
    }

    fn retry(&self, row: &ClaimedRow, now: DateTime<Utc>, at_least: Option<Duration>) -> Verdict {
        let backoff = self.registry.get(&row.kind).map_or(Duration::from_secs(60), |job: &AnyJob<S>| {
            job.retry.delay(row.tries(), self.attempt_seed(row))
        });
        let wait = backoff.max(at_least.unwrap_or_default());
        Verdict::Retry { at: now + TimeDelta::from_std(wait).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT) }
    }

    fn attempt_seed(&self, row: &ClaimedRow) -> u64 {
        let attempt = u64::from(row.attempt.unsigned_abs());
        self.seed ^ row.id.0.unsigned_abs().rotate_left(20) ^ attempt.rotate_left(50)
    }
}

/// PostgreSQL text cannot hold the NUL character.
fn without_nul(c: char) -> char {
    if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a text".to_owned())
}
