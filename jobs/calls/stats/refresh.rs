//! Make the marked hours anew from the calls.
//!
//! An hour is never counted up or down, it is counted again, from all calls that began in it. A mark is removed in the
//! transaction that counts its hour, and one that is committed while this runs is not seen and stays; so an hour can be
//! counted once too often, and never once too few. Runs wait for one another on the one row of `call_hours_state`, or
//! one that was slow could write what it counted before another.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::{Db, DbError, Rows, sql_time};
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};

use super::period::{hour_of, shift_minutes};
use crate::{Services, UPKEEP};

/// Marks of one transaction.
const BATCH: u32 = 500;
/// Transactions of one run; the rest is done by the next.
const MOST_BATCHES: usize = 200;

trunkline_platform::statements! {
    TAKE_TURN = same {
        "UPDATE call_hours_state SET refreshed_at = refreshed_at WHERE id = 1 RETURNING shift_minutes"
    }
    READ_MARKS = same { "SELECT id, began_at FROM call_hour_marks ORDER BY id LIMIT $1" }
    FORGET_MARKS = parts { "DELETE FROM call_hour_marks WHERE id IN " (any "$1") }
    CLEAR_HOURS = parts {
        "DELETE FROM call_hours WHERE began_at IN
             (SELECT r.since FROM " (rows "$1" as r (since TIMESTAMPTZ, until TIMESTAMPTZ)) ")"
    }
    COUNT_HOURS = parts {
        "INSERT INTO call_hours (began_at, number, user_id, total, incoming, answered, missed, voicemail, abandoned,
             forwarded, ai_handled, unanswered, failed, other, talks, talk_ms)
         SELECT r.since, COALESCE(c.phone_number_id, ''), COALESCE(c.answered_by, c.user_id, ''), COUNT(*),
                COUNT(*) FILTER (WHERE c.direction = 'incoming' OR c.outcome IN ('missed', 'voicemail', 'abandoned')),
                COUNT(*) FILTER (WHERE c.outcome = 'answered'),
                COUNT(*) FILTER (WHERE c.outcome = 'missed'),
                COUNT(*) FILTER (WHERE c.outcome = 'voicemail'),
                COUNT(*) FILTER (WHERE c.outcome = 'abandoned'),
                COUNT(*) FILTER (WHERE c.outcome = 'forwarded'),
                COUNT(*) FILTER (WHERE c.outcome = 'ai_handled'),
                COUNT(*) FILTER (WHERE c.outcome = 'unanswered'),
                COUNT(*) FILTER (WHERE c.outcome = 'failed'),
                COUNT(*) FILTER (WHERE c.outcome = 'other'),
                COUNT(c.duration_ms) FILTER (WHERE c.outcome IN ('answered', 'forwarded', 'ai_handled')),
                CAST(COALESCE(SUM(c.duration_ms)
                     FILTER (WHERE c.outcome IN ('answered', 'forwarded', 'ai_handled')), 0) AS BIGINT)
         FROM " (rows "$1" as r (since TIMESTAMPTZ, until TIMESTAMPTZ))
        " CROSS JOIN calls AS c
         WHERE c.created_at >= r.since AND c.created_at < r.until AND c.outcome IS NOT NULL
         GROUP BY r.since, COALESCE(c.phone_number_id, ''), COALESCE(c.answered_by, c.user_id, '')"
    }
    NOTE_REFRESH = same { "UPDATE call_hours_state SET refreshed_at = $1, shift_minutes = $2 WHERE id = 1" }
    FORGET_HOURS = same { "DELETE FROM call_hours" }
    /// The first and the last call of each hour of UTC: hours that begin at another minute are touched by one or the
    /// other. Differs by necessity: each engine cuts a time to its hour in its own way.
    MARK_ALL = split {
        postgres:
        "INSERT INTO call_hour_marks (began_at)
         SELECT MIN(created_at) FROM calls WHERE created_at IS NOT NULL GROUP BY date_trunc('hour', created_at)
         UNION ALL
         SELECT MAX(created_at) FROM calls WHERE created_at IS NOT NULL GROUP BY date_trunc('hour', created_at)",
        sqlite:
        "INSERT INTO call_hour_marks (began_at)
         SELECT MIN(created_at) FROM calls WHERE created_at IS NOT NULL GROUP BY SUBSTR(created_at, 1, 13)
         UNION ALL
         SELECT MAX(created_at) FROM calls WHERE created_at IS NOT NULL GROUP BY SUBSTR(created_at, 1, 13)",
    }
}

/// Brings the figures on calls up to date.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RefreshCallStats {}

impl Job for RefreshCallStats {
    type Services = Services;
    const NAME: &'static str = "calls.stats";
    const QUEUE: Queue = UPKEEP;
    const PRIORITY: Priority = Priority::LOW;
    const TIMEOUT: Duration = Duration::from_secs(10 * 60);

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let Services { db, zone, .. } = cx.services();
        let mut hours = 0;
        for _ in 0..MOST_BATCHES {
            let round = refresh(db, *zone, cx.now()).await?;
            hours += round.hours;
            if !round.more || cx.cancelled().is_cancelled() {
                break;
            }
        }
        if hours > 0 {
            tracing::info!(hours, "figures on calls brought up to date");
        }
        Ok(Done::new())
    }
}

/// What one transaction came to.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Hours counted anew.
    pub hours: usize,
    /// Whether marks may be left.
    pub more: bool,
}

#[derive(sqlx::FromRow)]
struct State {
    shift_minutes: Option<i32>,
}

#[derive(sqlx::FromRow)]
struct Mark {
    id: i64,
    began_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct HourLine {
    since: String,
    until: String,
}

/// Counts the hours of the oldest marks anew, in one transaction.
pub async fn refresh(db: &Db, zone: Tz, now: DateTime<Utc>) -> Result<Round, DbError> {
    // Hours of a zone begin where its clock strikes now; a zone whose minutes changed lately is rare enough.
    let shift = shift_minutes(zone, now);
    let mut tx = db.write().await?;
    let state: State = TAKE_TURN.query().one(&mut tx).await?;
    if state.shift_minutes.map(i64::from) != Some(shift) {
        FORGET_HOURS.query().execute(&mut tx).await?;
        MARK_ALL.query().execute(&mut tx).await?;
    }
    let marks: Vec<Mark> = READ_MARKS.bind(BATCH).all(&mut tx).await?;
    let hours: BTreeSet<DateTime<Utc>> = marks.iter().map(|mark| hour_of(mark.began_at, shift)).collect();
    let lines: Vec<HourLine> = hours
        .iter()
        .map(|&hour| HourLine { since: sql_time(hour), until: sql_time(hour + TimeDelta::hours(1)) })
        .collect();
    if !lines.is_empty() {
        CLEAR_HOURS.bind(Rows::of(&lines)?).execute(&mut tx).await?;
        COUNT_HOURS.bind(Rows::of(&lines)?).execute(&mut tx).await?;
        FORGET_MARKS.bind(marks.iter().map(|mark| mark.id).collect::<Vec<_>>()).execute(&mut tx).await?;
    }
    NOTE_REFRESH.bind(now).bind(shift).execute(&mut tx).await?;
    tx.commit().await?;
    Ok(Round { hours: hours.len(), more: marks.len() == BATCH as usize })
}
