//! The hours at which people may be texted, by their own clocks.
//!
//! Hours are kept for each day of the week, with days on which nothing goes at all. Where a person may be in one of
//! several zones, the hour must be right in all of them. Daylight saving is the zone's business: what counts is what the
//! clock on the wall shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How far ahead an hour is looked for.
const HORIZON_DAYS: u64 = 60;
/// Turns of the search; each goes to a later time, and a zone has one opening a day.
const MOST_TURNS: u32 = 2_000;

const WEEK: [Weekday; 7] =
    [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

/// `09:00-20:00` every day, or `mon-fri 09:00-20:00, sat 10:00-18:00`; days that are not named are closed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    /// By the number of days from Monday.
    days: [Option<(NaiveTime, NaiveTime)>; 7],
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{0:?} are no hours: write 09:00-20:00, or mon-fri 09:00-20:00, sat 10:00-18:00")]
pub struct HoursError(String);

/// Days on which nothing is sent, and what they are called.
pub type Holidays = BTreeMap<NaiveDate, String>;

#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("line {line} is no holiday: write a date and its name, such as 2026-12-25 Christmas Day")]
pub struct HolidaysError {
    pub line: usize,
}

/// Reads one day to a line; `#` begins a comment.
///
/// # Errors
/// With the first line that is none.
pub fn read_holidays(text: &str) -> Result<Holidays, HolidaysError> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let (date, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let date = date.parse().map_err(|_| HolidaysError { line: number })?;
            Ok((date, name.trim().to_owned()))
        })
        .collect()
}

impl Hours {
    /// The same hours on every day.
    pub fn daily(from: NaiveTime, to: NaiveTime) -> Self {
        Self { days: [Some((from, to)); 7] }
    }

    /// Whether the clock shows the right hour in all these zones.
    pub fn open(&self, zones: &[Tz], holidays: &Holidays, at: DateTime<Utc>) -> bool {
        zones.iter().all(|zone| self.open_in(*zone, holidays, at))
    }

    /// The first time from `now` on at which a text may go and may still go `margin` later. None: not in the next weeks,
    /// if ever.
    pub fn next_open(
        &self,
        zones: &[Tz],
        holidays: &Holidays,
        margin: TimeDelta,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let (mut at, end) = (now, now + Days::new(HORIZON_DAYS));
        for _ in 0..MOST_TURNS {
            let closed = zones.iter().find_map(|zone| {
                let shut = [at, at + margin].into_iter().find(|at| !self.open_in(*zone, holidays, *at))?;
                Some((*zone, shut))
            });
            match closed {
                None => return Some(at),
                Some((zone, shut)) => at = self.opening_after(zone, holidays, shut).filter(|at| *at < end)?,
            }
        }
        None
    }

    fn on(&self, date: NaiveDate, holidays: &Holidays) -> Option<(NaiveTime, NaiveTime)> {
        let day = date.weekday().num_days_from_monday() as usize;
        self.days[day].filter(|_| !holidays.contains_key(&date))
    }

    fn open_in(&self, zone: Tz, holidays: &Holidays, at: DateTime<Utc>) -> bool {
        let local = at.with_timezone(&zone).naive_local();
        self.on(local.date(), holidays).is_some_and(|(from, to)| (from..to).contains(&local.time()))
    }

    /// The next time after `at` at which the hours begin.
    fn opening_after(&self, zone: Tz, holidays: &Holidays, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = at.with_timezone(&zone).date_naive();
        (0..=HORIZON_DAYS).find_map(|days| {
            let date = first.checked_add_days(Days::new(days))?;
            let (from, _) = self.on(date, holidays)?;
            // An hour that the clock skips begins when it goes on.
            let local = date.and_time(from);
            let begins = (0..=4).find_map(|quarter| {
                zone.from_local_datetime(&(local + TimeDelta::minutes(30 * quarter))).earliest()
            })?;
            Some(begins.with_timezone(&Utc)).filter(|begins| *begins > at)
        })
    }
}

impl Default for Hours {
    /// From nine to eight in the evening, every day.
    fn default() -> Self {
        Self::daily(time(9), time(20))
    }
}

fn time(hour: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default()
}

impl FromStr for Hours {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let wrong = || HoursError(text.to_owned());
        let mut days = [None; 7];
        let mut named = BTreeSet::new();
        for part in text.split(',').map(str::trim) {
            let (which, hours) = match part.split_once(' ') {
                Some((which, hours)) => (span(which).ok_or_else(wrong)?, hours),
                None => ((0..7).collect(), part),
            };
            let (from, to) = hours.trim().split_once('-').ok_or_else(wrong)?;
            let read = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").map_err(|_| wrong());
            let hours = (read(from)?, read(to)?);
            if hours.0 >= hours.1 {
                return Err(wrong());
            }
            for day in which {
                if !named.insert(day) {
                    return Err(wrong());
                }
                days[day] = Some(hours);
            }
        }
        Ok(Self { days })
    }
}

/// `mon` or `mon-fri`.
fn span(text: &str) -> Option<Vec<usize>> {
    let day = |name: &str| Some(name.parse::<Weekday>().ok()?.num_days_from_monday() as usize);
    match text.split_once('-') {
        Some((first, last)) => {
            Some((day(first)?..=day(last)?).collect()).filter(|days: &Vec<_>| !days.is_empty())
        }
        None => Some(vec![day(text)?]),
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told =
            |(from, to): (NaiveTime, NaiveTime)| format!("{}-{}", from.format("%H:%M"), to.format("%H:%M"));
        if let [Some(hours), ..] = self.days
            && self.days.iter().all(|day| *day == Some(hours))
        {
            return f.write_str(&told(hours));
        }
        let named = WEEK
            .iter()
            .zip(self.days)
            .filter_map(|(day, hours)| Some(format!("{} {}", day.to_string().to_lowercase(), told(hours?))));
        f.write_str(&named.collect::<Vec<_>>().join(", "))
    }
}

impl TryFrom<String> for Hours {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        text.parse()
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::America::{Chicago, Los_Angeles, New_York};
    use proptest::prelude::*;

    use super::*;

    const MARGIN: TimeDelta = TimeDelta::seconds(60);

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn next(hours: &str, zones: &[Tz], now: &str) -> Option<String> {
        let hours: Hours = hours.parse().unwrap();
        let next = hours.next_open(zones, &Holidays::new(), MARGIN, at(now));
        next.map(|at| at.format("%m-%dT%H:%M").to_string())
    }

    #[test]
    fn within_the_hours_it_goes_at_once_and_outside_of_them_when_they_begin() {
        let day = "09:00-20:00";
        // In March 2026 New York is five hours behind, after the eighth four.
        assert_eq!(next(day, &[New_York], "2026-03-02T14:00:00Z").unwrap(), "03-02T14:00");
        assert_eq!(next(day, &[New_York], "2026-03-02T13:59:00Z").unwrap(), "03-02T14:00");
        assert_eq!(next(day, &[New_York], "2026-03-03T00:58:00Z").unwrap(), "03-03T00:58");
        assert_eq!(
            next(day, &[New_York], "2026-03-03T00:59:01Z").unwrap(),
            "03-03T14:00",
            "too late to begin"
        );
        assert_eq!(
            next(day, &[New_York], "2026-03-08T02:00:00Z").unwrap(),
            "03-08T13:00",
            "clocks went forward"
        );
    }

    #[test]
    fn in_several_zones_the_hour_is_right_in_all() {
        let day = "09:00-20:00";
        let both = [New_York, Los_Angeles];
        assert_eq!(next(day, &both, "2026-03-02T14:00:00Z").unwrap(), "03-02T17:00");
        assert_eq!(next(day, &both, "2026-03-03T01:00:00Z").unwrap(), "03-03T17:00", "evening in New York");
        assert_eq!(next("09:00-11:00", &both, "2026-03-02T14:00:00Z"), None, "never the same hour");
    }

    #[test]
    fn closed_days_and_holidays_are_passed_over() {
        let hours: Hours = "mon-fri 09:00-20:00, sat 10:00-18:00".parse().unwrap();
        let holidays = read_holidays("# days off\n2026-03-06 Somebody's Day\n\n").unwrap();
        let next = |now| hours.next_open(&[Chicago], &holidays, MARGIN, at(now)).unwrap();
        assert_eq!(next("2026-03-06T16:00:00Z"), at("2026-03-07T16:00:00Z"));
        assert_eq!(next("2026-03-08T16:00:00Z"), at("2026-03-09T14:00:00Z"));
        let never: Holidays = (0..90)
            .map(|day| (NaiveDate::from_ymd_opt(2026, 3, 1).unwrap() + Days::new(day), String::new()))
            .collect();
        assert_eq!(hours.next_open(&[Chicago], &never, MARGIN, at("2026-03-02T16:00:00Z")), None);
        assert_eq!(read_holidays("2026-03-06 x\n2026-13-01 y"), Err(HolidaysError { line: 2 }));
    }

    #[test]
    fn hours_are_written_as_they_are_read() {
        for text in ["09:00-20:00", "mon 09:00-20:00, tue 10:30-18:00"] {
            assert_eq!(text.parse::<Hours>().unwrap().to_string(), text);
        }
        let week: Hours = "mon-sun 09:00-20:00".parse().unwrap();
        assert_eq!(week, Hours::default());
        for bad in [
            "",
            "9-20",
            "20:00-09:00",
            "09:00-09:00",
            "fri-mon 09:00-10:00",
            "mon 09:00-10:00, mon 11:00-12:00",
        ] {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
    }

    proptest! {
        /// The time it answers is right in every zone, and no time before it was.
        #[test]
        fn the_next_hour_is_the_first_that_is_right(
            start in 1_770_000_000i64..1_800_000_000, from in 0u32..20, length in 1u32..4,
            zones in prop::sample::subsequence(vec![New_York, Chicago, Los_Angeles], 1..=3),
        ) {
            let hours = Hours::daily(time(from), time(from + length));
            let now = DateTime::from_timestamp(start, 0).unwrap();
            let none = Holidays::new();
            let right = |at: DateTime<Utc>| hours.open(&zones, &none, at) && hours.open(&zones, &none, at + MARGIN);
            match hours.next_open(&zones, &none, MARGIN, now) {
                Some(next) => {
                    prop_assert!(next >= now && right(next));
                    let mut earlier = now;
                    while earlier < next {
                        prop_assert!(!right(earlier), "{earlier} was right, and {next} told");
                        earlier += TimeDelta::minutes(30);
                    }
                }
                None => prop_assert!(zones.len() > 1 && length < 4),
            }
        }
    }
}
