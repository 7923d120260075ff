//! Reading the figures.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, Timelike, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use thiserror::Error;
use trunkline_platform::db::{Db, DbError, Rows, Session};

use super::period::{Breakdown, Period, Range, RangeError};

/// The most groups, and the most hours, that one look tells of.
const MOST_GROUPS: u32 = 10_000;
const MOST_HOURS: u32 = 200_000;

trunkline_platform::statements! {
    COUNT_CALLS = same {
        "SELECT CASE CAST($3 AS TEXT) WHEN 'number' THEN number WHEN 'user' THEN user_id ELSE '' END AS name,
                CAST(SUM(total) AS BIGINT) AS total, CAST(SUM(incoming) AS BIGINT) AS incoming,
                CAST(SUM(answered) AS BIGINT) AS answered, CAST(SUM(missed) AS BIGINT) AS missed,
                CAST(SUM(voicemail) AS BIGINT) AS voicemail, CAST(SUM(abandoned) AS BIGINT) AS abandoned,
                CAST(SUM(forwarded) AS BIGINT) AS forwarded, CAST(SUM(ai_handled) AS BIGINT) AS ai_handled,
                CAST(SUM(unanswered) AS BIGINT) AS unanswered, CAST(SUM(failed) AS BIGINT) AS failed,
                CAST(SUM(other) AS BIGINT) AS other, CAST(SUM(talks) AS BIGINT) AS talks,
                CAST(SUM(talk_ms) AS BIGINT) AS talk_ms
         FROM call_hours
         WHERE began_at >= $1 AND began_at < $2
           AND (CAST($4 AS TEXT) IS NULL OR number = $4) AND (CAST($5 AS TEXT) IS NULL OR user_id = $5)
         GROUP BY 1 ORDER BY 1 LIMIT $6"
    }
    COUNT_BY_HOUR = same {
        "SELECT began_at, CAST(SUM(total) AS BIGINT) AS total, CAST(SUM(incoming) AS BIGINT) AS incoming,
                CAST(SUM(answered) AS BIGINT) AS answered, CAST(SUM(missed) AS BIGINT) AS missed,
                CAST(SUM(voicemail) AS BIGINT) AS voicemail, CAST(SUM(abandoned) AS BIGINT) AS abandoned,
                CAST(SUM(forwarded) AS BIGINT) AS forwarded, CAST(SUM(ai_handled) AS BIGINT) AS ai_handled,
                CAST(SUM(unanswered) AS BIGINT) AS unanswered, CAST(SUM(failed) AS BIGINT) AS failed,
                CAST(SUM(other) AS BIGINT) AS other, CAST(SUM(talks) AS BIGINT) AS talks,
                CAST(SUM(talk_ms) AS BIGINT) AS talk_ms
         FROM call_hours
         WHERE began_at >= $1 AND began_at < $2
           AND (CAST($3 AS TEXT) IS NULL OR number = $3) AND (CAST($4 AS TEXT) IS NULL OR user_id = $4)
         GROUP BY began_at ORDER BY began_at LIMIT $5"
    }
    /// The two lengths in the middle; of an odd number of talks they are one.
    MIDDLE_TALKS = same {
        "SELECT p.name, MIN(p.duration_ms) AS low, MAX(p.duration_ms) AS high
         FROM (SELECT t.name, t.duration_ms, ROW_NUMBER() OVER (PARTITION BY t.name ORDER BY t.duration_ms) AS place,
                      COUNT(*) OVER (PARTITION BY t.name) AS count
               FROM (SELECT c.duration_ms,
                            CASE CAST($3 AS TEXT) WHEN 'number' THEN COALESCE(c.phone_number_id, '')
                                WHEN 'user' THEN COALESCE(c.answered_by, c.user_id, '') ELSE '' END AS name
                     FROM calls AS c
                     WHERE c.created_at >= $1 AND c.created_at < $2 AND c.duration_ms IS NOT NULL
                       AND c.outcome IN ('answered', 'forwarded', 'ai_handled')
                       AND (CAST($4 AS TEXT) IS NULL OR COALESCE(c.phone_number_id, '') = $4)
                       AND (CAST($5 AS TEXT) IS NULL OR COALESCE(c.answered_by, c.user_id, '') = $5)) AS t) AS p
         WHERE p.place IN ((p.count + 1) / 2, (p.count + 2) / 2)
         GROUP BY p.name ORDER BY p.name LIMIT $6"
    }
    /// How far the counts are behind the calls.
    FRESHNESS = same {
        "SELECT s.refreshed_at, (SELECT COUNT(*) FROM (SELECT id FROM call_hour_marks LIMIT 10000) AS m) AS waiting
         FROM call_hours_state AS s WHERE s.id = 1"
    }
    /// The number that people dial, from the last call of each line that tells it.
    DIALLED = parts {
        "SELECT r.id, (SELECT CASE c.direction WHEN 'incoming' THEN c.callee ELSE c.caller END FROM calls AS c
                       WHERE c.phone_number_id = r.id AND c.direction IS NOT NULL
                       ORDER BY c.created_at DESC LIMIT 1) AS dialled
         FROM " (rows "$1" as r (id TEXT)) " ORDER BY r.id"
    }
    LINE_OF = same {
        "SELECT c.phone_number_id AS id FROM call_participants AS p JOIN calls AS c ON c.id = p.call_id
         WHERE p.number = $1 AND c.phone_number_id IS NOT NULL
           AND CASE c.direction WHEN 'incoming' THEN c.callee WHEN 'outgoing' THEN c.caller END = $1
         LIMIT 1"
    }
}

#[derive(Debug, Error)]
pub enum StatsError {
    #[error(transparent)]
    Range(#[from] RangeError),
    #[error(
        "no call was ever on a line {0:?} of ours: name a number as people dial it, or the provider's id of it"
    )]
    NoLine(String),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Which calls are meant.
#[derive(Clone, Debug)]
pub struct Filter {
    pub range: Range,
    /// One of our numbers, as people dial it or by the provider's id.
    pub number: Option<String>,
    /// The provider's id of a user.
    pub user: Option<String>,
}

/// Figures on calls.
#[derive(Clone, Debug, Serialize)]
pub struct CallStats {
    #[serde(flatten)]
    pub range: Range,
    pub timezone: String,
    /// As of when the counts are. Absent: they have not been made yet.
    pub counted_at: Option<DateTime<Utc>>,
    /// Changes since then, up to 10,000. They will be counted within a minute or so.
    pub waiting: i64,
    pub total: Group,
    /// By what was asked for; periods without calls are among them.
    pub groups: Vec<Group>,
}

/// The figures of a number, a user or a period.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// An id of the provider's, a day, a week, a month. Empty: nobody told; in a total, all.
    pub name: String,
    /// A number as people dial it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialled: Option<String>,
    #[serde(flatten)]
    pub counts: Counts,
    /// Of incoming calls, those that nobody took: from 0 to 1.
    pub missed_rate: Option<f64>,
    pub average_ms: Option<i64>,
    pub median_ms: Option<i64>,
}

/// What calls came to; see the rules in [this module](super).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, sqlx::FromRow)]
pub struct Counts {
    pub total: i64,
    pub incoming: i64,
    pub answered: i64,
    pub missed: i64,
    pub voicemail: i64,
    pub abandoned: i64,
    pub forwarded: i64,
    pub ai_handled: i64,
    pub unanswered: i64,
    pub failed: i64,
    pub other: i64,
    /// Conversations whose length was told.
    pub talks: i64,
    pub talk_ms: i64,
}

/// Calls of one hour of the week, by the business's clock.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Hour {
    /// 0 is Monday.
    pub weekday: u8,
    pub hour: u8,
    pub total: i64,
    pub incoming: i64,
    /// Incoming ones that nobody took.
    pub missed: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    name: String,
    #[sqlx(flatten)]
    counts: Counts,
}

#[derive(sqlx::FromRow)]
struct MiddleRow {
    name: String,
    low: i64,
    high: i64,
}

#[derive(sqlx::FromRow)]
struct HourRow {
    began_at: DateTime<Utc>,
    #[sqlx(flatten)]
    counts: Counts,
}

#[derive(sqlx::FromRow)]
struct Freshness {
    refreshed_at: Option<DateTime<Utc>>,
    waiting: i64,
}

#[derive(sqlx::FromRow)]
struct Dialled {
    id: String,
    dialled: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Line {
    id: String,
}

#[derive(Serialize)]
struct IdLine<'l> {
    id: &'l str,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.incoming += other.incoming;
        self.answered += other.answered;
        self.missed += other.missed;
        self.voicemail += other.voicemail;
        self.abandoned += other.abandoned;
        self.forwarded += other.forwarded;
        self.ai_handled += other.ai_handled;
        self.unanswered += other.unanswered;
        self.failed += other.failed;
        self.other += other.other;
        self.talks += other.talks;
        self.talk_ms += other.talk_ms;
    }

    /// Incoming calls that nobody took.
    fn not_taken(&self) -> i64 {
        self.missed + self.voicemail + self.abandoned
    }

    /// What calls came to, by the names of the outcomes.
    pub fn outcomes(&self) -> [(&'static str, i64); 9] {
        [
            ("answered", self.answered),
            ("missed", self.missed),
            ("voicemail", self.voicemail),
            ("abandoned", self.abandoned),
            ("forwarded", self.forwarded),
            ("ai_handled", self.ai_handled),
            ("unanswered", self.unanswered),
            ("failed", self.failed),
            ("other", self.other),
        ]
    }
}

impl Group {
    fn of(name: String, counts: Counts, median_ms: Option<i64>) -> Self {
        Self {
            name,
            dialled: None,
            counts,
            missed_rate: (counts.incoming > 0).then(|| counts.not_taken() as f64 / counts.incoming as f64),
            average_ms: (counts.talks > 0).then(|| (counts.talk_ms + counts.talks / 2) / counts.talks),
            median_ms,
        }
    }
}

/// The figures of a range, in all and by what is asked for.
///
/// # Errors
/// When the range makes no sense or has too many periods, when a number is none of ours, or when the database fails.
pub async fn stats(
    db: &Db,
    zone: Tz,
    filter: &Filter,
    by: Option<Breakdown>,
) -> Result<CallStats, StatsError> {
    let whole = filter.range.whole(zone)?;
    let periods = match by {
        Some(by) => filter.range.periods(by, zone)?,
        None => Vec::new(),
    };
    let mut session = db.read().await?;
    let number = line(&mut session, filter.number.as_deref()).await?;
    let scope = Scope { number, user: filter.user.as_deref() };
    let fresh: Freshness = FRESHNESS.query().one(&mut session).await?;
    let totals = scope.groups(&mut session, &whole, "").await?;
    let mut groups = match by {
        None => Vec::new(),
        Some(Breakdown::Number) => scope.groups(&mut session, &whole, "number").await?,
        Some(Breakdown::User) => scope.groups(&mut session, &whole, "user").await?,
        Some(_) => scope.by_period(&mut session, &whole, &periods).await?,
    };
    if by == Some(Breakdown::Number) {
        name_lines(&mut session, &mut groups).await?;
    }
    Ok(CallStats {
        range: filter.range,
        timezone: zone.name().to_owned(),
        counted_at: fresh.refreshed_at,
        waiting: fresh.waiting,
        total: totals.into_iter().next().unwrap_or_default(),
        groups,
    })
}

/// How many calls began at each hour of the week: all 168 of them, Monday's first hour first.
///
/// # Errors
/// As [`stats`].
pub async fn by_hour(db: &Db, zone: Tz, filter: &Filter) -> Result<Vec<Hour>, StatsError> {
    let whole = filter.range.whole(zone)?;
    let mut session = db.read().await?;
    let number = line(&mut session, filter.number.as_deref()).await?;
    let scope = Scope { number, user: filter.user.as_deref() };
    let rows = scope.hours(&mut session, &whole).await?;
    let place = |weekday: u8, hour: u8| Hour { weekday, hour, ..Hour::default() };
    let mut week: Vec<Hour> = (0..7).flat_map(|day| (0..24).map(move |hour| place(day, hour))).collect();
    for row in rows {
        let local = row.began_at.with_timezone(&zone);
        let at = local.weekday().num_days_from_monday() * 24 + local.hour();
        if let Some(hour) = week.get_mut(at as usize) {
            hour.total += row.counts.total;
            hour.incoming += row.counts.incoming;
            hour.missed += row.counts.not_taken();
        }
    }
    Ok(week)
}

/// Whose calls are read.
struct Scope<'f> {
    number: Option<String>,
    user: Option<&'f str>,
}

impl Scope<'_> {
    /// One group for each number or user of a period, or for all of it.
    async fn groups(&self, session: &mut Session, period: &Period, key: &str) -> Result<Vec<Group>, DbError> {
        let query = COUNT_CALLS.bind(period.since).bind(period.until).bind(key);
        let query = query.bind(self.number.as_deref()).bind(self.user).bind(MOST_GROUPS);
        let counted: Vec<CountRow> = query.all(session).await?;
        let mut medians = self.medians(session, period, key).await?;
        let group = |row: CountRow| {
            let median = medians.remove(&row.name);
            Group::of(row.name, row.counts, median)
        };
        Ok(counted.into_iter().map(group).collect())
    }

    /// One group for each period, also for those without calls.
    async fn by_period(
        &self,
        session: &mut Session,
        whole: &Period,
        periods: &[Period],
    ) -> Result<Vec<Group>, DbError> {
        let hours = self.hours(session, whole).await?;
        let mut groups = Vec::with_capacity(periods.len());
        for period in periods {
            let mut counts = Counts::default();
            let from = hours.partition_point(|hour| hour.began_at < period.since);
            let inside = hours.iter().skip(from).take_while(|hour| hour.began_at < period.until);
            inside.for_each(|hour| counts.add(&hour.counts));
            let median = match counts.total {
                0 => None,
                _ => self.medians(session, period, "").await?.remove(""),
            };
            groups.push(Group::of(period.name.clone(), counts, median));
        }
        Ok(groups)
    }

    async fn hours(&self, session: &mut Session, period: &Period) -> Result<Vec<HourRow>, DbError> {
        let query = COUNT_BY_HOUR.bind(period.since).bind(period.until);
        query.bind(self.number.as_deref()).bind(self.user).bind(MOST_HOURS).all(session).await
    }

    async fn medians(
        &self,
        session: &mut Session,
        period: &Period,
        key: &str,
    ) -> Result<HashMap<String, i64>, DbError> {
        let query = MIDDLE_TALKS.bind(period.since).bind(period.until).bind(key);
        let query = query.bind(self.number.as_deref()).bind(self.user).bind(MOST_GROUPS);
        let middles: Vec<MiddleRow> = query.all(session).await?;
        Ok(middles.into_iter().map(|row| (row.name, (row.low + row.high) / 2)).collect())
    }
}

/// The provider's id of one of our numbers.
async fn line(session: &mut Session, number: Option<&str>) -> Result<Option<String>, StatsError> {
    let Some(number) = number else { return Ok(None) };
    if !number.starts_with('+') {
        return Ok(Some(number.to_owned()));
    }
    let line: Option<Line> = LINE_OF.bind(number).optional(session).await?;
    line.map(|line| Some(line.id)).ok_or_else(|| StatsError::NoLine(number.to_owned()))
}

async fn name_lines(session: &mut Session, groups: &mut [Group]) -> Result<(), DbError> {
    let ids: Vec<IdLine<'_>> = groups
        .iter()
        .filter(|group| !group.name.is_empty())
        .map(|group| IdLine { id: &group.name })
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let rows: Vec<Dialled> = DIALLED.bind(Rows::of(&ids)?).all(session).await?;
    let mut dialled: HashMap<String, Option<String>> =
        rows.into_iter().map(|row| (row.id, row.dialled)).collect();
    for group in groups {
        group.dialled = dialled.remove(&group.name).flatten();
    }
    Ok(())
}
