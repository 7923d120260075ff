//! The row of a campaign.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{DbError, Session};

use super::{Plan, State};

/// Of a [`CampaignRow`].
pub(super) const COLUMNS: &str = "id, name, state, reason, plan, generation, frozen_to, frozen_at, recipients, segments, \
    waits_for, next_at, scheduled_for, created_by, created_at, started_at, ended_at, winner, promoted_at";

trunkline_platform::statements! {
    /// Reads and locks: an update that changes nothing, so that both engines lock by one text.
    LOCK_CAMPAIGN = parts {
        "UPDATE campaigns SET generation = generation WHERE id = $1 RETURNING " (sql COLUMNS)
    }
    pub(super) SHOW_CAMPAIGN = parts { "SELECT " (sql COLUMNS) " FROM campaigns WHERE id = $1" }
    MOVE_CAMPAIGN = same {
        "UPDATE campaigns SET state = $2, reason = $3, generation = generation + 1, waits_for = NULL, next_at = NULL,
             scheduled_for = $4, started_at = COALESCE(started_at, $5), ended_at = $6
         WHERE id = $1"
    }
    BEGIN_CAMPAIGN = same {
        "UPDATE campaigns SET state = 'running', scheduled_for = NULL, started_at = $2 WHERE id = $1"
    }
    NOTE_WAIT = same { "UPDATE campaigns SET waits_for = $2, next_at = $3 WHERE id = $1 AND state = 'running'" }
}

/// A campaign.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct CampaignRow {
    pub id: i64,
    pub name: String,
    #[sqlx(try_from = "String")]
    pub state: State,
    /// Why it is held or was cancelled.
    pub reason: Option<String>,
    #[sqlx(try_from = "String")]
    pub plan: KeptPlan,
    pub generation: i32,
    pub frozen_to: Option<String>,
    pub frozen_at: Option<DateTime<Utc>>,
    pub recipients: i64,
    /// Segments of the texts that were let go.
    pub segments: i64,
    /// What the next text waits for, and until when.
    pub waits_for: Option<String>,
    pub next_at: Option<DateTime<Utc>>,
    pub scheduled_for: Option<DateTime<Utc>>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// The text that those get who wait.
    pub winner: Option<String>,
    pub promoted_at: Option<DateTime<Utc>>,
}

impl CampaignRow {
    /// Whether people who come to be of its audience join it now.
    pub(super) fn takes_late_joiners(&self) -> bool {
        self.plan.0.late_joiners && self.state == State::Running && self.frozen_at.is_some()
    }
}

/// A plan as a column.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct KeptPlan(pub Plan);

impl TryFrom<String> for KeptPlan {
    type Error = serde_json::Error;

    fn try_from(text: String) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&text).map(Self)
    }
}

/// A campaign, which nobody else changes until the transaction ends.
pub(super) async fn lock(tx: &mut Session, id: i64) -> Result<Option<CampaignRow>, DbError> {
    LOCK_CAMPAIGN.bind(id).optional(tx).await
}

/// Writes a move. The generation rises, so that a pump of before sends nothing more.
pub(super) async fn put(
    tx: &mut Session,
    row: &CampaignRow,
    state: State,
    reason: Option<&str>,
    scheduled_for: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let started = (state == State::Running).then_some(now);
    let ended = matches!(state, State::Completed | State::Cancelled).then_some(now);
    MOVE_CAMPAIGN
        .bind(row.id)
        .bind(state.as_str())
        .bind(reason)
        .bind(scheduled_for)
        .bind(started)
        .bind(ended)
        .execute(tx)
        .await
        .map(drop)
}

/// A scheduled campaign begins.
pub(super) async fn begin(tx: &mut Session, id: i64, now: DateTime<Utc>) -> Result<(), DbError> {
    BEGIN_CAMPAIGN.bind(id).bind(now).execute(tx).await.map(drop)
}

/// Notes what the next text waits for.
pub(super) async fn note_wait(
    tx: &mut Session,
    id: i64,
    waits_for: Option<&str>,
    until: Option<DateTime<Utc>>,
) -> Result<(), DbError> {
    NOTE_WAIT.bind(id).bind(waits_for).bind(until).execute(tx).await.map(drop)
}
