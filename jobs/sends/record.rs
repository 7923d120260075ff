//! Writing down what became of a try. An answer that comes late is as true as one in time, so it counts for the try it belongs to,
//! whoever has taken over since; it never counts for another.

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_openphone::event::Message;
use trunkline_platform::db::{DbError, Session};

use super::{Called, Outcome, SendState, mirror};
use crate::contacts::optout;
use crate::messages;

/// How long a text waits that provably did not leave.
const AGAIN_AFTER: TimeDelta = TimeDelta::seconds(30);

trunkline_platform::statements! {
    ACCEPT = same {
        "UPDATE sends SET state = 'accepted', provider_id = $3, reason = NULL, error_code = NULL, state_at = $4
         WHERE id = $1 AND tries = $2 AND state IN ('intended', 'unknown', 'unresolved', 'waiting')"
    }
    /// Every other outcome. One that is known already is not taken back.
    CONCLUDE = same {
        "UPDATE sends SET state = $3, reason = $4, error_code = $5, state_at = $6
         WHERE id = $1 AND tries = $2 AND state IN ('intended', 'unknown')
         RETURNING campaign_id, number"
    }
    /// The recipient of a text that is to be tried again.
    WAIT_AGAIN = same {
        "UPDATE campaign_recipients SET state = 'waiting', reason = $3, due_at = $4
         WHERE campaign_id = $1 AND number = $2 AND state = 'taken'"
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct Concluded {
    campaign_id: Option<i64>,
    number: String,
}

/// Writes one outcome. The caller's transaction has done nothing before it.
pub(crate) async fn record(tx: &mut Session, called: &Called, now: DateTime<Utc>) -> Result<(), DbError> {
    let (id, tries) = (called.intent.id, called.intent.tries);
    match &called.outcome {
        Outcome::Accepted(message) => accept(tx, id, tries, message, now).await,
        Outcome::Refused { code, reason } => {
            if code.as_deref() == Some(optout::OPTED_OUT) {
                let number = called.intent.number.as_str();
                optout::close_refused(tx, number, (id, tries), called.asked_at, now).await?;
            }
            conclude(tx, (id, tries), SendState::Refused, reason, code.as_deref(), now).await.map(drop)
        }
        Outcome::Unknown { reason } => {
            conclude(tx, (id, tries), SendState::Unknown, reason, None, now).await.map(drop)
        }
        Outcome::NotSent { reason, .. } => {
            let concluded = conclude(tx, (id, tries), SendState::Waiting, reason, None, now).await?;
            wait_again(tx, concluded, reason, now + AGAIN_AFTER).await
        }
        Outcome::Stopped { code, reason } => {
            let concluded =
                conclude(tx, (id, tries), SendState::Waiting, reason, code.as_deref(), now).await?;
            wait_again(tx, concluded, reason, now).await
        }
    }
}

/// The provider has the text. The message first and then the ledger, as those who hear of it by webhook do.
pub(super) async fn accept(
    tx: &mut Session,
    id: i64,
    tries: i32,
    message: &Message,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let at = message.updated_at.or(message.created_at).unwrap_or(now);
    messages::record(tx, message, at, now).await?;
    ACCEPT.bind(id).bind(tries).bind(message.id.as_str()).bind(now).execute(tx).await?;
    mirror(tx, &message.id).await
}

pub(super) async fn conclude(
    tx: &mut Session,
    (id, tries): (i64, i32),
    state: SendState,
    reason: &str,
    code: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<Concluded>, DbError> {
    CONCLUDE.bind(id).bind(tries).bind(state.as_str()).bind(reason).bind(code).bind(now).optional(tx).await
}

/// Puts the recipient of a campaign's text back among those who wait.
pub(super) async fn wait_again(
    tx: &mut Session,
    concluded: Option<Concluded>,
    reason: &str,
    due_at: DateTime<Utc>,
) -> Result<(), DbError> {
    let Some(Concluded { campaign_id: Some(campaign), number }) = concluded else { return Ok(()) };
    WAIT_AGAIN.bind(campaign).bind(number).bind(reason).bind(due_at).execute(tx).await.map(drop)
}
