//! The life of one task, in order of time: what caused it, every attempt that failed, what people did to it,
//! how it ended, and what followed from it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::audit::{self, AuditFilter, AuditRow};
use trunkline_platform::db::DbError;
use trunkline_platform::task::{AttemptRow, TaskFilter, TaskId, TaskRow, TaskState, Tasks};

/// The most acts and the most relatives that are shown.
const MOST: u32 = 200;

/// Something that happened to the task.
#[derive(Debug, Serialize)]
pub struct Moment {
    pub at: DateTime<Utc>,
    pub what: String,
}

/// What people did to a task, the oldest first; the newest 200.
pub async fn acts(tasks: &Tasks, id: TaskId) -> Result<Vec<AuditRow>, DbError> {
    let filter = AuditFilter { subject: Some(format!("task:{id}")), limit: MOST, ..AuditFilter::default() };
    let mut acts = audit::list(tasks.db(), &filter).await?;
    acts.reverse();
    Ok(acts)
}

/// The tasks that this one caused, the oldest first; of the newest 200 with its correlation.
pub async fn follow_ups(tasks: &Tasks, row: &TaskRow) -> Result<Vec<TaskRow>, DbError> {
    // Tasks without a correlation of their own are the beginning of one.
    let correlation = row.correlation_id.clone().unwrap_or_else(|| format!("task-{}", row.id));
    let filter = TaskFilter { correlation_id: Some(correlation), limit: MOST, ..TaskFilter::default() };
    let cause = format!("task:{}", row.id);
    let mut caused = tasks.list(&filter).await?;
    caused.retain(|task| task.cause == cause);
    caused.reverse();
    Ok(caused)
}

/// Everything the table knows of a task's life.
pub fn of(row: &TaskRow, attempts: &[AttemptRow], acts: &[AuditRow]) -> Vec<Moment> {
    let mut moments = vec![Moment { at: row.created_at, what: format!("enqueued by {}", row.cause) }];
    for attempt in attempts {
        let seconds = attempt.duration_ms as f64 / 1_000.0;
        moments.extend(attempt.started_at.map(|at| Moment {
            at,
            what: format!(
                "attempt {} by {}: {} after {seconds:.3}s",
                attempt.attempt, attempt.worker, attempt.verdict
            ),
        }));
    }
    let reason = |act: &AuditRow| act.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    moments.extend(
        acts.iter().map(|act| Moment {
            at: act.at,
            what: format!("{} by {}{}", act.action, act.actor, reason(act)),
        }),
    );
    let recorded = attempts.iter().any(|attempt| attempt.attempt == row.attempt);
    if let Some(at) = row.started_at.filter(|_| !recorded) {
        let worker = row.worker.as_deref().unwrap_or("a worker");
        moments.push(Moment { at, what: format!("attempt {} by {worker}", row.attempt) });
    }
    moments.extend(row.finished_at.map(|at| Moment { at, what: row.state.to_string() }));
    if row.state == TaskState::Pending {
        moments.push(Moment { at: row.run_at, what: "due".to_owned() });
    }
    moments.sort_by_key(|moment| moment.at);
    moments
}

/// The moments as the reader may see them: reasons can hold numbers.
pub fn viewed(moments: Vec<Moment>, view: impl Fn(&str) -> String) -> Vec<Moment> {
    moments.into_iter().map(|moment| Moment { what: view(&moment.what), ..moment }).collect()
}
