//! Looking at dead letters.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use thiserror::Error;

use super::normal_error;
use crate::db::{DbError, Query, Rows, Session, Stmt};
use crate::task::{TaskId, Tasks};

/// The most dead letters one look or one batch takes.
pub(super) const MOST: u32 = 1_000;

crate::statements! {
    DEAD_GROUPS = same {
        "SELECT g.kind, g.fingerprint, g.count, g.first_died_at, g.last_died_at, g.sample, t.last_error
         FROM (SELECT kind, fingerprint, COUNT(*) AS count, MIN(died_at) AS first_died_at,
                      MAX(died_at) AS last_died_at, MAX(id) AS sample
               FROM tasks
               WHERE died_at IS NOT NULL AND (CAST($1 AS TEXT) IS NULL OR kind = $1)
                 AND (CAST($2 AS TEXT) IS NULL OR fingerprint = $2)
               GROUP BY fingerprint, kind ORDER BY COUNT(*) DESC, fingerprint LIMIT $3) AS g
         JOIN tasks AS t ON t.id = g.sample
         ORDER BY g.count DESC, g.fingerprint"
    }
    DEAD_KINDS = same {
        "SELECT kind, COUNT(*) AS count, MIN(died_at) AS oldest FROM tasks WHERE died_at IS NOT NULL
         GROUP BY kind ORDER BY kind LIMIT 10000"
    }
    /// The narrowest index is chosen by the caller and not by the planner: SQLite plans before it knows the values.
    NEWEST_DEAD = same {
        "SELECT id FROM tasks WHERE died_at IS NOT NULL
           AND (CAST($1 AS TEXT) IS NULL OR kind = $1) AND (CAST($2 AS TEXT) IS NULL OR fingerprint = $2)
           AND (CAST($3 AS TEXT) IS NULL OR queue = $3)
           AND (CAST($4 AS TEXT) IS NULL OR REPLACE(LOWER(last_error), $4, '') <> LOWER(last_error))
           AND died_at >= $5 AND died_at < $6 AND (died_at, id) < ($7, $8)
         ORDER BY died_at DESC, id DESC LIMIT $9"
    }
    NEWEST_DEAD_OF_KIND = same {
        "SELECT id FROM tasks WHERE died_at IS NOT NULL
           AND kind = $1 AND (CAST($2 AS TEXT) IS NULL OR fingerprint = $2)
           AND (CAST($3 AS TEXT) IS NULL OR queue = $3)
           AND (CAST($4 AS TEXT) IS NULL OR REPLACE(LOWER(last_error), $4, '') <> LOWER(last_error))
           AND died_at >= $5 AND died_at < $6 AND (died_at, id) < ($7, $8)
         ORDER BY died_at DESC, id DESC LIMIT $9"
    }
    NEWEST_DEAD_OF_GROUP = same {
        "SELECT id FROM tasks WHERE died_at IS NOT NULL
           AND kind = $1 AND fingerprint = $2
           AND (CAST($3 AS TEXT) IS NULL OR queue = $3)
           AND (CAST($4 AS TEXT) IS NULL OR REPLACE(LOWER(last_error), $4, '') <> LOWER(last_error))
           AND died_at >= $5 AND died_at < $6 AND (died_at, id) < ($7, $8)
         ORDER BY died_at DESC, id DESC LIMIT $9"
    }
    OLDEST_DEAD = same {
        "SELECT id FROM tasks WHERE died_at IS NOT NULL
           AND (CAST($1 AS TEXT) IS NULL OR kind = $1) AND (CAST($2 AS TEXT) IS NULL OR fingerprint = $2)
           AND (CAST($3 AS TEXT) IS NULL OR queue = $3)
           AND (CAST($4 AS TEXT) IS NULL OR REPLACE(LOWER(last_error), $4, '') <> LOWER(last_error))
           AND died_at >= $5 AND died_at < $6 AND (died_at, id) > ($7, $8)
         ORDER BY died_at, id LIMIT $9"
    }
    OLDEST_DEAD_OF_KIND = same {
        "SELECT id FROM tasks WHERE died_at IS NOT NULL
           AND kind = $1 AND (CAST($2 AS TEXT) IS NULL OR fingerprint = $2)
           AND (CAST($3 AS TEXT) IS NULL OR queue = $3)
           AND (CAST($4 AS TEXT) IS NULL OR REPLACE(LOWER(last_error), $4, '') <> LOWER(last_error))
           AND died_at >= $5 AND died_at < $6 AND (died_at, id) > ($7, $8)
         ORDER BY died_at, id LIMIT $9"
    }
    OLDEST_DEAD_OF_GROUP = same {
        "SELECT id FROM tasks WHERE died_at IS NOT NULL
           AND kind = $1 AND fingerprint = $2
           AND (CAST($3 AS TEXT) IS NULL OR queue = $3)
           AND (CAST($4 AS TEXT) IS NULL OR REPLACE(LOWER(last_error), $4, '') <> LOWER(last_error))
           AND died_at >= $5 AND died_at < $6 AND (died_at, id) > ($7, $8)
         ORDER BY died_at, id LIMIT $9"
    }
    KIND_OF_GROUP = same { "SELECT kind FROM tasks WHERE died_at IS NOT NULL AND fingerprint = $1 LIMIT 1" }
    WAITING_BEHIND = parts {
        "SELECT t.ordering_key, COUNT(*) AS count
         FROM tasks AS t
         WHERE t.ordering_key IN (SELECT r.key FROM " (rows "$1" as r (key TEXT)) ")
           AND t.finished_at IS NULL AND t.blocked
         GROUP BY t.ordering_key LIMIT 1000"
    }
    READ_DEAD = parts {
        "SELECT id, kind, version, queue, payload, attempt, refunds, crashes, max_attempts, unique_key,
                correlation_id, cause, created_at, died_at, fingerprint, last_error,
                ordering_key, rate_key
         FROM tasks WHERE id IN " (any "$1") " AND died_at IS NOT NULL"
    }
}

/// Dead letters that died of the same thing.
#[derive(Clone, Debug, Serialize)]
pub struct DeadGroup {
    pub kind: String,
    /// Absent for those a release made that knew no fingerprints.
    pub fingerprint: Option<String>,
    /// The error without what differs from task to task.
    pub error: String,
    pub count: i64,
    pub first_died_at: DateTime<Utc>,
    pub last_died_at: DateTime<Utc>,
    /// The newest of them.
    pub sample: TaskId,
}

/// Dead letters of one kind.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct DeadCount {
    pub kind: String,
    pub count: i64,
    /// When the first of them died.
    pub oldest: DateTime<Utc>,
}

/// A dead letter.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct DeadRow {
    pub id: TaskId,
    pub kind: String,
    pub version: i32,
    pub queue: String,
    pub payload: String,
    pub attempt: i32,
    pub refunds: i32,
    pub crashes: i32,
    pub max_attempts: i32,
    pub unique_key: Option<String>,
    pub correlation_id: Option<String>,
    pub cause: String,
    pub created_at: DateTime<Utc>,
    pub died_at: DateTime<Utc>,
    pub fingerprint: Option<String>,
    pub last_error: Option<String>,
    /// The line it holds up until it is retried, discarded or skipped.
    pub ordering_key: Option<String>,
    pub rate_key: Option<String>,
}

/// Which dead letters: those that meet every condition that is set.
#[derive(Clone, Debug, Default)]
pub struct DeadFilter {
    pub kind: Option<String>,
    pub queue: Option<String>,
    pub fingerprint: Option<String>,
    /// Part of the error, capitals or not.
    pub error: Option<String>,
    /// Died at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Died before this time.
    pub until: Option<DateTime<Utc>>,
}

impl DeadFilter {
    /// Whether no condition is set: it finds every dead letter.
    pub fn is_empty(&self) -> bool {
        let Self { kind, queue, fingerprint, error, since, until } = self;
        [kind, queue, fingerprint, error].into_iter().all(Option::is_none)
            && since.is_none()
            && until.is_none()
    }

    /// Whether a dead letter, as it is now, is one the filter finds.
    pub(super) fn finds(&self, row: &DeadRow) -> bool {
        let same =
            |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|w| is == Some(w));
        let error = || row.last_error.as_deref().unwrap_or_default().to_lowercase();
        same(&self.kind, Some(&row.kind))
            && same(&self.queue, Some(&row.queue))
            && same(&self.fingerprint, row.fingerprint.as_deref())
            && self.error.as_deref().is_none_or(|part| error().contains(&part.to_lowercase()))
            && self.since.is_none_or(|since| row.died_at >= since)
            && self.until.is_none_or(|until| row.died_at < until)
    }
}

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    Newest,
    Oldest,
}

/// A place in a list of dead letters, between one of them and the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    pub died_at: DateTime<Utc>,
    pub id: TaskId,
}

#[derive(Debug, Error)]
#[error(
    "{0:?} is no place in the list: take what the list said to go on with, a time and a number joined by a slash"
)]
pub struct BadCursor(String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.died_at.to_rfc3339_opts(SecondsFormat::AutoSi, true), self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let parsed = text.split_once('/').and_then(|(time, id)| {
            let died_at = DateTime::parse_from_rfc3339(time).ok()?.to_utc();
            Some(Self { died_at, id: id.parse().ok()? })
        });
        parsed.ok_or_else(|| BadCursor(text.to_owned()))
    }
}

#[derive(sqlx::FromRow)]
struct GroupRow {
    kind: String,
    fingerprint: Option<String>,
    count: i64,
    first_died_at: DateTime<Utc>,
    last_died_at: DateTime<Utc>,
    sample: TaskId,
    last_error: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Place {
    id: TaskId,
}

#[derive(Serialize)]
struct Key<'r> {
    key: &'r str,
}

#[derive(sqlx::FromRow)]
struct Behind {
    ordering_key: String,
    count: i64,
}

#[derive(sqlx::FromRow)]
struct Kind {
    kind: String,
}

/// The ends of what both engines can compare.
fn always() -> (DateTime<Utc>, DateTime<Utc>) {
    let end = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    (DateTime::UNIX_EPOCH, end)
}

impl Tasks {
    /// The dead letters by what they died of, the largest group first.
    pub async fn dead_groups(&self, filter: &DeadFilter, limit: u32) -> Result<Vec<DeadGroup>, DbError> {
        let query = DEAD_GROUPS
            .bind(filter.kind.as_deref())
            .bind(filter.fingerprint.as_deref())
            .bind(limit.clamp(1, MOST));
        let rows: Vec<GroupRow> = query.all(&mut self.db.read().await?).await?;
        let group = |row: GroupRow| DeadGroup {
            kind: row.kind,
            fingerprint: row.fingerprint,
            error: normal_error(row.last_error.as_deref().unwrap_or_default()),
            count: row.count,
            first_died_at: row.first_died_at,
            last_died_at: row.last_died_at,
            sample: row.sample,
        };
        Ok(rows.into_iter().map(group).collect())
    }

    /// How many dead letters there are of each kind that has any.
    pub async fn count_dead(&self) -> Result<Vec<DeadCount>, DbError> {
        DEAD_KINDS.query().all(&mut self.db.read().await?).await
    }

    /// Lists dead letters in the order of their deaths, beginning after a place.
    pub async fn list_dead(
        &self,
        filter: &DeadFilter,
        order: Order,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<DeadRow>, DbError> {
        let mut session = self.db.read().await?;
        let ids = find(&mut session, filter, order, after, limit).await?;
        read(&mut session, ids).await
    }

    /// How many tasks wait behind each of these that hold up a line.
    pub async fn waiting_behind(&self, rows: &[DeadRow]) -> Result<HashMap<TaskId, i64>, DbError> {
        let keys: Vec<Key<'_>> =
            rows.iter().filter_map(|row| row.ordering_key.as_deref()).map(|key| Key { key }).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let behind: Vec<Behind> =
            WAITING_BEHIND.bind(Rows::of(&keys)?).all(&mut self.db.read().await?).await?;
        let of = |row: &DeadRow| {
            let key = row.ordering_key.as_deref()?;
            let count =
                behind.iter().find(|behind| behind.ordering_key == key).map_or(0, |behind| behind.count);
            Some((row.id, count))
        };
        Ok(rows.iter().filter_map(of).collect())
    }

    /// Those of `ids` that are dead letters, in the order of `ids`.
    pub async fn read_dead(&self, ids: &[TaskId]) -> Result<Vec<DeadRow>, DbError> {
        let ids = ids.iter().map(|id| id.0).take(MOST as usize).collect();
        read(&mut self.db.read().await?, ids).await
    }
}

/// The ids of what a filter finds.
pub(super) async fn find(
    session: &mut Session,
    filter: &DeadFilter,
    order: Order,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Vec<i64>, DbError> {
    // A group is of one kind: naming it narrows the search to the group's own part of the index.
    let kind = match (&filter.kind, &filter.fingerprint) {
        (None, Some(fingerprint)) => match KIND_OF_GROUP.bind(fingerprint).optional::<Kind>(session).await? {
            Some(row) => Some(row.kind),
            None => return Ok(Vec::new()),
        },
        (kind, _) => kind.clone(),
    };
    let (beginning, end) = always();
    let after = after.unwrap_or(match order {
        Order::Newest => Cursor { died_at: end, id: TaskId(i64::MAX) },
        Order::Oldest => Cursor { died_at: beginning, id: TaskId(0) },
    });
    let query: Query = statement(order, kind.is_some(), filter.fingerprint.is_some())
        .bind(kind)
        .bind(filter.fingerprint.as_deref())
        .bind(filter.queue.as_deref())
        .bind(filter.error.as_deref().map(str::to_lowercase))
        .bind(filter.since.unwrap_or(beginning))
        .bind(filter.until.unwrap_or(end))
        .bind(after.died_at)
        .bind(after.id.0)
        .bind(limit.clamp(1, MOST));
    let places: Vec<Place> = query.all(session).await?;
    Ok(places.into_iter().map(|place| place.id.0).collect())
}

fn statement(order: Order, by_kind: bool, by_group: bool) -> &'static Stmt {
    match (order, by_kind, by_group) {
        (Order::Newest, true, true) => &NEWEST_DEAD_OF_GROUP,
        (Order::Newest, true, false) => &NEWEST_DEAD_OF_KIND,
        (Order::Newest, false, _) => &NEWEST_DEAD,
        (Order::Oldest, true, true) => &OLDEST_DEAD_OF_GROUP,
        (Order::Oldest, true, false) => &OLDEST_DEAD_OF_KIND,
        (Order::Oldest, false, _) => &OLDEST_DEAD,
    }
}

/// The rows of those that are dead letters at this moment, in the order of `ids`.
pub(super) async fn read(session: &mut Session, ids: Vec<i64>) -> Result<Vec<DeadRow>, DbError> {
    let mut rows: Vec<DeadRow> = READ_DEAD.bind(ids.clone()).all(session).await?;
    let place: HashMap<i64, usize> = ids.into_iter().enumerate().map(|(at, id)| (id, at)).collect();
    rows.sort_by_key(|row| place.get(&row.id.0).copied());
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_list_is_read_back_as_it_was_told() {
        let cursor = Cursor {
            died_at: DateTime::from_timestamp_micros(1_772_442_000_123_456).unwrap(),
            id: TaskId(17),
        };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for bad in ["17", "yesterday/17", "2026-03-02T09:00:00Z/x"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
