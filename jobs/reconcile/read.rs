//! Looking at runs: a list, one with its figures, and how things stand.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError, Session};

use super::pages;

/// Of a [`RunRow`].
const COLUMNS: &str =
    "id, state, cause, dry_run, number, from_at, overlap_minutes, to_at, started_at, ended_at, error";

trunkline_platform::statements! {
    LIST_RECONCILED = parts {
        "SELECT " (sql COLUMNS)
        " FROM reconcile_runs WHERE id < $1 ORDER BY id DESC LIMIT $2"
    }
    SHOW_RECONCILED = parts {
        "SELECT " (sql COLUMNS)
        " FROM reconcile_runs WHERE id = $1"
    }
    /// The newest that looked at everything and told what it found.
    LAST_RECONCILED = parts {
        "SELECT " (sql COLUMNS)
        " FROM reconcile_runs WHERE state = 'complete' AND NOT dry_run AND number IS NULL AND from_at IS NULL
         ORDER BY id DESC LIMIT 1"
    }
    RUNNING_RECONCILED = parts {
        "SELECT " (sql COLUMNS)
        " FROM reconcile_runs WHERE state = 'running'"
    }
    LIST_COUNTS = same {
        "SELECT kind, requests, refused, found, missing, repaired FROM reconcile_counts WHERE run_id = $1
         ORDER BY kind LIMIT 100"
    }
}

/// A run.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct RunRow {
    pub id: i64,
    /// `running`, `complete` or `failed`.
    pub state: String,
    /// `task:…` of a schedule, `operator:…` of a person.
    pub cause: String,
    /// Nothing was told; it only counted.
    pub dry_run: bool,
    /// Only this number of ours.
    pub number: Option<String>,
    /// Absent: since each number's mark.
    pub from_at: Option<DateTime<Utc>>,
    pub overlap_minutes: i32,
    pub to_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
}

/// What a run came to, for one kind.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct CountRow {
    pub kind: String,
    /// Questions that were answered.
    pub requests: i64,
    /// Of those: by a refusal.
    pub refused: i64,
    /// What the provider has.
    pub found: i64,
    /// Of that: what we had not, or not as far as it has come.
    pub missing: i64,
    /// Of that: what was told after all. The rest was told before, and its task has not come to a good end.
    pub repaired: i64,
}

/// The page that a run asks for next.
#[derive(Clone, Debug, Serialize)]
pub struct Next {
    pub kind: String,
    pub phone_number_id: Option<String>,
    pub conversation_id: Option<String>,
    /// Whether it is in the middle of a list.
    pub continued: bool,
    /// Pages known of that are still to be asked for, this one among them.
    pub pages: i64,
}

/// A run with its figures.
#[derive(Clone, Debug, Serialize)]
pub struct Details {
    #[serde(flatten)]
    pub run: RunRow,
    pub counts: Vec<CountRow>,
    pub next: Option<Next>,
}

/// How things stand.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The newest run that looked at everything.
    pub last: Option<Details>,
    /// The run under way.
    pub running: Option<Details>,
}

/// Runs, the newest first.
pub async fn list(db: &Db, before: Option<i64>, limit: u32) -> Result<Vec<Details>, DbError> {
    let mut session = db.read().await?;
    let rows: Vec<RunRow> = LIST_RECONCILED
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit.clamp(1, 1_000))
        .all(&mut session)
        .await?;
    let mut runs = Vec::with_capacity(rows.len());
    for run in rows {
        runs.push(details(&mut session, run).await?);
    }
    Ok(runs)
}

pub async fn show(db: &Db, run: i64) -> Result<Option<Details>, DbError> {
    let mut session = db.read().await?;
    match SHOW_RECONCILED.bind(run).optional(&mut session).await? {
        Some(run) => details(&mut session, run).await.map(Some),
        None => Ok(None),
    }
}

pub async fn status(db: &Db) -> Result<Status, DbError> {
    let mut session = db.read().await?;
    let mut found = [None, None];
    for (found, statement) in found.iter_mut().zip([&LAST_RECONCILED, &RUNNING_RECONCILED]) {
        if let Some(run) = statement.query().optional(&mut session).await? {
            *found = Some(details(&mut session, run).await?);
        }
    }
    let [last, running] = found;
    Ok(Status { last, running })
}

async fn details(session: &mut Session, run: RunRow) -> Result<Details, DbError> {
    let counts = LIST_COUNTS.bind(run.id).all(session).await?;
    let next = if run.state == "running" { next(session, run.id).await? } else { None };
    Ok(Details { run, counts, next })
}

async fn next(session: &mut Session, run: i64) -> Result<Option<Next>, DbError> {
    let Some(page) = pages::next(session, run).await? else { return Ok(None) };
    Ok(Some(Next {
        kind: page.kind.name().to_owned(),
        phone_number_id: page.phone_number_id().map(str::to_owned),
        conversation_id: page.conversation_id().filter(|id| !id.is_empty()).map(str::to_owned),
        continued: !page.page_token.is_empty(),
        pages: pages::count(session, run).await?,
    }))
}

impl Details {
    /// The sum of one figure over all kinds.
    pub fn sum(&self, figure: impl Fn(&CountRow) -> i64) -> i64 {
        self.counts.iter().map(figure).sum()
    }
}
