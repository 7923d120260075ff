//! When a schedule ticks: a cron expression read on the wall clock of a time zone.
//!
//! Twice a year wall clocks jump, and a day has a gap or a fold. What a schedule does then depends on whether it
//! means a time of day or a pace:
//!
//! * **A time of day** (the expression names hours): every time the expression names happens once. One that falls
//!   into a gap happens at the first moment after it; one that a fold has twice happens the first time. Times that
//!   meet in one moment are one tick.
//! * **A pace** (the expression takes every hour: `*/15 * * * *`): it ticks whenever the wall clock shows a time
//!   that matches, so the pace goes on through a fold and loses nothing in a gap. Where clocks jump by half an hour,
//!   an hourly tick is once 90 minutes after the one before, in either direction.
//!
//! The `cron` crate only ever sees times without a zone. Its own way through a fold visits times twice.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use cron::TimeUnitSpec;
use thiserror::Error;

/// Longer than any zone is away from UTC, twice over: no jump reaches further.
const BEYOND_ANY_JUMP: TimeDelta = TimeDelta::hours(27);
/// How far changes of offset are looked for at a time.
const STRIDE: TimeDelta = TimeDelta::days(1);

/// Why an expression cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum WhenError {
    #[error(
        "an expression has five fields (minute hour day month weekday), or six with the second before them; this has {0}"
    )]
    Fields(usize),
    #[error(
        "write weekdays by name (MON-FRI): numbers of weekdays mean different days to different programs"
    )]
    WeekdayNumber,
    #[error("this is no cron expression: {0}")]
    Syntax(String),
    #[error("this names no date that ever comes")]
    Never,
}

/// A cron expression in a time zone.
#[derive(Clone, Debug)]
pub struct When {
    expression: String,
    zone: Tz,
    cron: cron::Schedule,
    /// Every hour is taken: a pace and not a time of day.
    is_pace: bool,
}

impl When {
    /// Reads an expression of five fields, of six with the second before them, or `@hourly`, `@daily`, `@weekly`,
    /// `@monthly`, `@yearly`. Where both day and weekday are given, both must hold.
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, WhenError> {
        let expression = expression.trim();
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let with_seconds = match fields.len() {
            1 if expression.starts_with('@') => expression.to_owned(),
            5 => format!("0 {}", fields.join(" ")),
            6 => fields.join(" "),
            other => return Err(WhenError::Fields(other)),
        };
        // Behind a slash it is a step, and means the same everywhere.
        if fields.len() > 1
            && fields.last().is_some_and(|days| {
                days.split(',').any(|day| {
                    day.split('/').next().is_some_and(|day| day.contains(|c: char| c.is_ascii_digit()))
                })
            })
        {
            return Err(WhenError::WeekdayNumber);
        }
        let cron = cron::Schedule::from_str(&with_seconds)
            .map_err(|error| WhenError::Syntax(one_line(&error.to_string())))?;
        let is_pace = cron.hours().count() == 24;
        let when = Self { expression: expression.to_owned(), zone, cron, is_pace };
        when.next(DateTime::UNIX_EPOCH + TimeDelta::days(365 * 55)).ok_or(WhenError::Never)?;
        Ok(when)
    }

    pub fn expression(&self) -> &str {
        &self.expression
    }

    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first tick after a time.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_pace { self.next_of_pace(after) } else { self.next_time_of_day(after) }
    }

    /// The ticks after a time, in order.
    pub fn after(&self, time: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(self.next(time), |tick| self.next(*tick))
    }

    /// Wall-clock times later than what the clock shows now, each at the one moment that stands for it. Moments
    /// never go back while times go on, so the first that lies ahead is the next.
    fn next_time_of_day(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut shown = self.shown(after);
        loop {
            shown = self.matching(shown)?;
            let moment = self.moment(shown);
            if moment > after {
                return Some(moment);
            }
        }
    }

    /// Goes on with the offset of the moment, from one change of offset to the next.
    fn next_of_pace(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut from = after;
        let mut shown = self.shown(from);
        loop {
            let matching = self.matching(shown)?;
            let tick = from + (matching - shown);
            let to = tick.min(from + STRIDE);
            if let Some(change) = self.change_of_offset(from, to) {
                if tick < change {
                    return Some(tick);
                }
                // The moment of the change itself can match.
                from = change;
                shown = self.shown(change) - TimeDelta::seconds(1);
                if self.matching(shown)? == self.shown(change) {
                    return Some(change);
                }
                shown = self.shown(change);
                continue;
            }
            if tick <= to {
                return Some(tick);
            }
            // Nothing matches for long, whatever the offsets in between.
            from = to.max(self.moment(matching) - STRIDE * 2);
            shown = self.shown(from);
        }
    }

    /// The next time without a zone that the expression matches.
    fn matching(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.after(&after.and_utc()).next().map(|time| time.naive_utc())
    }

    fn shown(&self, moment: DateTime<Utc>) -> NaiveDateTime {
        moment.with_timezone(&self.zone).naive_local()
    }

    /// The first moment at which the wall clock shows a time or, in a gap, one after it.
    fn moment(&self, shown: NaiveDateTime) -> DateTime<Utc> {
        match self.zone.from_local_datetime(&shown) {
            LocalResult::Single(moment) => moment.to_utc(),
            LocalResult::Ambiguous(one, other) => one.min(other).to_utc(),
            LocalResult::None => {
                let around = shown.and_utc();
                first(around - BEYOND_ANY_JUMP, around + BEYOND_ANY_JUMP, |moment| {
                    self.shown(moment) >= shown
                })
            }
        }
    }

    /// The moment between two at which the clock jumps. Two jumps within a day do not happen.
    fn change_of_offset(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let offset = |moment: DateTime<Utc>| self.shown(moment) - moment.naive_utc();
        let before = offset(from);
        (offset(to) != before).then(|| first(from, to, |moment| offset(moment) != before))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.expression, self.zone)
    }
}

/// The first whole second after `low` and up to `high` for which something holds that holds from then on.
fn first(low: DateTime<Utc>, high: DateTime<Utc>, holds: impl Fn(DateTime<Utc>) -> bool) -> DateTime<Utc> {
    let whole = |moment: DateTime<Utc>| moment.timestamp();
    let (mut low, mut high) = (whole(low), whole(high));
    let moment = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(moment(middle)) { high = middle } else { low = middle }
    }
    moment(high)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "when_tests.rs"]
mod tests;
