//! Those who wait in a campaign, a page at a time: rows that are written down, and after them the audience that will be.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError, Rows, Session};

use crate::campaigns::admit::{Candidate, texted_lately};
use crate::campaigns::audience;
use crate::campaigns::plan::Plan;
use crate::campaigns::table::CampaignRow;
use crate::campaigns::variants::Assignment;
use crate::contacts::optout;
use crate::contacts::people::left_out;

const PAGE: u32 = 1_000;

trunkline_platform::statements! {
    WAITING_AFTER = same {
        "SELECT r.due_at, r.position, r.number, r.variant, p.first_name, p.last_name, p.company, p.email, p.fields,
             p.time_zone, p.state AS region
         FROM campaign_recipients AS r LEFT JOIN people AS p ON p.number = r.number
         WHERE r.campaign_id = $1 AND r.state = 'waiting' AND (r.due_at, r.position) > ($2, $3)
         ORDER BY r.due_at, r.position LIMIT $4"
    }
    COUNT_WAITING_AFTER = same {
        "SELECT COUNT(*) AS count FROM campaign_recipients
         WHERE campaign_id = $1 AND state = 'waiting' AND (due_at, position) > ($2, $3)"
    }
    RECORDS_OF = parts {
        "SELECT r.position, r.number, r.variant, p.first_name, p.last_name, p.company, p.email, p.fields, p.time_zone,
             p.state AS region
         FROM " (rows "$1" as r (position BIGINT, number TEXT, variant TEXT))
        " LEFT JOIN people AS p ON p.number = r.number ORDER BY r.position"
    }
}

#[derive(sqlx::FromRow)]
struct Waiting {
    due_at: DateTime<Utc>,
    #[sqlx(flatten)]
    candidate: Candidate,
}

#[derive(Serialize)]
struct Line<'l> {
    position: i64,
    number: &'l str,
    variant: &'l str,
}

#[derive(sqlx::FromRow)]
struct Count {
    count: i64,
}

/// Some of them, with what the gate would look up.
pub(super) struct Page {
    pub(super) people: Vec<(DateTime<Utc>, Candidate)>,
    /// Those who are held out and wait for nothing.
    pub(super) held_out: Vec<String>,
    pub(super) closed: BTreeSet<String>,
    pub(super) flagged: BTreeMap<String, String>,
    pub(super) lately: BTreeMap<String, DateTime<Utc>>,
}

/// Where the next page comes from.
enum Next {
    /// Rows after this one.
    Rows(DateTime<Utc>, i64),
    /// The audience after this number; how many there were before.
    Audience(Option<String>, i64),
    Nobody,
}

/// All who wait in a campaign, in the order of their turns.
pub(super) struct Source {
    campaign: CampaignRow,
    start: DateTime<Utc>,
    next: Next,
    held_out: Vec<String>,
}

impl Source {
    /// `start` is when those who are not written down yet will be.
    pub(super) fn new(campaign: CampaignRow, start: DateTime<Utc>) -> Self {
        Self { campaign, start, next: Next::Rows(DateTime::UNIX_EPOCH, 0), held_out: Vec::new() }
    }

    /// The next of them. None: that was everybody.
    pub(super) async fn page(
        &mut self,
        db: &Db,
        plan: &Plan,
        now: DateTime<Utc>,
    ) -> Result<Option<Page>, DbError> {
        let mut session = db.read().await?;
        let people = loop {
            let people = match &self.next {
                Next::Rows(due_at, position) => {
                    let query = WAITING_AFTER.bind(self.campaign.id).bind(*due_at).bind(*position).bind(PAGE);
                    let rows: Vec<Waiting> = query.all(&mut session).await?;
                    self.next = match rows.last() {
                        Some(last) => Next::Rows(last.due_at, last.candidate.position),
                        None if self.campaign.frozen_at.is_none() => {
                            Next::Audience(self.campaign.frozen_to.clone(), self.campaign.recipients)
                        }
                        None => Next::Nobody,
                    };
                    rows.into_iter().map(|row| (row.due_at, row.candidate)).collect()
                }
                Next::Audience(after, position) => {
                    let (after, position) = (after.clone(), *position);
                    self.audience(&mut session, after.as_deref(), position).await?
                }
                Next::Nobody if self.held_out.is_empty() => return Ok(None),
                Next::Nobody => Vec::new(),
            };
            if !people.is_empty() || !self.held_out.is_empty() {
                break people;
            }
        };
        let numbers = || people.iter().map(|(_, person)| person.number.as_str());
        let closed = optout::closed_so_far(&mut session, numbers()).await?;
        let flagged = left_out(&mut session, numbers()).await?;
        let since = now - plan.duplicates_within();
        let lately = texted_lately(&mut session, plan, self.campaign.id, numbers(), since).await?;
        let held_out = std::mem::take(&mut self.held_out);
        Ok(Some(Page { people, held_out, closed, flagged, lately }))
    }

    /// How many there are that no page had.
    pub(super) async fn rest(&self, db: &Db) -> Result<i64, DbError> {
        let mut session = db.read().await?;
        let (mut rest, mut after) = match &self.next {
            Next::Rows(due_at, position) => {
                let query = COUNT_WAITING_AFTER.bind(self.campaign.id).bind(*due_at).bind(*position);
                let count: Count = query.one(&mut session).await?;
                if self.campaign.frozen_at.is_some() {
                    return Ok(count.count);
                }
                (count.count, self.campaign.frozen_to.clone())
            }
            Next::Audience(after, _) => (0, after.clone()),
            Next::Nobody => return Ok(0),
        };
        loop {
            let audience = &self.campaign.plan.0.audience;
            let found = audience::look(&mut session, audience, after.as_deref(), self.start).await?;
            rest += i64::try_from(found.numbers.len()).unwrap_or(i64::MAX);
            match found.next {
                Some(next) => after = Some(next),
                None => return Ok(rest),
            }
        }
    }

    async fn audience(
        &mut self,
        session: &mut Session,
        after: Option<&str>,
        position: i64,
    ) -> Result<Vec<(DateTime<Utc>, Candidate)>, DbError> {
        let plan = &self.campaign.plan.0;
        let audience::Found { numbers, next } =
            audience::look(session, &plan.audience, after, self.start).await?;
        let assignment = Assignment::of(&self.campaign);
        let mut lines = Vec::with_capacity(numbers.len());
        for (position, number) in (position + 1..).zip(&numbers) {
            match assignment.variant(number) {
                Some(variant) => lines.push(Line { position, number, variant }),
                None => self.held_out.push(number.clone()),
            }
        }
        self.next = match next {
            Some(last) => Next::Audience(Some(last), position + numbers.len() as i64),
            None => Next::Nobody,
        };
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let people: Vec<Candidate> = RECORDS_OF.bind(Rows::of(&lines)?).all(session).await?;
        Ok(people.into_iter().map(|person| (self.start, person)).collect())
    }
}
