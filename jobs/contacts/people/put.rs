//! Writing people, many at a time.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{DbError, Rows, Session, sql_text};

use super::Label;
use crate::conversations::number_rows;

trunkline_platform::statements! {
    INSERT_PEOPLE = parts {
        "INSERT INTO people (number, first_name, last_name, company, email, fields, time_zone, state, source, import_id,
                             created_at, updated_at)
         SELECT r.number, r.first_name, r.last_name, r.company, r.email, r.fields, r.time_zone, r.state, $2, $3, $4, $4
         FROM " (rows "$1" as r (number TEXT, first_name TEXT, last_name TEXT, company TEXT, email TEXT, fields TEXT,
            time_zone TEXT, state TEXT))
        " WHERE true ORDER BY r.number
         ON CONFLICT (number) DO NOTHING RETURNING number"
    }
    /// Takes the rows before they are read, so that two who change one person do so one after the other.
    TAKE_PEOPLE = parts {
        "UPDATE people SET updated_at = $2 WHERE number IN (SELECT r.number FROM " (rows "$1" as r (number TEXT)) ")
         RETURNING number, fields, import_id"
    }
    FIND_THERE = parts {
        "SELECT p.number, p.fields, p.import_id FROM " (rows "$1" as r (number TEXT))
        " JOIN people AS p ON p.number = r.number"
    }
    /// What is not told stays.
    UPDATE_PEOPLE = parts {
        "UPDATE people AS p SET first_name = COALESCE(r.first_name, p.first_name),
             last_name = COALESCE(r.last_name, p.last_name), company = COALESCE(r.company, p.company),
             email = COALESCE(r.email, p.email), fields = r.fields,
             time_zone = COALESCE(r.time_zone, p.time_zone), state = COALESCE(r.state, p.state),
             import_id = COALESCE($2, p.import_id)
         FROM " (rows "$1" as r (number TEXT, first_name TEXT, last_name TEXT, company TEXT, email TEXT, fields TEXT,
            time_zone TEXT, state TEXT))
        " WHERE p.number = r.number"
    }
    pub(super) INSERT_LABELS = parts {
        "INSERT INTO person_labels (number, kind, label)
         SELECT r.number, r.kind, r.label FROM " (rows "$1" as r (number TEXT, kind TEXT, label TEXT))
        " WHERE true ORDER BY r.number, r.kind, r.label
         ON CONFLICT DO NOTHING"
    }
}

/// Somebody to be written. What is absent stays as it is, if it is there.
#[derive(Clone, Debug, Default)]
pub struct NewPerson {
    /// E.164.
    pub number: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    pub email: Option<String>,
    pub fields: BTreeMap<String, String>,
    pub time_zone: Option<String>,
    pub state: Option<String>,
    pub labels: Vec<Label>,
}

/// What becomes of somebody who is there already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnDuplicate {
    /// Stays as it is.
    Skip,
    /// Takes on what is new.
    Update,
    /// Is a mistake.
    Fail,
}

/// What became of one of those who were to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Put {
    Added,
    Updated,
    Skipped,
    /// Left as it is, and the caller wanted to know. True: the same import wrote it.
    Duplicate {
        same_import: bool,
    },
}

#[derive(Serialize)]
struct Line<'p> {
    number: &'p str,
    first_name: Option<String>,
    last_name: Option<String>,
    company: Option<String>,
    email: Option<String>,
    fields: String,
    time_zone: Option<&'p str>,
    state: Option<&'p str>,
}

#[derive(Serialize)]
pub(super) struct LabelLine<'p> {
    number: &'p str,
    kind: &'static str,
    label: &'p str,
}

#[derive(sqlx::FromRow)]
struct Inserted {
    number: String,
}

#[derive(sqlx::FromRow)]
struct There {
    number: String,
    fields: String,
    import_id: Option<i64>,
}

impl<'p> LabelLine<'p> {
    pub(super) fn of(number: &'p str, label: &'p Label) -> Self {
        Self { number, kind: label.kind(), label: label.word() }
    }
}

impl<'p> Line<'p> {
    fn of(person: &'p NewPerson, fields: &BTreeMap<String, String>) -> Result<Self, serde_json::Error> {
        let text = |text: &Option<String>| text.as_deref().map(|text| sql_text(text).into_owned());
        Ok(Self {
            number: &person.number,
            first_name: text(&person.first_name),
            last_name: text(&person.last_name),
            company: text(&person.company),
            email: text(&person.email),
            fields: serde_json::to_string(fields)?,
            time_zone: person.time_zone.as_deref(),
            state: person.state.as_deref(),
        })
    }
}

/// Writes people whose numbers differ, and answers what became of each, in order.
pub async fn put(
    tx: &mut Session,
    people: &[NewPerson],
    on_duplicate: OnDuplicate,
    source: &str,
    import: Option<i64>,
    now: DateTime<Utc>,
) -> Result<Vec<Put>, DbError> {
    if people.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<Line<'_>> =
        people.iter().map(|person| Line::of(person, &person.fields)).collect::<Result<_, _>>()?;
    let insert = INSERT_PEOPLE.bind(Rows::of(&lines)?).bind(source).bind(import).bind(now);
    let added: Vec<Inserted> = insert.all(tx).await?;
    let added: HashSet<String> = added.into_iter().map(|row| row.number).collect();

    let there: Vec<&NewPerson> = people.iter().filter(|person| !added.contains(&person.number)).collect();
    let earlier = if there.is_empty() || on_duplicate == OnDuplicate::Skip {
        HashMap::new()
    } else {
        let numbers = number_rows(there.iter().map(|person| person.number.as_str()))?;
        let rows: Vec<There> = if on_duplicate == OnDuplicate::Update {
            TAKE_PEOPLE.bind(numbers).bind(now).all(tx).await?
        } else {
            FIND_THERE.bind(numbers).all(tx).await?
        };
        rows.into_iter().map(|row| (row.number.clone(), row)).collect()
    };
    if on_duplicate == OnDuplicate::Update && !there.is_empty() {
        update(tx, &there, &earlier, import).await?;
    }
    let labelled =
        people.iter().filter(|person| on_duplicate == OnDuplicate::Update || added.contains(&person.number));
    let lines: Vec<LabelLine<'_>> = labelled
        .flat_map(|person| person.labels.iter().map(|label| LabelLine::of(&person.number, label)))
        .collect();
    keep_labels(tx, &lines).await?;

    let became = |person: &NewPerson| match (added.contains(&person.number), on_duplicate) {
        (true, _) => Put::Added,
        (false, OnDuplicate::Skip) => Put::Skipped,
        (false, OnDuplicate::Update) => Put::Updated,
        (false, OnDuplicate::Fail) => {
            let wrote = earlier.get(&person.number).and_then(|row| row.import_id);
            Put::Duplicate { same_import: import.is_some() && wrote == import }
        }
    };
    Ok(people.iter().map(became).collect())
}

async fn update(
    tx: &mut Session,
    people: &[&NewPerson],
    earlier: &HashMap<String, There>,
    import: Option<i64>,
) -> Result<(), DbError> {
    let mut lines = Vec::with_capacity(people.len());
    for person in people {
        let Some(row) = earlier.get(&person.number) else { continue };
        let mut fields: BTreeMap<String, String> = serde_json::from_str(&row.fields).unwrap_or_default();
        fields.extend(person.fields.clone());
        lines.push(Line::of(person, &fields)?);
    }
    UPDATE_PEOPLE.bind(Rows::of(&lines)?).bind(import).execute(tx).await.map(drop)
}

pub(super) async fn keep_labels(tx: &mut Session, lines: &[LabelLine<'_>]) -> Result<u64, DbError> {
    if lines.is_empty() {
        return Ok(0);
    }
    INSERT_LABELS.bind(Rows::of(lines)?).execute(tx).await
}
