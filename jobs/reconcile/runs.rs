//! Runs: how one begins and how it ends. At most one is under way; the table's unique index says so, in all processes.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{DbError, Rows, Session};
use trunkline_platform::task::{NewTask, TaskTx, Tasks};

use super::kind::Kind;
use super::pages::{self, NewPage};
use super::walk::ReconcilePage;

/// What happened just now may be told any moment.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(2);

trunkline_platform::statements! {
    BEGIN_RUN = same {
        "INSERT INTO reconcile_runs (state, cause, dry_run, number, from_at, overlap_minutes, to_at, started_at)
         VALUES ('running', $1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id"
    }
    FIND_RUNNING = same { "SELECT id FROM reconcile_runs WHERE state = 'running'" }
    FIND_RUN = same {
        "SELECT id, dry_run, number, from_at, overlap_minutes, to_at, started_at FROM reconcile_runs
         WHERE id = $1 AND state = 'running'"
    }
    COMPLETE_RUN = same {
        "UPDATE reconcile_runs SET state = 'complete', ended_at = $2 WHERE id = $1 AND state = 'running'"
    }
    FAIL_RUN = same {
        "UPDATE reconcile_runs SET state = 'failed', ended_at = $2, error = $3 WHERE id = $1 AND state = 'running'"
    }
    /// Of numbers and, under their ids, of webhooks' logs.
    KEEP_MARKS = parts {
        "INSERT INTO reconcile_marks AS kept (phone_number_id, run_id)
         SELECT r.phone_number_id, $1 FROM " (rows "$2" as r (phone_number_id TEXT)) " WHERE true ORDER BY r.phone_number_id
         ON CONFLICT (phone_number_id) DO UPDATE SET run_id = excluded.run_id"
    }
    MOVE_MARKS = same {
        "UPDATE reconcile_marks SET seen_to = $2 WHERE run_id = $1 AND (seen_to IS NULL OR seen_to < $2)"
    }
    ADD_COUNTS = parts {
        "INSERT INTO reconcile_counts AS kept (run_id, kind, requests, refused, found, missing, repaired)
         SELECT $1, r.kind, r.requests, r.refused, r.found, r.missing, r.repaired
         FROM " (rows "$2" as r (kind TEXT, requests BIGINT, refused BIGINT, found BIGINT, missing BIGINT, repaired BIGINT))
        " WHERE true ORDER BY r.kind
         ON CONFLICT (run_id, kind) DO UPDATE SET
             requests = kept.requests + excluded.requests, refused = kept.refused + excluded.refused,
             found = kept.found + excluded.found, missing = kept.missing + excluded.missing,
             repaired = kept.repaired + excluded.repaired"
    }
}

/// What a run is to look at.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Only count what is missing.
    pub dry_run: bool,
    /// Only this number of ours, by the provider's id or in E.164.
    pub number: Option<String>,
    /// From when on; since each number's mark where absent.
    pub from: Option<DateTime<Utc>>,
    /// Up to when; up to two minutes ago where absent or later.
    pub to: Option<DateTime<Utc>>,
    /// How long before the mark to begin.
    pub overlap_minutes: u32,
}

/// A run that is under way.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Run {
    pub(super) id: i64,
    pub(super) dry_run: bool,
    pub(super) number: Option<String>,
    pub(super) from_at: Option<DateTime<Utc>>,
    pub(super) overlap_minutes: i32,
    pub(super) to_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
}

impl Run {
    /// Whether its numbers have been looked at in full when it ends.
    pub(super) fn moves_marks(&self) -> bool {
        !self.dry_run && self.from_at.is_none()
    }
}

/// What became of the wish for a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Begun {
    New(i64),
    /// That one is under way; if its task was lost, it has a new one.
    Running(i64),
}

/// Why no run was begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    #[error(
        "run {0} is under way, and there is one at a time: see `trunkline reconcile show {0}`, and try again after it"
    )]
    Running(i64),
    #[error(transparent)]
    Database(#[from] DbError),
}

#[derive(sqlx::FromRow)]
struct Id {
    id: i64,
}

/// Begins a run, in the caller's transaction, unless one is under way.
pub(super) async fn begin(
    tx: &mut TaskTx,
    order: &Order,
    cause: &str,
    now: DateTime<Utc>,
) -> Result<Begun, DbError> {
    let settled = now - SETTLED_AFTER;
    let query = BEGIN_RUN
        .bind(cause)
        .bind(order.dry_run)
        .bind(order.number.as_deref())
        .bind(order.from)
        .bind(order.overlap_minutes)
        .bind(order.to.map_or(settled, |to| to.min(settled)))
        .bind(now);
    let begun = match query.optional::<Id>(tx.session()).await? {
        Some(Id { id }) => {
            // The log first: it has what was told as it was told, and of every kind.
            let first: &[Kind] =
                if order.number.is_some() { &[Kind::Numbers] } else { &[Kind::Webhooks, Kind::Numbers] };
            let first: Vec<NewPage> = first.iter().copied().map(NewPage::of).collect();
            pages::add(tx.session(), id, &first).await?;
            Begun::New(id)
        }
        None => {
            let Id { id } = FIND_RUNNING.query().one(tx.session()).await?;
            Begun::Running(id)
        }
    };
    let (Begun::New(run) | Begun::Running(run)) = begun;
    let task = NewTask::of(&ReconcilePage { run })?.correlation_id(&format!("rc_{run}")).cause(cause);
    tx.enqueue(&[task]).await?;
    Ok(begun)
}

/// Begins a run at a person's word, and returns its number.
pub async fn begin_by_hand(tasks: &Tasks, order: &Order, actor: &Actor) -> Result<i64, BeginError> {
    let now = tasks.clock().now();
    let mut tx = tasks.begin().await?;
    match begin(&mut tx, order, &actor.name, now).await? {
        Begun::New(run) => {
            let after =
                json!({"from": order.from, "to": order.to, "number": order.number, "dry_run": order.dry_run});
            let act = Act {
                action: "reconcile.run",
                subject: format!("reconcile:{run}"),
                before: None,
                after: Some(after),
            };
            audit::record(tx.session(), now, actor, &[act]).await?;
            tx.commit().await?;
            Ok(run)
        }
        Begun::Running(run) => {
            tx.commit().await?;
            Err(BeginError::Running(run))
        }
    }
}

/// The run, if it is under way.
pub(super) async fn find(session: &mut Session, run: i64) -> Result<Option<Run>, DbError> {
    FIND_RUN.bind(run).optional(session).await
}

/// Everything was asked for: the marks move.
pub(super) async fn complete(tx: &mut Session, run: &Run, now: DateTime<Utc>) -> Result<(), DbError> {
    if COMPLETE_RUN.bind(run.id).bind(now).execute(tx).await? == 1 && run.moves_marks() {
        MOVE_MARKS.bind(run.id).bind(run.to_at).execute(tx).await?;
    }
    Ok(())
}

/// A question failed for good. The marks stay, so the next run looks at the same again.
pub(super) async fn fail(
    tx: &mut Session,
    run: &Run,
    error: &str,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    FAIL_RUN.bind(run.id).bind(now).bind(error).execute(tx).await.map(drop)
}

#[derive(Serialize)]
struct Marked<'n> {
    phone_number_id: &'n str,
}

/// Notes the numbers and webhooks whose marks this run is to move.
pub(super) async fn marks(tx: &mut Session, run: &Run, marked: &[String]) -> Result<(), DbError> {
    if marked.is_empty() || !run.moves_marks() {
        return Ok(());
    }
    let lines: Vec<Marked<'_>> = marked.iter().map(|id| Marked { phone_number_id: id }).collect();
    KEEP_MARKS.bind(run.id).bind(Rows::of(&lines)?).execute(tx).await.map(drop)
}

/// What one page came to, by kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u32,
    pub(super) refused: u32,
    pub(super) found: usize,
    pub(super) missing: usize,
    pub(super) repaired: usize,
}

#[derive(Serialize)]
struct Counted {
    kind: &'static str,
    requests: u32,
    refused: u32,
    found: usize,
    missing: usize,
    repaired: usize,
}

pub(super) async fn count(
    tx: &mut Session,
    run: &Run,
    tallies: &BTreeMap<Kind, Tally>,
) -> Result<(), DbError> {
    let line = |(kind, tally): (&Kind, &Tally)| {
        let Tally { requests, refused, found, missing, repaired } = *tally;
        Counted { kind: kind.name(), requests, refused, found, missing, repaired }
    };
    let lines: Vec<Counted> = tallies.iter().map(line).collect();
    ADD_COUNTS.bind(run.id).bind(Rows::of(&lines)?).execute(tx).await.map(drop)
}

impl Run {
    /// How long it has been under way.
    pub(super) fn took(&self, now: DateTime<Utc>) -> TimeDelta {
        now - self.started_at
    }
}
