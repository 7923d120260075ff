//! `trunkline schedules`: what happens when, what became of it, and how to stop or start it by hand.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline_platform::duration;
use trunkline_platform::schedule::{Outcome, Schedule, ScheduleState, Schedules, TickRow, operate};
use trunkline_platform::task::Tasks;

use super::audit::ActorArgs;
use super::{database, output};
use crate::config::Config;
use crate::schedules::standing;
use crate::{mask, schedules};

/// Firings shown ahead.
const AHEAD: usize = 5;

#[derive(Args, Debug)]
pub(super) struct SchedulesCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List schedules with their next five firings, in their own time zone and in UTC
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show everything about one schedule
    Show {
        name: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Stop a schedule from firing, in every process, until it is resumed
    Pause(Change),
    /// Let a paused schedule fire again; what it skipped is not made up for
    Resume(Change),
    /// Fire a schedule now, once, also one that is paused
    Trigger(Change),
    /// List what became of ticks, the newest first
    History(History),
    /// Tell everything that is wrong with the files of schedules
    Check,
}

#[derive(Args, Debug)]
struct Change {
    name: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct History {
    /// Of this schedule [default: of all]
    name: Option<String>,
    /// Only ticks before this time: the last of the page before
    #[arg(long, value_name = "TIME")]
    before: Option<DateTime<Utc>>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

impl SchedulesCommand {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let jobs = trunkline_jobs::registry()?;
        let schedules = schedules::load(&config.schedules, &jobs)?;
        if let Action::Check = self.action {
            let count = schedules.iter().count();
            return output::print(&format!("{count} schedules, all of which can be used\n"));
        }
        let tasks = database::open_tasks(config).await?;
        let text = match self.action {
            Action::List { json } => list(&tasks, &schedules, json).await?,
            Action::Show { name, json } => show(&tasks, find(&schedules, &name)?, json).await?,
            Action::Pause(change) => change.pause(&tasks, &schedules).await?,
            Action::Resume(change) => change.resume(&tasks, &schedules).await?,
            Action::Trigger(change) => change.trigger(&tasks, &schedules).await?,
            Action::History(history) => history.text(&tasks).await?,
            Action::Check => String::new(),
        };
        output::print(&text)
    }
}

fn find<'s>(schedules: &'s Schedules, name: &str) -> Result<&'s Schedule> {
    schedules.get(name).with_context(|| {
        format!("there is no schedule {name:?}; `trunkline schedules list` tells which there are")
    })
}

async fn list(tasks: &Tasks, schedules: &Schedules, as_json: bool) -> Result<String> {
    let states = operate::states(tasks.db()).await?;
    let state = |schedule: &Schedule| states.iter().find(|state| state.name == schedule.name);
    let now = tasks.clock().now();
    if as_json {
        let all: Vec<Value> =
            schedules.iter().map(|schedule| as_document(schedule, state(schedule), now)).collect();
        return output::json(&all);
    }
    let mut table = output::Table::new(&["NAME", "JOB", "STATE", "NEXT, WHERE IT IS FOR", "NEXT, UTC", "IN"]);
    for schedule in schedules.iter() {
        let standing = standing(schedule, state(schedule));
        for (number, tick) in schedule.when.after(now).take(AHEAD).enumerate() {
            let once = |text: &str| if number == 0 { text.to_owned() } else { String::new() };
            table.row([
                once(&schedule.name),
                once(schedule.job),
                once(standing),
                local(schedule, tick),
                utc(tick),
                output::relative(tick, now),
            ]);
        }
    }
    Ok(table.text("there are no schedules"))
}

async fn show(tasks: &Tasks, schedule: &Schedule, as_json: bool) -> Result<String> {
    let states = operate::states(tasks.db()).await?;
    let state = states.iter().find(|state| state.name == schedule.name);
    let now = tasks.clock().now();
    if as_json {
        return output::json(&as_document(schedule, state, now));
    }
    let jitter = (!schedule.jitter.is_zero()).then(|| format!("up to {}", duration::write(schedule.jitter)));
    let payload = mask::json(schedule.payload()).to_string();
    let mut text = format!("schedule {}\n", schedule.name);
    text += &output::fields(&[
        ("state", Some(standing(schedule, state).to_owned())),
        ("paused", state.and_then(|state| state.paused_at).map(|at| output::time(at, now))),
        ("file", Some(schedule.file.clone())),
        ("cron", Some(schedule.when.expression().to_owned())),
        ("time zone", Some(schedule.when.zone().to_string())),
        ("job", Some(schedule.job.to_owned())),
        ("payload", Some(payload)),
        ("missed", Some(schedule.missed.to_string())),
        ("overlap", Some(schedule.overlap.to_string())),
        ("jitter", jitter),
        ("judged up to", state.map(|state| output::time(state.last_tick, now))),
    ]);
    text += "\nnext\n";
    for tick in schedule.when.after(now).take(AHEAD) {
        text += &format!("  {}  {}  {}\n", local(schedule, tick), utc(tick), output::relative(tick, now));
    }
    let recent = operate::history(tasks.db(), Some(&schedule.name), None, 10).await?;
    if !recent.is_empty() {
        text += "\nlately\n";
        text += &output::indented(&ticks(&recent, now));
    }
    Ok(text)
}

fn as_document(schedule: &Schedule, state: Option<&ScheduleState>, now: DateTime<Utc>) -> Value {
    let next: Vec<Value> = schedule
        .when
        .after(now)
        .take(AHEAD)
        .map(|tick| json!({"utc": tick, "local": tick.with_timezone(&schedule.when.zone()).to_rfc3339()}))
        .collect();
    json!({
        "name": schedule.name, "file": schedule.file, "state": standing(schedule, state),
        "cron": schedule.when.expression(), "time_zone": schedule.when.zone().to_string(),
        "job": schedule.job, "payload": mask::json(schedule.payload()),
        "missed": schedule.missed, "overlap": schedule.overlap, "jitter": duration::write(schedule.jitter),
        "enabled": schedule.enabled, "paused_at": state.and_then(|state| state.paused_at),
        "judged_up_to": state.map(|state| state.last_tick), "next": next,
    })
}

fn local(schedule: &Schedule, tick: DateTime<Utc>) -> String {
    tick.with_timezone(&schedule.when.zone()).format("%a %Y-%m-%d %H:%M:%S %Z").to_string()
}

fn utc(tick: DateTime<Utc>) -> String {
    tick.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl Change {
    async fn pause(self, tasks: &Tasks, schedules: &Schedules) -> Result<String> {
        let schedule = find(schedules, &self.name)?;
        let changed = operate::pause(tasks, schedule, &self.actor.actor()?).await?;
        if self.json {
            return output::json(&json!({"name": schedule.name, "paused": true, "changed": changed}));
        }
        Ok(match changed {
            true => {
                format!("{} is paused; `trunkline schedules resume {}` lets it go on\n", self.name, self.name)
            }
            false => format!("{} was paused already\n", self.name),
        })
    }

    async fn resume(self, tasks: &Tasks, schedules: &Schedules) -> Result<String> {
        let schedule = find(schedules, &self.name)?;
        let skipped = operate::resume(tasks, schedule, &self.actor.actor()?).await?;
        if self.json {
            let document = json!({"name": schedule.name, "paused": false, "changed": skipped.is_some(),
                "ticks_skipped": skipped.unwrap_or(0)});
            return output::json(&document);
        }
        Ok(match skipped {
            Some(0) => format!("{} goes on\n", self.name),
            Some(ticks) => format!("{} goes on; it skipped {ticks} ticks while it was paused\n", self.name),
            None => format!("{} was not paused\n", self.name),
        })
    }

    async fn trigger(self, tasks: &Tasks, schedules: &Schedules) -> Result<String> {
        let schedule = find(schedules, &self.name)?;
        let (outcome, task) = operate::trigger(tasks, schedule, &self.actor.actor()?).await?;
        let document = json!({"name": schedule.name, "outcome": outcome, "task": task});
        match (outcome, task) {
            (Outcome::Fired, _) if self.json => output::json(&document),
            (Outcome::Fired, Some(task)) => Ok(format!("task {task} is enqueued\n")),
            (Outcome::Existing, _) if self.json => output::json(&document),
            (Outcome::Existing, Some(task)) => {
                Ok(format!("task {task} does the same and has not ended: no second one is made\n"))
            }
            _ => bail!(
                "a task of an earlier tick has not ended and {} does not overlap (overlap = \"skip\"): wait, or \
                 cancel that task; `trunkline schedules history {}` names it",
                self.name,
                self.name
            ),
        }
    }
}

impl History {
    async fn text(self, tasks: &Tasks) -> Result<String> {
        let rows = operate::history(tasks.db(), self.name.as_deref(), self.before, self.limit).await?;
        if self.json { output::json(&rows) } else { Ok(ticks(&rows, tasks.clock().now())) }
    }
}

fn ticks(rows: &[TickRow], now: DateTime<Utc>) -> String {
    let mut table =
        output::Table::new(&["SCHEDULE", "TICK", "WHEN", "BY", "OUTCOME", ">TICKS", ">TASK", "ITS STATE"]);
    for row in rows {
        table.row([
            row.schedule.clone(),
            row.tick_at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            output::relative(row.tick_at, now),
            row.source.clone(),
            row.outcome.clone(),
            row.ticks.to_string(),
            row.task_id.map(|id| id.to_string()).unwrap_or_default(),
            row.task_state.clone().unwrap_or_default(),
        ]);
    }
    table.text("no schedule has ticked")
}
