//! Leases. A worker process holds one lease for all the tasks it has, renewed by one small row, and loses
//! all of them together: whoever finds that it was not renewed in time removes the row (from then on its heartbeat fails
//! and it can claim nothing), and running tasks whose worker has no row are put back. The fencing token of
//! each task refuses whatever the lost worker still tries to write.
//!
//! One row per process instead of one column per task keeps claims and heartbeats off every index.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{TaskId, TaskState, Tasks};
use crate::crash_point;
use crate::db::DbError;
use crate::job::Priority;
use crate::ring::Bell;

/// After this many workers died with a task in hand it becomes a dead letter.
const MAX_CRASHES: i64 = 3;
/// How often a take-over gives way to another one before it leaves the rest to the next look.
const COLLISIONS: u32 = 10;
/// Tasks put back in one transaction.
const TAKE_OVER_BATCH: i64 = 500;

crate::statements! {
    REGISTER = same {
        "INSERT INTO workers (id, host, pid, queues, started_at, lease_until, lease_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until, beat = workers.beat + 1"
    }
    HEARTBEAT = same { "UPDATE workers SET lease_until = $2, beat = beat + 1 WHERE id = $1" }
    RESIGN = same { "DELETE FROM workers WHERE id = $1" }
    LEASES = same { "SELECT id, lease_until, beat, lease_ms FROM workers LIMIT 10000" }
    /// Says that a lease is missed. This is written so that it is known that something can be written.
    GIVE_NOTICE = same { "UPDATE workers SET lease_until = $3 WHERE id = $1 AND beat = $2" }
    /// Ends a lease that was not renewed since it was looked at.
    END_LEASE = same { "DELETE FROM workers WHERE id = $1 AND beat = $2" }
    EXPIRE_ALL = same { "DELETE FROM workers" }
    LIST_WORKERS = same {
        "SELECT id, host, pid, queues, started_at, lease_until FROM workers ORDER BY started_at LIMIT 1000"
    }
    /// Running tasks whose worker is gone. Looked for outside any transaction: it reads all unfinished tasks.
    FIND_LOST = same {
        "SELECT id FROM tasks
         WHERE finished_at IS NULL AND NOT blocked AND state || '' = 'running'
           AND NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = tasks.worker)
         LIMIT $1"
    }
    /// Puts them back, or ends those that used up their tries or keep killing workers. The conditions are
    /// repeated: another process may have been quicker.
    TAKE_OVER = parts {
        "UPDATE tasks SET
             crashes = crashes + 1, put_off_from = NULL,
             state = CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled'
                          WHEN crashes + 1 >= $3 OR attempt - refunds >= max_attempts THEN 'dead' ELSE 'pending' END,
             finished_at = CASE WHEN cancel_requested_at IS NOT NULL OR crashes + 1 >= $3 OR attempt - refunds >= max_attempts
                                THEN $2 ELSE finished_at END,
             died_at = CASE WHEN cancel_requested_at IS NULL AND (crashes + 1 >= $3 OR attempt - refunds >= max_attempts)
                            THEN $2 ELSE died_at END,
             last_error = CASE WHEN crashes + 1 >= $3 THEN 'its worker died ' || (crashes + 1) || ' times'
                               ELSE 'its worker died' END
         WHERE id IN " (any "$1") " AND state || '' = 'running'
           AND NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = tasks.worker)
         RETURNING id, kind, queue, priority, state, ordering_key"
    }
    INSERT_LOST_ATTEMPTS = parts {
        "INSERT INTO task_attempts (task_id, attempt, worker, started_at, duration_ms, verdict, error)
         SELECT t.id, t.attempt, t.worker, t.started_at, 0, 'lease_expired', t.last_error
         FROM tasks AS t WHERE t.id IN " (any "$1") " ON CONFLICT DO NOTHING"
    }
    /// What the table says this worker has, to be compared with what it knows it has.
    HELD_BY = same {
        "SELECT id, attempt FROM tasks WHERE finished_at IS NULL AND NOT blocked AND worker = $1 AND state || '' = 'running' LIMIT 10000"
    }
}

/// One life of one worker process. A process that lost its lease goes on under a new id.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct WorkerId(String);

impl WorkerId {
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A worker as the table knows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct WorkerRow {
    pub id: String,
    pub host: String,
    pub pid: i64,
    pub queues: String,
    pub started_at: DateTime<Utc>,
    pub lease_until: DateTime<Utc>,
}

/// A lease at the moment it was read. `beat` changes with every renewal.
#[derive(Clone, Debug, Eq, PartialEq, sqlx::FromRow)]
pub struct LeaseRow {
    pub id: String,
    pub lease_until: DateTime<Utc>,
    pub beat: i64,
    /// How long it runs; absent when a worker of an older release took it.
    pub lease_ms: Option<i64>,
}

/// What a take-over found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TakenOver {
    /// Tasks put back.
    pub requeued: u64,
    /// Tasks that somebody had asked to cancel.
    pub cancelled: u64,
    /// Tasks that became dead letters, with their kinds.
    pub dead: Vec<(TaskId, String)>,
}

#[derive(sqlx::FromRow)]
struct Lost {
    id: TaskId,
}

#[derive(sqlx::FromRow)]
struct Taken {
    id: TaskId,
    kind: String,
    queue: String,
    priority: i32,
    #[sqlx(try_from = "String")]
    state: TaskState,
    ordering_key: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(crate) struct HeldRow {
    pub(crate) id: TaskId,
    pub(crate) attempt: i32,
}

impl Tasks {
    /// Registers a worker; its lease runs for `lease` from now.
    pub async fn register_worker(
        &self,
        worker: &WorkerId,
        queues: &str,
        lease: TimeDelta,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        let query = REGISTER
            .bind(worker.as_str())
            .bind(host_name())
            .bind(std::process::id())
            .bind(queues)
            .bind(now)
            .bind(now + lease)
            .bind(lease.num_milliseconds());
        query.execute(&mut self.db.write_one().await?).await.map(drop)
    }

    /// Renews a lease. False: it has run out, and nothing this worker holds is its own any more.
    pub async fn heartbeat(&self, worker: &WorkerId, lease: TimeDelta) -> Result<bool, DbError> {
        let until = self.clock.now() + lease;
        let query = HEARTBEAT.bind(worker.as_str()).bind(until);
        // Not on the connections of the workers, which claims and verdicts can have taken.
        Ok(query.execute(&mut self.db.write_one().await?).await? == 1)
    }

    /// Says good-bye. Call it when nothing is held any more.
    pub async fn resign_worker(&self, worker: &WorkerId) -> Result<(), DbError> {
        RESIGN.bind(worker.as_str()).execute(&mut self.db.write_one().await?).await.map(drop)
    }

    /// Ends every lease: on SQLite one process holds the file, so whoever was there before is gone.
    pub async fn expire_all_leases(&self) -> Result<u64, DbError> {
        EXPIRE_ALL.query().execute(&mut self.db.write_one().await?).await
    }

    /// Every lease there is.
    pub async fn leases(&self) -> Result<Vec<LeaseRow>, DbError> {
        LEASES.query().all(&mut self.db.read().await?).await
    }

    /// Gives notice of a lease's end, unless it was renewed since it was read.
    pub async fn give_notice(&self, lease: &LeaseRow) -> Result<bool, DbError> {
        let query = GIVE_NOTICE.bind(&lease.id).bind(lease.beat).bind(self.clock.now());
        Ok(query.execute(&mut self.db.write_one().await?).await? == 1)
    }

    /// Ends a lease, unless it was renewed since it was read.
    pub async fn end_lease(&self, lease: &LeaseRow) -> Result<bool, DbError> {
        let query = END_LEASE.bind(&lease.id).bind(lease.beat);
        let ended = query.execute(&mut self.db.write_one().await?).await? == 1;
        if ended {
            crash_point!("expire.after_commit");
        }
        Ok(ended)
    }

    /// Puts back every running task whose worker is gone.
    pub async fn take_over(&self) -> Result<TakenOver, DbError> {
        let mut total = TakenOver::default();
        let mut patience = COLLISIONS;
        loop {
            match self.take_over_some(&mut total).await {
                Ok(true) => {}
                Ok(false) => return Ok(total),
                // Another process takes over the same tasks; what it leaves is found by looking again.
                Err(DbError::Busy { .. }) if patience > 0 => patience -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn take_over_some(&self, total: &mut TakenOver) -> Result<bool, DbError> {
        let lost: Vec<Lost> = FIND_LOST.bind(TAKE_OVER_BATCH).all(&mut self.db.read_pinned().await?).await?;
        if lost.is_empty() {
            return Ok(false);
        }
        let lost: Vec<i64> = lost.into_iter().map(|task| task.id.0).collect();
        let mut tx = self.begin_pinned().await?;
        let query = TAKE_OVER.bind(lost).bind(self.clock.now()).bind(MAX_CRASHES);
        let taken: Vec<Taken> = query.all(&mut tx.session).await?;
        let ids: Vec<i64> = taken.iter().map(|task| task.id.0).collect();
        INSERT_LOST_ATTEMPTS.bind(ids).execute(&mut tx.session).await?;
        let ended = taken.iter().filter(|task| task.state == TaskState::Cancelled);
        tx.free_lines(&ended.filter_map(|task| task.ordering_key.as_deref()).collect()).await?;
        let deaths = taken.iter().filter(|task| task.state == TaskState::Dead);
        tx.mark_deaths(deaths.map(|task| task.id.0).collect()).await?;
        for task in taken {
            match task.state {
                TaskState::Pending => {
                    total.requeued += 1;
                    let priority = Priority::from_level(task.priority);
                    tx.bells.push(Bell { queue: task.queue, priority, id: task.id });
                }
                TaskState::Cancelled => total.cancelled += 1,
                _ => total.dead.push((task.id, task.kind)),
            }
        }
        crash_point!("take_over.before_commit");
        tx.commit().await?;
        crash_point!("take_over.after_commit");
        Ok(true)
    }

    pub(crate) async fn held_by(&self, worker: &WorkerId) -> Result<Vec<HeldRow>, DbError> {
        HELD_BY.bind(worker.as_str()).all(&mut self.db.read_pinned().await?).await
    }

    /// The workers the table knows, the oldest first.
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, DbError> {
        LIST_WORKERS.query().all(&mut self.db.read().await?).await
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/etc/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
