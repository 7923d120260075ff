//! A campaign on its way: how many are where, and how fast it goes.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError};

use super::State;
use super::read::{Outcome, left_since};
use super::table::CampaignRow;

/// Of these states a text has left, or may have.
const LEFT: [&str; 8] =
    ["intended", "accepted", "unknown", "unresolved", "sent", "delivered", "failed", "undelivered"];

/// How a campaign is doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Live {
    pub state: State,
    pub recipients: i64,
    pub left: i64,
    /// Texts that left in the last minute.
    pub last_minute: i64,
    pub waiting: i64,
    pub held: Vec<Held>,
    /// Texts that failed, were not delivered or not taken, by the code or the reason.
    pub failed: Vec<Failed>,
}

/// Those who wait for one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    pub reason: String,
    pub count: i64,
    pub next_at: Option<DateTime<Utc>>,
}

/// Texts that failed of one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failed {
    pub code: String,
    pub count: i64,
}

impl Live {
    /// From the campaign's outcomes and the ledger.
    pub async fn of(
        db: &Db,
        campaign: &CampaignRow,
        outcomes: &[Outcome],
        now: DateTime<Utc>,
    ) -> Result<Self, DbError> {
        let last_minute = left_since(db, campaign.id, now - TimeDelta::minutes(1)).await?;
        Ok(Self::counted(campaign, outcomes, last_minute))
    }

    fn counted(campaign: &CampaignRow, outcomes: &[Outcome], last_minute: i64) -> Self {
        let of = |states: &[&str]| -> Vec<&Outcome> {
            outcomes.iter().filter(|row| states.contains(&row.state.as_str())).collect()
        };
        let sum = |rows: &[&Outcome]| rows.iter().map(|row| row.count).sum();
        let reason = |row: &Outcome| row.reason.clone().unwrap_or_else(|| "none".to_owned());
        let waiting = of(&["waiting"]);
        let held = waiting.iter().filter(|row| row.reason.is_some());
        // Whom the gate refused has no text; their reasons are not codes.
        let failed = of(&["failed", "undelivered"]);
        Self {
            state: campaign.state,
            recipients: campaign.recipients,
            left: sum(&of(&LEFT)),
            last_minute,
            waiting: sum(&waiting),
            held: held
                .map(|row| Held { reason: reason(row), count: row.count, next_at: row.next_at })
                .collect(),
            failed: failed.iter().map(|row| Failed { code: reason(row), count: row.count }).collect(),
        }
    }
}
