//! `trunkline calls stats`: figures on calls as tables. Days and hours are those of `business.timezone`.

use anyhow::Result;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use serde::Serialize;
use trunkline_jobs::calls::stats::{self, Breakdown, CallStats, Filter, Group, Hour, Range, USUAL_DAYS};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use crate::cli::output;
use crate::mask;

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// From nothing to the most, in cells of two.
const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];

#[derive(Args, Debug)]
pub(super) struct Stats {
    /// What to tell the figures by, beside the whole
    #[arg(long, value_enum)]
    by: Option<By>,
    /// The first day, such as 2026-03-01 [default: so that it is 30 days]
    #[arg(long, value_name = "DAY")]
    from: Option<NaiveDate>,
    /// The last day [default: today]
    #[arg(long, value_name = "DAY")]
    to: Option<NaiveDate>,
    /// Only calls on one of our numbers: as people dial it (+1...), or the provider's id of it
    #[arg(long)]
    number: Option<String>,
    /// Only calls of a user: the provider's id
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Print whole phone numbers
    #[arg(long)]
    unmask: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum By {
    Number,
    User,
    Day,
    Week,
    Month,
    /// Weekday and hour
    Hour,
    Outcome,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    stats: CallStats,
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<Vec<Hour>>,
}

impl Stats {
    pub(super) async fn text(self, db: &Db, zone: Tz) -> Result<String> {
        let now = Clock::system().now();
        let filter = self.filter(now, zone);
        let breakdown = self.by.and_then(By::breakdown);
        let mut stats = stats::stats(db, zone, &filter, breakdown).await?;
        if !self.unmask {
            for group in &mut stats.groups {
                group.dialled = group.dialled.as_deref().map(mask::phone);
            }
        }
        let hours = match self.by {
            Some(By::Hour) => Some(stats::by_hour(db, zone, &filter).await?),
            _ => None,
        };
        if self.json {
            return output::json(&Document { stats, hours });
        }
        Ok(text(&stats, self.by, hours.as_deref(), now))
    }

    fn filter(&self, now: DateTime<Utc>, zone: Tz) -> Filter {
        let range = Range::asked(self.from, self.to, USUAL_DAYS, now, zone);
        Filter { range, number: self.number.clone(), user: self.user.clone() }
    }
}

impl By {
    fn breakdown(self) -> Option<Breakdown> {
        match self {
            Self::Number => Some(Breakdown::Number),
            Self::User => Some(Breakdown::User),
            Self::Day => Some(Breakdown::Day),
            Self::Week => Some(Breakdown::Week),
            Self::Month => Some(Breakdown::Month),
            Self::Hour | Self::Outcome => None,
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Number => "NUMBER",
            Self::User => "USER",
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
            Self::Hour => "HOUR",
            Self::Outcome => "OUTCOME",
        }
    }
}

fn text(stats: &CallStats, by: Option<By>, hours: Option<&[Hour]>, now: DateTime<Utc>) -> String {
    let Range { from, to } = stats.range;
    let fresh = match stats.counted_at {
        None => {
            "not counted yet: the schedule calls.stats does it, in a worker of the queue upkeep".to_owned()
        }
        Some(at) if stats.waiting > 0 => {
            format!("counted {}; {} changes wait", output::relative(at, now), stats.waiting)
        }
        Some(at) => format!("counted {}", output::relative(at, now)),
    };
    let mut text = format!("calls from {from} to {to}, {} ({fresh})\n", stats.timezone);
    text += &summary(&stats.total);
    if let Some(by) = by {
        text.push('\n');
        text += &match (by, hours) {
            (By::Outcome, _) => outcomes(&stats.total),
            (_, Some(hours)) => heat(hours),
            _ => groups(&stats.groups, by),
        };
    }
    text
}

fn summary(total: &Group) -> String {
    let counts = &total.counts;
    let outgoing = counts.total - counts.incoming;
    output::fields(&[
        (
            "calls",
            Some(format!("{} ({} incoming, {outgoing} outgoing or untold)", counts.total, counts.incoming)),
        ),
        ("missed", total.missed_rate.map(|rate| format!("{} of incoming", percent(rate)))),
        ("average", total.average_ms.map(length)),
        ("median", total.median_ms.map(length)),
    ])
}

fn outcomes(total: &Group) -> String {
    let mut table = output::Table::new(&["OUTCOME", ">CALLS", ">SHARE"]);
    for (outcome, count) in total.counts.outcomes().into_iter().filter(|(_, count)| *count > 0) {
        let share = percent(count as f64 / total.counts.total as f64);
        table.row([outcome.to_owned(), count.to_string(), share]);
    }
    table.text("no calls")
}

fn groups(groups: &[Group], by: By) -> String {
    let mut table = output::Table::new(&[
        "",
        ">CALLS",
        ">INCOMING",
        ">ANSWERED",
        ">MISSED",
        ">VOICEMAIL",
        ">ABANDONED",
        ">FORWARDED",
        ">UNANSWERED",
        ">OTHER",
        ">MISSED RATE",
        ">AVERAGE",
        ">MEDIAN",
    ]);
    for group in groups {
        let counts = &group.counts;
        let name = match (&group.dialled, group.name.as_str()) {
            (Some(dialled), name) => format!("{dialled} ({name})"),
            (None, "") => "not told".to_owned(),
            (None, name) => name.to_owned(),
        };
        let figures = [
            counts.total,
            counts.incoming,
            counts.answered + counts.ai_handled,
            counts.missed,
            counts.voicemail,
            counts.abandoned,
            counts.forwarded,
            counts.unanswered,
            counts.failed + counts.other,
        ];
        let told = [
            group.missed_rate.map(percent).unwrap_or_default(),
            group.average_ms.map(length).unwrap_or_default(),
            group.median_ms.map(length).unwrap_or_default(),
        ];
        let figures = figures.into_iter().map(|count| count.to_string());
        table.row([name].into_iter().chain(figures).chain(told));
    }
    format!("by {}\n{}", by.heading().to_lowercase(), table.text("no calls"))
}

/// A week by its hours, the busier the darker, and the busiest in words.
fn heat(hours: &[Hour]) -> String {
    let most = hours.iter().map(|hour| hour.total).max().unwrap_or(0);
    if most == 0 {
        return "no calls\n".to_owned();
    }
    let mut text = "    ".to_owned();
    for hour in 0..24 {
        text += &format!(" {hour:02}");
    }
    text += "   CALLS\n";
    for (day, hours) in WEEKDAYS.iter().zip(hours.chunks(24)) {
        text += &format!("{day} ");
        for hour in hours {
            text += &format!(" {}", shade(hour.total, most));
        }
        let sum: i64 = hours.iter().map(|hour| hour.total).sum();
        text += &format!(" {sum:>7}\n");
    }
    let mut busiest: Vec<&Hour> = hours.iter().filter(|hour| hour.total > 0).collect();
    busiest.sort_by_key(|hour| (-hour.total, hour.weekday, hour.hour));
    let mut table = output::Table::new(&["BUSIEST", ">CALLS", ">INCOMING", ">MISSED"]);
    for hour in busiest.into_iter().take(5) {
        let day = WEEKDAYS[usize::from(hour.weekday.min(6))];
        let figures = [hour.total, hour.incoming, hour.missed].map(|count| count.to_string());
        table.row([format!("{day} {:02}:00", hour.hour)].into_iter().chain(figures));
    }
    text + "\n" + &table.text("")
}

fn shade(count: i64, most: i64) -> &'static str {
    let steps = SHADES.len() as i64 - 1;
    let step = (count * steps + most - 1) / most;
    SHADES[usize::try_from(step.clamp(0, steps)).unwrap_or_default()]
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn length(ms: i64) -> String {
    if ms < 60_000 {
        format!("{:.1}s", ms as f64 / 1_000.0)
    } else {
        output::roughly(TimeDelta::milliseconds(ms))
    }
}

#[cfg(test)]
mod tests {
    use trunkline_jobs::calls::stats::Counts;

    use super::*;

    fn group(name: &str, total: i64, missed: i64) -> Group {
        let counts = Counts { total, incoming: total, answered: total - missed, missed, ..Counts::default() };
        Group {
            name: name.to_owned(),
            dialled: None,
            counts,
            missed_rate: Some(missed as f64 / total as f64),
            average_ms: Some(75_400),
            median_ms: Some(31_000),
        }
    }

    fn told(by: Option<By>, groups: Vec<Group>, hours: Option<&[Hour]>) -> String {
        let day = |text: &str| text.parse().unwrap();
        let stats = CallStats {
            range: Range { from: day("2026-03-01"), to: day("2026-03-02") },
            timezone: "UTC".to_owned(),
            counted_at: Some(DateTime::UNIX_EPOCH),
            waiting: 2,
            total: group("", 4, 1),
            groups,
        };
        text(&stats, by, hours, DateTime::UNIX_EPOCH + TimeDelta::seconds(30))
    }

    #[test]
    fn the_whole_is_told_in_a_few_lines() {
        let expected = "\
calls from 2026-03-01 to 2026-03-02, UTC (counted 30s ago; 2 changes wait)
  calls    4 (4 incoming, 0 outgoing or untold)
  missed   25.0% of incoming
  average  1m 15s
  median   31.0s
";
        assert_eq!(told(None, Vec::new(), None), expected);
        let outcomes = told(Some(By::Outcome), Vec::new(), None);
        assert!(
            outcomes.ends_with("OUTCOME   CALLS  SHARE\nanswered      3  75.0%\nmissed        1  25.0%\n"),
            "{outcomes}"
        );
    }

    #[test]
    fn a_number_is_told_as_it_is_dialled_and_what_nobody_told_as_that() {
        let dialled = Group { dialled: Some("+1***0199".to_owned()), ..group("PN1", 3, 0) };
        let text = told(Some(By::Number), vec![group("", 1, 1), dialled], None);
        assert!(text.contains("\nnot told "), "{text}");
        assert!(text.contains("\n+1***0199 (PN1) "), "{text}");
    }

    #[test]
    fn a_week_is_drawn_by_its_hours_and_its_busiest_are_named() {
        let mut hours: Vec<Hour> =
            (0..168).map(|at: u8| Hour { weekday: at / 24, hour: at % 24, ..Hour::default() }).collect();
        (hours[9].total, hours[33].total, hours[34].total) = (8, 1, 4);
        let text = told(Some(By::Hour), Vec::new(), Some(&hours));
        let line = |day: &str| text.lines().find(|line| line.starts_with(day)).unwrap().to_owned();
        assert!(line("Mon").contains("██") && line("Mon").ends_with(" 8"), "{text}");
        assert!(line("Tue").contains("░░ ▒▒"), "{text}");
        assert!(
            text.contains(
                "BUSIEST    CALLS  INCOMING  MISSED\nMon 09:00      8         0       0\nTue 10:00"
            ),
            "{text}"
        );
        assert!(told(Some(By::Hour), Vec::new(), Some(&[Hour::default()])).ends_with("no calls\n"));
    }
}
