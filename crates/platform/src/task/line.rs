//! Lines: tasks of one ordering key run in the order of their ids, one at a time.
//!
//! All but the first of a line are `blocked` and in no index that a claim reads. Whoever takes the first out of
//! its line (done, cancelled, discarded, skipped) moves the next up in the same transaction. A failed first that
//! waits for its next try keeps its place, and so does a dead letter until a person has decided.
//!
//! On PostgreSQL whoever joins or leaves a line holds its advisory lock until the commit: the ids of a line are
//! then drawn in the order of the commits, and of two who come and go at once the second sees the first. SQLite
//! has one writer and needs no lock.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{TaskId, TaskTx, Tasks};
use crate::db::{DbError, Rows};
use crate::job::Priority;
use crate::ring::Bell;

crate::statements! {
    /// Differs by necessity: see above. In order, so that two who lock the same lines do not wait for each other.
    LOCK_LINES = split {
        postgres:
        "SELECT COUNT(pg_advisory_xact_lock(line)) AS lines
         FROM (SELECT DISTINCT hashtextextended(r.key, 0) AS line
               FROM json_to_recordset(CAST($1 AS json)) AS r(key TEXT) ORDER BY 1) AS lines",
        sqlite: "SELECT json_array_length($1) AS lines",
    }
    /// Lines that stand still because nobody moved their first up: an older release that ends a task knows no lines.
    FIND_STUCK = same {
        "SELECT DISTINCT t.ordering_key AS key FROM tasks AS t
         WHERE t.blocked AND t.finished_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM tasks AS p WHERE p.ordering_key = t.ordering_key AND p.id < t.id
                             AND (p.finished_at IS NULL OR p.died_at IS NOT NULL))
         LIMIT 1000"
    }
    /// Lets the first of each line run. One look into the index per line, however long it is.
    MOVE_UP = parts {
        "UPDATE tasks SET blocked = FALSE
         WHERE blocked AND id IN (
             SELECT (SELECT t.id FROM tasks AS t
                     WHERE t.ordering_key = r.key AND (t.finished_at IS NULL OR t.died_at IS NOT NULL)
                     ORDER BY t.id LIMIT 1)
             FROM " (rows "$1" as r (key TEXT)) ")
         RETURNING id, queue, priority, run_at"
    }
}

#[derive(Serialize)]
struct Key<'k> {
    key: &'k str,
}

#[derive(sqlx::FromRow)]
struct Stuck {
    key: String,
}

#[derive(sqlx::FromRow)]
struct First {
    id: TaskId,
    queue: String,
    priority: i32,
    run_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Locked {
    #[sqlx(rename = "lines")]
    _lines: i64,
}

impl Tasks {
    /// Moves up the first of every line that stands still without a reason.
    pub(crate) async fn heal_lines(&self) -> Result<(), DbError> {
        let stuck: Vec<Stuck> = FIND_STUCK.query().all(&mut self.db.read().await?).await?;
        if stuck.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        tx.free_lines(&stuck.iter().map(|line| line.key.as_str()).collect()).await?;
        tx.commit().await
    }
}

impl TaskTx {
    /// Takes the lines for this transaction. Whoever joins one draws the task's id only afterwards.
    pub(super) async fn lock_lines(&mut self, keys: &BTreeSet<&str>) -> Result<(), DbError> {
        if !keys.is_empty() {
            LOCK_LINES.bind(rows(keys)?).one::<Locked>(&mut self.session).await?;
        }
        Ok(())
    }

    /// Moves the next of each line up, if its first is gone, and rings for it when this transaction commits. Call
    /// it in every transaction that takes a task with an ordering key out of its line.
    pub async fn free_lines(&mut self, keys: &BTreeSet<&str>) -> Result<(), DbError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.lock_lines(keys).await?;
        self.move_up(keys).await
    }

    pub(super) async fn move_up(&mut self, keys: &BTreeSet<&str>) -> Result<(), DbError> {
        if keys.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let firsts: Vec<First> = MOVE_UP.bind(rows(keys)?).all(&mut self.session).await?;
        for first in firsts.into_iter().filter(|first| first.run_at <= now) {
            let priority = Priority::from_level(first.priority);
            self.bells.push(Bell { queue: first.queue, priority, id: first.id });
        }
        Ok(())
    }
}

fn rows(keys: &BTreeSet<&str>) -> Result<Rows, DbError> {
    let keys: Vec<Key<'_>> = keys.iter().map(|&key| Key { key }).collect();
    Ok(Rows::of(&keys)?)
}
