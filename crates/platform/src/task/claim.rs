//! Taking tasks: by the ids the ring delivered, or straight from the table.
//!
//! A claim raises `attempt`, which from then on is the fencing token (R2). The row stays in the ready index
//! until it is finished, so that a claim changes no indexed column and PostgreSQL can update it in place;
//! `state` is compared through an expression, because a plain comparison lets the planner choose an index
//! scan that collapses when its statistics lag behind the churn. Only a registered worker can claim.
//!
//! These claims take nothing from a queue that a limit concerns; such a queue is claimed from in `admit`, which
//! counts. So a limit holds from the moment it is committed.

use chrono::{DateTime, Utc};

use super::admit::Lane;
use super::{TaskId, Tasks, WorkerId};
use crate::crash_point;
use crate::db::DbError;
use crate::job::{Priority, Queue};

crate::statements! {
    CLAIM_BY_ID = parts {
        "UPDATE tasks SET state = 'running', attempt = attempt + 1, worker = $2, started_at = $3
         WHERE id IN " (any "$1") " AND state || '' = 'pending' AND queue || '' = $4 AND run_at <= $3
           AND crashes < 2 AND NOT blocked
           AND EXISTS (SELECT 1 FROM workers WHERE workers.id = $2)
           AND NOT EXISTS (SELECT 1 FROM limits WHERE limits.queue IN ($4, '*'))
         RETURNING id, kind, version, priority, payload, attempt, refunds, crashes, max_attempts,
                   correlation_id, trace_context, created_at, run_at"
    }
    /// Differs by necessity: PostgreSQL passes over rows that another worker is claiming at this moment;
    /// SQLite has one writer and no such clause.
    CLAIM_DUE = split {
        postgres:
        "UPDATE tasks SET state = 'running', attempt = attempt + 1, worker = $2, started_at = $3
         WHERE id = ANY(ARRAY(SELECT id FROM tasks
                      WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = $4 AND run_at <= $3
                        AND state || '' = 'pending' AND crashes < 2
                      ORDER BY run_at, id LIMIT $5 FOR UPDATE SKIP LOCKED))
           AND EXISTS (SELECT 1 FROM workers WHERE workers.id = $2)
           AND NOT EXISTS (SELECT 1 FROM limits WHERE limits.queue IN ($1, '*'))
         RETURNING id, kind, version, priority, payload, attempt, refunds, crashes, max_attempts,
                   correlation_id, trace_context, created_at, run_at",
        sqlite:
        "UPDATE tasks SET state = 'running', attempt = attempt + 1, worker = $2, started_at = $3
         WHERE id IN (SELECT id FROM tasks
                      WHERE finished_at IS NULL AND NOT blocked AND queue = $1 AND priority = $4 AND run_at <= $3
                        AND state || '' = 'pending' AND crashes < 2
                      ORDER BY run_at, id LIMIT $5)
           AND EXISTS (SELECT 1 FROM workers WHERE workers.id = $2)
           AND NOT EXISTS (SELECT 1 FROM limits WHERE limits.queue IN ($1, '*'))
         RETURNING id, kind, version, priority, payload, attempt, refunds, crashes, max_attempts,
                   correlation_id, trace_context, created_at, run_at",
    }
    /// Differs by necessity, as above.
    CLAIM_SUSPECT = split {
        postgres:
        "UPDATE tasks SET state = 'running', attempt = attempt + 1, worker = $2, started_at = $3
         WHERE id = ANY(ARRAY(SELECT id FROM tasks
                      WHERE finished_at IS NULL AND crashes >= 2 AND queue = $1 AND run_at <= $3
                        AND state || '' = 'pending'
                      ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED))
           AND EXISTS (SELECT 1 FROM workers WHERE workers.id = $2)
           AND NOT EXISTS (SELECT 1 FROM limits WHERE limits.queue IN ($1, '*'))
         RETURNING id, kind, version, priority, payload, attempt, refunds, crashes, max_attempts,
                   correlation_id, trace_context, created_at, run_at",
        sqlite:
        "UPDATE tasks SET state = 'running', attempt = attempt + 1, worker = $2, started_at = $3
         WHERE id IN (SELECT id FROM tasks
                      WHERE finished_at IS NULL AND crashes >= 2 AND queue = $1 AND run_at <= $3
                        AND state || '' = 'pending'
                      ORDER BY run_at, id LIMIT 1)
           AND EXISTS (SELECT 1 FROM workers WHERE workers.id = $2)
           AND NOT EXISTS (SELECT 1 FROM limits WHERE limits.queue IN ($1, '*'))
         RETURNING id, kind, version, priority, payload, attempt, refunds, crashes, max_attempts,
                   correlation_id, trace_context, created_at, run_at",
    }
}

/// A task a worker has taken.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ClaimedRow {
    pub id: TaskId,
    pub kind: String,
    pub version: i32,
    pub priority: i32,
    pub payload: String,
    /// The fencing token: rises with every claim and never falls.
    pub attempt: i32,
    /// Claims that do not count as a try (snoozed, given back).
    pub refunds: i32,
    /// Claims that ended with the worker's death.
    pub crashes: i32,
    pub max_attempts: i32,
    pub correlation_id: Option<String>,
    pub trace_context: Option<String>,
    pub created_at: DateTime<Utc>,
    pub run_at: DateTime<Utc>,
}

impl ClaimedRow {
    /// Which try this is, from 1.
    pub fn tries(&self) -> u32 {
        u32::try_from(self.attempt - self.refunds).unwrap_or(1)
    }

    pub fn is_last_try(&self) -> bool {
        self.attempt - self.refunds >= self.max_attempts
    }
}

impl Tasks {
    /// Claims those of `ids` that are pending and due, of a queue that no limit concerns; the others are dropped
    /// without a word.
    pub async fn claim(
        &self,
        worker: &WorkerId,
        queue: Queue,
        ids: Vec<i64>,
    ) -> Result<Vec<ClaimedRow>, DbError> {
        let mut session = self.db.write_one_pinned().await?;
        crash_point!("claim.before_commit");
        let query = CLAIM_BY_ID.bind(ids).bind(worker.as_str()).bind(self.clock.now()).bind(queue.name());
        let mut rows: Vec<ClaimedRow> = query.all(&mut session).await?;
        if !rows.is_empty() {
            crash_point!("claim.after_commit");
        }
        sort(&mut rows);
        Ok(rows)
    }

    /// Claims up to `limit` due tasks of a queue, the most urgent first, as its limits allow. This is the guarantee;
    /// the ring is the accelerator.
    ///
    /// # Errors
    /// After one, some tasks may be claimed all the same: compare what the table says with what is held.
    pub async fn claim_due(
        &self,
        worker: &WorkerId,
        queue: Queue,
        limit: usize,
    ) -> Result<Vec<ClaimedRow>, DbError> {
        let rows = self.claim_unlimited(worker, queue, limit).await?;
        if !rows.is_empty() {
            return Ok(rows);
        }
        self.claim_admitted(worker, queue, Lane::Ordinary, limit).await.map(|admitted| admitted.rows)
    }

    /// Claims up to `limit` due tasks, of a queue that no limit concerns.
    pub(crate) async fn claim_unlimited(
        &self,
        worker: &WorkerId,
        queue: Queue,
        limit: usize,
    ) -> Result<Vec<ClaimedRow>, DbError> {
        let mut session = self.db.write_one_pinned().await?;
        crash_point!("claim.before_commit");
        let mut rows: Vec<ClaimedRow> = Vec::new();
        for priority in Priority::ALL {
            let Some(left) = limit.checked_sub(rows.len()).filter(|left| *left > 0) else { break };
            let query = CLAIM_DUE
                .bind(queue.name())
                .bind(worker.as_str())
                .bind(self.clock.now())
                .bind(priority.level())
                .bind(i64::try_from(left).unwrap_or(i64::MAX));
            rows.extend(query.all::<ClaimedRow>(&mut session).await?);
        }
        if !rows.is_empty() {
            crash_point!("claim.after_commit");
        }
        sort(&mut rows);
        Ok(rows)
    }
}

impl Tasks {
    /// Claims one task that was in the hands of two workers when they died. Such tasks are kept out of the
    /// other claims: each runs alone, so that it takes nothing with it and no innocent one is blamed.
    pub async fn claim_suspect(
        &self,
        worker: &WorkerId,
        queue: Queue,
    ) -> Result<Option<ClaimedRow>, DbError> {
        let query = CLAIM_SUSPECT.bind(queue.name()).bind(worker.as_str()).bind(self.clock.now());
        let mut row: Option<ClaimedRow> = query.optional(&mut self.db.write_one().await?).await?;
        if row.is_none() {
            row = self.claim_admitted(worker, queue, Lane::Suspects, 1).await?.rows.pop();
        }
        if row.is_some() {
            crash_point!("claim_suspect.after_commit");
        }
        Ok(row)
    }
}

pub(super) fn sort(rows: &mut [ClaimedRow]) {
    rows.sort_unstable_by_key(|row| (row.priority, row.run_at, row.id));
}
