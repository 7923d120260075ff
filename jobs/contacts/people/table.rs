//! Reading people, page by page in the order of their numbers, so that a million of them take the memory of one page.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use trunkline_platform::db::{DbError, Session};

use super::{Label, Person};
use crate::conversations::number_rows;

/// People of one page.
pub const PAGE: u32 = 1_000;
/// Labels of one page.
const MOST_LABELS: u32 = 100_000;

trunkline_platform::statements! {
    PAGE_OF_ALL = same {
        "SELECT p.number, p.first_name, p.last_name, p.company, p.email, p.fields, p.time_zone, p.state, p.source,
                p.created_at, p.updated_at, o.closed,
                (SELECT MAX(m.created_at) FROM messages AS m
                 WHERE m.sender = p.number AND m.direction = 'incoming') AS last_reply_at
         FROM people AS p LEFT JOIN opt_outs AS o ON o.number = p.number
         WHERE p.number > $1 ORDER BY p.number LIMIT $2"
    }
    PAGE_OF_LABEL = same {
        "SELECT p.number, p.first_name, p.last_name, p.company, p.email, p.fields, p.time_zone, p.state, p.source,
                p.created_at, p.updated_at, o.closed,
                (SELECT MAX(m.created_at) FROM messages AS m
                 WHERE m.sender = p.number AND m.direction = 'incoming') AS last_reply_at
         FROM person_labels AS l JOIN people AS p ON p.number = l.number
         LEFT JOIN opt_outs AS o ON o.number = p.number
         WHERE l.kind = $1 AND l.label = $2 AND l.number > $3 ORDER BY l.number LIMIT $4"
    }
    NTH_OF_ALL = same { "SELECT number FROM people ORDER BY number LIMIT 1 OFFSET $1" }
    NTH_OF_LABEL = same {
        "SELECT number FROM person_labels WHERE kind = $1 AND label = $2 ORDER BY number LIMIT 1 OFFSET $3"
    }
    FIND_PEOPLE = parts {
        "SELECT p.number, p.first_name, p.last_name, p.company, p.email, p.fields, p.time_zone, p.state, p.source,
                p.created_at, p.updated_at, o.closed,
                (SELECT MAX(m.created_at) FROM messages AS m
                 WHERE m.sender = p.number AND m.direction = 'incoming') AS last_reply_at
         FROM " (rows "$1" as r (number TEXT)) " JOIN people AS p ON p.number = r.number
         LEFT JOIN opt_outs AS o ON o.number = p.number"
    }
    FIND_LABELS = parts {
        "SELECT l.number, l.kind, l.label FROM " (rows "$1" as r (number TEXT))
        " JOIN person_labels AS l ON l.number = r.number LIMIT $2"
    }
}

#[derive(sqlx::FromRow)]
struct PersonRow {
    number: String,
    first_name: Option<String>,
    last_name: Option<String>,
    company: Option<String>,
    email: Option<String>,
    fields: String,
    time_zone: Option<String>,
    state: Option<String>,
    source: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    closed: Option<bool>,
    last_reply_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct NumberRow {
    number: String,
}

#[derive(sqlx::FromRow)]
struct LabelRow {
    number: String,
    kind: String,
    label: String,
}

/// Which people to read next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'p> {
    /// The last number of the page before.
    pub after: Option<&'p str>,
    /// Only those with this label.
    pub label: Option<&'p Label>,
    /// At most so many, and never more than [`PAGE`].
    pub limit: Option<u32>,
}

/// The next people in the order of their numbers. Fewer than asked for: there are no more.
pub async fn page(session: &mut Session, page: &Page<'_>) -> Result<Vec<Person>, DbError> {
    let (after, limit) = (page.after.unwrap_or_default(), page.limit.unwrap_or(PAGE).clamp(1, PAGE));
    let rows: Vec<PersonRow> = match page.label {
        Some(label) => {
            let query = PAGE_OF_LABEL.bind(label.kind()).bind(label.word()).bind(after).bind(limit);
            query.all(session).await?
        }
        None => PAGE_OF_ALL.bind(after).bind(limit).all(session).await?,
    };
    with_labels(session, rows).await
}

/// The number after so many, of all or of those with a label. None: there are not so many.
pub(in crate::contacts) async fn nth(
    session: &mut Session,
    label: Option<&Label>,
    before: u64,
) -> Result<Option<String>, DbError> {
    let before = before.cast_signed();
    let query = match label {
        Some(label) => NTH_OF_LABEL.bind(label.kind()).bind(label.word()).bind(before),
        None => NTH_OF_ALL.bind(before),
    };
    let row: Option<NumberRow> = query.optional(session).await?;
    Ok(row.map(|row| row.number))
}

/// Those of these numbers that are people, in no order.
pub async fn find<'n>(
    session: &mut Session,
    numbers: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<Person>, DbError> {
    let rows: Vec<PersonRow> = FIND_PEOPLE.bind(number_rows(numbers)?).all(session).await?;
    with_labels(session, rows).await
}

async fn with_labels(session: &mut Session, rows: Vec<PersonRow>) -> Result<Vec<Person>, DbError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = number_rows(rows.iter().map(|row| row.number.as_str()))?;
    let labels: Vec<LabelRow> = FIND_LABELS.bind(numbers).bind(MOST_LABELS).all(session).await?;
    let mut by_number: BTreeMap<String, [BTreeSet<String>; 2]> = BTreeMap::new();
    for LabelRow { number, kind, label } in labels {
        by_number.entry(number).or_default()[usize::from(kind == "flag")].insert(label);
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let [tags, flags] = by_number.remove(&row.number).unwrap_or_default();
            Person {
                number: row.number,
                first_name: row.first_name,
                last_name: row.last_name,
                company: row.company,
                email: row.email,
                fields: serde_json::from_str(&row.fields).unwrap_or_default(),
                time_zone: row.time_zone,
                state: row.state,
                source: row.source,
                created_at: row.created_at,
                updated_at: row.updated_at,
                tags,
                flags,
                last_reply_at: row.last_reply_at,
                opted_out: row.closed.unwrap_or(false),
            }
        })
        .collect())
}
