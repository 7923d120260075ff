//! Days, weeks and months of the business's own clock, and the hours they are made of.

use std::fmt;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use thiserror::Error;

/// Days told of when nobody says which.
pub const USUAL_DAYS: u32 = 30;
/// The most periods that one look tells of.
const MOST_PERIODS: usize = 400;
const HOUR: i64 = 3_600;

/// What figures are told by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Breakdown {
    Number,
    User,
    Day,
    /// From Monday on.
    Week,
    Month,
}

/// Days of the business's clock, the first and the last among them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Range {
    pub from: NaiveDate,
    pub to: NaiveDate,
}

#[derive(Debug, Error, Eq, PartialEq)]
pub enum RangeError {
    #[error("{from} is after {to}: the first day comes first")]
    Backwards { from: NaiveDate, to: NaiveDate },
    #[error("{from} to {to} is more than {MOST_PERIODS} {by}s: ask for fewer days, or for longer periods")]
    TooMany { from: NaiveDate, to: NaiveDate, by: Breakdown },
    #[error("{0} lies beyond what a calendar holds")]
    Calendar(NaiveDate),
}

/// A stretch of time with the name it is told by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Period {
    pub(super) name: String,
    pub(super) since: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
}

impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "number",
            Self::User => "user",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        })
    }
}

impl Range {
    /// So many days up to the day of `now`.
    pub fn last_days(days: u32, now: DateTime<Utc>, zone: Tz) -> Self {
        let to = now.with_timezone(&zone).date_naive();
        let back = Days::new(u64::from(days.max(1)) - 1);
        Self { from: to.checked_sub_days(back).unwrap_or(to), to }
    }

    /// From the first to the last day that were asked for. Without a last up to today, or to the first where that lies
    /// ahead; without a first so many days.
    pub fn asked(
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
        days: u32,
        now: DateTime<Utc>,
        zone: Tz,
    ) -> Self {
        let today = Self::last_days(1, now, zone).to;
        let to = to.unwrap_or(today.max(from.unwrap_or(today)));
        let back = Days::new(u64::from(days.max(1)) - 1);
        Self { from: from.unwrap_or(to.checked_sub_days(back).unwrap_or(to)), to }
    }

    /// The whole as one period.
    pub(super) fn whole(self, zone: Tz) -> Result<Period, RangeError> {
        if self.from > self.to {
            return Err(RangeError::Backwards { from: self.from, to: self.to });
        }
        let end = next_day(self.to)?;
        let name = String::new();
        Ok(Period { name, since: midnight(self.from, zone)?, until: midnight(end, zone)? })
    }

    /// Its days, weeks or months; those at its ends are cut where it ends.
    pub(super) fn periods(self, by: Breakdown, zone: Tz) -> Result<Vec<Period>, RangeError> {
        let whole = self.whole(zone)?;
        if matches!(by, Breakdown::Number | Breakdown::User) {
            return Ok(vec![whole]);
        }
        let mut periods = Vec::new();
        let mut day = self.from;
        while day <= self.to {
            if periods.len() == MOST_PERIODS {
                return Err(RangeError::TooMany { from: self.from, to: self.to, by });
            }
            let (name, next) = self.step(day, by)?;
            let until = midnight(next, zone)?.min(whole.until);
            periods.push(Period { name, since: midnight(day, zone)?, until });
            day = next;
        }
        Ok(periods)
    }

    /// The name of the period a day begins in, and the first day after it.
    fn step(self, day: NaiveDate, by: Breakdown) -> Result<(String, NaiveDate), RangeError> {
        let beyond = || RangeError::Calendar(day);
        match by {
            Breakdown::Week => {
                let monday = day - Days::new(u64::from(day.weekday().num_days_from_monday()));
                let next = monday.checked_add_days(Days::new(7)).ok_or_else(beyond)?;
                Ok((day.format("%G-W%V").to_string(), next))
            }
            Breakdown::Month => {
                let first = day.with_day(1).ok_or_else(beyond)?;
                let next = first.checked_add_months(Months::new(1)).ok_or_else(beyond)?;
                Ok((day.format("%Y-%m").to_string(), next))
            }
            _ => Ok((day.to_string(), next_day(day)?)),
        }
    }
}

fn next_day(day: NaiveDate) -> Result<NaiveDate, RangeError> {
    day.checked_add_days(Days::new(1)).ok_or(RangeError::Calendar(day))
}

/// When a day begins. Where the clock is put forward over midnight, it begins with the first hour there is.
fn midnight(day: NaiveDate, zone: Tz) -> Result<DateTime<Utc>, RangeError> {
    let start = day.and_time(NaiveTime::MIN);
    let begins = (0..=4).find_map(|hours| {
        let at = start.checked_add_signed(TimeDelta::hours(hours))?;
        zone.from_local_datetime(&at).earliest()
    });
    begins.map(|at| at.with_timezone(&Utc)).ok_or(RangeError::Calendar(day))
}

/// Minutes past the full hour of UTC at which the hours of a zone begin: 0 nearly everywhere, 30 in India.
pub(super) fn shift_minutes(zone: Tz, now: DateTime<Utc>) -> i64 {
    let offset = i64::from(zone.offset_from_utc_datetime(&now.naive_utc()).fix().local_minus_utc());
    (-offset).rem_euclid(HOUR) / 60
}

/// When the hour of a time began.
pub(super) fn hour_of(at: DateTime<Utc>, shift_minutes: i64) -> DateTime<Utc> {
    let shift = shift_minutes * 60;
    let seconds = (at.timestamp() - shift).div_euclid(HOUR) * HOUR + shift;
    DateTime::from_timestamp(seconds, 0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America, Asia, UTC};

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn range(from: &str, to: &str) -> Range {
        Range { from: day(from), to: day(to) }
    }

    fn names(range: Range, by: Breakdown) -> Vec<String> {
        range.periods(by, UTC).unwrap().into_iter().map(|period| period.name).collect()
    }

    #[test]
    fn a_day_begins_and_ends_by_the_business_s_clock_also_when_the_clock_changes() {
        let periods = range("2026-03-07", "2026-03-09").periods(Breakdown::Day, America::New_York).unwrap();
        let hours: Vec<i64> = periods.iter().map(|day| (day.until - day.since).num_hours()).collect();
        assert_eq!(hours, [24, 23, 24]);
        assert_eq!(periods[0].since.to_rfc3339(), "2026-03-07T05:00:00+00:00");
        assert!(periods.windows(2).all(|pair| pair[0].until == pair[1].since));
    }

    #[test]
    fn a_day_without_a_midnight_begins_with_its_first_hour() {
        let start = midnight(day("2018-11-04"), America::Sao_Paulo).unwrap();
        assert_eq!(start.with_timezone(&America::Sao_Paulo).to_rfc3339(), "2018-11-04T01:00:00-02:00");
    }

    #[test]
    fn weeks_begin_on_monday_and_are_cut_at_the_ends_as_months_are() {
        assert_eq!(
            names(range("2026-01-01", "2026-01-12"), Breakdown::Week),
            ["2026-W01", "2026-W02", "2026-W03"]
        );
        assert_eq!(
            names(range("2026-01-31", "2026-03-01"), Breakdown::Month),
            ["2026-01", "2026-02", "2026-03"]
        );
        let weeks = range("2026-01-01", "2026-01-12").periods(Breakdown::Week, UTC).unwrap();
        assert_eq!((weeks[0].until - weeks[0].since).num_days(), 4);
        assert_eq!((weeks[2].until - weeks[2].since).num_days(), 1);
    }

    #[test]
    fn what_makes_no_sense_or_too_many_rows_is_refused() {
        assert!(matches!(range("2026-01-02", "2026-01-01").whole(UTC), Err(RangeError::Backwards { .. })));
        let years = range("2020-01-01", "2026-01-01");
        assert!(matches!(years.periods(Breakdown::Day, UTC), Err(RangeError::TooMany { .. })));
        assert_eq!(years.periods(Breakdown::Month, UTC).unwrap().len(), 73);
        assert!(Range { from: NaiveDate::MIN, to: NaiveDate::MAX }.whole(UTC).is_err());
    }

    #[test]
    fn hours_begin_where_the_zone_s_clock_strikes() {
        let now = "2026-03-02T09:10:00Z".parse().unwrap();
        assert_eq!(shift_minutes(America::New_York, now), 0);
        assert_eq!(shift_minutes(Asia::Kolkata, now), 30);
        assert_eq!(shift_minutes(Asia::Kathmandu, now), 15);
        assert_eq!(hour_of(now, 0).to_rfc3339(), "2026-03-02T09:00:00+00:00");
        assert_eq!(hour_of(now, 30).to_rfc3339(), "2026-03-02T08:30:00+00:00");
        assert_eq!(hour_of(now, 15).to_rfc3339(), "2026-03-02T08:15:00+00:00");
    }

    #[test]
    fn what_is_not_asked_for_is_the_last_days_and_a_day_ahead_stands_alone() {
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        let asked =
            |from: Option<&str>, to: Option<&str>| Range::asked(from.map(day), to.map(day), 2, now, UTC);
        assert_eq!(asked(None, None), range("2026-03-01", "2026-03-02"));
        assert_eq!(asked(None, Some("2026-01-31")), range("2026-01-30", "2026-01-31"));
        assert_eq!(asked(Some("2026-02-01"), None), range("2026-02-01", "2026-03-02"));
        assert_eq!(asked(Some("2026-04-01"), None), range("2026-04-01", "2026-04-01"));
    }

    #[test]
    fn the_last_days_include_today() {
        let now = "2026-03-02T03:00:00Z".parse().unwrap();
        assert_eq!(Range::last_days(2, now, America::New_York), range("2026-02-28", "2026-03-01"));
    }
}
