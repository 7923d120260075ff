//! Remove the failed attempts of tasks that ended long enough ago and are kept longer than those. Dead letters keep
//! theirs: they are what a person decides by.

use chrono::{DateTime, Utc};
use trunkline_platform::task::TaskId;

use super::retention::before;
use super::run::{Bytes, Chore, ChoreError, Run};

trunkline_platform::statements! {
    READ_FAILED = same {
        "SELECT t.id, t.created_at, t.finished_at, t.died_at, CAST(f.bytes AS BIGINT) AS bytes, f.count
         FROM (SELECT task_id, COUNT(*) AS count, SUM(OCTET_LENGTH(COALESCE(error, ''))) AS bytes
               FROM task_attempts WHERE task_id > $1 GROUP BY task_id ORDER BY task_id LIMIT $2) AS f
         JOIN tasks AS t ON t.id = f.task_id ORDER BY t.id"
    }
    DELETE_ATTEMPTS = parts {
        "DELETE FROM task_attempts WHERE task_id IN " (any "$1") "
           AND EXISTS (SELECT 1 FROM tasks AS t
                       WHERE t.id = task_attempts.task_id AND t.finished_at < $2 AND t.died_at IS NULL)
         RETURNING CAST(OCTET_LENGTH(COALESCE(error, '')) AS BIGINT) AS bytes"
    }
}

/// Removes failed attempts of tasks that ended long enough ago.
#[derive(Debug)]
pub struct RemoveAttempts;

#[derive(sqlx::FromRow)]
struct Row {
    id: TaskId,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    died_at: Option<DateTime<Utc>>,
    bytes: i64,
    count: i64,
}

impl Chore for RemoveAttempts {
    const NAME: &'static str = "upkeep.attempts";
    const ABOUT: &'static str = "Removes failed attempts of tasks that ended long enough ago.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let Some(kept) = run.upkeep.retention.attempts else { return Ok(()) };
        let newest = before(run.now(), kept);
        let mut after = run.after;
        loop {
            let query = READ_FAILED.bind(after).bind(run.batch());
            let rows: Vec<Row> = query.all(&mut run.db().read().await?).await?;
            let Some(last) = rows.last().map(|row| row.id.0) else { return Ok(()) };
            let is_old =
                |row: &&Row| row.died_at.is_none() && row.finished_at.is_some_and(|ended| ended < newest);
            let old: Vec<&Row> = rows.iter().filter(is_old).collect();
            if run.dry_run {
                run.freed.rows += old.iter().map(|row| row.count.unsigned_abs()).sum::<u64>();
                run.freed.bytes += old.iter().map(|row| row.bytes.unsigned_abs()).sum::<u64>();
            } else if !old.is_empty() {
                let query =
                    DELETE_ATTEMPTS.bind(old.iter().map(|row| row.id.0).collect::<Vec<_>>()).bind(newest);
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
