//! Schedules: what happens when, what became of it, and stopping and starting it by hand.

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::Value;
use trunkline_platform::duration;
use trunkline_platform::schedule::{Outcome, Schedule, ScheduleState, TickRow, operate};

use super::granted::{Granted, Operate, Read, View};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use crate::schedules::standing;

/// Firings shown ahead.
const AHEAD: usize = 5;

pub(super) struct SchedulesApi(pub(super) Desk);

/// How a schedule stands: `new`, no process has seen it yet; `off`, its file says so
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum ScheduleStanding {
    On,
    Paused,
    Off,
    New,
}

/// A schedule
#[derive(Debug, Object)]
#[oai(rename = "Schedule")]
struct Plan {
    name: String,
    state: ScheduleStanding,
    cron: String,
    time_zone: String,
    /// The name of the job
    job: String,
    payload: Any<Value>,
    /// What becomes of ticks that nobody fired in time
    missed: String,
    /// What a tick does that meets an unfinished task of an earlier one
    overlap: String,
    /// Up to how much later a tick is fired
    jitter: String,
    /// Where it is written
    file: String,
    paused_at: Option<DateTime<Utc>>,
    /// Up to when its ticks were judged
    judged_up_to: Option<DateTime<Utc>>,
    /// The next five
    next: Vec<DateTime<Utc>>,
}

/// What became of a tick, or of several that were skipped together
#[derive(Debug, Object)]
struct Tick {
    /// The last of those it stands for
    tick_at: DateTime<Utc>,
    /// `cron` or `manual`
    source: String,
    /// `fired`, `existing`, `skipped_missed`, `skipped_overlap` or `skipped_paused`
    outcome: String,
    /// How many it stands for
    ticks: i64,
    fired_at: DateTime<Utc>,
    task: Option<i64>,
    task_state: Option<String>,
}

/// Why it is done
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct ScheduleAct {
    /// For the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// A schedule that was fired
#[derive(Debug, Object)]
struct ScheduleFired {
    /// `fired`; or `existing`, a task does the same and has not ended
    outcome: String,
    task: Option<i64>,
}

#[OpenApi(tag = "Tag::Schedules")]
impl SchedulesApi {
    /// List schedules
    #[oai(path = "/schedules", method = "get", operation_id = "list_schedules")]
    async fn list(&self, _by: Granted<Read>) -> Answer<Vec<Plan>> {
        let states = operate::states(self.0.tasks.db()).await?;
        let now = self.0.tasks.clock().now();
        let plans =
            self.0.schedules.iter().map(|schedule| {
                Plan::of(schedule, states.iter().find(|state| state.name == schedule.name), now)
            });
        Ok(Json(plans.collect()))
    }

    /// Show a schedule
    #[oai(path = "/schedules/:id", method = "get", operation_id = "show_schedule")]
    async fn show(&self, _by: Granted<Read>, id: Path<String>) -> Answer<Plan> {
        self.read(&id.0).await
    }

    /// List what became of a schedule's ticks
    ///
    /// The newest first.
    #[oai(path = "/schedules/:id/ticks", method = "get", operation_id = "list_schedule_ticks")]
    async fn ticks(
        &self,
        _by: Granted<Read>,
        id: Path<String>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Tick>> {
        let schedule = self.find(&id.0)?;
        let listing = Listing::of("schedule_ticks", &schedule.name);
        let before: Option<DateTime<Utc>> = listing.after(cursor.0.as_deref())?;
        let rows = operate::history(self.0.tasks.db(), Some(&schedule.name), before, limit.0 + 1).await?;
        Ok(listing.page(rows, limit.0, |row| row.tick_at, Tick::of))
    }

    /// Pause a schedule
    ///
    /// It does not fire until it is resumed, in any process.
    #[oai(path = "/schedules/:id/pause", method = "post", operation_id = "pause_schedule")]
    async fn pause(&self, by: Granted<Operate>, id: Path<String>, body: Json<ScheduleAct>) -> Answer<Plan> {
        operate::pause(&self.0.tasks, self.find(&id.0)?, &by.actor(body.0.reason)).await?;
        self.read(&id.0).await
    }

    /// Resume a schedule
    ///
    /// What it skipped is not made up for.
    #[oai(path = "/schedules/:id/resume", method = "post", operation_id = "resume_schedule")]
    async fn resume(&self, by: Granted<Operate>, id: Path<String>, body: Json<ScheduleAct>) -> Answer<Plan> {
        operate::resume(&self.0.tasks, self.find(&id.0)?, &by.actor(body.0.reason)).await?;
        self.read(&id.0).await
    }

    /// Fire a schedule now
    ///
    /// Once, also one that is paused or off.
    #[oai(path = "/schedules/:id/fire", method = "post", operation_id = "fire_schedule")]
    async fn fire(
        &self,
        by: Granted<Operate>,
        id: Path<String>,
        body: Json<ScheduleAct>,
    ) -> Answer<ScheduleFired> {
        let schedule = self.find(&id.0)?;
        let fired = operate::trigger(&self.0.tasks, schedule, &by.actor(body.0.reason)).await?;
        match fired {
            (outcome @ (Outcome::Fired | Outcome::Existing), task) => {
                Ok(Json(ScheduleFired { outcome: outcome.to_string(), task: task.map(|task| task.0) }))
            }
            _ => Err(Problem::conflict(format!(
                "a task of an earlier tick has not ended and {} does not overlap; see list_schedule_ticks",
                schedule.name
            ))),
        }
    }
}

impl SchedulesApi {
    fn find(&self, name: &str) -> Result<&Schedule, Problem> {
        let found = self.0.schedules.get(name);
        found.ok_or_else(|| Problem::not_found(format!("schedule {name:?}; see list_schedules")))
    }

    async fn read(&self, name: &str) -> Answer<Plan> {
        let schedule = self.find(name)?;
        let states = operate::states(self.0.tasks.db()).await?;
        let state = states.iter().find(|state| state.name == schedule.name);
        Ok(Json(Plan::of(schedule, state, self.0.tasks.clock().now())))
    }
}

impl Plan {
    fn of(schedule: &Schedule, state: Option<&ScheduleState>, now: DateTime<Utc>) -> Self {
        Self {
            name: schedule.name.clone(),
            state: match standing(schedule, state) {
                "on" => ScheduleStanding::On,
                "paused" => ScheduleStanding::Paused,
                "off" => ScheduleStanding::Off,
                _ => ScheduleStanding::New,
            },
            cron: schedule.when.expression().to_owned(),
            time_zone: schedule.when.zone().to_string(),
            job: schedule.job.to_owned(),
            payload: Any(View::of(false).json(schedule.payload())),
            missed: schedule.missed.to_string(),
            overlap: schedule.overlap.to_string(),
            jitter: duration::write(schedule.jitter),
            file: schedule.file.clone(),
            paused_at: state.and_then(|state| state.paused_at),
            judged_up_to: state.map(|state| state.last_tick),
            next: schedule.when.after(now).take(AHEAD).collect(),
        }
    }
}

impl Tick {
    fn of(row: TickRow) -> Self {
        Self {
            tick_at: row.tick_at,
            source: row.source,
            outcome: row.outcome,
            ticks: row.ticks,
            fired_at: row.fired_at,
            task: row.task_id.map(|task| task.0),
            task_state: row.task_state,
        }
    }
}
