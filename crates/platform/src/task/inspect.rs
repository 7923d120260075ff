//! Looking at tasks: what the command line, the metrics and the tests read.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{TaskId, TaskState, Tasks};
use crate::db::DbError;

const COLUMNS: &str = "id, kind, version, queue, priority, payload, state, attempt, refunds, crashes, max_attempts,
                run_at, worker, unique_key, ordering_key, blocked, rate_key, cancel_requested_at, correlation_id, cause,
                created_at, started_at, finished_at, last_error";
const FITTING: &str =
    " AND (CAST($1 AS TEXT) IS NULL OR state = $1) AND (CAST($2 AS TEXT) IS NULL OR kind = $2)
           AND (CAST($3 AS TEXT) IS NULL OR queue = $3) AND (CAST($4 AS TEXT) IS NULL OR correlation_id = $4)
           AND (CAST($5 AS BIGINT) IS NULL OR id < $5)
         ORDER BY id DESC LIMIT $6";

crate::statements! {
    /// From the newest on, until enough fit.
    LIST_TASKS = parts { "SELECT " (sql COLUMNS) " FROM tasks WHERE true" (sql FITTING) }
    /// By the index of correlations.
    LIST_CORRELATED = parts { "SELECT " (sql COLUMNS) " FROM tasks WHERE correlation_id = $4" (sql FITTING) }
    /// By the index of dead letters, which are few among many.
    LIST_DEAD = parts { "SELECT " (sql COLUMNS) " FROM tasks WHERE died_at IS NOT NULL" (sql FITTING) }
    SHOW_TASK = parts { "SELECT " (sql COLUMNS) " FROM tasks WHERE id = $1" }
    LIST_ATTEMPTS = same {
        "SELECT attempt, worker, started_at, duration_ms, verdict, error
         FROM task_attempts WHERE task_id = $1 ORDER BY attempt DESC LIMIT 1000"
    }
    COUNT_BY_KIND = same {
        "SELECT kind, state, COUNT(*) AS count FROM tasks GROUP BY kind, state ORDER BY kind, state LIMIT 10000"
    }
    COUNT_UNFINISHED_DUE = same {
        "SELECT COUNT(*) AS count FROM tasks WHERE finished_at IS NULL AND NOT blocked AND run_at <= $1"
    }
}

/// A task as it stands in the table.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct TaskRow {
    pub id: TaskId,
    pub kind: String,
    pub version: i32,
    pub queue: String,
    pub priority: i32,
    pub payload: String,
    #[sqlx(try_from = "String")]
    pub state: TaskState,
    pub attempt: i32,
    pub refunds: i32,
    pub crashes: i32,
    pub max_attempts: i32,
    pub run_at: DateTime<Utc>,
    pub worker: Option<String>,
    pub unique_key: Option<String>,
    pub ordering_key: Option<String>,
    /// Behind another in the line of its ordering key.
    pub blocked: bool,
    pub rate_key: Option<String>,
    /// Somebody wants it to end.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    pub correlation_id: Option<String>,
    pub cause: String,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
}

/// One attempt that did not succeed.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct AttemptRow {
    pub attempt: i32,
    pub worker: String,
    pub started_at: Option<DateTime<Utc>>,
    pub duration_ms: i64,
    pub verdict: String,
    pub error: Option<String>,
}

/// How many tasks of a kind are in a state.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct KindCount {
    pub kind: String,
    #[sqlx(try_from = "String")]
    pub state: TaskState,
    pub count: i64,
}

/// Which tasks to list, the newest first.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub state: Option<TaskState>,
    pub kind: Option<String>,
    pub queue: Option<String>,
    pub correlation_id: Option<String>,
    /// Only tasks older than this one: the last id of the page before.
    pub before: Option<TaskId>,
    pub limit: u32,
}

#[derive(sqlx::FromRow)]
struct Count {
    count: i64,
}

impl Tasks {
    pub async fn list(&self, filter: &TaskFilter) -> Result<Vec<TaskRow>, DbError> {
        let statement = match filter {
            TaskFilter { correlation_id: Some(_), .. } => &LIST_CORRELATED,
            TaskFilter { state: Some(TaskState::Dead), .. } => &LIST_DEAD,
            _ => &LIST_TASKS,
        };
        let query = statement
            .bind(filter.state.map(TaskState::as_str))
            .bind(filter.kind.as_deref())
            .bind(filter.queue.as_deref())
            .bind(filter.correlation_id.as_deref())
            .bind(filter.before.map(|id| id.0))
            .bind(filter.limit.clamp(1, 1_000));
        query.all(&mut self.db.read().await?).await
    }

    pub async fn show(&self, id: TaskId) -> Result<Option<TaskRow>, DbError> {
        SHOW_TASK.bind(id.0).optional(&mut self.db.read().await?).await
    }

    /// The attempts of a task that failed, in order; the newest thousand.
    pub async fn attempts(&self, id: TaskId) -> Result<Vec<AttemptRow>, DbError> {
        let mut attempts: Vec<AttemptRow> = LIST_ATTEMPTS.bind(id.0).all(&mut self.db.read().await?).await?;
        attempts.reverse();
        Ok(attempts)
    }

    /// Counts every task in the table, finished ones included.
    pub async fn count_by_kind(&self) -> Result<Vec<KindCount>, DbError> {
        COUNT_BY_KIND.query().all(&mut self.db.read().await?).await
    }

    /// Tasks that are running or could run now.
    pub async fn unfinished_due(&self) -> Result<i64, DbError> {
        let query = COUNT_UNFINISHED_DUE.bind(self.clock.now());
        Ok(query.one::<Count>(&mut self.db.read().await?).await?.count)
    }
}
