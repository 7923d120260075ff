//! How far running tasks are, as their jobs say: the last word of each, written in fenced batches.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{TaskId, Tasks};
use crate::db::{DbError, Rows, sql_text};

crate::statements! {
    /// Only for attempts that still count.
    SAVE_PROGRESS = parts {
        "INSERT INTO task_progress (task_id, attempt, at, done, total, note)
         SELECT r.id, r.attempt, $2, r.done, r.total, r.note
         FROM " (rows "$1" as r (id BIGINT, attempt INTEGER, done BIGINT, total BIGINT, note TEXT))
        " JOIN tasks ON tasks.id = r.id AND tasks.attempt = r.attempt AND tasks.state || '' = 'running'
         WHERE r.id > 0
         ON CONFLICT (task_id) DO UPDATE SET attempt = excluded.attempt, at = excluded.at, done = excluded.done,
            total = excluded.total, note = excluded.note
         RETURNING task_id AS id"
    }
    SHOW_PROGRESS = same { "SELECT attempt, at, done, total, note FROM task_progress WHERE task_id = $1" }
}

/// How far a job is. What is counted, it decides.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    pub done: u64,
    /// Absent when nobody knows how much there is.
    pub total: Option<u64>,
    pub note: Option<String>,
}

/// How far a task was, and who said so when.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ProgressRow {
    pub attempt: i32,
    pub at: DateTime<Utc>,
    pub done: i64,
    pub total: Option<i64>,
    pub note: Option<String>,
}

#[derive(Serialize)]
struct Line {
    id: TaskId,
    attempt: i32,
    done: i64,
    total: Option<i64>,
    note: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Saved {
    id: TaskId,
}

impl Tasks {
    /// Writes a batch; returns the tasks whose attempt still counts.
    pub(crate) async fn save_progress(
        &self,
        batch: &[(TaskId, i32, Progress)],
    ) -> Result<Vec<TaskId>, DbError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let lines: Vec<Line> = batch
            .iter()
            .map(|(id, attempt, progress)| Line {
                id: *id,
                attempt: *attempt,
                done: number(progress.done),
                total: progress.total.map(number),
                note: progress.note.as_deref().map(|note| sql_text(note).into_owned()),
            })
            .collect();
        let query = SAVE_PROGRESS.bind(Rows::of(&lines)?).bind(self.clock.now());
        let saved: Vec<Saved> = query.all(&mut self.db.write_one_pinned().await?).await?;
        Ok(saved.into_iter().map(|row| row.id).collect())
    }

    /// The last word of a task's job on how far it is.
    pub async fn progress(&self, id: TaskId) -> Result<Option<ProgressRow>, DbError> {
        SHOW_PROGRESS.bind(id.0).optional(&mut self.db.read().await?).await
    }
}
