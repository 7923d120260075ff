//! Remove the failed attempts of tasks that ended long enough ago and are kept longer than those. Dead letters keep
//! theirs: they are what a person decides by.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::DbError;
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};
use trunkline_platform::task::TaskId;

use super::retention::before;
use super::run::{self, Bytes, Chore, Run};
use crate::{Services, UPKEEP};

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
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveAttempts {
    /// Where an earlier run left off.
    #[serde(default)]
    pub after: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: TaskId,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    died_at: Option<DateTime<Utc>>,
    bytes: i64,
    count: i64,
}

impl Job for RemoveAttempts {
    type Services = Services;
    const NAME: &'static str = "upkeep.attempts";
    const QUEUE: Queue = UPKEEP;
    const PRIORITY: Priority = Priority::LOW;
    const TIMEOUT: std::time::Duration = run::TIMEOUT;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        run::as_job::<Self>(cx, self.after).await
    }
}

impl Chore for RemoveAttempts {
    async fn work(run: &mut Run<'_>) -> Result<(), DbError> {
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

    fn rest(next: i64) -> Self {
        Self { after: next }
    }
}
