//! What people do about opt-outs: take one down that came on any way, open a number again, and decide whether a
//! sentence was meant as one. Every act is in the audit, in the same transaction.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;
use trunkline_platform::audit::{self, Actor};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbError, Session};

use super::{Channel, Said, close, lock_alone, open};
use crate::sends;

trunkline_platform::statements! {
    LATEST = same { "SELECT closed, at FROM opt_outs WHERE number = $1" }
    LIST_REVIEWS = same {
        "SELECT c.id, c.number, c.at, c.wording, c.message_id, o.closed FROM consents AS c
         JOIN opt_outs AS o ON o.number = c.number
         WHERE c.review = 'open' AND (CAST($1 AS BIGINT) IS NULL OR c.id > $1) ORDER BY c.id LIMIT $2"
    }
    FIND_REVIEW = same { "SELECT number, at, review FROM consents WHERE id = $1" }
    CLOSE_REVIEW = same { "UPDATE consents SET review = $2 WHERE id = $1 AND review = 'open'" }
    CONFIRM_REVIEWS = same { "UPDATE consents SET review = 'confirmed' WHERE number = $1 AND review = 'open'" }
}

/// A sentence that was taken for an opt-out.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ReviewRow {
    pub id: i64,
    pub number: String,
    pub at: DateTime<Utc>,
    pub wording: Option<String>,
    pub message_id: Option<String>,
    /// Whether the number is closed at present.
    pub closed: bool,
}

/// What a person makes of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It was meant so.
    Confirm,
    /// It was not: the number is open again.
    Reopen,
}

#[derive(Debug, Error)]
pub enum ReviewError {
    #[error("there is no entry {0} to review: see `trunkline optouts review`")]
    Unknown(i64),
    #[error("entry {0} was reviewed before: it was {1}")]
    Decided(i64, String),
    #[error("a number that asked to be left alone is opened only for a reason: say it with --reason")]
    NoReason,
    #[error(transparent)]
    Database(#[from] DbError),
}

#[derive(sqlx::FromRow)]
struct Latest {
    closed: bool,
    at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Found {
    number: String,
    at: DateTime<Utc>,
    review: Option<String>,
}

/// Closes numbers on behalf of people who asked on another way. Tells of each whether it was open before.
pub async fn opt_out(
    db: &Db,
    clock: &Clock,
    numbers: &[&str],
    channel: Channel,
    wording: Option<&str>,
    actor: &Actor,
) -> Result<BTreeMap<String, bool>, DbError> {
    let mut tx = db.write().await?;
    lock_alone(&mut tx, numbers.iter().copied()).await?;
    let mut changed = BTreeMap::new();
    for number in numbers {
        let was_closed = decide_for(&mut tx, clock.now(), number, true, channel, wording, actor).await?;
        CONFIRM_REVIEWS.bind(*number).execute(&mut tx).await?;
        changed.insert((*number).to_owned(), !was_closed);
    }
    tx.commit().await?;
    Ok(changed)
}

fn says_why(actor: &Actor) -> bool {
    actor.reason.as_deref().is_some_and(|why| !why.trim().is_empty())
}

/// Opens a number again, for a reason. Tells whether it was closed before.
///
/// # Errors
/// When no reason is given.
pub async fn opt_in(
    db: &Db,
    clock: &Clock,
    number: &str,
    channel: Channel,
    wording: Option<&str>,
    actor: &Actor,
) -> Result<bool, ReviewError> {
    if !says_why(actor) {
        return Err(ReviewError::NoReason);
    }
    let mut tx = db.write().await?;
    lock_alone(&mut tx, [number]).await?;
    let was_closed = decide_for(&mut tx, clock.now(), number, false, channel, wording, actor).await?;
    tx.commit().await?;
    Ok(was_closed)
}

/// What waits for a person, the oldest first, after an entry.
pub async fn reviews(db: &Db, after: Option<i64>, limit: u32) -> Result<Vec<ReviewRow>, DbError> {
    LIST_REVIEWS.bind(after).bind(limit.clamp(1, 1_000)).all(&mut db.read().await?).await
}

/// Decides what a sentence meant. Returns the number.
///
/// # Errors
/// When there is no such entry, it was decided before, or a number would be opened without a reason.
pub async fn decide(
    db: &Db,
    clock: &Clock,
    id: i64,
    verdict: Verdict,
    actor: &Actor,
) -> Result<String, ReviewError> {
    if verdict == Verdict::Reopen && !says_why(actor) {
        return Err(ReviewError::NoReason);
    }
    let found: Option<Found> = FIND_REVIEW.bind(id).optional(&mut db.read().await?).await?;
    let Some(Found { number, at, review: Some(_) }) = found else { return Err(ReviewError::Unknown(id)) };
    let mut tx = db.write().await?;
    lock_alone(&mut tx, [number.as_str()]).await?;
    let (word, action) = match verdict {
        Verdict::Confirm => ("confirmed", "optout.confirm"),
        Verdict::Reopen => ("reopened", "optout.reopen"),
    };
    if CLOSE_REVIEW.bind(id).bind(word).execute(&mut tx).await? == 0 {
        let found: Found = FIND_REVIEW.bind(id).one(&mut tx).await?;
        return Err(ReviewError::Decided(id, found.review.unwrap_or_default()));
    }
    if verdict == Verdict::Reopen {
        decide_for(&mut tx, clock.now(), &number, false, Channel::Text, None, actor).await?;
        sends::attribute(&mut tx, &number, at).await?;
    }
    let act = audit::Act {
        action,
        subject: format!("number:{number}"),
        before: Some(json!({ "review": "open" })),
        after: Some(json!({ "review": word, "entry": id })),
    };
    audit::record(&mut tx, clock.now(), actor, &[act]).await?;
    tx.commit().await?;
    Ok(number)
}

/// Closes or opens a number after everything that is known of it, so that it counts. Returns whether it was closed.
async fn decide_for(
    tx: &mut Session,
    now: DateTime<Utc>,
    number: &str,
    closing: bool,
    channel: Channel,
    wording: Option<&str>,
    actor: &Actor,
) -> Result<bool, DbError> {
    let latest: Option<Latest> = LATEST.bind(number).optional(tx).await?;
    let was_closed = latest.as_ref().is_some_and(|latest| latest.closed);
    let at = latest.map_or(now, |latest| now.max(latest.at + TimeDelta::microseconds(1)));
    let said = Said {
        entry: format!("{}:{number}:{}", actor.name, at.timestamp_micros()),
        number,
        at,
        channel,
        wording,
        message_id: None,
        actor: Some(&actor.name),
        review: false,
        confirm: false,
    };
    if closing {
        close(tx, &said, now).await?;
    } else {
        open(tx, &said, now).await?;
    }
    let act = audit::Act {
        action: if closing { "optout.add" } else { "optout.remove" },
        subject: format!("number:{number}"),
        before: Some(json!({ "closed": was_closed })),
        after: Some(json!({ "closed": closing, "channel": channel.as_str() })),
    };
    audit::record(tx, now, actor, &[act]).await?;
    Ok(was_closed)
}
