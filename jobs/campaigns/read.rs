//! Looking at campaigns: how far they are, how many are where, and what somebody would get.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError};

use super::State;
use super::admit;
use super::gate::{Facts, Known, Rules, Verdict, decide};
use super::hours::Holidays;
use super::plan::PlanError;
use super::table::{self, CampaignRow};
use super::variants::{Assignment, HOLDOUT};
use crate::contacts::people::{Person, left_out};

trunkline_platform::statements! {
    LIST_CAMPAIGNS = parts {
        "SELECT " (sql table::COLUMNS) " FROM campaigns
         WHERE (CAST($1 AS TEXT) IS NULL OR state = $1) AND id < $2 ORDER BY id DESC LIMIT $3"
    }
    /// Says what the index says of itself, too: SQLite takes a partial index by its own words only.
    LIST_PAUSED = same {
        "SELECT id, COALESCE(reason, '') AS reason FROM campaigns
         WHERE state IN ('running', 'paused') AND state = 'paused' ORDER BY id DESC LIMIT $1"
    }
    COUNT_RECIPIENTS = same {
        "SELECT state, reason, COUNT(*) AS count, MIN(due_at) AS next_at FROM campaign_recipients
         WHERE campaign_id = $1 AND state <> 'taken' GROUP BY state, reason ORDER BY 3 DESC LIMIT 100"
    }
    COUNT_TEXTS = same {
        "SELECT state, COALESCE(error_code, reason) AS reason, COUNT(*) AS count, MIN(state_at) AS next_at FROM sends
         WHERE campaign_id = $1 AND state <> 'waiting' GROUP BY state, COALESCE(error_code, reason)
         ORDER BY 3 DESC LIMIT 100"
    }
    COUNT_LEFT_SINCE = same {
        "SELECT COUNT(*) AS count FROM sends
         WHERE campaign_id = $1 AND intended_at > $2 AND state NOT IN ('waiting', 'refused')"
    }
}

#[derive(sqlx::FromRow)]
struct Count {
    count: i64,
}

/// A campaign that is held, and what was said when it was.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Paused {
    pub id: i64,
    pub reason: String,
}

/// How many of a campaign's recipients are where.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Outcome {
    /// `waiting` and `refused` recipients, and the states of texts.
    pub state: String,
    pub reason: Option<String>,
    pub count: i64,
    /// When the first of those who wait is looked at again.
    #[serde(skip)]
    pub next_at: Option<DateTime<Utc>>,
}

/// Which campaigns to list, the newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct CampaignFilter {
    pub state: Option<State>,
    /// Only older ones: the last id of the page before.
    pub before: Option<i64>,
    pub limit: u32,
}

/// What one of the next recipients would get now.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    pub number: String,
    pub variant: String,
    /// `send`, `hold` or `refuse`.
    pub verdict: &'static str,
    pub reason: Option<String>,
    pub until: Option<DateTime<Utc>>,
    pub text: Option<String>,
    pub segments: Option<u32>,
    pub encoding: Option<super::sms::Encoding>,
    /// The character that makes the text UCS-2, and its place.
    pub forced_by: Option<(char, usize)>,
}

pub async fn show(db: &Db, id: i64) -> Result<Option<CampaignRow>, DbError> {
    table::SHOW_CAMPAIGN.bind(id).optional(&mut db.read().await?).await
}

pub async fn list(db: &Db, filter: &CampaignFilter) -> Result<Vec<CampaignRow>, DbError> {
    let state = filter.state.map(State::as_str);
    let query = LIST_CAMPAIGNS.bind(state).bind(filter.before.unwrap_or(i64::MAX));
    query.bind(filter.limit.clamp(1, 1_000)).all(&mut db.read().await?).await
}

/// Those that are held, by the program or by a person; the newest first.
pub async fn list_paused(db: &Db, limit: u32) -> Result<Vec<Paused>, DbError> {
    LIST_PAUSED.bind(limit.clamp(1, 1_000)).all(&mut db.read().await?).await
}

/// Where a campaign's recipients are.
pub async fn outcomes(db: &Db, id: i64) -> Result<Vec<Outcome>, DbError> {
    let mut session = db.read().await?;
    let mut outcomes: Vec<Outcome> = COUNT_RECIPIENTS.bind(id).all(&mut session).await?;
    let texts: Vec<Outcome> = COUNT_TEXTS.bind(id).all(&mut session).await?;
    outcomes.extend(texts);
    Ok(outcomes)
}

/// How many texts of a campaign have left since, or may have.
pub async fn left_since(db: &Db, id: i64, since: DateTime<Utc>) -> Result<i64, DbError> {
    let count: Count = COUNT_LEFT_SINCE.bind(id).bind(since).one(&mut db.read().await?).await?;
    Ok(count.count)
}

/// What the next recipients would get if it were their turn now, by the code that decides when it is. Opt-outs and other campaigns'
/// texts are looked up only then.
pub async fn preview(
    db: &Db,
    campaign: &CampaignRow,
    holidays: &Holidays,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Result<Vec<Preview>, PlanError>, DbError> {
    let winner = campaign.winner.as_deref();
    let rules = match Rules::new(&campaign.plan.0, holidays) {
        Ok(rules) => rules.only(winner),
        Err(error) => return Ok(Err(error)),
    };
    let mut session = db.read().await?;
    let mut people = admit::next_up(&mut session, campaign.id, limit.clamp(1, 1_000)).await?;
    people.iter_mut().for_each(|person| person.give(winner));
    let flagged = left_out(&mut session, people.iter().map(|person| person.number.as_str())).await?;
    let previews = people.into_iter().map(|person| {
        let kept_out = flagged.get(&person.number).map(String::as_str);
        let verdict = person.verdict(&rules, Known { kept_out, ..Known::default() }, now);
        Preview::of(person.number, person.variant, verdict)
    });
    Ok(Ok(previews.collect()))
}

/// What these people would get if they were its recipients and it were their turn now: of a draft nobody is written down
/// yet. Other campaigns' texts are looked up only then.
pub fn preview_of(
    campaign: &CampaignRow,
    holidays: &Holidays,
    people: Vec<Person>,
    now: DateTime<Utc>,
) -> Result<Vec<Preview>, PlanError> {
    let rules = Rules::new(&campaign.plan.0, holidays)?;
    let assignment = Assignment::of(campaign);
    let previews = people.into_iter().map(|person| {
        let drawn = assignment.variant(&person.number);
        let Some(variant) = drawn else {
            let reason = Verdict::Refuse { reason: HOLDOUT.to_owned() };
            return Preview::of(person.number, HOLDOUT.to_owned(), reason);
        };
        let known = Known { opted_out: person.opted_out, kept_out: person.kept_out(), texted_at: None };
        let (zones, fields) = (person.place().zones, person.variables());
        let verdict = decide(&rules, &Facts { now, variant, zones: &zones, fields: &fields, known });
        Preview::of(person.number, variant.to_owned(), verdict)
    });
    Ok(previews.collect())
}

impl Preview {
    fn of(number: String, variant: String, verdict: Verdict) -> Self {
        let nothing = Self {
            number,
            variant,
            verdict: "refuse",
            reason: None,
            until: None,
            text: None,
            segments: None,
            encoding: None,
            forced_by: None,
        };
        match verdict {
            Verdict::Send(rendered) => Self {
                verdict: "send",
                text: Some(rendered.text),
                segments: Some(rendered.segments.count),
                encoding: Some(rendered.segments.encoding),
                forced_by: rendered.segments.forced_by,
                ..nothing
            },
            Verdict::Hold { until, reason } => {
                Self { verdict: "hold", reason: Some(reason.to_owned()), until: Some(until), ..nothing }
            }
            Verdict::Refuse { reason } => Self { reason: Some(reason), ..nothing },
        }
    }
}
