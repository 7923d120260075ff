//! Figures on calls, as the API tells them.

use chrono::{DateTime, NaiveDate, Utc};
use poem_openapi::{Enum, Object};
use trunkline_jobs::calls::stats::{Breakdown, CallStats, Group, Hour, StatsError};

use super::super::granted::View;
use super::super::problem::Problem;

/// What figures are told by
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "CallBreakdown", rename_all = "snake_case")]
pub(super) enum By {
    Number,
    User,
    Day,
    /// From Monday on
    Week,
    Month,
    /// Weekday and hour
    Hour,
}

/// Figures on calls
#[derive(Debug, Object)]
#[oai(rename = "CallFigures")]
pub(super) struct Figures {
    /// The first day
    from: NaiveDate,
    /// The last day
    to: NaiveDate,
    timezone: String,
    /// As of when the counts are; absent while nothing was counted yet
    counted_at: Option<DateTime<Utc>>,
    /// Changes since then, up to 10,000
    waiting: i64,
    total: Sums,
    /// By what was asked for, periods without calls among them
    groups: Vec<Sums>,
    /// The 168 hours of a week, Monday's first hour first; only by hour
    #[oai(skip_serializing_if_is_none)]
    hours: Option<Vec<WeekHour>>,
}

/// The figures of a number, a user or a period
#[derive(Debug, Object)]
#[oai(rename = "CallSums")]
struct Sums {
    /// The provider's id, or the period: `2026-03-01`, `2026-W09`, `2026-03`. Empty in the total, and where nobody told
    name: String,
    /// A number of ours as people dial it
    dialled: Option<String>,
    calls: i64,
    incoming: i64,
    answered: i64,
    missed: i64,
    voicemail: i64,
    abandoned: i64,
    forwarded: i64,
    ai_handled: i64,
    unanswered: i64,
    failed: i64,
    other: i64,
    /// Of incoming calls, those that nobody took: from 0 to 1
    missed_rate: Option<f64>,
    average_ms: Option<i64>,
    median_ms: Option<i64>,
}

/// Calls that began at one hour of the week
#[derive(Debug, Object)]
#[oai(rename = "CallHour")]
struct WeekHour {
    /// 0 is Monday
    weekday: u8,
    hour: u8,
    calls: i64,
    incoming: i64,
    /// Incoming ones that nobody took
    missed: i64,
}

impl By {
    /// None for the hours of the week, which are told beside the groups.
    pub(super) fn breakdown(self) -> Option<Breakdown> {
        match self {
            Self::Number => Some(Breakdown::Number),
            Self::User => Some(Breakdown::User),
            Self::Day => Some(Breakdown::Day),
            Self::Week => Some(Breakdown::Week),
            Self::Month => Some(Breakdown::Month),
            Self::Hour => None,
        }
    }
}

impl Figures {
    pub(super) fn of(stats: CallStats, hours: Option<Vec<Hour>>, view: View) -> Self {
        Self {
            from: stats.range.from,
            to: stats.range.to,
            timezone: stats.timezone,
            counted_at: stats.counted_at,
            waiting: stats.waiting,
            total: Sums::of(stats.total, view),
            groups: stats.groups.into_iter().map(|group| Sums::of(group, view)).collect(),
            hours: hours.map(|hours| hours.into_iter().map(WeekHour::of).collect()),
        }
    }
}

impl Sums {
    fn of(group: Group, view: View) -> Self {
        let counts = group.counts;
        Self {
            name: group.name,
            dialled: group.dialled.map(|number| view.number(&number)),
            calls: counts.total,
            incoming: counts.incoming,
            answered: counts.answered,
            missed: counts.missed,
            voicemail: counts.voicemail,
            abandoned: counts.abandoned,
            forwarded: counts.forwarded,
            ai_handled: counts.ai_handled,
            unanswered: counts.unanswered,
            failed: counts.failed,
            other: counts.other,
            missed_rate: group.missed_rate,
            average_ms: group.average_ms,
            median_ms: group.median_ms,
        }
    }
}

impl WeekHour {
    fn of(hour: Hour) -> Self {
        Self {
            weekday: hour.weekday,
            hour: hour.hour,
            calls: hour.total,
            incoming: hour.incoming,
            missed: hour.missed,
        }
    }
}

impl From<StatsError> for Problem {
    fn from(error: StatsError) -> Self {
        match error {
            StatsError::Database(error) => error.into(),
            StatsError::Range(error) => Self::invalid(error.to_string()),
            StatsError::NoLine(_) => Self::invalid(crate::mask::phones_in(&error.to_string())),
        }
    }
}
