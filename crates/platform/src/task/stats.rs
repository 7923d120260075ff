//! Figures that cost the same however long the history is. What waits, runs or is dead is counted exactly, from
//! indexes that hold nothing else; what was done is what the workers told every few seconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Serialize;
use tokio::sync::Mutex;

use super::Tasks;
use crate::db::{DbError, Rows, sql_time};

/// How long one row of rates lasts.
const BUCKET: TimeDelta = TimeDelta::seconds(10);
/// The minutes of which rates are told.
pub const WINDOWS: [i64; 3] = [1, 5, 15];
/// How long rates are kept.
const KEPT: TimeDelta = TimeDelta::minutes(20);
/// Where more tasks than this wait, counting them takes long enough that those who look share a count.
const MANY: i64 = 20_000;
/// How long such a count is good for.
const SHARED_FOR: TimeDelta = TimeDelta::seconds(5);

crate::statements! {
    BACKLOG = same {
        "SELECT u.queue, u.kind, u.version,
                COUNT(*) FILTER (WHERE u.state = 'pending' AND u.run_at <= $1) AS due,
                COUNT(*) FILTER (WHERE u.state = 'pending' AND u.run_at > $1) AS delayed,
                COUNT(*) FILTER (WHERE u.state = 'running') AS running,
                COUNT(*) FILTER (WHERE u.state = 'blocked') AS blocked,
                MIN(u.run_at) FILTER (WHERE u.state = 'pending' AND u.run_at <= $1) AS oldest_due
         FROM (SELECT queue, kind, version, state, run_at FROM tasks WHERE finished_at IS NULL AND NOT blocked
               UNION ALL
               SELECT queue, kind, version, 'blocked' AS state, run_at FROM tasks WHERE blocked AND finished_at IS NULL) AS u
         GROUP BY u.queue, u.kind, u.version ORDER BY u.queue, u.kind, u.version LIMIT 10000"
    }
    ADD_RATES = parts {
        "INSERT INTO task_rates (bucket, worker, kind, queue, done, failed)
         SELECT r.bucket, r.worker, r.kind, r.queue, r.done, r.failed
         FROM " (rows "$1" as r (bucket TIMESTAMPTZ, worker TEXT, kind TEXT, queue TEXT, done BIGINT, failed BIGINT))
        " WHERE true ORDER BY r.kind
         ON CONFLICT (bucket, worker, kind)
         DO UPDATE SET done = task_rates.done + excluded.done, failed = task_rates.failed + excluded.failed"
    }
    ADD_TOTALS = parts {
        "INSERT INTO task_totals (kind, done, failed) SELECT r.kind, r.done, r.failed
         FROM " (rows "$1" as r (kind TEXT, done BIGINT, failed BIGINT))
        " WHERE true ORDER BY r.kind
         ON CONFLICT (kind)
         DO UPDATE SET done = task_totals.done + excluded.done, failed = task_totals.failed + excluded.failed"
    }
    FORGET_RATES = same { "DELETE FROM task_rates WHERE bucket < $1" }
    RATES = same {
        "SELECT queue,
                CAST(COALESCE(SUM(done) FILTER (WHERE bucket > $1), 0) AS BIGINT) AS done_1,
                CAST(COALESCE(SUM(done) FILTER (WHERE bucket > $2), 0) AS BIGINT) AS done_5,
                CAST(COALESCE(SUM(done), 0) AS BIGINT) AS done_15,
                CAST(COALESCE(SUM(failed) FILTER (WHERE bucket > $1), 0) AS BIGINT) AS failed_1,
                CAST(COALESCE(SUM(failed) FILTER (WHERE bucket > $2), 0) AS BIGINT) AS failed_5,
                CAST(COALESCE(SUM(failed), 0) AS BIGINT) AS failed_15
         FROM task_rates WHERE bucket > $3 GROUP BY queue ORDER BY queue LIMIT 1000"
    }
    TOTALS = same { "SELECT kind, done, failed FROM task_totals ORDER BY kind LIMIT 10000" }
}

/// Unfinished tasks of one kind and payload version in one queue.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Backlog {
    pub queue: String,
    pub kind: String,
    pub version: i32,
    /// Pending and due.
    pub due: i64,
    /// Pending for later.
    pub delayed: i64,
    pub running: i64,
    /// Behind another in the line of their ordering key.
    pub blocked: i64,
    /// Since when the longest-waiting due task could have run.
    pub oldest_due: Option<DateTime<Utc>>,
}

/// How a queue stands.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QueueDepth {
    pub queue: String,
    pub due: i64,
    pub delayed: i64,
    pub running: i64,
    pub blocked: i64,
    pub oldest_due: Option<DateTime<Utc>>,
}

/// Attempts that ended in a queue, by the minute, over the last 1, 5 and 15 minutes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QueueRate {
    pub done_per_minute: [f64; 3],
    pub failed_per_minute: [f64; 3],
}

/// Attempts of a kind that ended since the counting began.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Total {
    pub kind: String,
    pub done: i64,
    pub failed: i64,
}

/// Attempts of one kind that ended since the last telling.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ended {
    pub(crate) kind: &'static str,
    pub(crate) queue: &'static str,
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

#[derive(Serialize)]
struct RateLine<'w> {
    bucket: String,
    worker: &'w str,
    kind: &'static str,
    queue: &'static str,
    done: u64,
    failed: u64,
}

#[derive(sqlx::FromRow)]
struct RateRow {
    queue: String,
    done_1: i64,
    done_5: i64,
    done_15: i64,
    failed_1: i64,
    failed_5: i64,
    failed_15: i64,
}

impl QueueDepth {
    /// Adds up what the queues hold, in order of their names.
    pub fn of(backlog: &[Backlog]) -> Vec<Self> {
        let mut queues: BTreeMap<&str, Self> = BTreeMap::new();
        for row in backlog {
            let fresh = || Self { queue: row.queue.clone(), ..Self::default() };
            let depth = queues.entry(&row.queue).or_insert_with(fresh);
            depth.due += row.due;
            depth.delayed += row.delayed;
            depth.running += row.running;
            depth.blocked += row.blocked;
            depth.oldest_due = depth.oldest_due.into_iter().chain(row.oldest_due).min();
        }
        queues.into_values().collect()
    }
}

/// The last count of what waits, where much does. One counts at a time, and those who came meanwhile take what was counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted(Arc<Mutex<Option<Count>>>);

#[derive(Debug)]
struct Count {
    at: DateTime<Utc>,
    backlog: Vec<Backlog>,
}

impl Tasks {
    /// Everything that waits or runs. Where more than 20,000 tasks do, as it was up to five seconds ago.
    pub async fn backlog(&self) -> Result<Vec<Backlog>, DbError> {
        let mut counted = self.counted.0.lock().await;
        let now = self.clock.now();
        let is_fresh = |count: &&Count| count.at <= now && now < count.at + SHARED_FOR;
        if let Some(count) = counted.as_ref().filter(is_fresh) {
            return Ok(count.backlog.clone());
        }
        let backlog: Vec<Backlog> = BACKLOG.bind(now).all(&mut self.db.read().await?).await?;
        let waiting: i64 = backlog.iter().map(|row| row.due + row.delayed + row.running + row.blocked).sum();
        *counted = (waiting > MANY).then(|| Count { at: now, backlog: backlog.clone() });
        Ok(backlog)
    }

    /// The same by queue alone, for queues in which anything waits or runs.
    pub async fn queue_depths(&self) -> Result<Vec<QueueDepth>, DbError> {
        Ok(QueueDepth::of(&self.backlog().await?))
    }

    /// How fast work ends, by queue. Some seconds behind; a worker that was killed did not tell its last ones.
    pub async fn rates(&self) -> Result<BTreeMap<String, QueueRate>, DbError> {
        let now = self.clock.now();
        let since = WINDOWS.map(|minutes| now - TimeDelta::minutes(minutes));
        let query = RATES.bind(since[0]).bind(since[1]).bind(since[2]);
        let rows: Vec<RateRow> = query.all(&mut self.db.read().await?).await?;
        let per_minute = |counts: [i64; 3]| {
            let rate = |at: usize| counts[at] as f64 / WINDOWS[at] as f64;
            [rate(0), rate(1), rate(2)]
        };
        let rate = |row: RateRow| {
            let rate = QueueRate {
                done_per_minute: per_minute([row.done_1, row.done_5, row.done_15]),
                failed_per_minute: per_minute([row.failed_1, row.failed_5, row.failed_15]),
            };
            (row.queue, rate)
        };
        Ok(rows.into_iter().map(rate).collect())
    }

    /// How many attempts of each kind have ended, deleted tasks included. As exact as [`rates`](Self::rates).
    pub async fn totals(&self) -> Result<Vec<Total>, DbError> {
        TOTALS.query().all(&mut self.db.read().await?).await
    }

    /// Adds what a worker did to the rates and the totals.
    pub(crate) async fn tell(&self, worker: &str, ended: &[Ended]) -> Result<(), DbError> {
        let now = self.clock.now();
        let bucket = sql_time(now.duration_trunc(BUCKET).unwrap_or(now));
        let line = |ended: &Ended| RateLine {
            bucket: bucket.clone(),
            worker,
            kind: ended.kind,
            queue: ended.queue,
            done: ended.done,
            failed: ended.failed,
        };
        let lines: Vec<RateLine<'_>> = ended.iter().map(line).collect();
        let mut session = self.db.write().await?;
        ADD_RATES.bind(Rows::of(&lines)?).execute(&mut session).await?;
        ADD_TOTALS.bind(Rows::of(&lines)?).execute(&mut session).await?;
        session.commit().await
    }

    /// Drops rates that are too old to be asked for.
    pub(crate) async fn forget_rates(&self) -> Result<u64, DbError> {
        FORGET_RATES.bind(self.clock.now() - KEPT).execute(&mut self.db.write_one().await?).await
    }
}
