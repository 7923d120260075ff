//! Writing a campaign's recipients down, a batch at a time: who they are is settled when it begins.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{DbError, Rows, Session, sql_time};
use trunkline_platform::job::{Context, Failure};

use super::plan::Audience;
use super::table::{self, CampaignRow};
use super::variants::{Assignment, HOLDOUT};
use crate::Services;

/// Recipients of one transaction.
const BATCH: u32 = 1_000;

trunkline_platform::statements! {
    PAGE_OF_PEOPLE = same {
        "SELECT number FROM people WHERE (CAST($1 AS TEXT) IS NULL OR number > $1) AND created_at <= $2
         ORDER BY number LIMIT $3"
    }
    PAGE_OF_TAGGED = same {
        "SELECT number FROM person_labels
         WHERE kind = 'tag' AND label = $2 AND (CAST($1 AS TEXT) IS NULL OR number > $1)
         ORDER BY number LIMIT $3"
    }
    ADD_RECIPIENTS = parts {
        "INSERT INTO campaign_recipients (campaign_id, position, number, variant, state, reason, due_at)
         SELECT $2, $3 + r.seq, r.number, r.variant, r.state, r.reason, r.due_at
         FROM " (rows "$1" as r (seq BIGINT, number TEXT, variant TEXT, state TEXT, reason TEXT, due_at TIMESTAMPTZ))
        " WHERE true ORDER BY r.seq
         ON CONFLICT DO NOTHING"
    }
    /// The places of those who were left out stay empty.
    NOTE_FROZEN = same {
        "UPDATE campaigns SET recipients = (SELECT COALESCE(MAX(position), 0) FROM campaign_recipients WHERE campaign_id = $1),
             frozen_to = COALESCE($2, frozen_to), frozen_at = $3
         WHERE id = $1"
    }
}

#[derive(Serialize)]
struct Line<'n> {
    seq: usize,
    number: &'n str,
    variant: &'n str,
    state: &'static str,
    reason: Option<&'static str>,
    due_at: String,
}

#[derive(sqlx::FromRow)]
struct Number {
    number: String,
}

/// Adds named numbers, in their order, to a campaign that goes to a list. Those that are there already are left.
pub async fn add_recipients(
    tx: &mut Session,
    campaign: &CampaignRow,
    numbers: &[String],
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    add(tx, campaign, numbers.iter().map(String::as_str), now).await?;
    NOTE_FROZEN.bind(campaign.id).bind(None::<&str>).bind(None::<DateTime<Utc>>).execute(tx).await.map(drop)
}

async fn add(
    tx: &mut Session,
    campaign: &CampaignRow,
    numbers: impl Iterator<Item = &str>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let (assignment, due_at) = (Assignment::of(campaign), sql_time(now));
    let lines: Vec<Line<'_>> = (1..)
        .zip(numbers)
        .map(|(seq, number)| {
            let (variant, state, reason) = match assignment.variant(number) {
                Some(variant) => (variant, "waiting", None),
                None => (HOLDOUT, "refused", Some(HOLDOUT)),
            };
            Line { seq, number, variant, state, reason, due_at: due_at.clone() }
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let rows = Rows::of(&lines)?;
    ADD_RECIPIENTS.bind(rows).bind(campaign.id).bind(campaign.recipients).execute(tx).await.map(drop)
}

/// The next of an audience, after one, in their order. Who came on record after `began` is not among everybody.
pub(super) async fn page(
    session: &mut Session,
    audience: &Audience,
    after: Option<&str>,
    began: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<String>, DbError> {
    let query = match audience {
        Audience::List => return Ok(Vec::new()),
        Audience::Everyone => PAGE_OF_PEOPLE.bind(after).bind(began).bind(limit),
        Audience::Tag(tag) => PAGE_OF_TAGGED.bind(after).bind(tag.as_str()).bind(limit),
    };
    let numbers: Vec<Number> = query.all(session).await?;
    Ok(numbers.into_iter().map(|row| row.number).collect())
}

/// Writes the next recipients down. True: all of them are. `generation` is the pump's.
pub(super) async fn freeze(cx: &Context<Services>, id: i64, generation: i32) -> Result<bool, Failure> {
    let mut tx = cx.services().db.write().await?;
    let Some(row) = table::lock(&mut tx, id).await?.filter(|row| row.generation == generation) else {
        return Ok(true);
    };
    if row.frozen_at.is_some() {
        return Ok(true);
    }
    let now = cx.now();
    let began = row.started_at.unwrap_or(now);
    let numbers = page(&mut tx, &row.plan.0.audience, row.frozen_to.as_deref(), began, BATCH).await?;
    add(&mut tx, &row, numbers.iter().map(String::as_str), now).await?;
    let complete = numbers.len() < BATCH as usize;
    let last = numbers.last().map(String::as_str);
    NOTE_FROZEN.bind(id).bind(last).bind(complete.then_some(now)).execute(&mut tx).await?;
    tx.commit().await?;
    cx.progress(
        u64::try_from(row.recipients).unwrap_or_default(),
        None,
        Some("writing down recipients".to_owned()),
    );
    Ok(complete)
}
