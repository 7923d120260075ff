//! Ending attempts, in fenced batches: one statement writes every verdict of a batch, compares the fencing
//! token of each, and what it did not touch was no longer ours.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{NewTask, TaskId, TaskState, TaskTx, Tasks, WorkerId};
use crate::crash_point;
use crate::db::{DbError, Rows, sql_text, sql_time};
use crate::job::Priority;
use crate::ring::Bell;

crate::statements! {
    /// Writes verdicts. A row that is no longer running under this fencing token stays as it is. One that somebody
    /// wants cancelled ends here, unless the work was done all the same.
    FINISH = parts {
        "UPDATE tasks SET
                state = CASE WHEN tasks.cancel_requested_at IS NULL OR r.state = 'done' THEN r.state ELSE 'cancelled' END,
                run_at = COALESCE(r.run_at, tasks.run_at), put_off_from = NULL,
                finished_at = CASE WHEN tasks.cancel_requested_at IS NULL THEN r.finished_at ELSE $2 END,
                died_at = CASE WHEN tasks.cancel_requested_at IS NULL THEN r.died_at END,
                refunds = tasks.refunds + r.refund, last_error = COALESCE(r.error, tasks.last_error)
         FROM " (rows "$1" as r (id BIGINT, attempt INTEGER, state TEXT, run_at TIMESTAMPTZ,
            finished_at TIMESTAMPTZ, died_at TIMESTAMPTZ, refund INTEGER, error TEXT))
        " WHERE tasks.id = r.id AND tasks.attempt = r.attempt AND tasks.state || '' = 'running'
         RETURNING tasks.id, tasks.attempt, tasks.kind, tasks.queue, tasks.priority, tasks.state, tasks.run_at, tasks.ordering_key"
    }
    INSERT_ATTEMPTS = parts {
        "INSERT INTO task_attempts (task_id, attempt, worker, started_at, duration_ms, verdict, error)
         SELECT r.id, r.attempt, r.worker, r.started_at, r.duration_ms, r.verdict, r.error
         FROM " (rows "$1" as r (id BIGINT, attempt INTEGER, worker TEXT, started_at TIMESTAMPTZ,
            duration_ms BIGINT, verdict TEXT, error TEXT))
        " WHERE r.id > 0 ON CONFLICT DO NOTHING"
    }
}

/// How an attempt ended, as the table sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Done,
    /// Failed; pending again from this time on.
    Retry {
        at: DateTime<Utc>,
    },
    /// Not a failure: pending again from this time on, the attempt given back.
    Snooze {
        at: DateTime<Utc>,
    },
    /// Never begun, or cut short by a stop: pending at once, the attempt given back.
    GiveBack,
    /// A dead letter.
    Dead,
    Discarded,
}

/// One ended attempt on its way to the table.
#[derive(Debug)]
pub struct Finish {
    pub id: TaskId,
    /// The fencing token of the claim.
    pub attempt: i32,
    pub verdict: Verdict,
    /// The error with its chain of causes, when there is one.
    pub error: Option<String>,
    /// What kind of end this was, for the attempt's row: `failed`, `timed_out`, `panicked`, …
    pub label: &'static str,
    pub worker: String,
    pub started_at: DateTime<Utc>,
    pub duration_ms: i64,
    pub follow_ups: Vec<NewTask>,
}

impl Finish {
    /// A claim that never became an attempt.
    pub(crate) fn give_back(id: TaskId, attempt: i32, worker: &WorkerId, now: DateTime<Utc>) -> Self {
        Self {
            id,
            attempt,
            verdict: Verdict::GiveBack,
            error: None,
            label: "given_back",
            worker: worker.as_str().to_owned(),
            started_at: now,
            duration_ms: 0,
            follow_ups: Vec::new(),
        }
    }
}

/// What became of a batch of [`Finish`]es.
#[derive(Debug, Default)]
pub struct Finished {
    /// Verdicts that were written.
    pub written: HashSet<TaskId>,
    /// Verdicts that came too late: the task was no longer running under that fencing token.
    pub lost: Vec<TaskId>,
    /// How many of those written ended as cancelled.
    pub cancelled: usize,
    /// Those written that became dead letters, with their kinds.
    pub dead: Vec<(TaskId, String)>,
}

#[derive(Serialize)]
struct VerdictLine<'f> {
    id: TaskId,
    attempt: i32,
    state: TaskState,
    run_at: Option<String>,
    finished_at: Option<&'f str>,
    died_at: Option<&'f str>,
    refund: u8,
    error: Option<&'f str>,
}

#[derive(Serialize)]
struct AttemptLine<'f> {
    id: TaskId,
    attempt: i32,
    worker: &'f str,
    started_at: String,
    duration_ms: i64,
    verdict: &'static str,
    error: Option<&'f str>,
}

#[derive(sqlx::FromRow)]
struct FinishedRow {
    id: TaskId,
    attempt: i32,
    kind: String,
    queue: String,
    priority: i32,
    #[sqlx(try_from = "String")]
    state: TaskState,
    run_at: DateTime<Utc>,
    ordering_key: Option<String>,
}

impl Tasks {
    /// Writes a batch of verdicts together with the tasks that follow from them, in one transaction.
    pub async fn finish(&self, batch: &[Finish]) -> Result<Finished, DbError> {
        let mut tx = self.begin_pinned().await?;
        let finished = tx.finish(batch).await?;
        crash_point!("finish.before_commit");
        tx.commit().await?;
        crash_point!("finish.after_commit");
        Ok(finished)
    }
}

impl TaskTx {
    async fn finish(&mut self, batch: &[Finish]) -> Result<Finished, DbError> {
        let now = self.clock.now();
        let now_text = sql_time(now);
        let lines: Vec<VerdictLine<'_>> =
            batch.iter().map(|finish| VerdictLine::of(finish, now, &now_text)).collect();
        let rows: Vec<FinishedRow> = FINISH.bind(Rows::of(&lines)?).bind(now).all(&mut self.session).await?;

        // By token: one batch can hold the verdict of the owner and that of an owner before it.
        let owners: HashSet<(TaskId, i32)> = rows.iter().map(|row| (row.id, row.attempt)).collect();
        let counts = |finish: &&Finish| owners.contains(&(finish.id, finish.attempt));
        let cancelled = rows.iter().filter(|row| row.state == TaskState::Cancelled).count();
        let deaths = rows.iter().filter(|row| row.state == TaskState::Dead);
        let dead: Vec<(TaskId, String)> = deaths.map(|row| (row.id, row.kind.clone())).collect();
        // A dead letter keeps its place in its line.
        let leaving = rows.iter().filter(|row| !matches!(row.state, TaskState::Pending | TaskState::Dead));
        let left: BTreeSet<String> = leaving.filter_map(|row| row.ordering_key.clone()).collect();
        for row in rows.into_iter().filter(|row| row.state == TaskState::Pending && row.run_at <= now) {
            let priority = Priority::from_level(row.priority);
            self.bells.push(Bell { queue: row.queue, priority, id: row.id });
        }
        let counted = || batch.iter().filter(counts);
        self.record_attempts(counted()).await?;
        let follow_ups: Vec<NewTask> =
            counted().flat_map(|finish| finish.follow_ups.iter().cloned()).collect();
        if !follow_ups.is_empty() {
            crash_point!("finish.before_follow_ups");
        }
        let left: BTreeSet<&str> = left.iter().map(String::as_str).collect();
        let joined: Vec<Cow<'_, str>> =
            follow_ups.iter().filter_map(|task| task.ordering_key.as_deref().map(sql_text)).collect();
        self.lock_lines(&left.iter().copied().chain(joined.iter().map(AsRef::as_ref)).collect()).await?;
        self.enqueue(&follow_ups).await?;
        self.move_up(&left).await?;
        self.mark_deaths(dead.iter().map(|(id, _)| id.0).collect()).await?;

        let written = counted().map(|finish| finish.id).collect();
        let lost = batch.iter().filter(|finish| !counts(finish)).map(|finish| finish.id).collect();
        Ok(Finished { written, lost, cancelled, dead })
    }

    /// Every attempt that failed leaves a row; success and putting off leave none.
    async fn record_attempts<'f>(&mut self, batch: impl Iterator<Item = &'f Finish>) -> Result<(), DbError> {
        let lines: Vec<AttemptLine<'_>> = batch
            .filter(|finish| {
                !matches!(finish.verdict, Verdict::Done | Verdict::Snooze { .. } | Verdict::GiveBack)
            })
            .map(AttemptLine::of)
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        INSERT_ATTEMPTS.bind(Rows::of(&lines)?).execute(&mut self.session).await.map(drop)
    }
}

impl<'f> VerdictLine<'f> {
    fn of(finish: &'f Finish, now: DateTime<Utc>, now_text: &'f str) -> Self {
        let (state, run_at, refund) = match finish.verdict {
            Verdict::Done => (TaskState::Done, None, 0),
            Verdict::Retry { at } => (TaskState::Pending, Some(at), 0),
            Verdict::Snooze { at } => (TaskState::Pending, Some(at), 1),
            Verdict::GiveBack => (TaskState::Pending, Some(now), 1),
            Verdict::Dead => (TaskState::Dead, None, 0),
            Verdict::Discarded => (TaskState::Discarded, None, 0),
        };
        Self {
            id: finish.id,
            attempt: finish.attempt,
            state,
            run_at: run_at.map(sql_time),
            finished_at: (state != TaskState::Pending).then_some(now_text),
            died_at: (state == TaskState::Dead).then_some(now_text),
            refund,
            error: finish.error.as_deref(),
        }
    }
}

impl<'f> AttemptLine<'f> {
    fn of(finish: &'f Finish) -> Self {
        Self {
            id: finish.id,
            attempt: finish.attempt,
            worker: &finish.worker,
            started_at: sql_time(finish.started_at),
            duration_ms: finish.duration_ms,
            verdict: finish.label,
            error: finish.error.as_deref(),
        }
    }
}
