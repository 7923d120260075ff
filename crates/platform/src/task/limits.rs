//! Limits of queues and kinds: a pause, so many at a time in all processes together, so many per period. They are
//! rows, so every process obeys them at once and they outlive a restart. A job may declare limits of its kind;
//! people can replace them, and then no release changes them back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use super::{Rate, Tasks};
use crate::audit::{self, Act, Actor};
use crate::db::{DbError, Session};
use crate::job::Registry;

/// Tasks brought back in one transaction.
const BATCH: i64 = 1_000;
/// Who set what a job declares.
const JOB: &str = "job";
/// Stands for every queue: a kind's tasks can be in any.
pub(super) const EVERY_QUEUE: &str = "*";

crate::statements! {
    LIST_LIMITS = same {
        "SELECT scope, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by,
                (SELECT COUNT(*) FROM task_slots JOIN tasks ON tasks.id = task_slots.task_id
                  AND tasks.attempt = task_slots.attempt AND tasks.state = 'running'
                 WHERE task_slots.scope = limits.scope) AS running
         FROM limits ORDER BY scope LIMIT 1000"
    }
    /// Differs by necessity: SQLite has one writer and no row locks.
    LOCK_LIMIT = split {
        postgres:
        "SELECT scope, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by
         FROM limits WHERE scope = $1 FOR UPDATE",
        sqlite:
        "SELECT scope, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by
         FROM limits WHERE scope = $1",
    }
    SET_LIMIT = same {
        "INSERT INTO limits (scope, queue, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (scope) DO UPDATE SET paused = excluded.paused, max_running = excluded.max_running,
            rate_count = excluded.rate_count, rate_period_ms = excluded.rate_period_ms,
            rate_burst = excluded.rate_burst, set_by = excluded.set_by"
    }
    /// What a job declares changes with its release, but never what a person has set.
    DECLARE_LIMIT = same {
        "INSERT INTO limits (scope, queue, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by)
         VALUES ($1, '*', FALSE, $2, $3, $4, $5, 'job')
         ON CONFLICT (scope) DO UPDATE SET max_running = excluded.max_running, rate_count = excluded.rate_count,
            rate_period_ms = excluded.rate_period_ms, rate_burst = excluded.rate_burst
         WHERE limits.set_by = 'job'"
    }
    /// What a job no longer declares.
    WITHDRAW_LIMIT = same { "DELETE FROM limits WHERE scope = $1 AND set_by = 'job'" }
    CLEAR_LIMIT = same { "DELETE FROM limits WHERE scope = $1" }
    CLEAR_SLOTS = same { "DELETE FROM task_slots WHERE scope = $1" }
    CLEAR_RATES = same { "DELETE FROM rates WHERE scope = $1" }
    /// Those who run already count as well.
    COUNT_IN = same {
        "INSERT INTO task_slots (scope, task_id, attempt)
         SELECT $1, id, attempt FROM tasks
         WHERE finished_at IS NULL AND NOT blocked AND state || '' = 'running'
           AND (CAST($2 AS TEXT) IS NULL OR queue = $2) AND (CAST($3 AS TEXT) IS NULL OR kind = $3)
         ON CONFLICT (scope, task_id) DO UPDATE SET attempt = excluded.attempt"
    }
    /// Tasks that a kind's rate put off, as if it had not.
    BRING_BACK = same {
        "UPDATE tasks SET run_at = put_off_from, put_off_from = NULL
         WHERE id IN (SELECT id FROM tasks
                      WHERE put_off_from IS NOT NULL AND finished_at IS NULL AND kind = $1 AND state || '' = 'pending'
                      ORDER BY id LIMIT $2)"
    }
    /// A rate that has rested long enough to be full is as good as none.
    TRIM_RATES = same { "DELETE FROM rates WHERE tat < $1 AND tail < $1" }
}

/// What a limit is for. Written `queue:media`, `kind:media.download`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    Queue(String),
    Kind(String),
}

#[derive(Debug, Error)]
#[error("{0:?} is neither a queue nor a kind: write queue:NAME or kind:NAME")]
pub struct ScopeError(String);

/// The limits of a scope. None of them: there is no limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limit {
    /// No task starts; those that run go on.
    pub paused: bool,
    /// Tasks at a time, in all processes together.
    pub max_running: Option<u32>,
    /// Starts per period; of a kind, for each rate key by itself.
    pub rate: Option<Rate>,
}

/// A limit as the table has it.
#[derive(Clone, Debug, Serialize)]
pub struct LimitRow {
    pub scope: String,
    pub paused: bool,
    pub max_running: Option<u32>,
    pub rate: Option<String>,
    pub burst: Option<u32>,
    /// `job` when the job itself declares it, else who set it.
    pub set_by: String,
    /// Tasks that have a place under `max_running`.
    pub running: i64,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Stored {
    pub(super) scope: String,
    paused: bool,
    max_running: Option<i64>,
    rate_count: Option<i64>,
    rate_period_ms: Option<i64>,
    rate_burst: Option<i64>,
    set_by: String,
}

#[derive(sqlx::FromRow)]
struct Listed {
    #[sqlx(flatten)]
    stored: Stored,
    running: i64,
}

impl Scope {
    fn queue(&self) -> &str {
        match self {
            Self::Queue(name) => name,
            Self::Kind(_) => EVERY_QUEUE,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue:{name}"),
            Self::Kind(name) => write!(f, "kind:{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("queue", name)) if !name.is_empty() => Ok(Self::Queue(name.to_owned())),
            Some(("kind", name)) if !name.is_empty() => Ok(Self::Kind(name.to_owned())),
            _ => Err(ScopeError(text.to_owned())),
        }
    }
}

impl Limit {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn told(&self) -> serde_json::Value {
        json!({
            "paused": self.paused,
            "max_running": self.max_running,
            "rate": self.rate.map(|rate| rate.to_string()),
            "burst": self.rate.map(Rate::saved_up),
        })
    }
}

impl Stored {
    pub(super) fn limit(&self) -> Limit {
        let number = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        let rate = number(self.rate_count).zip(self.rate_period_ms.and_then(|ms| u64::try_from(ms).ok()));
        let rate = rate.map(|(count, ms)| {
            let rate = Rate::per(count, Duration::from_millis(ms));
            number(self.rate_burst).map_or(rate, |burst| rate.burst(burst))
        });
        Limit { paused: self.paused, max_running: number(self.max_running), rate }
    }
}

impl Tasks {
    /// Every limit there is.
    pub async fn limits(&self) -> Result<Vec<LimitRow>, DbError> {
        let rows: Vec<Listed> = LIST_LIMITS.query().all(&mut self.db.read().await?).await?;
        Ok(rows.into_iter().map(|row| LimitRow::of(&row.stored, row.running)).collect())
    }

    /// Changes the limit of a scope. `change` is handed what stands and answers what shall stand; no limit at all
    /// removes the row. Every process obeys from its next claim on.
    pub async fn set_limit(
        &self,
        scope: &Scope,
        actor: &Actor,
        action: &'static str,
        change: impl FnOnce(Limit) -> Limit + Send,
    ) -> Result<Limit, DbError> {
        let (mut tx, name) = (self.begin().await?, scope.to_string());
        let session = tx.session();
        let stored: Option<Stored> = LOCK_LIMIT.bind(&name).optional(session).await?;
        let before = stored.as_ref().map(Stored::limit).unwrap_or_default();
        let after = change(before);
        if after.is_none() {
            CLEAR_LIMIT.bind(&name).execute(session).await?;
        } else {
            set(session, scope, after, &actor.name).await?;
        }
        if after.max_running.is_none() {
            CLEAR_SLOTS.bind(&name).execute(session).await?;
        } else if before.max_running.is_none() {
            let (queue, kind) = match scope {
                Scope::Queue(name) => (Some(name.as_str()), None),
                Scope::Kind(name) => (None, Some(name.as_str())),
            };
            COUNT_IN.bind(&name).bind(queue).bind(kind).execute(session).await?;
        }
        if after.rate != before.rate {
            CLEAR_RATES.bind(&name).execute(session).await?;
        }
        let act = Act { action, subject: name, before: Some(before.told()), after: Some(after.told()) };
        audit::record(session, self.clock.now(), actor, &[act]).await?;
        tx.commit().await?;
        if let Scope::Kind(kind) = scope
            && after.rate != before.rate
        {
            self.bring_back(kind).await?;
        }
        Ok(after)
    }

    /// Lets tasks that an earlier rate put off come back at once: what holds now decides anew. Cut off half-way, the
    /// rest comes at the turns it was given.
    async fn bring_back(&self, kind: &str) -> Result<(), DbError> {
        loop {
            let query = BRING_BACK.bind(kind).bind(BATCH);
            if query.execute(&mut self.db.write_one().await?).await? < BATCH as u64 {
                return Ok(());
            }
        }
    }

    /// Writes down what the jobs declare, where no person has set something else.
    pub async fn declare_limits<S: Send + Sync + 'static>(&self, jobs: &Registry<S>) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        for job in jobs.jobs() {
            let scope = Scope::Kind(job.name.to_owned()).to_string();
            let query = if job.max_running.is_none() && job.rate.is_none() {
                WITHDRAW_LIMIT.bind(&scope)
            } else {
                DECLARE_LIMIT
                    .bind(&scope)
                    .bind(job.max_running)
                    .bind(job.rate.map(Rate::count))
                    .bind(job.rate.map(period_ms))
                    .bind(job.rate.map(Rate::saved_up))
            };
            query.execute(tx.session()).await?;
        }
        tx.commit().await
    }

    /// Forgets rates that have rested. Bounded by what was busy since the last time.
    pub(crate) async fn trim_rates(&self) -> Result<u64, DbError> {
        TRIM_RATES.bind(self.clock.now()).execute(&mut self.db.write_one().await?).await
    }
}

impl LimitRow {
    fn of(stored: &Stored, running: i64) -> Self {
        let limit = stored.limit();
        Self {
            scope: stored.scope.clone(),
            paused: limit.paused,
            max_running: limit.max_running,
            rate: limit.rate.map(|rate| rate.to_string()),
            burst: limit.rate.map(Rate::saved_up),
            set_by: stored.set_by.clone(),
            running,
        }
    }

    /// Whether the job itself declares it.
    pub fn is_declared(&self) -> bool {
        self.set_by == JOB
    }
}

fn period_ms(rate: Rate) -> i64 {
    i64::try_from(rate.period().as_millis()).unwrap_or(i64::MAX)
}

async fn set(session: &mut Session, scope: &Scope, limit: Limit, by: &str) -> Result<(), DbError> {
    let query = SET_LIMIT
        .bind(scope.to_string())
        .bind(scope.queue())
        .bind(limit.paused)
        .bind(limit.max_running)
        .bind(limit.rate.map(Rate::count))
        .bind(limit.rate.map(period_ms))
        .bind(limit.rate.map(Rate::saved_up))
        .bind(by);
    query.execute(session).await.map(drop)
}
