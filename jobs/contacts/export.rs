//! People on their way out, as CSV or as JSON one to a line, page by page. What comes out as CSV can be imported again.

use std::collections::BTreeSet;
use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError};

use super::import::harmless;
use super::people::Person;
use super::segments::{self, Filter};
use crate::export::{ExportError, Format};

/// The columns of a CSV file.
const COLUMNS: [&str; 14] = [
    "number",
    "first_name",
    "last_name",
    "company",
    "email",
    "tags",
    "flags",
    "time_zone",
    "state",
    "fields",
    "opted_out",
    "source",
    "last_reply_at",
    "created_at",
];

/// Writes whom a filter takes, each as `shown` makes them, and tells how many that are.
pub async fn export(
    db: &Db,
    filter: &Filter,
    format: Format,
    now: DateTime<Utc>,
    shown: impl Fn(Person) -> Person,
    out: &mut impl Write,
) -> Result<u64, ExportError> {
    let (mut count, mut after) = (0, None);
    loop {
        let (written, next) = export_page(db, filter, after.as_deref(), format, now, &shown, out).await?;
        count += written;
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    out.flush()?;
    Ok(count)
}

/// The same, one page of people after a number at a time; the columns' names come before the first. Answers how many were
/// written, and after whom to go on; none at the end.
pub async fn export_page(
    db: &Db,
    filter: &Filter,
    after: Option<&str>,
    format: Format,
    now: DateTime<Utc>,
    shown: impl Fn(Person) -> Person,
    out: &mut impl Write,
) -> Result<(u64, Option<String>), ExportError> {
    if after.is_none() {
        out.write_all(&format.head(COLUMNS)?)?;
    }
    let members = segments::members(db, filter, after, now).await?;
    let count = members.people.len() as u64;
    out.write_all(&format.lines(members.people.into_iter().map(shown), cells)?)?;
    Ok((count, members.next))
}

/// Puts into the audit who takes whom with them, and whether in full.
pub async fn note_export(
    db: &Db,
    filter: &Filter,
    unmask: bool,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let after = Some(json!({ "filter": filter.to_string(), "unmask": unmask }));
    let act = Act { action: "contact.export", subject: "contacts".to_owned(), before: None, after };
    let mut tx = db.write().await?;
    audit::record(&mut tx, now, actor, &[act]).await?;
    tx.commit().await
}

fn cells(person: &Person) -> [String; 14] {
    let text = |text: &Option<String>| text.as_deref().map(harmless).unwrap_or_default();
    let words = |words: &BTreeSet<String>| words.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let fields = serde_json::to_string(&person.fields).unwrap_or_default();
    [
        harmless(&person.number),
        text(&person.first_name),
        text(&person.last_name),
        text(&person.company),
        text(&person.email),
        words(&person.tags),
        words(&person.flags),
        text(&person.time_zone),
        text(&person.state),
        if person.fields.is_empty() { String::new() } else { fields },
        if person.opted_out { "yes" } else { "no" }.to_owned(),
        harmless(&person.source),
        person.last_reply_at.map(time).unwrap_or_default(),
        time(person.created_at),
    ]
}
