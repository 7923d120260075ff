//! `trunkline calls list`.

use anyhow::{Context, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, ValueEnum};
use serde_json::json;
use trunkline_jobs::calls::{self, CallFilter, CallLine};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::Db;

use crate::cli::{output, payload};
use crate::elapsed::clock;
use crate::mask;

#[derive(Args, Debug)]
pub(super) struct List {
    /// Somebody who took part, such as +12125550101
    #[arg(long)]
    number: Option<String>,
    #[arg(long)]
    direction: Option<Direction>,
    /// How it ended, such as missed
    #[arg(long, value_name = "WORD")]
    status: Option<String>,
    /// What it came to, as calls stats counts it, such as voicemail
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,
    /// The user who answered it, or else whose call it was
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Begun since then: a time, or how long ago it was (2h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Begun before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Go on from here: `next` of the page before
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Show phone numbers
    #[arg(long)]
    unmask: bool,
    /// Print a JSON object: `calls`, and `next` when there are more
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Direction {
    Incoming,
    Outgoing,
}

impl List {
    pub(super) async fn text(self, db: &Db) -> Result<String> {
        let now = Clock::system().now();
        let direction = self.direction.map(|direction| match direction {
            Direction::Incoming => "incoming".to_owned(),
            Direction::Outgoing => "outgoing".to_owned(),
        });
        let filter = CallFilter {
            number: self.number,
            direction,
            status: self.status,
            outcome: self.outcome,
            user: self.user,
            since: self.since.map(|text| payload::past(&text, now)).transpose()?,
            until: self.until.map(|text| payload::past(&text, now)).transpose()?,
            before: self.after.as_deref().map(place).transpose()?,
            limit: self.limit,
        };
        let lines = calls::list(db, &filter).await?;
        let next = lines.last().filter(|_| lines.len() == self.limit as usize).map(next_of);
        let shown = |number: Option<String>| {
            number.map(|number| if self.unmask { number } else { mask::phone(&number) })
        };
        let lines = lines.into_iter().map(|line| CallLine {
            caller: shown(line.caller),
            callee: shown(line.callee),
            ..line
        });
        if self.json {
            return output::json(&json!({"calls": lines.collect::<Vec<_>>(), "next": next}));
        }
        let mut table =
            output::Table::new(&["CALL", "BEGAN", "WAY", "STATUS", "FROM", "TO", ">LENGTH", "KEPT"]);
        for line in lines {
            table.row([
                line.id.clone(),
                output::relative(line.at, now),
                line.direction.clone().unwrap_or_default(),
                line.status.clone(),
                line.caller.clone().unwrap_or_default(),
                line.callee.clone().unwrap_or_default(),
                line.duration_ms.map(|ms| clock(ms as f64 / 1_000.0)).unwrap_or_default(),
                kept(&line),
            ]);
        }
        let mut text = table.text("no calls");
        if let Some(next) = next {
            text += &format!("more: --after {next}\n");
        }
        Ok(text)
    }
}

fn kept(line: &CallLine) -> String {
    let all = [
        (line.recorded, "recording"),
        (line.has_voicemail, "voicemail"),
        (line.transcribed, "transcript"),
        (line.summarised, "summary"),
    ];
    let there: Vec<&str> = all.into_iter().filter_map(|(is, name)| is.then_some(name)).collect();
    there.join(", ")
}

/// A place in the list: when the last call began, and which it was.
fn next_of(line: &CallLine) -> String {
    format!("{},{}", line.at.to_rfc3339_opts(SecondsFormat::Micros, true), line.id)
}

fn place(text: &str) -> Result<(DateTime<Utc>, String)> {
    let read = || {
        let (at, id) = text.split_once(',')?;
        Some((DateTime::parse_from_rfc3339(at).ok()?.with_timezone(&Utc), id.to_owned()))
    };
    read().with_context(|| format!("{text:?} is no place in the list: it is `next` of the page before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let at = DateTime::parse_from_rfc3339("2026-03-02T09:00:00.123456Z").unwrap().with_timezone(&Utc);
        let read = place("2026-03-02T09:00:00.123456Z,AC1").unwrap();
        assert_eq!(read, (at, "AC1".to_owned()));
        assert!(place("yesterday,AC1").is_err() && place("2026-03-02T09:00:00Z").is_err());
    }
}
