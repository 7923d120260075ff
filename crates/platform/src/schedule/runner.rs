//! The scheduler: fires ticks when they are due. Any number of processes may run one; a tick is taken by moving the
//! schedule's row forward, in the transaction that enqueues the task, and only one of them can.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::file::{Overlap, Schedule, Schedules};
use super::judge::{Due, judge};
use super::metrics::ScheduleMetrics;
use super::store::{self, Line, Outcome, ScheduleState, Tick};
use crate::audit::Actor;
use crate::crash_point;
use crate::db::DbError;
use crate::task::{NewTask, TaskId, TaskTx, Tasks, Unfinished};

/// The longest the scheduler sleeps: clocks can be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
const SHORTEST_SLEEP: Duration = Duration::from_millis(5);
/// A schedule that was judged further ahead than this was so by a clock that was wrong.
const FAR_AHEAD: TimeDelta = TimeDelta::days(1);

/// Fires the ticks of schedules.
#[derive(Debug)]
pub struct Scheduler {
    tasks: Tasks,
    schedules: Arc<Schedules>,
    metrics: ScheduleMetrics,
    /// Of every schedule that is switched on: how far it was judged, as far as this process knows, and its next tick.
    known: BTreeMap<String, Known>,
    /// Of every schedule that cannot be fired: why.
    failing: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    judged: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
}

impl Known {
    fn new(schedule: &Schedule, judged: DateTime<Utc>) -> Self {
        Self { judged, next: schedule.when.next(judged) }
    }
}

impl Scheduler {
    /// Makes schedules known to the database. Those that are new begin to count from now on.
    pub async fn start(
        tasks: Tasks,
        schedules: Arc<Schedules>,
        metrics: ScheduleMetrics,
    ) -> Result<Self, DbError> {
        metrics.prepare(&schedules);
        let now = tasks.clock().now();
        let lines: Vec<Line> = schedules.iter().map(|schedule| Line::new(schedule, now)).collect();
        let mut session = tasks.db().write().await?;
        store::keep(&mut session, &lines).await?;
        session.commit().await?;
        let mut scheduler =
            Self { tasks, schedules, metrics, known: BTreeMap::new(), failing: BTreeMap::new() };
        scheduler.learn().await?;
        Ok(scheduler)
    }

    /// Fires whatever is due. Returns how many tasks were enqueued. A schedule that cannot be fired is told in the log
    /// and tried again in the next round.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn round(&mut self) -> Result<usize, DbError> {
        let now = self.tasks.clock().now();
        if self.known.values().any(|known| known.judged > now + FAR_AHEAD) {
            self.turn_back(now).await?;
        }
        let is_due = |known: &Known| known.next.is_some_and(|next| next <= now);
        let due: Vec<String> =
            self.known.iter().filter(|(_, known)| is_due(known)).map(|(name, _)| name.clone()).collect();
        if due.is_empty() {
            return Ok(0);
        }
        let states = self.states().await?;
        let schedules = Arc::clone(&self.schedules);
        let mut fired = 0;
        for schedule in due.iter().filter_map(|name| schedules.get(name)) {
            // Without a row nobody could take a tick; the next start makes it.
            let Some(state) = states.get(&schedule.name) else { continue };
            if state.paused_at.is_none() {
                let due = judge(&schedule.when, schedule.missed, state.last_tick, now);
                match self.fire_all(schedule, due).await {
                    Ok(count) => fired += count,
                    Err(error @ DbError::Away { .. }) => return Err(error),
                    Err(error) => {
                        self.fails(schedule, &error);
                        continue;
                    }
                }
                self.failing.remove(&schedule.name);
            }
            self.known.insert(schedule.name.clone(), Known::new(schedule, now.max(state.last_tick)));
        }
        Ok(fired)
    }

    /// When the next tick is due.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.known.values().filter_map(|known| known.next).min()
    }

    /// Fires ticks until told to stop. While the database is away it tries again; what is missed meanwhile is
    /// judged as after any outage.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut away: Option<String> = None;
        loop {
            let failed = self.round().await.err();
            let why = failed.as_ref().map(ToString::to_string);
            if let Some(error) = failed.filter(|_| why != away) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "schedules could not be fired; trying again");
            }
            away = why;
            let until = self.next_due().map(|next| next - self.tasks.clock().now());
            let until = until.and_then(|until| until.to_std().ok()).unwrap_or(LONGEST_SLEEP);
            let sleep =
                if away.is_some() { LONGEST_SLEEP } else { until.clamp(SHORTEST_SLEEP, LONGEST_SLEEP) };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Tells why a schedule cannot be fired: once, and again when it is for another reason.
    fn fails(&mut self, schedule: &Schedule, error: &DbError) {
        let why = error.to_string();
        if self.failing.get(&schedule.name) != Some(&why) {
            let error = error as &dyn std::error::Error;
            tracing::warn!(schedule = schedule.name, error, "a schedule could not be fired; trying again");
            self.failing.insert(schedule.name.clone(), why);
        }
    }

    async fn states(&self) -> Result<BTreeMap<String, ScheduleState>, DbError> {
        let states = store::states(self.tasks.db()).await?;
        Ok(states.into_iter().map(|state| (state.name.clone(), state)).collect())
    }

    async fn learn(&mut self) -> Result<(), DbError> {
        let states = self.states().await?;
        let on = self.schedules.iter().filter(|schedule| schedule.enabled);
        self.known = on
            .filter_map(|schedule| {
                let state = states.get(&schedule.name)?;
                Some((schedule.name.clone(), Known::new(schedule, state.last_tick)))
            })
            .collect();
        Ok(())
    }

    /// What was fired while the clock was far ahead has its rows and is not fired again when its time comes.
    async fn turn_back(&mut self, now: DateTime<Utc>) -> Result<(), DbError> {
        let mut session = self.tasks.db().write().await?;
        let mut turned = 0;
        for name in self.known.keys() {
            turned += u32::from(store::turn_back(&mut session, name, now, now + FAR_AHEAD).await?);
        }
        session.commit().await?;
        tracing::warn!(schedules = turned, "the clock was far ahead and is back; schedules go on from now");
        self.learn().await
    }

    async fn fire_all(&self, schedule: &Schedule, due: Due) -> Result<usize, DbError> {
        if let Some((tick, count)) = due.skipped {
            self.skip(schedule, tick, count).await?;
        }
        let mut fired = 0;
        for tick in due.fire {
            fired += usize::from(self.fire(schedule, tick).await?);
        }
        Ok(fired)
    }

    async fn skip(&self, schedule: &Schedule, tick: DateTime<Utc>, ticks: i64) -> Result<(), DbError> {
        let now = self.tasks.clock().now();
        let mut tx = self.tasks.begin().await?;
        if !store::take(tx.session(), &schedule.name, tick).await? {
            return Ok(());
        }
        let outcome = Outcome::SkippedMissed;
        let row = Tick { schedule: &schedule.name, at: tick, source: "cron", outcome, ticks, task: None };
        store::record(tx.session(), &row, now).await?;
        tx.commit().await?;
        self.count(schedule, outcome, ticks);
        tracing::warn!(schedule = schedule.name, ticks, last = %tick, "ticks were missed and are not made up for");
        Ok(())
    }

    /// Fires one tick, unless another process has. True if a task was enqueued.
    async fn fire(&self, schedule: &Schedule, tick: DateTime<Utc>) -> Result<bool, DbError> {
        let now = self.tasks.clock().now();
        let mut tx = self.tasks.begin().await?;
        if !store::take(tx.session(), &schedule.name, tick).await? {
            return Ok(false);
        }
        let run_at = tick + schedule.jitter_of(tick);
        let task = task_of(schedule, tick).at(run_at.max(now));
        let (outcome, task) = fire(&mut tx, schedule, task).await?;
        let row = Tick { schedule: &schedule.name, at: tick, source: "cron", outcome, ticks: 1, task };
        if !store::record(tx.session(), &row, now).await? {
            return Ok(false);
        }
        crash_point!("tick.before_commit");
        tx.commit().await?;
        crash_point!("tick.after_commit");
        self.count(schedule, outcome, 1);
        if let Ok(late) = (now - tick).to_std() {
            self.metrics.late_seconds.observe(late.as_secs_f64());
        }
        tracing::info!(schedule = schedule.name, %tick, outcome = outcome.as_str(), task.id = task.map(|id| id.0), "ticked");
        Ok(outcome == Outcome::Fired)
    }

    fn count(&self, schedule: &Schedule, outcome: Outcome, ticks: i64) {
        let labels = [schedule.name.as_str(), outcome.as_str()];
        self.metrics.ticks.with_label_values(&labels).inc_by(ticks.unsigned_abs());
    }
}

/// The task of one tick.
pub(super) fn task_of(schedule: &Schedule, tick: DateTime<Utc>) -> NewTask {
    let id =
        format!("schedule:{}@{}", schedule.name, tick.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
    let correlation = id.replacen("schedule:", "sc_", 1);
    schedule.task.clone().correlation_id(&correlation).cause(id)
}

/// Enqueues the task of a tick, as the schedule's rule about overlap allows.
pub(super) async fn fire(
    tx: &mut TaskTx,
    schedule: &Schedule,
    task: NewTask,
) -> Result<(Outcome, Option<TaskId>), DbError> {
    if schedule.overlap != Overlap::Allow {
        let live = store::live_tasks(tx, &schedule.name).await?;
        if schedule.overlap == Overlap::Skip && !live.is_empty() {
            return Ok((Outcome::SkippedOverlap, None));
        }
        cancel(tx, schedule, &live).await?;
    }
    let enqueued = tx.enqueue(std::slice::from_ref(&task)).await?;
    let Some(enqueued) = enqueued.first() else { return Ok((Outcome::Existing, None)) };
    let outcome = if enqueued.is_new() { Outcome::Fired } else { Outcome::Existing };
    Ok((outcome, Some(enqueued.id())))
}

/// Ends the tasks of earlier ticks in favour of a newer one.
async fn cancel(tx: &mut TaskTx, schedule: &Schedule, live: &[TaskId]) -> Result<(), DbError> {
    let reason = Some("a later tick takes its place".to_owned());
    let actor = Actor { name: format!("schedule:{}", schedule.name), reason };
    tx.cancel(live, &Unfinished::default(), &actor).await.map(drop)
}
