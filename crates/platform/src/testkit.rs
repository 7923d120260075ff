//! Running jobs in tests and simulations: by hand, in order, without pools and without waiting. The clock is the test's: hours pass
//! when it says so, and what happens in them happens in its order.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::db::DbError;
use crate::job::{Context, Done, Failure, Job, Registry, TaskMeta, Wire};
use crate::metrics::Metrics;
use crate::schedule::{ScheduleMetrics, Scheduler, Schedules};
use crate::task::{Progress, TaskFilter, TaskId, TaskRow, Tasks, WorkerId};
use crate::worker::Runner;

/// The most tasks one [`Kit::drain`] works off before it says that they never end.
const DRAIN_LIMIT: usize = 100_000;
/// Tasks that a failed assertion shows.
const SHOWN: u32 = 50;

crate::statements! {
    NEXT_DUE = same {
        "SELECT MIN(run_at) AS at FROM tasks WHERE finished_at IS NULL AND state = 'pending' AND run_at > $1"
    }
}

#[derive(sqlx::FromRow)]
struct NextDue {
    at: Option<DateTime<Utc>>,
}

/// Works off tasks on the caller's own time.
pub struct Kit<S> {
    tasks: Tasks,
    runner: Runner<S>,
    worker: WorkerId,
    scheduler: Option<Mutex<Scheduler>>,
}

impl<S: Send + Sync + 'static> Kit<S> {
    pub fn new(tasks: Tasks, registry: Arc<Registry<S>>, services: Arc<S>, metrics: Metrics) -> Self {
        let clock = tasks.clock().clone();
        let runner = Runner { registry, services, clock, seed: 1, metrics };
        Self { tasks, runner, worker: WorkerId::new("wk_testkit"), scheduler: None }
    }

    /// Fires schedules, too. They begin to count from now on.
    pub async fn with_schedules(
        mut self,
        schedules: Arc<Schedules>,
        metrics: ScheduleMetrics,
    ) -> Result<Self, DbError> {
        let scheduler = Scheduler::start(self.tasks.clone(), schedules, metrics).await?;
        self.scheduler = Some(Mutex::new(scheduler));
        Ok(self)
    }

    /// Fires every tick and runs every task that is due, and what follows from it, until nothing moves. Returns how
    /// many attempts were made. Tasks put off to a later time stay; advance the clock.
    ///
    /// # Panics
    /// When the tasks never end.
    pub async fn drain(&self) -> Result<usize, DbError> {
        self.tasks.register_worker(&self.worker, "testkit", TimeDelta::days(1)).await?;
        if let Some(scheduler) = &self.scheduler {
            scheduler.lock().await.round().await?;
        }
        let mut attempts = 0;
        loop {
            let mut round = Vec::new();
            for queue in self.runner.registry.queues() {
                for row in self.tasks.claim_due(&self.worker, queue, 100).await? {
                    round.push(self.runner.attempt(&row, &self.worker, Wire::default()).await);
                }
                if let Some(row) = self.tasks.claim_suspect(&self.worker, queue).await? {
                    round.push(self.runner.attempt(&row, &self.worker, Wire::default()).await);
                }
            }
            if round.is_empty() {
                return Ok(attempts);
            }
            attempts += round.len();
            assert!(attempts <= DRAIN_LIMIT, "{DRAIN_LIMIT} attempts and still not drained");
            self.tasks.finish(&round).await?;
        }
    }

    /// Lets time pass on the manual clock. It stops at every tick of a schedule and at the time of every task
    /// (retries, snoozes, delayed ones), and there drains: what happens in these hours happens in its order.
    ///
    /// # Panics
    /// When the clock is not a manual one, or the tasks never end.
    pub async fn advance(&self, by: TimeDelta) -> Result<usize, DbError> {
        let clock = self.tasks.clock();
        let end = clock.now() + by;
        let mut attempts = 0;
        while let Some(next) = self.next_due().await?.filter(|next| *next <= end) {
            assert!(clock.advance(next - clock.now()), "only a manual clock can be advanced");
            attempts += self.drain().await?;
            assert!(attempts <= DRAIN_LIMIT, "{DRAIN_LIMIT} attempts and still not drained");
        }
        assert!(clock.advance(end - clock.now()), "only a manual clock can be advanced");
        Ok(attempts + self.drain().await?)
    }

    /// When the next tick or task is due that is not due now.
    pub async fn next_due(&self) -> Result<Option<DateTime<Utc>>, DbError> {
        let now = self.tasks.clock().now();
        let task: NextDue = NEXT_DUE.bind(now).one(&mut self.tasks.db().read().await?).await?;
        let tick = match &self.scheduler {
            Some(scheduler) => scheduler.lock().await.next_due(),
            None => None,
        };
        Ok([task.at, tick].into_iter().flatten().filter(|at| *at > now).min())
    }

    /// The tasks of one job, the newest first.
    pub async fn enqueued<J: Job>(&self) -> Result<Vec<TaskRow>, DbError> {
        let filter = TaskFilter { kind: Some(J::NAME.to_owned()), limit: 1_000, ..TaskFilter::default() };
        self.tasks.list(&filter).await
    }

    /// The newest task of a job that is as described.
    ///
    /// # Panics
    /// When there is none, with what there is instead; and when the database is away.
    pub async fn assert_enqueued<J: Job>(&self, is_it: impl Fn(&J) -> bool) -> TaskRow {
        match self.find::<J>(is_it).await {
            Ok(Ok(row)) => row,
            Ok(Err(instead)) => panic!("no task of {} is as described; there are\n{instead}", J::NAME),
            Err(error) => panic!("the tasks could not be read: {error}"),
        }
    }

    /// That no task of a job is as described.
    ///
    /// # Panics
    /// When there is one; and when the database is away.
    pub async fn assert_not_enqueued<J: Job>(&self, is_it: impl Fn(&J) -> bool) {
        match self.find::<J>(is_it).await {
            Ok(Ok(row)) => panic!("task {} is as described: {} {}", row.id, row.kind, row.payload),
            Ok(Err(_)) => {}
            Err(error) => panic!("the tasks could not be read: {error}"),
        }
    }

    /// The newest task of a job that is as described, or a list of what there is.
    async fn find<J: Job>(&self, is_it: impl Fn(&J) -> bool) -> Result<Result<TaskRow, String>, DbError> {
        for row in self.enqueued::<J>().await? {
            let version = u16::try_from(row.version).unwrap_or_default();
            if J::decode(version, &row.payload).is_ok_and(|job| is_it(&job)) {
                return Ok(Ok(row));
            }
        }
        let all = self.tasks.list(&TaskFilter { limit: SHOWN, ..TaskFilter::default() }).await?;
        let mut instead = if all.is_empty() { "  none at all\n".to_owned() } else { String::new() };
        for row in all {
            let _ = writeln!(instead, "  {:>5}  {:<9}  {}  {}", row.id, row.state, row.kind, row.payload);
        }
        Ok(Err(instead))
    }
}

/// Runs one job outside any table, and hands back its outcome with the tasks it wants to follow.
pub async fn run_job<J: Job>(job: &J, services: Arc<J::Services>, clock: Clock) -> Result<Done, Failure> {
    Trial::of(job, services, clock).run().await.outcome
}

/// One run of one job outside any table, set up as a test needs it.
pub struct Trial<'j, J: Job> {
    job: &'j J,
    services: Arc<J::Services>,
    clock: Clock,
    task: TaskMeta,
    seed: u64,
    wire: Wire,
}

/// What a run of a job did.
#[derive(Debug)]
pub struct Tried {
    /// How it ended; a success has the tasks that follow.
    pub outcome: Result<Done, Failure>,
    /// Everything it said of how far it was, in order.
    pub progress: Vec<Progress>,
}

impl<'j, J: Job> Trial<'j, J> {
    /// The first try of a task with seed 1, which nobody cancels.
    pub fn of(job: &'j J, services: Arc<J::Services>, clock: Clock) -> Self {
        let task = TaskMeta {
            id: TaskId(1),
            kind: J::NAME.to_owned(),
            attempt: 1,
            max_attempts: u32::from(J::RETRY.max_attempts()),
            token: 1,
            correlation_id: "test".to_owned(),
            created_at: clock.now(),
        };
        Self { job, services, clock, task, seed: 1, wire: Wire::recording() }
    }

    /// Which try this is, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.task.attempt = attempt;
        self
    }

    /// The last try there is.
    pub fn last_attempt(self) -> Self {
        let last = self.task.max_attempts;
        self.attempt(last)
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Cancelled when this token is; cancel it before the run or from beside it.
    pub fn cancelled_by(mut self, token: CancellationToken) -> Self {
        self.wire.cancelled = token;
        self
    }

    pub async fn run(self) -> Tried {
        let cx = Context::new(self.services, self.task, self.clock, self.seed, self.wire.clone());
        let outcome = self.job.run(&cx).await;
        Tried { outcome, progress: self.wire.said() }
    }
}

impl Tried {
    /// The tasks of one job that are to follow, read back.
    ///
    /// # Panics
    /// When a payload cannot be read, which its job would find out only when it runs.
    pub fn follow_ups<J: Job>(&self) -> Vec<J> {
        let tasks = self.outcome.as_ref().map(Done::follow_ups).unwrap_or_default();
        tasks
            .iter()
            .filter(|task| task.kind == J::NAME)
            .map(|task| {
                J::decode(task.version, &task.payload)
                    .unwrap_or_else(|error| panic!("{}: {error}", task.payload))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::job::Queue;

    /// Counts down by tasks that follow.
    #[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
    struct CountDown {
        from: u64,
    }

    impl Job for CountDown {
        type Services = ();
        const NAME: &'static str = "test.count_down";
        const QUEUE: Queue = Queue::new("test");

        async fn run(&self, cx: &Context<()>) -> Result<Done, Failure> {
            if cx.cancelled().is_cancelled() {
                return Err(Failure::discard("cancelled"));
            }
            if cx.task().attempt == cx.task().max_attempts {
                return Err(Failure::permanent(anyhow::anyhow!("seed {}", cx.seed())));
            }
            cx.progress(0, Some(self.from), None);
            cx.progress(1, Some(self.from), Some("begun".to_owned()));
            Ok(Done::new().then(cx.follow_up(&Self { from: self.from - 1 })?))
        }
    }

    fn trial(job: &CountDown) -> Trial<'_, CountDown> {
        Trial::of(job, Arc::new(()), Clock::manual(DateTime::UNIX_EPOCH))
    }

    #[tokio::test]
    async fn a_trial_records_what_the_job_did() {
        let job = CountDown { from: 3 };
        let tried = trial(&job).run().await;
        assert_eq!(tried.follow_ups::<CountDown>(), [CountDown { from: 2 }]);
        let said: Vec<_> = tried.progress.iter().map(|progress| (progress.done, progress.total)).collect();
        assert_eq!(said, [(0, Some(3)), (1, Some(3))]);
        assert_eq!(tried.progress[1].note.as_deref(), Some("begun"));
    }

    #[tokio::test]
    async fn a_trial_is_set_up_as_the_test_needs_it() {
        let job = CountDown { from: 3 };
        let last = trial(&job).last_attempt().seed(7).run().await;
        assert_eq!(last.outcome.unwrap_err().error.to_string(), "seed 7");
        let token = CancellationToken::new();
        token.cancel();
        let cancelled = trial(&job).cancelled_by(token).run().await;
        assert!(cancelled.follow_ups::<CountDown>().is_empty() && cancelled.progress.is_empty());
        assert_eq!(cancelled.outcome.unwrap_err().error.to_string(), "cancelled");
    }
}
