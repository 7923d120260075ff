//! What upkeep jobs have in common: a budget, a report, and a way to run one by hand.

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError, Stmt};
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};
use trunkline_platform::task::TaskId;

use super::{
    CountStored, IndexLeftOut, PurgeMedia, RemoveAttempts, RemoveAudit, RemoveEvents, RemoveHistory,
    RemoveKeys, RemoveOrphans, RemoveTasks, RequeueMedia, TidyDatabase, TrimRing, Upkeep,
};
use crate::media::StoreError;
use crate::{Services, UPKEEP};

/// How long one run may go on before it leaves the rest to the next.
const LONGEST_RUN: TimeDelta = TimeDelta::minutes(4);
/// The upkeep jobs, by name.
pub const CHORES: [&str; 13] = [
    CountStored::NAME,
    IndexLeftOut::NAME,
    PurgeMedia::NAME,
    RemoveAttempts::NAME,
    RemoveAudit::NAME,
    TidyDatabase::NAME,
    RemoveEvents::NAME,
    RemoveHistory::NAME,
    RemoveKeys::NAME,
    RemoveOrphans::NAME,
    RequeueMedia::NAME,
    TrimRing::NAME,
    RemoveTasks::NAME,
];

trunkline_platform::statements! {
    RECORD_RUN = same {
        "INSERT INTO upkeep_runs (job, task_id, started_at, ended_at, rows, bytes, more, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    }
    LIST_RUNS = same {
        "SELECT id, job, task_id, started_at, ended_at, rows, bytes, more, detail FROM upkeep_runs
         WHERE (CAST($1 AS TEXT) IS NULL OR job = $1) AND (CAST($2 AS BIGINT) IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3"
    }
}

/// What a run freed or, in a dry run, would free.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Freed {
    /// Rows removed, or put right.
    pub rows: u64,
    pub bytes: u64,
    /// Where the next run goes on, when the budget ended this one.
    pub next: Option<i64>,
    /// What else there is to say.
    pub detail: Value,
}

/// One run of the past.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct RunRow {
    pub id: i64,
    pub job: String,
    /// Absent when a person ran it.
    pub task_id: Option<TaskId>,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub rows: i64,
    pub bytes: i64,
    /// More is left for the next run.
    pub more: bool,
    /// JSON.
    pub detail: String,
}

/// One run of an upkeep job.
pub struct Run<'u> {
    pub(super) upkeep: &'u Upkeep,
    /// Only look and count.
    pub(super) dry_run: bool,
    cancelled: CancellationToken,
    started: DateTime<Utc>,
    /// Where an earlier run left off.
    pub(super) after: i64,
    pub(super) freed: Freed,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ChoreError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<serde_json::Error> for ChoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Work of upkeep that can be run by a task or by hand.
pub trait Chore: Send + Sync + 'static {
    /// The name of its job.
    const NAME: &'static str;
    /// What it does, for whoever looks at jobs.
    const ABOUT: &'static str;
    /// How long one attempt may take: a run, and the batch it is in.
    const TIMEOUT: Duration = Duration::from_secs(10 * 60);

    /// Does as much as the run has budget for.
    fn work(run: &mut Run<'_>) -> impl Future<Output = Result<(), ChoreError>> + Send;
}

/// The job of a chore. What a run leaves over goes on in a task that follows.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(bound = "")]
#[schemars(bound = "C: Chore", rename = "Upkeep", description = C::ABOUT)]
pub struct UpkeepJob<C> {
    /// Where an earlier run left off.
    #[serde(default)]
    after: i64,
    #[serde(skip)]
    chore: PhantomData<C>,
}

impl<C> UpkeepJob<C> {
    /// The job that goes on where an earlier run left off, or begins at 0.
    pub fn after(after: i64) -> Self {
        Self { after, chore: PhantomData }
    }
}

impl<C: Chore> Job for UpkeepJob<C> {
    type Services = Services;
    const NAME: &'static str = C::NAME;
    const QUEUE: Queue = UPKEEP;
    const PRIORITY: Priority = Priority::LOW;
    const TIMEOUT: Duration = C::TIMEOUT;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let upkeep = &cx.services().upkeep;
        let mut run = Run::new(upkeep, false, cx.cancelled().clone(), self.after);
        C::work(&mut run).await?;
        record::<C>(&run, Some(cx.task().id), None).await?;
        match run.freed.next {
            Some(next) if !cx.cancelled().is_cancelled() => {
                Ok(Done::new().then(cx.follow_up(&Self::after(next))?))
            }
            _ => Ok(Done::new()),
        }
    }
}

impl<'u> Run<'u> {
    fn new(upkeep: &'u Upkeep, dry_run: bool, cancelled: CancellationToken, after: i64) -> Self {
        let started = upkeep.tasks.clock().now();
        Self { upkeep, dry_run, cancelled, started, after, freed: Freed::default() }
    }

    pub(super) fn db(&self) -> &Db {
        self.upkeep.tasks.db()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.upkeep.tasks.clock().now()
    }

    pub(super) fn batch(&self) -> u32 {
        self.upkeep.retention.batch
    }

    /// Whether the run must leave the rest to another. Nobody follows a dry run, so it goes on to the end.
    pub(super) fn is_over(&self) -> bool {
        let used_up =
            self.freed.rows >= self.upkeep.retention.rows_per_run || self.now() - self.started > LONGEST_RUN;
        self.cancelled.is_cancelled() || (used_up && !self.dry_run)
    }

    /// Deletes what is older than `than`, batch after batch, until the run is over; a dry run asks for its size instead.
    /// `delete` takes the time and how many, and returns [`Bytes`]; `size` takes the time and returns a [`Size`].
    pub(super) async fn clear(
        &mut self,
        size: &'static Stmt,
        delete: &'static Stmt,
        than: DateTime<Utc>,
    ) -> Result<(), ChoreError> {
        if self.dry_run {
            let size: Size = size.bind(than).one(&mut self.db().read().await?).await?;
            self.freed.rows += size.count.unsigned_abs();
            self.freed.bytes += size.bytes.unsigned_abs();
            return Ok(());
        }
        while !self.is_over() {
            let query = delete.bind(than).bind(self.batch());
            let removed: Vec<Bytes> = query.all(&mut self.db().write_one().await?).await?;
            if removed.is_empty() {
                return Ok(());
            }
            self.removed(&removed);
        }
        self.freed.next = Some(0);
        Ok(())
    }

    /// Notes rows that were removed, by their sizes.
    pub(super) fn removed(&mut self, sizes: &[Bytes]) {
        self.freed.rows += sizes.len() as u64;
        self.freed.bytes += sizes.iter().map(|size| size.bytes.unsigned_abs()).sum::<u64>();
    }
}

/// How much there is to remove.
#[derive(sqlx::FromRow)]
struct Size {
    count: i64,
    bytes: i64,
}

/// The size of a row that was removed.
#[derive(sqlx::FromRow)]
pub(super) struct Bytes {
    pub(super) bytes: i64,
}

/// Runs a chore at a person's word until nothing is left, or only counts what it would free. None: there is no such.
pub async fn run_now(
    upkeep: &Upkeep,
    name: &str,
    dry_run: bool,
    actor: &Actor,
) -> Result<Option<Freed>, ChoreError> {
    let freed = match name {
        CountStored::NAME => by_hand::<CountStored>(upkeep, dry_run, actor).await,
        PurgeMedia::NAME => by_hand::<PurgeMedia>(upkeep, dry_run, actor).await,
        RemoveAttempts::NAME => by_hand::<RemoveAttempts>(upkeep, dry_run, actor).await,
        RemoveAudit::NAME => by_hand::<RemoveAudit>(upkeep, dry_run, actor).await,
        TidyDatabase::NAME => by_hand::<TidyDatabase>(upkeep, dry_run, actor).await,
        RemoveEvents::NAME => by_hand::<RemoveEvents>(upkeep, dry_run, actor).await,
        RemoveHistory::NAME => by_hand::<RemoveHistory>(upkeep, dry_run, actor).await,
        RemoveKeys::NAME => by_hand::<RemoveKeys>(upkeep, dry_run, actor).await,
        RemoveOrphans::NAME => by_hand::<RemoveOrphans>(upkeep, dry_run, actor).await,
        RequeueMedia::NAME => by_hand::<RequeueMedia>(upkeep, dry_run, actor).await,
        IndexLeftOut::NAME => by_hand::<IndexLeftOut>(upkeep, dry_run, actor).await,
        TrimRing::NAME => by_hand::<TrimRing>(upkeep, dry_run, actor).await,
        RemoveTasks::NAME => by_hand::<RemoveTasks>(upkeep, dry_run, actor).await,
        _ => return Ok(None),
    };
    freed.map(Some)
}

async fn by_hand<C: Chore>(upkeep: &Upkeep, dry_run: bool, actor: &Actor) -> Result<Freed, ChoreError> {
    let mut total = Freed::default();
    let mut after = 0;
    if !dry_run {
        note::<C>(upkeep, actor, json!({"begun": true})).await?;
    }
    loop {
        let mut run = Run::new(upkeep, dry_run, CancellationToken::new(), after);
        let mut ended = C::work(&mut run).await;
        if ended.is_ok() && !dry_run {
            ended = record::<C>(&run, None, Some(actor)).await.map_err(ChoreError::from);
        }
        if let Err(error) = ended {
            if !dry_run {
                let (rows, bytes) = (run.freed.rows, run.freed.bytes);
                let after = json!({"rows": rows, "bytes": bytes, "error": error.to_string()});
                // Without it, the beginning stands alone; what went wrong first is what the caller needs.
                let _ = note::<C>(upkeep, actor, after).await;
            }
            return Err(error);
        }
        let Freed { rows, bytes, next, detail } = run.freed;
        total = Freed { rows: total.rows + rows, bytes: total.bytes + bytes, next: None, detail };
        match next {
            Some(next) => after = next,
            None => return Ok(total),
        }
    }
}

/// Notes what a run at a person's word has come to.
async fn note<C: Chore>(upkeep: &Upkeep, actor: &Actor, after: Value) -> Result<(), DbError> {
    let mut session = upkeep.tasks.db().write().await?;
    audit::record(&mut session, upkeep.tasks.clock().now(), actor, &[act::<C>(after)]).await?;
    session.commit().await
}

fn act<C: Chore>(after: Value) -> Act {
    Act { action: "upkeep.run", subject: format!("upkeep:{}", C::NAME), before: None, after: Some(after) }
}

async fn record<C: Chore>(run: &Run<'_>, task: Option<TaskId>, actor: Option<&Actor>) -> Result<(), DbError> {
    let (freed, now) = (&run.freed, run.now());
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let query = RECORD_RUN
        .bind(C::NAME)
        .bind(task.map(|id| id.0))
        .bind(run.started)
        .bind(now)
        .bind(count(freed.rows))
        .bind(count(freed.bytes))
        .bind(freed.next.is_some())
        .bind(freed.detail.to_string());
    let mut session = run.db().write().await?;
    query.execute(&mut session).await?;
    if let Some(actor) = actor {
        let after = json!({"rows": freed.rows, "bytes": freed.bytes});
        audit::record(&mut session, now, actor, &[act::<C>(after)]).await?;
    }
    session.commit().await?;
    let metrics = &run.upkeep.metrics;
    metrics.rows.with_label_values(&[C::NAME]).inc_by(freed.rows);
    metrics.bytes.with_label_values(&[C::NAME]).inc_by(freed.bytes);
    metrics.last_end.with_label_values(&[C::NAME]).set(now.timestamp());
    let took = (now - run.started).num_milliseconds();
    tracing::info!(
        job = C::NAME,
        rows = freed.rows,
        bytes = freed.bytes,
        more = freed.next.is_some(),
        took_ms = took,
        detail = %freed.detail,
        "upkeep done"
    );
    Ok(())
}

/// Runs of the past, the newest first.
pub async fn history(
    db: &Db,
    job: Option<&str>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<RunRow>, DbError> {
    LIST_RUNS.bind(job).bind(before).bind(limit.clamp(1, 1_000)).all(&mut db.read().await?).await
}
