//! Unique tasks: what happens when a second task comes under a key that is held. A key is held either until its
//! task has ended (a unique index on unfinished tasks) or for a period (a row of its own, whose primary key
//! settles who was first).

use chrono::{DateTime, TimeDelta, Utc};

use super::enqueue::Enqueued;
use super::{NewTask, OnConflict, TaskId, TaskTx};
use crate::db::{DbError, sql_text};
use crate::job::Priority;
use crate::ring::Bell;

/// Stands for a kind where the keys of requests are held. No job can be called so.
const REQUESTS: &str = "request:enqueue";

crate::statements! {
    /// The unfinished task that holds a key.
    FIND_UNIQUE = same {
        "SELECT id FROM tasks WHERE kind = $1 AND unique_key = $2 AND finished_at IS NULL"
    }
    /// Takes a key for a period, unless an earlier period still runs.
    HOLD_KEY = same {
        "INSERT INTO unique_periods (kind, unique_key, until) VALUES ($1, $2, $3)
         ON CONFLICT (kind, unique_key) DO UPDATE SET until = excluded.until, task_id = NULL
         WHERE unique_periods.until <= $4"
    }
    SET_HOLDER = same {
        "UPDATE unique_periods SET task_id = $3 WHERE kind = $1 AND unique_key = $2"
    }
    FIND_HOLDER = same {
        "SELECT task_id AS id FROM unique_periods WHERE kind = $1 AND unique_key = $2 AND task_id IS NOT NULL"
    }
    REPLACE_PAYLOAD = same {
        "UPDATE tasks SET payload = $2, version = $3 WHERE id = $1 AND state = 'pending'
         RETURNING id, queue, priority, run_at"
    }
    PUSH_TIME = same {
        "UPDATE tasks SET run_at = $2, put_off_from = NULL WHERE id = $1 AND state = 'pending'
         RETURNING id, queue, priority, run_at"
    }
}

#[derive(sqlx::FromRow)]
struct Holder {
    id: TaskId,
}

#[derive(sqlx::FromRow)]
struct Changed {
    id: TaskId,
    queue: String,
    priority: i32,
    run_at: DateTime<Utc>,
}

impl TaskTx {
    /// The task that held the key can end between our insert and our look; then the key is free and the insert
    /// is made again.
    pub(super) async fn existing_or_new(&mut self, task: &NewTask) -> Result<Enqueued, DbError> {
        loop {
            let key = task.unique_key.as_deref().map(sql_text);
            let query = FIND_UNIQUE.bind(task.kind).bind(key.as_deref());
            if let Some(holder) = query.optional::<Holder>(&mut self.session).await? {
                return self.conflict(task, holder.id).await;
            }
            if let Some(row) = self.insert(std::slice::from_ref(task)).await?.first() {
                return Ok(Enqueued::New(row.id));
            }
        }
    }

    /// Enqueues a task that holds its key for a period.
    pub(super) async fn enqueue_held(
        &mut self,
        task: &NewTask,
        (key, period): (&str, TimeDelta),
    ) -> Result<Enqueued, DbError> {
        let (key, now) = (sql_text(key), self.clock.now());
        let hold = HOLD_KEY.bind(task.kind).bind(key.as_ref()).bind(now + period).bind(now);
        if hold.execute(&mut self.session).await? == 0 {
            let query = FIND_HOLDER.bind(task.kind).bind(key.as_ref());
            let holder: Holder = query.one(&mut self.session).await?;
            return self.conflict(task, holder.id).await;
        }
        let inserted = self.insert(std::slice::from_ref(task)).await?;
        let Some(id) = inserted.first().map(|row| row.id) else {
            return Err(DbError::of("INSERT_TASKS", sqlx::Error::RowNotFound));
        };
        SET_HOLDER.bind(task.kind).bind(key.as_ref()).bind(id.0).execute(&mut self.session).await?;
        Ok(Enqueued::New(id))
    }

    /// Enqueues a task unless a request with this key did so within its period: then that one's task is the answer.
    pub(super) async fn enqueue_once(
        &mut self,
        task: &NewTask,
        key: &str,
        period: TimeDelta,
    ) -> Result<Enqueued, DbError> {
        let (key, now) = (sql_text(key), self.clock.now());
        let hold = HOLD_KEY.bind(REQUESTS).bind(key.as_ref()).bind(now + period).bind(now);
        if hold.execute(&mut self.session).await? == 0 {
            let query = FIND_HOLDER.bind(REQUESTS).bind(key.as_ref());
            return Ok(Enqueued::Existing(query.one::<Holder>(&mut self.session).await?.id));
        }
        let enqueued = self.enqueue_one(task).await?;
        let holder = SET_HOLDER.bind(REQUESTS).bind(key.as_ref()).bind(enqueued.id().0);
        holder.execute(&mut self.session).await?;
        Ok(enqueued)
    }

    /// Does to the holder of the key what the second task asks for, if the holder still waits.
    async fn conflict(&mut self, task: &NewTask, holder: TaskId) -> Result<Enqueued, DbError> {
        let now = self.clock.now();
        let (query, changed) = match task.on_conflict {
            OnConflict::Keep => return Ok(Enqueued::Existing(holder)),
            OnConflict::ReplacePayload => (
                REPLACE_PAYLOAD.bind(holder.0).bind(task.payload.as_str()).bind(i32::from(task.version)),
                Enqueued::Replaced(holder),
            ),
            OnConflict::PushTime => {
                (PUSH_TIME.bind(holder.0).bind(task.run_at.unwrap_or(now)), Enqueued::Pushed(holder))
            }
        };
        let Some(row) = query.optional::<Changed>(&mut self.session).await? else {
            return Ok(Enqueued::Existing(holder));
        };
        if row.run_at <= now {
            let priority = Priority::from_level(row.priority);
            self.bells.push(Bell { queue: row.queue, priority, id: row.id });
        }
        Ok(changed)
    }
}
