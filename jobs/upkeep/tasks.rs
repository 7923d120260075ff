//! Remove tasks that ended long enough ago. Task numbers rise with time, so the old ones lie together at the front of
//! the primary key: they are read from there in windows, with no index of their own to slow the hot path.
//!
//! A dead letter that holds up a line of tasks stays, however old: without it the line would move on.

use chrono::{DateTime, Utc};
use trunkline_platform::task::{TaskId, TaskState};

use super::retention::before;
use super::run::{Bytes, Chore, ChoreError, Run};

trunkline_platform::statements! {
    READ_WINDOW = same {
        "SELECT id, kind, state, created_at, finished_at,
                CAST(OCTET_LENGTH(payload) + OCTET_LENGTH(COALESCE(last_error, '')) AS BIGINT) AS bytes
         FROM tasks WHERE id > $1 ORDER BY id LIMIT $2"
    }
    /// A dead letter may have been retried since it was read.
    DELETE_TASKS = parts {
        "DELETE FROM tasks WHERE id IN " (any "$1") " AND finished_at < $2
           AND NOT (died_at IS NOT NULL AND ordering_key IS NOT NULL)
         RETURNING CAST(OCTET_LENGTH(payload) + OCTET_LENGTH(COALESCE(last_error, '')) AS BIGINT) AS bytes"
    }
}

/// Removes tasks that ended long enough ago, with their failed attempts.
#[derive(Debug)]
pub struct RemoveTasks;

#[derive(sqlx::FromRow)]
struct Row {
    id: TaskId,
    kind: String,
    #[sqlx(try_from = "String")]
    state: TaskState,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    bytes: i64,
}

impl Chore for RemoveTasks {
    const NAME: &'static str = "upkeep.tasks";
    const ABOUT: &'static str = "Removes tasks that ended long enough ago.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let (upkeep, now) = (run.upkeep, run.now());
        let retention = &upkeep.retention;
        let Some(newest) = retention.shortest_of_tasks().map(|kept| before(now, kept)) else { return Ok(()) };
        let mut after = run.after;
        loop {
            let query = READ_WINDOW.bind(after).bind(run.batch());
            let rows: Vec<Row> = query.all(&mut run.db().read().await?).await?;
            let Some(last) = rows.last().map(|row| row.id.0) else { return Ok(()) };
            let is_old = |row: &&Row| {
                let kept = retention.of_task(&row.kind, row.state);
                kept.zip(row.finished_at).is_some_and(|(kept, end)| end < before(now, kept))
            };
            let old: Vec<&Row> = rows.iter().filter(is_old).collect();
            if run.dry_run {
                let sizes: Vec<Bytes> = old.iter().map(|row| Bytes { bytes: row.bytes }).collect();
                run.removed(&sizes);
            } else if !old.is_empty() {
                let ids: Vec<i64> = old.iter().map(|row| row.id.0).collect();
                let query = DELETE_TASKS.bind(ids).bind(newest);
                let removed: Vec<Bytes> = query.all(&mut run.db().write_one().await?).await?;
                run.removed(&removed);
            }
            // What came later ended later.
            if rows.iter().all(|row| row.created_at >= newest) {
                return Ok(());
            }
            after = last;
            if run.is_over() {
                run.freed.next = Some(after);
                return Ok(());
            }
        }
    }
}
