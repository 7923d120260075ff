//! The counts behind a report. Each reads the rows of one campaign, by its index.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use trunkline_platform::db::{DbError, Session};

use crate::campaigns::table::CampaignRow;
use crate::contacts::place;

/// A campaign that left over more than so long is told by the day.
const BY_THE_HOUR: TimeDelta = TimeDelta::days(3);
/// Lines of one count. There are five texts, some dozens of reasons and codes, some hundred area codes, and a year has 366 days.
const MOST: u32 = 5_000;

trunkline_platform::statements! {
    REPORT_RECIPIENTS = same {
        "SELECT variant, state, reason, COUNT(*) AS count FROM campaign_recipients WHERE campaign_id = $1
         GROUP BY variant, state, reason ORDER BY 4 DESC LIMIT $2"
    }
    REPORT_TEXTS = same {
        "SELECT variant, state, COALESCE(error_code, reason) AS reason, COUNT(*) AS count, COUNT(replied_at) AS replies,
             COUNT(opted_out_at) AS opt_outs
         FROM sends WHERE campaign_id = $1 AND state <> 'waiting'
         GROUP BY variant, state, COALESCE(error_code, reason) ORDER BY 4 DESC LIMIT $2"
    }
    /// How long it took to leave.
    REPORT_SPAN = same {
        "SELECT MIN(intended_at) AS first, MAX(intended_at) AS last FROM sends WHERE campaign_id = $1 AND state <> 'waiting'"
    }
    /// Differs by necessity: a time is a text on one engine. $2 is how much of it tells the hour, or the day.
    REPORT_BY_TIME = split {
        postgres:
        "SELECT SUBSTR(to_char(intended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24'), 1, CAST($2 AS INTEGER)) AS bucket, variant,
             COUNT(*) AS left_count, COUNT(*) FILTER (WHERE state = 'delivered') AS delivered,
             COUNT(*) FILTER (WHERE state IN ('failed', 'undelivered')) AS failed, COUNT(replied_at) AS replies,
             COUNT(opted_out_at) AS opt_outs
         FROM sends WHERE campaign_id = $1 AND state NOT IN ('waiting', 'refused')
         GROUP BY 1, variant ORDER BY 1, variant LIMIT $3",
        sqlite:
        "SELECT SUBSTR(intended_at, 1, $2) AS bucket, variant,
             COUNT(*) AS left_count, COUNT(*) FILTER (WHERE state = 'delivered') AS delivered,
             COUNT(*) FILTER (WHERE state IN ('failed', 'undelivered')) AS failed, COUNT(replied_at) AS replies,
             COUNT(opted_out_at) AS opt_outs
         FROM sends WHERE campaign_id = $1 AND state NOT IN ('waiting', 'refused')
         GROUP BY 1, variant ORDER BY 1, variant LIMIT $3",
    }
    REPORT_BY_AREA = same {
        "SELECT SUBSTR(number, 1, 5) AS area, COUNT(*) AS left_count, COUNT(*) FILTER (WHERE state = 'delivered') AS delivered,
             COUNT(*) FILTER (WHERE state IN ('failed', 'undelivered')) AS failed, COUNT(replied_at) AS replies,
             COUNT(opted_out_at) AS opt_outs
         FROM sends WHERE campaign_id = $1 AND state NOT IN ('waiting', 'refused')
         GROUP BY 1 ORDER BY 2 DESC LIMIT $2"
    }
    /// What those did who got nothing, from the start on for as long as an answer to a text counts.
    REPORT_HOLDOUT = same {
        "SELECT COUNT(*) AS people,
             COUNT(*) FILTER (WHERE EXISTS (
                 SELECT m.id FROM messages AS m
                 WHERE m.sender = r.number AND m.direction = 'incoming' AND m.created_at >= $2 AND m.created_at < $3
                   AND NOT EXISTS (SELECT c.id FROM consents AS c
                                   WHERE c.entry = 'message:' || m.id AND c.act IN ('opt_out', 'help')
                                     AND COALESCE(c.review, '') <> 'reopened'))) AS replies,
             COUNT(*) FILTER (WHERE EXISTS (
                 SELECT c.id FROM consents AS c
                 WHERE c.number = r.number AND c.act = 'opt_out' AND c.channel NOT IN ('import', 'provider')
                   AND COALESCE(c.review, '') <> 'reopened' AND c.at >= $2 AND c.at < $3)) AS opt_outs
         FROM campaign_recipients AS r WHERE r.campaign_id = $1 AND r.variant = 'holdout'"
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct Recipients {
    pub(super) variant: String,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) count: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct Texts {
    pub(super) variant: Option<String>,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) count: i64,
    pub(super) replies: i64,
    pub(super) opt_outs: i64,
}

/// What the state of a text counts as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Counted {
    Refused,
    Unknown,
    Accepted,
    Delivered,
    Failed,
}

impl Counted {
    pub(super) fn of(state: &str) -> Self {
        match state {
            "refused" => Self::Refused,
            "accepted" | "sent" => Self::Accepted,
            "delivered" => Self::Delivered,
            "failed" | "undelivered" => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

/// Texts that left, and what became of them.
#[derive(Clone, Copy, Debug, Default, Serialize, sqlx::FromRow)]
pub struct Left {
    #[sqlx(rename = "left_count")]
    pub left: i64,
    pub delivered: i64,
    pub failed: i64,
    pub replies: i64,
    pub opt_outs: i64,
}

impl AddAssign for Left {
    fn add_assign(&mut self, more: Self) {
        self.left += more.left;
        self.delivered += more.delivered;
        self.failed += more.failed;
        self.replies += more.replies;
        self.opt_outs += more.opt_outs;
    }
}

/// The texts that left in an hour or on a day.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct TimeCount {
    /// `2026-03-02T17`, or `2026-03-02`.
    pub bucket: String,
    #[serde(rename = "text")]
    pub variant: Option<String>,
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub texts: Left,
}

/// The texts to the numbers of one state.
#[derive(Clone, Debug, Serialize)]
pub struct StateCount {
    /// Two letters; `other` where the area code tells none.
    pub state: String,
    #[serde(flatten)]
    pub texts: Left,
}

/// Those who were held out.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct HoldoutCount {
    pub people: i64,
    /// Texted us all the same.
    pub replies: i64,
    pub opt_outs: i64,
}

#[derive(sqlx::FromRow)]
struct Area {
    area: String,
    #[sqlx(flatten)]
    texts: Left,
}

#[derive(sqlx::FromRow)]
struct Span {
    first: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
}

pub(super) async fn recipients(session: &mut Session, campaign: i64) -> Result<Vec<Recipients>, DbError> {
    REPORT_RECIPIENTS.bind(campaign).bind(MOST).all(session).await
}

pub(super) async fn texts(session: &mut Session, campaign: i64) -> Result<Vec<Texts>, DbError> {
    REPORT_TEXTS.bind(campaign).bind(MOST).all(session).await
}

pub(super) async fn by_time(
    session: &mut Session,
    campaign: &CampaignRow,
) -> Result<(&'static str, Vec<TimeCount>), DbError> {
    let span: Span = REPORT_SPAN.bind(campaign.id).one(session).await?;
    let long = span.first.zip(span.last).is_some_and(|(first, last)| last - first > BY_THE_HOUR);
    let (bucket, length) = if long { ("day", "2026-03-02".len()) } else { ("hour", "2026-03-02T17".len()) };
    let query = REPORT_BY_TIME.bind(campaign.id).bind(i64::try_from(length).unwrap_or_default()).bind(MOST);
    Ok((bucket, query.all(session).await?))
}

pub(super) async fn by_state(session: &mut Session, campaign: i64) -> Result<Vec<StateCount>, DbError> {
    let areas: Vec<Area> = REPORT_BY_AREA.bind(campaign).bind(MOST).all(session).await?;
    let mut states: BTreeMap<String, Left> = BTreeMap::new();
    for Area { area, texts } in areas {
        *states.entry(state_of_area(&area).unwrap_or_else(|| "other".to_owned())).or_default() += texts;
    }
    let mut states: Vec<StateCount> =
        states.into_iter().map(|(state, texts)| StateCount { state, texts }).collect();
    states.sort_by_key(|count| std::cmp::Reverse(count.texts.left));
    Ok(states)
}

/// `+1212` is in New York.
fn state_of_area(area: &str) -> Option<String> {
    place::of(&format!("{area}5550100")).state
}

pub(super) async fn holdout(session: &mut Session, campaign: &CampaignRow) -> Result<HoldoutCount, DbError> {
    let from = campaign.started_at.unwrap_or(campaign.created_at);
    let until = from + campaign.plan.0.counts_for();
    REPORT_HOLDOUT.bind(campaign.id).bind(from).bind(until).one(session).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_in_its_state_and_what_is_none_is_nowhere() {
        assert_eq!(state_of_area("+1212").as_deref(), Some("NY"));
        assert_eq!(state_of_area("+1808").as_deref(), Some("HI"));
        for nowhere in ["+4420", "+1800", "+1", ""] {
            assert_eq!(state_of_area(nowhere), None, "{nowhere}");
        }
    }
}
