//! What people do to people: write them, tag and flag them, and take them out. One entry in the audit for each batch, with the
//! numbers it was done to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError, Rows, Session};

use super::put::{LabelLine, NewPerson, OnDuplicate, Put, keep_labels, put};
use super::{KEPT_OUT, Label};
use crate::conversations::number_rows;

/// The most people of one transaction.
pub const LABEL_BATCH: usize = 500;

trunkline_platform::statements! {
    FIND_KNOWN = parts {
        "SELECT p.number FROM " (rows "$1" as r (number TEXT)) " JOIN people AS p ON p.number = r.number"
    }
    FIND_FLAGS = parts {
        "SELECT l.number, l.label AS flag FROM " (rows "$1" as r (number TEXT))
        " JOIN person_labels AS l ON l.number = r.number AND l.kind = 'flag' ORDER BY l.number, l.label LIMIT 10000"
    }
    REMOVE_LABELS = parts {
        "DELETE FROM person_labels WHERE (number, kind, label) IN (SELECT r.number, r.kind, r.label FROM "
        (rows "$1" as r (number TEXT, kind TEXT, label TEXT)) ")"
    }
    REMOVE_PEOPLE = parts {
        "DELETE FROM people WHERE number IN (SELECT r.number FROM " (rows "$1" as r (number TEXT)) ")"
    }
}

#[derive(sqlx::FromRow)]
struct Known {
    number: String,
}

#[derive(sqlx::FromRow)]
struct Flagged {
    number: String,
    flag: String,
}

/// Those of `numbers` that campaigns leave out, with the flag that says so.
pub(crate) async fn left_out<'n>(
    session: &mut Session,
    numbers: impl Iterator<Item = &'n str>,
) -> Result<BTreeMap<String, String>, DbError> {
    let rows: Vec<Flagged> = FIND_FLAGS.bind(number_rows(numbers)?).all(session).await?;
    let left_out = rows.into_iter().filter(|row| KEPT_OUT.contains(&row.flag.as_str()));
    Ok(left_out.map(|row| (row.number, row.flag)).collect())
}

/// Whether labels are put on or taken off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Labelling {
    Add,
    Remove,
}

/// Puts a label on people or takes it off. Numbers nobody has are passed over. Returns how many it changed.
pub async fn label(
    db: &Db,
    numbers: &[&str],
    label: &Label,
    labelling: Labelling,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<u64, DbError> {
    let mut tx = db.write().await?;
    let known: Vec<Known> = FIND_KNOWN.bind(number_rows(numbers.iter().copied())?).all(&mut tx).await?;
    let lines: Vec<LabelLine<'_>> = known.iter().map(|row| LabelLine::of(&row.number, label)).collect();
    let changed = match labelling {
        Labelling::Add => keep_labels(&mut tx, &lines).await?,
        Labelling::Remove => REMOVE_LABELS.bind(Rows::of(&lines)?).execute(&mut tx).await?,
    };
    if changed > 0 {
        let action = match (labelling, label) {
            (Labelling::Add, Label::Tag(_)) => "contact.tag",
            (Labelling::Remove, Label::Tag(_)) => "contact.untag",
            (Labelling::Add, Label::Flag(_)) => "contact.flag",
            (Labelling::Remove, Label::Flag(_)) => "contact.unflag",
        };
        let numbers: Vec<&str> = known.iter().map(|row| row.number.as_str()).collect();
        let subject = format!("{}:{}", label.kind(), label.word());
        let act = Act { action, subject, before: None, after: Some(json!({ "numbers": numbers })) };
        audit::record(&mut tx, now, actor, &[act]).await?;
    }
    tx.commit().await?;
    Ok(changed)
}

/// Writes one person on behalf of somebody. What is not told stays.
pub async fn keep(
    db: &Db,
    person: &NewPerson,
    on_duplicate: OnDuplicate,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Put, DbError> {
    let mut tx = db.write().await?;
    let became = put(&mut tx, std::slice::from_ref(person), on_duplicate, &actor.name, None, now).await?;
    let became = became.first().copied().unwrap_or(Put::Skipped);
    let action = match became {
        Put::Added => "contact.add",
        Put::Updated => "contact.change",
        Put::Skipped | Put::Duplicate { .. } => return Ok(became),
    };
    let labels: Vec<String> =
        person.labels.iter().map(|label| format!("{}:{}", label.kind(), label.word())).collect();
    let after = json!({ "first_name": person.first_name, "last_name": person.last_name, "company": person.company,
        "email": person.email, "fields": person.fields, "time_zone": person.time_zone, "state": person.state,
        "labels": labels });
    let subject = format!("number:{}", person.number);
    audit::record(&mut tx, now, actor, &[Act { action, subject, before: None, after: Some(after) }]).await?;
    tx.commit().await?;
    Ok(became)
}

/// Takes people out. What they said about being texted stays. Returns how many there were.
pub async fn remove(db: &Db, numbers: &[&str], actor: &Actor, now: DateTime<Utc>) -> Result<u64, DbError> {
    let mut tx = db.write().await?;
    let removed = REMOVE_PEOPLE.bind(number_rows(numbers.iter().copied())?).execute(&mut tx).await?;
    if removed > 0 {
        let before = Some(json!({ "numbers": numbers }));
        let act = Act { action: "contact.remove", subject: "contacts".to_owned(), before, after: None };
        audit::record(&mut tx, now, actor, &[act]).await?;
    }
    tx.commit().await?;
    Ok(removed)
}
