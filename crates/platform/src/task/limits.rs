//! Limits of queues and kinds: a pause, so many at a time in all processes together, so many per period. They are
//! rows, so every process obeys them at once and they outlive a restart. A job may declare limits of its kind;
//! people can replace them, and then no release changes them back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Serialize, Serializer};
use serde_json::json;
use thiserror::Error;

use super::{Rate, Tasks};
use crate::audit::{self, Act, Actor};
use crate::db::{DbError, Session};
use crate::job::Registry;

/// Tasks brought back in one transaction.
const BATCH: usize = 1_000;
/// How often a batch that another transaction was in the way of is tried again.
const COLLISIONS: u32 = 5;
/// Rates are kept for this long after their last token, so that a clock that is ahead forgets none that is in use.
const RESTED: TimeDelta = TimeDelta::days(1);
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
    FIND_LIMIT = same {
        "SELECT scope, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by
         FROM limits WHERE scope = $1"
    }
    /// Differs by necessity: on PostgreSQL a claim that is on its way has looked for limits before this one is
    /// written; when it has ended, it can be counted. SQLite has one writer.
    AWAIT_CLAIMS = split {
        postgres: "LOCK TABLE limits IN ACCESS EXCLUSIVE MODE",
        sqlite: "SELECT 1",
    }
    SET_LIMIT = same {
        "INSERT INTO limits (scope, queue, paused, max_running, rate_count, rate_period_ms, rate_burst, set_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (scope) DO UPDATE SET queue = excluded.queue, paused = excluded.paused,
            max_running = excluded.max_running, rate_count = excluded.rate_count,
            rate_period_ms = excluded.rate_period_ms, rate_burst = excluded.rate_burst, set_by = excluded.set_by"
    }
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
    FIND_PUT_OFF = same {
        "SELECT id FROM tasks WHERE put_off_from IS NOT NULL AND finished_at IS NULL AND kind = $1 LIMIT 1000000"
    }
    /// Tasks that a kind's rate put off, as if it had not.
    BRING_BACK = parts {
        "UPDATE tasks SET run_at = put_off_from, put_off_from = NULL
         WHERE id IN " (any "$1") " AND put_off_from IS NOT NULL AND state || '' = 'pending'"
    }
    /// A rate that has rested is as good as none.
    TRIM_RATES = same {
        "DELETE FROM rates WHERE (scope, key) IN
            (SELECT scope, key FROM rates WHERE tat < $1 ORDER BY tat LIMIT 10000)"
    }
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

/// Why a limit stays as it is.
#[derive(Debug, Error)]
pub enum LimitError {
    #[error("the limit of {0} was changed since it was looked at: look at it again, and decide anew")]
    Outdated(Scope),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// A limit as the table has it.
#[derive(Clone, Debug, Serialize)]
pub struct LimitRow {
    pub scope: String,
    #[serde(flatten)]
    pub limit: Limit,
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
struct PutOff {
    id: i64,
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
    /// Tells this limit from any other, such as what somebody has made of it since it was looked at.
    pub fn tag(&self) -> String {
        let Self { paused, max_running, rate } = self;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        let rate = rate.map(|rate| format!("{rate}-{}", rate.saved_up()));
        let state = if *paused { "paused" } else { "open" };
        format!("{state}-{}-{}", or_none(max_running.map(|most| most.to_string())), or_none(rate))
    }

    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn must_be(&self, seen: Option<&str>, scope: &Scope) -> Result<(), LimitError> {
        match seen {
            Some(tag) if tag != self.tag() => Err(LimitError::Outdated(scope.clone())),
            _ => Ok(()),
        }
    }
}

/// As people write it: the rate as `10/s`, and beside it how many may start at once.
impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Told {
            paused: bool,
            max_running: Option<u32>,
            rate: Option<String>,
            burst: Option<u32>,
        }
        let Self { paused, max_running, rate } = *self;
        let burst = rate.map(Rate::saved_up);
        Told { paused, max_running, rate: rate.map(|rate| rate.to_string()), burst }.serialize(serializer)
    }
}

/// What a person sets, in that person's name. That a kind shall have no limit is kept, too.
fn by_hand(scope: &Scope, actor: &Actor, after: Limit) -> (Limit, Option<String>) {
    let keep = !after.is_none() || matches!(scope, Scope::Kind(_));
    (after, keep.then(|| actor.name.clone()))
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
        Ok(rows.into_iter().map(LimitRow::from).collect())
    }

    /// Changes the limit of a scope. `change` is handed what stands and answers what shall stand. Every process obeys
    /// from its next claim on. That a kind shall have no limit is remembered, so that no release declares one again.
    ///
    /// # Errors
    /// When there is something that must have been seen, by its [tag](Limit::tag), and it was changed since; or the database fails.
    pub async fn set_limit(
        &self,
        scope: &Scope,
        seen: Option<&str>,
        actor: &Actor,
        change: impl FnOnce(Limit) -> Limit + Send,
    ) -> Result<Limit, LimitError> {
        let change = |before: Limit| {
            before.must_be(seen, scope)?;
            Ok(by_hand(scope, actor, change(before)))
        };
        self.change_limit(scope, actor, "limit.set", change).await
    }

    /// Has nothing of a queue start, in any process, or lets it start again; what runs goes on. Answers the limit that holds now, and
    /// whether that was otherwise before.
    pub async fn pause_queue(
        &self,
        queue: &str,
        paused: bool,
        actor: &Actor,
    ) -> Result<(Limit, bool), DbError> {
        let action = if paused { "queue.pause" } else { "queue.resume" };
        let (scope, mut before) = (Scope::Queue(queue.to_owned()), false);
        let set = |limit: Limit| {
            before = limit.paused;
            Ok::<_, DbError>(by_hand(&scope, actor, Limit { paused, ..limit }))
        };
        let limit = self.change_limit(&scope, actor, action, set).await?;
        Ok((limit, before != paused))
    }

    /// Goes back to what the job declares, or to no limit.
    ///
    /// # Errors
    /// When there is something that must have been seen, and it was changed since; or the database fails.
    pub async fn clear_limit(
        &self,
        scope: &Scope,
        declared: Limit,
        seen: Option<&str>,
        actor: &Actor,
    ) -> Result<Limit, LimitError> {
        let set_by = (!declared.is_none()).then(|| JOB.to_owned());
        let change = |before: Limit| {
            before.must_be(seen, scope)?;
            Ok((declared, set_by))
        };
        self.change_limit(scope, actor, "limit.clear", change).await
    }

    /// `change` answers what shall stand, and in whose name; without one the row goes.
    async fn change_limit<E: From<DbError>>(
        &self,
        scope: &Scope,
        actor: &Actor,
        action: &'static str,
        change: impl FnOnce(Limit) -> Result<(Limit, Option<String>), E> + Send,
    ) -> Result<Limit, E> {
        let mut tx = self.begin().await?;
        AWAIT_CLAIMS.query().execute(tx.session()).await?;
        let before = find(tx.session(), scope).await?.as_ref().map(Stored::limit).unwrap_or_default();
        let (after, set_by) = change(before)?;
        apply(tx.session(), scope, before, after, set_by.as_deref()).await?;
        let act = Act {
            action,
            subject: scope.to_string(),
            before: Some(json!(before)),
            after: Some(json!(after)),
        };
        audit::record(tx.session(), self.clock.now(), actor, &[act]).await?;
        tx.commit().await?;
        self.bring_back(scope, before, after).await;
        Ok(after)
    }

    /// Writes down what the jobs declare, where no person has set something else. What a release no longer declares
    /// stays until it is cleared: other processes may run a release that does.
    pub async fn declare_limits<S: Send + Sync + 'static>(&self, jobs: &Registry<S>) -> Result<(), DbError> {
        for job in jobs.jobs() {
            let (scope, declared) = (Scope::Kind(job.name.to_owned()), job.limit());
            if declared.is_none() || !self.differs(&scope, declared).await? {
                continue;
            }
            let mut tx = self.begin().await?;
            AWAIT_CLAIMS.query().execute(tx.session()).await?;
            let stored = find(tx.session(), &scope).await?;
            if stored.as_ref().is_some_and(|stored| stored.set_by != JOB) {
                continue;
            }
            let before = stored.as_ref().map(Stored::limit).unwrap_or_default();
            apply(tx.session(), &scope, before, declared, Some(JOB)).await?;
            tx.commit().await?;
            self.bring_back(&scope, before, declared).await;
        }
        Ok(())
    }

    async fn differs(&self, scope: &Scope, declared: Limit) -> Result<bool, DbError> {
        let stored = find(&mut self.db.read().await?, scope).await?;
        Ok(stored.is_none_or(|stored| stored.set_by == JOB && stored.limit() != declared))
    }

    /// Lets tasks that an earlier rate put off come back at once: what holds now decides anew. Those it does not
    /// reach come at the turns they were given.
    async fn bring_back(&self, scope: &Scope, before: Limit, after: Limit) {
        let Scope::Kind(kind) = scope else { return };
        if before.rate.is_none() || before.rate == after.rate {
            return;
        }
        if let Err(error) = self.bring_back_all(kind).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                scope = %scope,
                "the limit is set; tasks that the old rate put off come at the turns they were given"
            );
        }
    }

    async fn bring_back_all(&self, kind: &str) -> Result<(), DbError> {
        let ids: Vec<PutOff> = FIND_PUT_OFF.bind(kind).all(&mut self.db.read().await?).await?;
        for batch in ids.chunks(BATCH) {
            let ids: Vec<i64> = batch.iter().map(|task| task.id).collect();
            let mut patience = COLLISIONS;
            while let Err(error) = BRING_BACK.bind(ids.clone()).execute(&mut self.db.write_one().await?).await
            {
                if patience == 0 || !error.is_passing() {
                    return Err(error);
                }
                patience -= 1;
            }
        }
        Ok(())
    }

    /// Forgets rates that have rested.
    pub(crate) async fn trim_rates(&self) -> Result<u64, DbError> {
        TRIM_RATES.bind(self.clock.now() - RESTED).execute(&mut self.db.write_one().await?).await
    }
}

impl From<Listed> for LimitRow {
    fn from(Listed { stored, running }: Listed) -> Self {
        Self { limit: stored.limit(), scope: stored.scope, set_by: stored.set_by, running }
    }
}

impl LimitRow {
    /// Whether the job itself declares it.
    pub fn is_declared(&self) -> bool {
        self.set_by == JOB
    }
}

fn period_ms(rate: Rate) -> i64 {
    i64::try_from(rate.period().as_millis()).unwrap_or(i64::MAX)
}

async fn find(session: &mut Session, scope: &Scope) -> Result<Option<Stored>, DbError> {
    FIND_LIMIT.bind(scope.to_string()).optional(session).await
}

/// Writes what shall stand, and what follows from the change: those who run already have a place, and a new rate
/// begins with a full burst.
async fn apply(
    session: &mut Session,
    scope: &Scope,
    before: Limit,
    after: Limit,
    set_by: Option<&str>,
) -> Result<(), DbError> {
    let name = scope.to_string();
    if let Some(set_by) = set_by {
        // A row without effect concerns no queue.
        let queue = if after.is_none() { "" } else { scope.queue() };
        let query = SET_LIMIT
            .bind(&name)
            .bind(queue)
            .bind(after.paused)
            .bind(after.max_running)
            .bind(after.rate.map(Rate::count))
            .bind(after.rate.map(period_ms))
            .bind(after.rate.map(Rate::saved_up))
            .bind(set_by);
        query.execute(session).await?;
    } else {
        CLEAR_LIMIT.bind(&name).execute(session).await?;
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
    Ok(())
}
