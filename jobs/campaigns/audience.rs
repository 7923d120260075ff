//! Writing a campaign's recipients down, a batch at a time: who they are is settled when it begins.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::crash_point;
use trunkline_platform::db::{DbError, Rows, Session, sql_time};
use trunkline_platform::job::{Context, Failure};

use super::plan::Audience;
use super::read;
use super::table::{self, CampaignRow};
use super::variants::{Assignment, HOLDOUT};
use crate::Services;
use crate::contacts::segments;

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
             frozen_to = $2, frozen_at = $3
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
    let mut last = campaign.recipients;
    for batch in numbers.chunks(BATCH as usize) {
        add(tx, campaign, last, batch.iter().map(String::as_str), now).await?;
        last += i64::try_from(batch.len()).unwrap_or_default();
    }
    NOTE_FROZEN.bind(campaign.id).bind(None::<&str>).bind(None::<DateTime<Utc>>).execute(tx).await.map(drop)
}

/// `last` is the last place that is taken.
async fn add(
    tx: &mut Session,
    campaign: &CampaignRow,
    last: i64,
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
    ADD_RECIPIENTS.bind(rows).bind(campaign.id).bind(last).execute(tx).await.map(drop)
}

/// Some of an audience, in the order of their numbers; perhaps none, though more follow.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) numbers: Vec<String>,
    /// After whom to go on; none at the end.
    pub(super) next: Option<String>,
}

/// Looks for the next of an audience, after one. Who came on record after `at` is not among everybody, and ages are told by it.
pub(super) async fn look(
    session: &mut Session,
    audience: &Audience,
    after: Option<&str>,
    at: DateTime<Utc>,
) -> Result<Found, DbError> {
    let query = match audience {
        Audience::List => return Ok(Found::default()),
        Audience::Everyone => PAGE_OF_PEOPLE.bind(after).bind(at).bind(BATCH),
        Audience::Tag(tag) => PAGE_OF_TAGGED.bind(after).bind(tag.as_str()).bind(BATCH),
        Audience::Segment(filter) => {
            let found = segments::members_of_page(session, filter, after, at).await?;
            let numbers = found.people.into_iter().map(|person| person.number).collect();
            return Ok(Found { numbers, next: found.next });
        }
    };
    let rows: Vec<Number> = query.all(session).await?;
    let next = rows.last().filter(|_| rows.len() == BATCH as usize).map(|row| row.number.clone());
    Ok(Found { numbers: rows.into_iter().map(|row| row.number).collect(), next })
}

/// Writes the next recipients down. True: all of them are. `generation` is the pump's.
pub(super) async fn freeze(cx: &Context<Services>, id: i64, generation: i32) -> Result<bool, Failure> {
    let (db, now) = (&cx.services().db, cx.now());
    let ours = |row: &CampaignRow| row.generation == generation && row.frozen_at.is_none();
    let Some(seen) = read::show(db, id).await?.filter(ours) else { return Ok(true) };
    let (audience, after) = (&seen.plan.0.audience, seen.frozen_to.as_deref());
    let found = look(&mut db.read().await?, audience, after, seen.started_at.unwrap_or(now)).await?;
    crash_point!("campaign.before_freeze");
    let mut tx = db.write().await?;
    let Some(row) = table::lock(&mut tx, id).await?.filter(ours) else { return Ok(true) };
    if row.frozen_to != seen.frozen_to {
        return Ok(false);
    }
    add(&mut tx, &row, row.recipients, found.numbers.iter().map(String::as_str), now).await?;
    let frozen_at = found.next.is_none().then_some(now);
    NOTE_FROZEN.bind(id).bind(found.next.as_deref()).bind(frozen_at).execute(&mut tx).await?;
    tx.commit().await?;
    crash_point!("campaign.after_freeze");
    cx.progress(
        u64::try_from(row.recipients).unwrap_or_default(),
        None,
        Some("writing down recipients".to_owned()),
    );
    Ok(frozen_at.is_some())
}

/// Adds those of the next people who are not in a running campaign yet. True: that was the end of them, or nobody joins
/// it any more. What was a place in the audience while it was written down is the place of this search afterwards.
pub(super) async fn join(cx: &Context<Services>, id: i64) -> Result<bool, Failure> {
    let (db, now) = (&cx.services().db, cx.now());
    let Some(seen) = read::show(db, id).await?.filter(CampaignRow::takes_late_joiners) else {
        return Ok(true);
    };
    let (audience, after) = (&seen.plan.0.audience, seen.frozen_to.as_deref());
    let found = look(&mut db.read().await?, audience, after, now).await?;
    let mut tx = db.write().await?;
    let row = table::lock(&mut tx, id).await?.filter(CampaignRow::takes_late_joiners);
    let Some(row) = row else { return Ok(true) };
    if row.frozen_to != seen.frozen_to {
        return Ok(false);
    }
    add(&mut tx, &row, row.recipients, found.numbers.iter().map(String::as_str), now).await?;
    NOTE_FROZEN.bind(id).bind(found.next.as_deref()).bind(row.frozen_at).execute(&mut tx).await?;
    tx.commit().await?;
    Ok(found.next.is_none())
}
