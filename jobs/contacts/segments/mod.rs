//! Segments: filters over people, by a name. Whom one takes is decided in the program, page by page in the order of
//! the numbers, by the same code on both engines and with no value in any statement (decision 0023). A reader that
//! keeps the last number of a page goes on from there, after a crash as well.

mod parse;
mod store;
mod tree;

use chrono::{DateTime, Utc};
use trunkline_platform::db::{Db, DbError, Session};

pub use parse::{FilterError, Problem};
pub(super) use store::STATEMENTS;
pub use store::{SegmentError, SegmentRow, create, delete, list, show};
pub use tree::Filter;

use super::people::{self, PAGE, Page, Person};

/// Pages of people that one leaf of a list looks through.
const LEAF: usize = 20;

/// Some of those whom a filter takes.
#[derive(Clone, Debug)]
pub struct Members {
    pub people: Vec<Person>,
    /// How many were looked at.
    pub seen: usize,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

/// Looks at one page of people after a number and keeps those whom the filter takes, perhaps none.
pub async fn members(
    db: &Db,
    filter: &Filter,
    after: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Members, DbError> {
    members_of_page(&mut db.read().await?, filter, after, now).await
}

/// The same in a session that is there already.
pub(crate) async fn members_of_page(
    session: &mut Session,
    filter: &Filter,
    after: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Members, DbError> {
    let page = Page { after, label: filter.label(), limit: None };
    let mut people = people::page(session, &page).await?;
    let seen = people.len();
    let next = people.last().filter(|_| seen == PAGE as usize).map(|last| last.number.clone());
    people.retain(|person| filter.takes(person, now));
    Ok(Members { people, seen, next })
}

/// Some of those whom a filter takes, for a list that is turned by hand.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub people: Vec<Person>,
    /// How many people were gone through by then; none at the end. It says nothing of anybody's number. There can be more
    /// although nobody is here.
    pub next: Option<u64>,
}

/// Goes through people after so many, until it has `limit` whom the filter takes or has looked at [`LEAF`] pages. Who comes on record
/// or goes meanwhile shifts the places behind.
pub async fn leaf(
    db: &Db,
    filter: &Filter,
    passed: u64,
    limit: usize,
    now: DateTime<Utc>,
) -> Result<Leaf, DbError> {
    let mut session = db.read().await?;
    let (mut found, mut seen) = (Vec::new(), passed);
    let mut after = match passed.checked_sub(1) {
        None => None,
        Some(before) => match people::nth(&mut session, filter.label(), before).await? {
            Some(number) => Some(number),
            None => return Ok(Leaf { people: found, next: None }),
        },
    };
    for _ in 0..LEAF {
        let page = Page { after: after.as_deref(), label: filter.label(), limit: None };
        let people = people::page(&mut session, &page).await?;
        let last = people.len() < PAGE as usize;
        after = people.last().map(|person| person.number.clone());
        for person in people {
            if found.len() == limit {
                return Ok(Leaf { people: found, next: Some(seen) });
            }
            seen += 1;
            if filter.takes(&person, now) {
                found.push(person);
            }
        }
        if last {
            return Ok(Leaf { people: found, next: None });
        }
    }
    Ok(Leaf { people: found, next: Some(seen) })
}

/// How many a filter takes, and how many of those a campaign could text now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Count {
    pub people: u64,
    pub opted_out: u64,
    pub kept_out: u64,
    /// Nobody knows which time it is where they are.
    pub nowhere: u64,
}

/// Counts whom a filter takes.
pub async fn count(db: &Db, filter: &Filter, now: DateTime<Utc>) -> Result<Count, DbError> {
    let mut count = Count::default();
    let mut after = None;
    loop {
        let members = members(db, filter, after.as_deref(), now).await?;
        for person in &members.people {
            count.people += 1;
            count.opted_out += u64::from(person.opted_out);
            count.kept_out += u64::from(person.kept_out().is_some());
            count.nowhere += u64::from(!person.place().known);
        }
        after = match members.next {
            Some(next) => Some(next),
            None => return Ok(count),
        };
    }
}
