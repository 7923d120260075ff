//! The rows of what the breaker stopped: made once, and ended by a person.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError, Session};

use super::{Evidence, Fault, Subject};
use crate::campaigns::operate::program;

/// Held numbers that are listed and looked through.
const MOST: u32 = 1_000;
/// Of a [`Trip`].
const COLUMNS: &str =
    "id, campaign_id, sender, cause, reason, evidence, seen_in, tripped_at, released_at, released_by";

trunkline_platform::statements! {
    /// While one is open there is no second.
    INSERT_TRIP = same {
        "INSERT INTO breaker_trips (campaign_id, sender, cause, reason, evidence, seen_in, tripped_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
    }
    HELD_NUMBERS = same {
        "SELECT sender, reason FROM breaker_trips WHERE sender IS NOT NULL AND released_at IS NULL
         ORDER BY sender LIMIT $1"
    }
    LIST_HELD = parts {
        "SELECT " (sql COLUMNS)
        " FROM breaker_trips WHERE sender IS NOT NULL AND released_at IS NULL ORDER BY sender LIMIT $1"
    }
    TRIPS_OF_CAMPAIGN = parts {
        "SELECT " (sql COLUMNS)
        " FROM breaker_trips WHERE campaign_id = $1 ORDER BY id DESC LIMIT $2"
    }
    RELEASE_CAMPAIGN = same {
        "UPDATE breaker_trips SET released_at = $2, released_by = $3 WHERE campaign_id = $1 AND released_at IS NULL"
    }
    RELEASE_NUMBER = same {
        "UPDATE breaker_trips SET released_at = $2, released_by = $3 WHERE sender = $1 AND released_at IS NULL
         RETURNING reason"
    }
}

/// Something the breaker stopped: a campaign or, with `sender`, a number.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Trip {
    pub id: i64,
    pub campaign_id: Option<i64>,
    /// Our number, by the provider's id.
    pub sender: Option<String>,
    pub cause: String,
    pub reason: String,
    #[sqlx(try_from = "String")]
    pub evidence: KeptEvidence,
    /// The campaign whose texts showed it.
    pub seen_in: i64,
    pub tripped_at: DateTime<Utc>,
    pub released_at: Option<DateTime<Utc>>,
    pub released_by: Option<String>,
}

/// Evidence as a column.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct KeptEvidence(pub Evidence);

impl TryFrom<String> for KeptEvidence {
    type Error = serde_json::Error;

    fn try_from(text: String) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&text).map(Self)
    }
}

#[derive(sqlx::FromRow)]
struct HeldNumber {
    sender: String,
    reason: String,
}

/// The numbers that send nothing for now, and why.
pub(in crate::campaigns) struct Held(BTreeMap<String, String>);

impl Held {
    /// Those of these numbers that may send.
    ///
    /// # Errors
    /// When none may: with the reason of one.
    pub(in crate::campaigns) fn free<'s>(&self, senders: &'s [String]) -> Result<Vec<&'s str>, String> {
        let free: Vec<&str> =
            senders.iter().filter(|sender| !self.0.contains_key(*sender)).map(String::as_str).collect();
        if free.is_empty() {
            let reason = self.0.iter().find(|(sender, _)| senders.contains(sender));
            return Err(reason.map_or_else(|| "no_number".to_owned(), |(_, reason)| reason.clone()));
        }
        Ok(free)
    }
}

#[derive(sqlx::FromRow)]
struct Released {
    reason: String,
}

/// Writes a trip down. False: there is an open one already.
pub(super) async fn insert(
    tx: &mut Session,
    fault: &Fault,
    seen_in: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let (campaign, sender) = match &fault.subject {
        Subject::Campaign => (Some(seen_in), None),
        Subject::Number(sender) => (None, Some(sender.as_str())),
    };
    let written = INSERT_TRIP
        .bind(campaign)
        .bind(sender)
        .bind(fault.cause.as_str())
        .bind(fault.reason.as_str())
        .bind(serde_json::to_string(&fault.evidence)?)
        .bind(seen_in)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(written > 0)
}

/// Has a number send nothing in any campaign. False: it is held already.
pub(super) async fn hold_number(
    tx: &mut Session,
    sender: &str,
    fault: &Fault,
    seen_in: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let held = insert(tx, fault, seen_in, now).await?;
    if held {
        let after = json!({ "held": fault.reason, "seen_in": seen_in });
        note(tx, "number.hold", sender, (None, Some(after)), &program(Some(&fault.reason)), now).await?;
    }
    Ok(held)
}

/// The numbers that send nothing for now.
pub(in crate::campaigns) async fn held(session: &mut Session) -> Result<Held, DbError> {
    let rows: Vec<HeldNumber> = HELD_NUMBERS.bind(MOST).all(session).await?;
    Ok(Held(rows.into_iter().map(|row| (row.sender, row.reason)).collect()))
}

/// Why none of these numbers may send. None: one may.
pub(in crate::campaigns) async fn all_held(
    session: &mut Session,
    senders: &[String],
) -> Result<Option<String>, DbError> {
    let Held(held) = held(session).await?;
    let told = |sender| held.get(sender).map(|reason| format!("{sender} ({reason})"));
    let reasons: Option<Vec<String>> = senders.iter().map(told).collect();
    Ok(reasons.map(|reasons| reasons.join(", ")))
}

/// The numbers that send nothing for now, with what the breaker saw.
pub async fn held_numbers(db: &Db) -> Result<Vec<Trip>, DbError> {
    LIST_HELD.bind(MOST).all(&mut db.read().await?).await
}

/// What stopped a campaign, the latest first.
pub async fn trips_of(db: &Db, campaign: i64, limit: u32) -> Result<Vec<Trip>, DbError> {
    TRIPS_OF_CAMPAIGN.bind(campaign).bind(limit.clamp(1, MOST)).all(&mut db.read().await?).await
}

/// Ends what stopped a campaign, in the transaction that lets it go on or ends it.
pub(in crate::campaigns) async fn release_campaign(
    tx: &mut Session,
    campaign: i64,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    RELEASE_CAMPAIGN.bind(campaign).bind(now).bind(actor.name.as_str()).execute(tx).await.map(drop)
}

/// Lets a number send again; its latest texts are counted anew from now on. False: nobody holds it.
pub async fn release(
    tx: &mut Session,
    sender: &str,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let released = RELEASE_NUMBER.bind(sender).bind(now).bind(actor.name.as_str());
    let released: Option<Released> = released.optional(tx).await?;
    let Some(Released { reason }) = released else { return Ok(false) };
    note(tx, "number.release", sender, (Some(json!({ "held": reason })), None), actor, now).await?;
    Ok(true)
}

async fn note(
    tx: &mut Session,
    action: &'static str,
    sender: &str,
    (before, after): (Option<Value>, Option<Value>),
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let act = Act { action, subject: format!("number:{sender}"), before, after };
    audit::record(tx, now, actor, &[act]).await
}
