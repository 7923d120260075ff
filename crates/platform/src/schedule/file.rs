//! Files of schedules. A mistake in one is told with file, line and column, and all of them are told at once: a
//! schedule that silently does not run is found out on the day it was for.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;

use super::when::{When, WhenError};
use crate::duration;
use crate::job::Registry;
use crate::task::NewTask;

/// The most ticks that are ever made up for at once.
const MOST_MISSED: u32 = 1_000;
/// Ticks that jitter is compared with.
const SAMPLE: usize = 100;

/// The text of a file, and what to call it.
#[derive(Clone, Debug)]
pub struct Source {
    pub file: String,
    pub text: String,
}

/// What becomes of ticks that nobody fired in time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    Skip,
    /// The last of them is made up for.
    #[default]
    Latest,
    /// The last so many of them are made up for, in order.
    AllUpTo(u32),
}

/// What a tick does that meets an unfinished task of an earlier one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    Allow,
    #[default]
    Skip,
    CancelOld,
}

/// A schedule that can run.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub name: String,
    /// The file it is from.
    pub file: String,
    pub when: When,
    pub job: &'static str,
    pub missed: Missed,
    pub overlap: Overlap,
    pub jitter: Duration,
    pub enabled: bool,
    pub(super) task: NewTask,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    pub file: String,
    /// Line and column, from 1.
    pub place: Option<(usize, usize)>,
    pub message: String,
}

/// The schedules of a program, by name.
#[derive(Clone, Debug, Default)]
pub struct Schedules(BTreeMap<String, Schedule>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: Spanned<String>,
    cron: Spanned<String>,
    time_zone: Option<Spanned<String>>,
    job: Spanned<String>,
    payload: Option<Spanned<toml::Table>>,
    #[serde(default)]
    missed: Option<Spanned<Missed>>,
    #[serde(default)]
    overlap: Option<Spanned<Overlap>>,
    jitter: Option<Spanned<String>>,
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip => f.pad("skip"),
            Self::Latest => f.pad("latest"),
            Self::AllUpTo(most) => f.pad(&format!("all up to {most}")),
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Allow => "allow",
            Self::Skip => "skip",
            Self::CancelOld => "cancel_old",
        })
    }
}

impl Schedules {
    /// Reads files, and checks that each names a job of `registry` with a payload that the job can read.
    ///
    /// # Errors
    /// With everything that is wrong with any of them.
    pub fn load<S: Send + Sync + 'static>(
        sources: &[Source],
        registry: &Registry<S>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut schedules: BTreeMap<String, Schedule> = BTreeMap::new();
        for source in sources {
            let (schedule, name_at) = match read(source, registry) {
                Ok(read) => read,
                Err(found) => {
                    problems.extend(found);
                    continue;
                }
            };
            if let Some(other) = schedules.get(&schedule.name) {
                let message = format!("{} is called {:?}, too", other.file, schedule.name);
                problems.push(source.problem(name_at, message));
                continue;
            }
            schedules.insert(schedule.name.clone(), schedule);
        }
        if problems.is_empty() { Ok(Self(schedules)) } else { Err(problems) }
    }

    pub fn get(&self, name: &str) -> Option<&Schedule> {
        self.0.get(name)
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = &Schedule> {
        self.0.values()
    }
}

impl Schedule {
    /// How long after a tick its task may begin: the same in every process, and different from tick to tick.
    pub fn jitter_of(&self, tick: DateTime<Utc>) -> TimeDelta {
        let most = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        if most == 0 {
            return TimeDelta::zero();
        }
        // FNV-1a: the same on every machine and in every release.
        let bytes = self.name.bytes().chain(tick.timestamp_micros().to_be_bytes());
        let seed = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let millis = StdRng::seed_from_u64(seed).random_range(0..=most);
        TimeDelta::milliseconds(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// The payload of its tasks, as JSON.
    pub fn payload(&self) -> &str {
        &self.task.payload
    }

    /// What decides its ticks. When this changes, what lies before the change was not missed.
    pub(super) fn definition(&self) -> String {
        self.when.to_string()
    }
}

impl Source {
    fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let place = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
        Problem { file: self.file.clone(), place: Some(place), message: message.into() }
    }
}

type ReadSchedule = (Schedule, Range<usize>);

fn read<S: Send + Sync + 'static>(
    source: &Source,
    registry: &Registry<S>,
) -> Result<ReadSchedule, Vec<Problem>> {
    let text: Text = toml::from_str(&source.text).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        vec![match error.span() {
            Some(span) => source.problem(span, message),
            None => Problem { file: source.file.clone(), place: None, message },
        }]
    })?;
    let mut problems = Vec::new();
    if !is_name(text.name.get_ref()) {
        let message = "a name is made of lower case letters, digits, dots, dashes and underscores";
        problems.push(source.problem(text.name.span(), message));
    }
    let zone = text.time_zone.as_ref().map_or(Some(Tz::UTC), |zone| {
        let known = zone.get_ref().parse().ok();
        if known.is_none() {
            let message = format!("there is no time zone {:?}; write one like Europe/Berlin", zone.get_ref());
            problems.push(source.problem(zone.span(), message));
        }
        known
    });
    let when = match When::parse(text.cron.get_ref(), zone.unwrap_or(Tz::UTC)) {
        Ok(when) => Some(when),
        Err(error) => {
            problems.push(source.problem(text.cron.span(), cron_message(&error)));
            None
        }
    };
    let missed = text.missed.map_or_else(Missed::default, |missed| {
        if let Missed::AllUpTo(most) = missed.get_ref()
            && !(1..=MOST_MISSED).contains(most)
        {
            problems.push(source.problem(missed.span(), format!("all_up_to goes from 1 to {MOST_MISSED}")));
        }
        missed.into_inner()
    });
    let jitter = text.jitter.as_ref().map_or(Some(Duration::ZERO), |written| {
        let jitter = duration::parse(written.get_ref());
        let message = match (jitter, &when) {
            (None, _) => {
                "this is no duration: write a whole number and ms, s, m, h or d, such as \"30s\"".to_owned()
            }
            (Some(jitter), Some(when)) if !fits(jitter, when) => {
                "the jitter reaches beyond the next tick; keep it below the shortest time between two"
                    .to_owned()
            }
            _ => return jitter,
        };
        problems.push(source.problem(written.span(), message));
        None
    });
    let task =
        task(source, &text.job, text.payload.as_ref(), registry).map_err(|problem| problems.push(problem));
    let overlap = text.overlap.map_or_else(Overlap::default, |overlap| {
        if *overlap.get_ref() == Overlap::CancelOld
            && let Ok(task) = &task
            && task.unique_key.is_some()
        {
            problems.push(source.problem(overlap.span(), keeps_key(task.kind)));
        }
        overlap.into_inner()
    });
    match (when, jitter, task) {
        (Some(when), Some(jitter), Ok(task)) if problems.is_empty() => {
            let name_at = text.name.span();
            let schedule = Schedule {
                name: text.name.into_inner(),
                file: source.file.clone(),
                when,
                job: task.kind,
                missed,
                overlap,
                jitter,
                enabled: text.enabled,
                task,
            };
            Ok((schedule, name_at))
        }
        _ => Err(problems),
    }
}

/// A task that was told to stop holds its key until it has stopped, and a key held for a period outlives its task.
fn keeps_key(job: &str) -> String {
    format!("{job} holds a unique key, so there can be no newer task while an old one stops; write \"skip\"")
}

fn cron_message(error: &WhenError) -> String {
    error.to_string()
}

/// The task every tick makes.
fn task<S: Send + Sync + 'static>(
    source: &Source,
    job: &Spanned<String>,
    payload: Option<&Spanned<toml::Table>>,
    registry: &Registry<S>,
) -> Result<NewTask, Problem> {
    let Some(known) = registry.get(job.get_ref()) else {
        let names: Vec<&str> = registry.jobs().map(|job| job.name).collect();
        let near = nearest(job.get_ref(), &names);
        let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        return Err(source.problem(job.span(), format!("there is no job {:?}{hint}", job.get_ref())));
    };
    let span = payload.map_or(job.span(), Spanned::span);
    let given =
        payload.map_or_else(|| Value::Object(serde_json::Map::default()), |table| object(table.get_ref()));
    let task = known.task(&given.to_string()).map_err(|error| {
        source.problem(span.clone(), format!("{} cannot read this payload: {error}", known.name))
    })?;
    let taken: Value = serde_json::from_str(&task.payload).unwrap_or_default();
    match given.as_object().and_then(|given| given.keys().find(|key| taken.get(key).is_none())) {
        Some(key) => Err(source.problem(span, format!("the payload of {} has no field {key:?}", known.name))),
        None => Ok(task),
    }
}

/// The known name that begins alike, or has the same last word.
fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let common = |other: &str| name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    names.iter().copied().filter(|other| common(other) >= 3).max_by_key(|other| common(other))
}

/// Whether each task can begin before the next tick.
fn fits(jitter: Duration, when: &When) -> bool {
    let start = DateTime::UNIX_EPOCH + TimeDelta::days(365 * 56);
    let ticks: Vec<_> = when.after(start).take(SAMPLE).collect();
    let jitter = TimeDelta::from_std(jitter).unwrap_or(TimeDelta::MAX);
    ticks.windows(2).all(|pair| matches!(pair, [one, next] if jitter < *next - *one))
}

fn is_name(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    !name.is_empty() && name.len() <= 100 && name.bytes().all(known)
}

fn object(table: &toml::Table) -> Value {
    Value::Object(table.iter().map(|(key, value)| (key.clone(), json(value))).collect())
}

fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(flag) => Value::from(*flag),
        toml::Value::Datetime(time) => Value::from(time.to_string()),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => object(table),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
