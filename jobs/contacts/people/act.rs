//! What people do to many people at once: those they name, or whom a filter takes, batch by batch.

use chrono::{DateTime, Utc};
use trunkline_platform::audit::Actor;
use trunkline_platform::db::{Db, DbError};

use super::Label;
use super::label::{LABEL_BATCH, Labelling, label, remove};
use crate::contacts::segments::{self, Filter};

/// Whom it is done to.
#[derive(Clone, Debug)]
pub enum Whom {
    /// In E.164.
    Numbers(Vec<String>),
    Members(Filter),
}

/// What is done.
#[derive(Clone, Debug)]
pub enum PeopleAct {
    Label(Label, Labelling),
    /// What they said about being texted stays.
    Remove,
}

/// What was done, or would be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ActedOn {
    /// Those it was to be done to.
    pub people: u64,
    /// Those whom it changed.
    pub changed: u64,
    /// A filter takes more than were gone through.
    pub more: bool,
}

/// Acts on people, each batch in a transaction of its own; in a dry run only counts. With `most`, people are gone
/// through until so many were found.
pub async fn act(
    db: &Db,
    whom: &Whom,
    act: &PeopleAct,
    dry_run: bool,
    most: Option<u64>,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<ActedOn, DbError> {
    let mut acted = ActedOn::default();
    let filter = match whom {
        Whom::Numbers(numbers) => {
            let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
            acted.people = numbers.len() as u64;
            if !dry_run {
                acted.changed = act.on(db, &numbers, actor, now).await?;
            }
            return Ok(acted);
        }
        Whom::Members(filter) => filter,
    };
    let mut after = None;
    loop {
        let members = segments::members(db, filter, after.as_deref(), now).await?;
        let numbers: Vec<&str> = members.people.iter().map(|person| person.number.as_str()).collect();
        acted.people += numbers.len() as u64;
        if !dry_run {
            acted.changed += act.on(db, &numbers, actor, now).await?;
        }
        after = match members.next {
            None => return Ok(acted),
            next if most.is_none_or(|most| acted.people < most) => next,
            Some(_) => return Ok(ActedOn { more: true, ..acted }),
        };
    }
}

impl PeopleAct {
    async fn on(&self, db: &Db, numbers: &[&str], actor: &Actor, now: DateTime<Utc>) -> Result<u64, DbError> {
        let mut changed = 0;
        for batch in numbers.chunks(LABEL_BATCH) {
            changed += match self {
                Self::Label(word, labelling) => label(db, batch, word, *labelling, actor, now).await?,
                Self::Remove => remove(db, batch, actor, now).await?,
            };
        }
        Ok(changed)
    }
}
