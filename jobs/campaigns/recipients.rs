//! The recipients of campaigns one by one: what became of each, and why.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError};

use super::table::CampaignRow;

/// Places that one page looks through, so that a filter nobody fits takes no longer than one that many do.
const LOOKED_THROUGH: i64 = 50_000;

/// Of a [`RecipientRow`].
const ROWS: &str =
    "SELECT r.campaign_id, c.name AS campaign, r.position, r.number, r.variant, r.state, r.reason, r.due_at,
         s.id AS send_id, s.state AS send_state, s.reason AS send_reason, s.error_code, s.state_at
     FROM campaign_recipients AS r JOIN campaigns AS c ON c.id = r.campaign_id
     LEFT JOIN sends AS s ON s.campaign_id = r.campaign_id AND s.number = r.number ";

trunkline_platform::statements! {
    RECIPIENTS_BY_NUMBER = parts {
        (sql ROWS) "WHERE r.number = $1 ORDER BY r.campaign_id DESC LIMIT $2"
    }
    SHOW_RECIPIENT = parts { (sql ROWS) "WHERE r.campaign_id = $1 AND r.position = $2" }
    /// By what counts of each: the text's state and reason, once there is one.
    LIST_RECIPIENTS = parts {
        (sql ROWS)
        "WHERE r.campaign_id = $1 AND r.position > $2 AND r.position <= $3
           AND (CAST($4 AS TEXT) IS NULL OR CASE WHEN r.state = 'taken' THEN s.state ELSE r.state END = $4)
           AND (CAST($5 AS TEXT) IS NULL
                OR CASE WHEN r.state = 'taken' THEN COALESCE(s.error_code, s.reason) ELSE r.reason END = $5)
         ORDER BY r.position LIMIT $6"
    }
}

/// One person in one campaign: the answer to "why did she not get it?".
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct RecipientRow {
    pub campaign_id: i64,
    pub campaign: String,
    pub position: i64,
    pub number: String,
    pub variant: String,
    pub state: String,
    pub reason: Option<String>,
    pub due_at: DateTime<Utc>,
    pub send_id: Option<i64>,
    pub send_state: Option<String>,
    pub send_reason: Option<String>,
    pub error_code: Option<String>,
    pub state_at: Option<DateTime<Utc>>,
}

impl RecipientRow {
    /// How far they are: the text's state, once there is one.
    pub fn outcome(&self) -> &str {
        self.send_state.as_deref().filter(|_| self.is_taken()).unwrap_or(&self.state)
    }

    /// The reason that counts: the text's, once there is one.
    pub fn why(&self) -> Option<&str> {
        if self.is_taken() {
            self.error_code.as_deref().or(self.send_reason.as_deref())
        } else {
            self.reason.as_deref()
        }
    }

    fn is_taken(&self) -> bool {
        self.state == "taken"
    }
}

/// Which recipients of a campaign to list, in the order of their turns.
#[derive(Clone, Debug, Default)]
pub struct RecipientFilter {
    /// How far they are, as [`RecipientRow::outcome`] tells.
    pub outcome: Option<String>,
    /// Why, as [`RecipientRow::why`] tells.
    pub why: Option<String>,
    /// Only those behind this place.
    pub after: i64,
    pub limit: u32,
}

/// Some of a campaign's recipients.
#[derive(Clone, Debug)]
pub struct Recipients {
    pub rows: Vec<RecipientRow>,
    /// The place after which to go on; none at the end. There can be more although no row is here.
    pub next: Option<i64>,
}

/// The campaigns a person is in, the newest first.
pub async fn recipients_of(db: &Db, number: &str, limit: u32) -> Result<Vec<RecipientRow>, DbError> {
    RECIPIENTS_BY_NUMBER.bind(number).bind(limit.clamp(1, 1_000)).all(&mut db.read().await?).await
}

/// One recipient by their place.
pub async fn recipient(db: &Db, campaign: i64, position: i64) -> Result<Option<RecipientRow>, DbError> {
    SHOW_RECIPIENT.bind(campaign).bind(position).optional(&mut db.read().await?).await
}

/// The next recipients of a campaign, of so many places at a time.
pub async fn recipients(
    db: &Db,
    campaign: &CampaignRow,
    filter: &RecipientFilter,
) -> Result<Recipients, DbError> {
    let (until, limit) = (filter.after.saturating_add(LOOKED_THROUGH), filter.limit.clamp(1, 1_000));
    let mut rows: Vec<RecipientRow> = LIST_RECIPIENTS
        .bind(campaign.id)
        .bind(filter.after)
        .bind(until)
        .bind(filter.outcome.as_deref())
        .bind(filter.why.as_deref())
        .bind(limit + 1)
        .all(&mut db.read().await?)
        .await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = match rows.last().filter(|_| more) {
        Some(last) => Some(last.position),
        None => (until < campaign.recipients).then_some(until),
    };
    Ok(Recipients { rows, next })
}
