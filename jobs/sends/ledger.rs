//! Writing intents: the rows that are committed before the provider is asked.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{DbError, Rows, Session, sql_text};
use trunkline_platform::job::TaskMeta;

use super::{Intent, body_hash};

trunkline_platform::statements! {
    /// A recipient has one row, whatever happens: one that is there is taken up only when it waits for another try.
    INTEND = parts {
        "INSERT INTO sends AS kept (kind, campaign_id, variant, number, sender, body, body_hash, segments, state, tries,
             task_id, attempt, lookups, cause, correlation_id, created_at, intended_at, state_at, counts_until)
         SELECT 'campaign', $2, r.variant, r.number, r.sender, r.body, r.body_hash, r.segments, 'intended', 1,
             $3, $4, 0, $5, $6, $7, $7, $7, $8
         FROM " (rows "$1" as r (number TEXT, variant TEXT, sender TEXT, body TEXT, body_hash TEXT, segments BIGINT))
        " WHERE true ORDER BY r.number
         ON CONFLICT (campaign_id, number) DO UPDATE SET
             variant = excluded.variant, sender = excluded.sender, body = excluded.body, body_hash = excluded.body_hash,
             segments = excluded.segments, state = 'intended', reason = NULL, tries = kept.tries + 1,
             task_id = excluded.task_id, attempt = excluded.attempt, lookups = 0, first_looked_at = NULL, evidence = NULL,
             intended_at = excluded.intended_at, state_at = excluded.state_at, counts_until = excluded.counts_until,
             replied_at = NULL, opted_out_at = NULL
         WHERE kept.state = 'waiting'
         RETURNING id, number, tries"
    }
}

/// A text of a campaign that may go now.
#[derive(Clone, Debug)]
pub(crate) struct NewSend {
    pub(crate) number: String,
    pub(crate) variant: String,
    pub(crate) sender: String,
    pub(crate) body: String,
    pub(crate) segments: u32,
}

#[derive(Serialize)]
struct Line<'s> {
    number: &'s str,
    variant: &'s str,
    sender: &'s str,
    body: &'s str,
    body_hash: String,
    segments: u32,
}

#[derive(sqlx::FromRow)]
struct Intended {
    id: i64,
    number: String,
    tries: i32,
}

/// Commits, with the caller's transaction, to texts of a campaign. Those whose row is not free to go are left out of the
/// answer and must not be sent. What people make of them is theirs until `counts_until`.
pub(crate) async fn insert_intended(
    tx: &mut Session,
    campaign: i64,
    sends: &[NewSend],
    task: &TaskMeta,
    now: DateTime<Utc>,
    counts_until: DateTime<Utc>,
) -> Result<Vec<Intent>, DbError> {
    if sends.is_empty() {
        return Ok(Vec::new());
    }
    let bodies: Vec<String> = sends.iter().map(|send| sql_text(&send.body).into_owned()).collect();
    let lines: Vec<Line<'_>> = sends
        .iter()
        .zip(&bodies)
        .map(|(send, body)| Line {
            number: &send.number,
            variant: &send.variant,
            sender: &send.sender,
            body,
            body_hash: body_hash(body),
            segments: send.segments,
        })
        .collect();
    let rows: Vec<Intended> = INTEND
        .bind(Rows::of(&lines)?)
        .bind(campaign)
        .bind(task.id.0)
        .bind(task.token)
        .bind(format!("campaign:{campaign}"))
        .bind(task.correlation_id.as_str())
        .bind(now)
        .bind(counts_until)
        .all(tx)
        .await?;
    let by_number: BTreeMap<&str, (&NewSend, &String)> =
        sends.iter().zip(&bodies).map(|(send, body)| (send.number.as_str(), (send, body))).collect();
    let intents = rows.into_iter().filter_map(|row| {
        let (send, body) = by_number.get(row.number.as_str())?;
        Some(Intent {
            id: row.id,
            tries: row.tries,
            sender: send.sender.clone(),
            body: (*body).clone(),
            number: row.number,
            intended_at: now,
        })
    });
    Ok(intents.collect())
}
