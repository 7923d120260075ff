//! People on their way out, as CSV or as JSON one to a line, page by page. What comes out as CSV can be imported again.

use std::collections::BTreeSet;
use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use csv::WriterBuilder;
use thiserror::Error;
use trunkline_platform::db::{Db, DbError};

use super::import::harmless;
use super::people::Person;
use super::segments::{self, Filter};

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

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    Csv,
    Jsonl,
}

#[derive(Debug, Error)]
pub enum ExportError {
    #[error("the file cannot be written")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Writes whom a filter takes, each as `shown` makes them, and tells how many that are.
pub async fn export(
    db: &Db,
    filter: &Filter,
    format: Format,
    now: DateTime<Utc>,
    shown: impl Fn(Person) -> Person,
    out: &mut impl Write,
) -> Result<u64, ExportError> {
    if format == Format::Csv {
        out.write_all(&csv_lines([COLUMNS.map(str::to_owned)])?)?;
    }
    let (mut count, mut after) = (0, None);
    loop {
        let members = segments::members(db, filter, after.as_deref(), now).await?;
        count += members.people.len() as u64;
        let people = members.people.into_iter().map(&shown);
        match format {
            Format::Csv => out.write_all(&csv_lines(people.map(|person| cells(&person)))?)?,
            Format::Jsonl => {
                for person in people {
                    serde_json::to_writer(&mut *out, &person).map_err(io::Error::from)?;
                    out.write_all(b"\n")?;
                }
            }
        }
        after = match members.next {
            Some(next) => Some(next),
            None => break,
        };
    }
    out.flush()?;
    Ok(count)
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

fn csv_lines(rows: impl IntoIterator<Item = [String; 14]>) -> io::Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    for row in rows {
        writer.write_record(&row).map_err(io::Error::other)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}
