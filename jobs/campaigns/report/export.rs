//! A campaign's recipients on their way out, one by one with what became of each, as CSV or as JSON one to a line. They go by their
//! place in the campaign, so an export that was cut off goes on behind the last line it wrote.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::json;
use trunkline_platform::audit::Actor;
use trunkline_platform::db::{Db, DbError};

use crate::campaigns::operate::note;
use crate::contacts::import::harmless;
use crate::contacts::place;
use crate::export::{ExportError, Format};

/// Recipients of one page.
const PAGE: u32 = 1_000;

trunkline_platform::statements! {
    EXPORT_RECIPIENTS = same {
        "SELECT r.position, r.number, r.variant AS drawn, r.state, r.reason, r.due_at, s.id AS send_id, s.variant AS text,
             s.state AS text_state, COALESCE(s.error_code, s.reason) AS text_reason, s.sender, s.segments, s.tries, s.provider_id,
             s.intended_at AS left_at, s.state_at, s.replied_at, s.opted_out_at
         FROM campaign_recipients AS r LEFT JOIN sends AS s ON s.campaign_id = r.campaign_id AND s.number = r.number
         WHERE r.campaign_id = $1 AND r.position > $2 ORDER BY r.position LIMIT $3"
    }
}

/// The columns of a CSV file.
const COLUMNS: [&str; 19] = [
    "position",
    "number",
    "number_state",
    "drawn",
    "recipient",
    "reason",
    "due_at",
    "send_id",
    "text",
    "text_state",
    "text_reason",
    "sender",
    "segments",
    "tries",
    "provider_id",
    "left_at",
    "state_at",
    "replied_at",
    "opted_out_at",
];

/// One recipient, and what became of them.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ExportedRow {
    pub position: i64,
    pub number: String,
    /// By the area code of the number.
    #[sqlx(skip)]
    pub number_state: Option<String>,
    /// The text that was drawn for them, or `holdout`.
    pub drawn: String,
    #[serde(rename = "recipient")]
    pub state: String,
    pub reason: Option<String>,
    pub due_at: DateTime<Utc>,
    pub send_id: Option<i64>,
    /// The text they were sent.
    pub text: Option<String>,
    pub text_state: Option<String>,
    pub text_reason: Option<String>,
    pub sender: Option<String>,
    pub segments: Option<i64>,
    pub tries: Option<i32>,
    pub provider_id: Option<String>,
    pub left_at: Option<DateTime<Utc>>,
    pub state_at: Option<DateTime<Utc>>,
    pub replied_at: Option<DateTime<Utc>>,
    pub opted_out_at: Option<DateTime<Utc>>,
}

/// Which recipients to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part {
    /// Only those behind this place: the last of the part before.
    pub after: i64,
    /// At most so many.
    pub limit: Option<u64>,
}

/// Puts into the audit who takes a part of a campaign's recipients with them, and whether with numbers.
pub async fn note_export(
    db: &Db,
    campaign: i64,
    part: Part,
    unmask: bool,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let told = json!({ "after": part.after, "limit": part.limit, "unmask": unmask });
    let mut tx = db.write().await?;
    note(&mut tx, campaign, "campaign.export", None, Some(told), actor, now).await?;
    tx.commit().await
}

/// Writes a part of a campaign's recipients, each as `shown` makes them, a page at a time. The columns' names come before the first
/// recipient of a campaign only. Answers how many were written, and where to go on; none at the end.
pub async fn export(
    db: &Db,
    campaign: i64,
    part: Part,
    format: Format,
    shown: impl Fn(ExportedRow) -> ExportedRow,
    out: &mut impl Write,
) -> Result<(u64, Option<i64>), ExportError> {
    let (mut count, mut after) = (0, part.after);
    if after == 0 {
        out.write_all(&format.head(COLUMNS)?)?;
    }
    loop {
        let left =
            part.limit.map_or(u64::from(PAGE), |limit| limit.saturating_sub(count).min(u64::from(PAGE)));
        if left == 0 {
            return Ok((count, Some(after)));
        }
        let query = EXPORT_RECIPIENTS.bind(campaign).bind(after).bind(left.cast_signed());
        let page: Vec<ExportedRow> = query.all(&mut db.read().await?).await?;
        let Some(last) = page.last() else { return Ok((count, None)) };
        (count, after) = (count + page.len() as u64, last.position);
        let ended = (page.len() as u64) < left;
        let rows = page.into_iter().map(ExportedRow::placed).map(&shown);
        out.write_all(&format.lines(rows, ExportedRow::cells)?)?;
        out.flush()?;
        if ended {
            return Ok((count, None));
        }
    }
}

impl ExportedRow {
    fn placed(mut self) -> Self {
        self.number_state = place::of(&self.number).state;
        self
    }

    /// On one line each, and nothing that a spreadsheet would run.
    fn cells(&self) -> [String; 19] {
        let one_line =
            |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let text = |text: &Option<String>| {
            text.as_deref().map(one_line).map(|text| harmless(&text)).unwrap_or_default()
        };
        let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let perhaps = |at: Option<DateTime<Utc>>| at.map(time).unwrap_or_default();
        [
            self.position.to_string(),
            harmless(&self.number),
            text(&self.number_state),
            harmless(&self.drawn),
            harmless(&self.state),
            text(&self.reason),
            time(self.due_at),
            number(self.send_id),
            text(&self.text),
            text(&self.text_state),
            text(&self.text_reason),
            text(&self.sender),
            number(self.segments),
            number(self.tries.map(i64::from)),
            text(&self.provider_id),
            perhaps(self.left_at),
            perhaps(self.state_at),
            perhaps(self.replied_at),
            perhaps(self.opted_out_at),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_runs_nothing_of_it_and_a_line_stays_one() {
        let row = ExportedRow {
            position: 7,
            number: "+12125550101".to_owned(),
            number_state: None,
            drawn: "-A".to_owned(),
            state: "refused".to_owned(),
            reason: Some("=HYPERLINK(\"http://x\")\nmore".to_owned()),
            due_at: DateTime::UNIX_EPOCH,
            send_id: None,
            text: Some("@b".to_owned()),
            text_state: None,
            text_reason: Some("+1+1".to_owned()),
            sender: None,
            segments: None,
            tries: None,
            provider_id: None,
            left_at: None,
            state_at: None,
            replied_at: None,
            opted_out_at: Some(DateTime::UNIX_EPOCH),
        };
        let lines = Format::Csv.lines([row].into_iter(), ExportedRow::cells).unwrap();
        let written = String::from_utf8(lines).unwrap();
        assert_eq!(
            written,
            "7,+12125550101,,'-A,refused,\"'=HYPERLINK(\"\"http://x\"\") more\",1970-01-01T00:00:00Z,,'@b,,'+1+1,,,,,,,,\
             1970-01-01T00:00:00Z\n"
        );
    }
}
