//! Putting tasks into the table, always inside the transaction of what caused them (R1).

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{NewTask, TaskId, TaskTx};
use crate::db::{DbError, Rows, sql_text, sql_time};
use crate::job::Priority;
use crate::ring::Bell;

crate::statements! {
    /// Inserts a batch and skips what would be a second task under a unique key. One text for both engines:
    /// the trailing `WHERE` keeps SQLite's parser from reading `ON CONFLICT` as a join.
    INSERT_TASKS = parts {
        "INSERT INTO tasks (kind, version, queue, priority, payload, state, max_attempts, run_at, unique_key,
                            ordering_key, blocked, rate_key, correlation_id, trace_context, cause, created_at)
         SELECT r.kind, r.version, r.queue, r.priority, r.payload, 'pending', r.max_attempts, r.run_at,
                r.unique_key, r.ordering_key, r.ordering_key IS NOT NULL, r.rate_key,
                r.correlation_id, r.trace_context, r.cause, r.created_at
         FROM " (rows "$1" as r (seq BIGINT, kind TEXT, version INTEGER, queue TEXT, priority INTEGER,
            payload TEXT, max_attempts INTEGER, run_at TIMESTAMPTZ, unique_key TEXT, ordering_key TEXT,
            rate_key TEXT, correlation_id TEXT, trace_context TEXT, cause TEXT, created_at TIMESTAMPTZ))
        " WHERE r.seq >= 0 ORDER BY r.seq
         ON CONFLICT DO NOTHING
         RETURNING id, kind, unique_key, queue, priority, blocked, run_at"
    }
}

/// What became of one task handed to [`TaskTx::enqueue`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enqueued {
    New(TaskId),
    /// The task that holds the unique key, left as it was.
    Existing(TaskId),
    /// The task that holds the unique key now has the new payload.
    Replaced(TaskId),
    /// The task that holds the unique key now waits for the new time.
    Pushed(TaskId),
}

impl Enqueued {
    pub fn id(self) -> TaskId {
        match self {
            Self::New(id) | Self::Existing(id) | Self::Replaced(id) | Self::Pushed(id) => id,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::Existing(_) => "existing",
            Self::Replaced(_) => "replaced",
            Self::Pushed(_) => "pushed",
        }
    }

    pub fn is_new(self) -> bool {
        matches!(self, Self::New(_))
    }
}

#[derive(Serialize)]
struct Line<'t> {
    seq: usize,
    kind: &'t str,
    version: u16,
    queue: &'t str,
    priority: u8,
    payload: &'t str,
    max_attempts: u16,
    run_at: String,
    unique_key: Option<Cow<'t, str>>,
    ordering_key: Option<Cow<'t, str>>,
    rate_key: Option<Cow<'t, str>>,
    correlation_id: Option<Cow<'t, str>>,
    trace_context: Option<Cow<'t, str>>,
    cause: Cow<'t, str>,
    created_at: &'t str,
}

#[derive(sqlx::FromRow)]
pub(super) struct Inserted {
    pub(super) id: TaskId,
    kind: String,
    unique_key: Option<String>,
    queue: String,
    priority: i32,
    blocked: bool,
    run_at: DateTime<Utc>,
}

impl TaskTx {
    /// Enqueues tasks, in order, when this transaction commits. Answers one [`Enqueued`] for each.
    pub async fn enqueue(&mut self, tasks: &[NewTask]) -> Result<Vec<Enqueued>, DbError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = Vec::with_capacity(tasks.len());
        for run in tasks.chunk_by(|a, b| a.unique_for.is_none() && b.unique_for.is_none()) {
            if let [task] = run
                && let Some(hold) = task.hold()
            {
                answers.push(self.enqueue_held(task, hold).await?);
            } else {
                let inserted = self.insert(run).await?;
                self.answer(run, inserted, &mut answers).await?;
            }
        }
        Ok(answers)
    }

    pub(super) async fn enqueue_one(&mut self, task: &NewTask) -> Result<Enqueued, DbError> {
        let enqueued = self.enqueue(std::slice::from_ref(task)).await?.pop();
        enqueued.ok_or_else(|| DbError::of("INSERT_TASKS", sqlx::Error::RowNotFound))
    }

    pub(super) async fn insert(&mut self, tasks: &[NewTask]) -> Result<Vec<Inserted>, DbError> {
        let keys: BTreeSet<Cow<'_, str>> =
            tasks.iter().filter_map(|task| task.ordering_key.as_deref().map(sql_text)).collect();
        let keys: BTreeSet<&str> = keys.iter().map(AsRef::as_ref).collect();
        self.lock_lines(&keys).await?;
        let now = self.clock.now();
        let created_at = sql_time(now);
        let lines: Vec<Line<'_>> =
            tasks.iter().enumerate().map(|(seq, task)| Line::of(seq, task, now, &created_at)).collect();
        let inserted: Vec<Inserted> = INSERT_TASKS.bind(Rows::of(&lines)?).all(&mut self.session).await?;
        for row in inserted.iter().filter(|row| row.run_at <= now && !row.blocked) {
            let priority = Priority::from_level(row.priority);
            self.bells.push(Bell { queue: row.queue.clone(), priority, id: row.id });
        }
        self.move_up(&keys).await?;
        Ok(inserted)
    }

    /// Matches rows to tasks: rows come back in the order they went in, and only a task with a unique key
    /// can be missing.
    async fn answer(
        &mut self,
        tasks: &[NewTask],
        inserted: Vec<Inserted>,
        answers: &mut Vec<Enqueued>,
    ) -> Result<(), DbError> {
        let mut rows = inserted.into_iter().peekable();
        for task in tasks {
            let key = task.unique_key.as_deref().map(sql_text);
            let own =
                rows.next_if(|row| row.kind == task.kind && row.unique_key.as_deref() == key.as_deref());
            answers.push(match own {
                Some(row) => Enqueued::New(row.id),
                None => self.existing_or_new(task).await?,
            });
        }
        Ok(())
    }
}

impl<'t> Line<'t> {
    fn of(seq: usize, task: &'t NewTask, now: DateTime<Utc>, created_at: &'t str) -> Self {
        Self {
            seq,
            kind: task.kind,
            version: task.version,
            queue: task.queue.name(),
            priority: task.priority.level(),
            payload: &task.payload,
            max_attempts: task.max_attempts,
            run_at: sql_time(task.run_at.unwrap_or(now)),
            // A key held for a period is kept elsewhere: it outlives the task, or ends before it.
            unique_key: task.unique_key.as_deref().filter(|_| task.unique_for.is_none()).map(sql_text),
            ordering_key: task.ordering_key.as_deref().map(sql_text),
            rate_key: task.rate_key.as_deref().map(sql_text),
            correlation_id: task.correlation_id.as_deref().map(sql_text),
            trace_context: task.trace_context.as_deref().map(sql_text),
            cause: sql_text(&task.cause),
            created_at,
        }
    }
}
