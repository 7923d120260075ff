//! The gate: deciding about the next recipients, and committing to those texts that may go.
//!
//! Everything that decides is read in the transaction that commits, under three locks, in this order: the numbers
//! against opting out ([`optout::closed`]), the campaign's row, the provider's rate. The last one is the same for all campaigns of
//! a key, so two gates never count the same texts of a sender or of a person at a time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use trunkline_platform::crash_point;
use trunkline_platform::db::{DbError, Rows, Session, sql_time};
use trunkline_platform::job::{Context, Failure};

use super::gate::{Facts, Known, Rules, Verdict, decide, room};
use super::round::{BATCH, DAY, Limits, Room, Round, own_rate};
use super::table::{self, CampaignRow};
use super::template::Rendered;
use super::{Plan, State, breaker};
use crate::Services;
use crate::contacts::people::{left_out, variables};
use crate::contacts::{optout, place};
use crate::conversations::number_rows;
use crate::provider::Share;
use crate::sends::{Intent, NewSend, insert_intended};

trunkline_platform::statements! {
    FIND_DUE_RECIPIENTS = same {
        "SELECT r.position, r.number, r.variant, p.first_name, p.last_name, p.company, p.email, p.fields, p.time_zone,
             p.state AS region
         FROM campaign_recipients AS r LEFT JOIN people AS p ON p.number = r.number
         WHERE r.campaign_id = $1 AND r.state = 'waiting' AND r.due_at <= $2
         ORDER BY r.due_at, r.position LIMIT $3"
    }
    NEXT_RECIPIENTS = same {
        "SELECT r.position, r.number, r.variant, p.first_name, p.last_name, p.company, p.email, p.fields, p.time_zone,
             p.state AS region
         FROM campaign_recipients AS r LEFT JOIN people AS p ON p.number = r.number
         WHERE r.campaign_id = $1 AND r.state = 'waiting' ORDER BY r.due_at, r.position LIMIT $2"
    }
    NEXT_DUE_RECIPIENT = same {
        "SELECT due_at AS at, reason FROM campaign_recipients WHERE campaign_id = $1 AND state = 'waiting'
         ORDER BY due_at, position LIMIT 1"
    }
    FIND_OPEN_SEND = same {
        "SELECT id FROM sends
         WHERE state IN ('intended', 'unknown') AND campaign_id = $1 LIMIT 1"
    }
    /// The living attempt of the pump, or nobody.
    IS_PUMP = same { "SELECT id FROM tasks WHERE id = $1 AND attempt = $2 AND state = 'running'" }
    TEXTED_LATELY = parts {
        "SELECT s.number, MAX(s.intended_at) AS at FROM " (rows "$1" as r (number TEXT))
        " JOIN sends AS s ON s.number = r.number AND s.intended_at > $2
         WHERE s.kind = 'campaign' AND s.campaign_id <> $3 AND s.state NOT IN ('waiting', 'refused')
         GROUP BY s.number"
    }
    TEXTS_OF_SENDER = same {
        "SELECT COUNT(*) AS taken, MIN(intended_at) AS oldest
         FROM (SELECT intended_at FROM sends WHERE sender = $1 AND intended_at > $2
                 AND state NOT IN ('waiting', 'refused')
               ORDER BY intended_at DESC LIMIT $3) AS lately"
    }
    TEXTS_OF_CAMPAIGN = same {
        "SELECT COUNT(*) AS taken, MIN(intended_at) AS oldest
         FROM (SELECT intended_at FROM sends WHERE campaign_id = $1 AND intended_at > $2
               ORDER BY intended_at DESC LIMIT $3) AS lately"
    }
    /// By the whole key, and by nothing else: PostgreSQL, whose statistics do not know a campaign that has just begun, would read
    /// all who wait in it for every batch. Hence the campaign in each line, and a state that is no index's.
    DECIDE_RECIPIENTS = parts {
        "UPDATE campaign_recipients SET state = r.state, reason = r.reason,
             due_at = COALESCE(r.due_at, campaign_recipients.due_at)
         FROM " (rows "$1" as r (campaign BIGINT, position BIGINT, state TEXT, reason TEXT, due_at TIMESTAMPTZ))
        " WHERE campaign_recipients.campaign_id = r.campaign AND campaign_recipients.position = r.position
           AND campaign_recipients.state || '' = 'waiting'"
    }
    COUNT_SEGMENTS = same { "UPDATE campaigns SET segments = segments + $2 WHERE id = $1" }
}

/// What came of one look.
#[derive(Debug)]
pub(super) enum Admitted {
    /// These are committed to: send them at once. Then look again, not before this time.
    Texts { intents: Vec<Intent>, next: DateTime<Utc> },
    /// The campaign is somebody else's now, or is not running.
    NotOurs,
    /// Nobody waits any more, and no text is without its outcome.
    Finished,
    /// Nothing may be sent until a person has looked.
    Hold(String),
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct Candidate {
    pub(super) position: i64,
    pub(super) number: String,
    pub(super) variant: String,
    first_name: Option<String>,
    last_name: Option<String>,
    company: Option<String>,
    email: Option<String>,
    fields: Option<String>,
    pub(super) time_zone: Option<String>,
    pub(super) region: Option<String>,
}

#[derive(sqlx::FromRow)]
struct NextAt {
    at: DateTime<Utc>,
    reason: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Lately {
    number: String,
    at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Taken {
    taken: i64,
    oldest: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Line {
    campaign: i64,
    position: i64,
    state: &'static str,
    reason: Option<String>,
    due_at: Option<String>,
}

impl Candidate {
    /// The variables a template can ask for.
    pub(super) fn fields(&self) -> BTreeMap<String, String> {
        let more = self.fields.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let own = [&self.first_name, &self.last_name, &self.company, &self.email];
        variables(more.unwrap_or_default(), own)
    }

    /// Whoever waits gets the text that was promoted, whatever was drawn for them.
    pub(super) fn give(&mut self, winner: Option<&str>) {
        if let Some(winner) = winner {
            winner.clone_into(&mut self.variant);
        }
    }

    pub(super) fn verdict(&self, rules: &Rules<'_>, known: Known<'_>, now: DateTime<Utc>) -> Verdict {
        let place = place::of_person(&self.number, self.time_zone.as_deref(), self.region.as_deref());
        let fields = self.fields();
        decide(rules, &Facts { now, variant: &self.variant, zones: &place.zones, fields: &fields, known })
    }

    fn text(self, text: Rendered, sender: String) -> NewSend {
        NewSend {
            number: self.number,
            variant: self.variant,
            sender,
            body: text.text,
            segments: text.segments.count,
        }
    }
}

/// Those whose turn it is, in their order.
pub(super) async fn due(
    session: &mut Session,
    campaign: i64,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Candidate>, DbError> {
    FIND_DUE_RECIPIENTS.bind(campaign).bind(now).bind(limit).all(session).await
}

/// Those who wait, whether or not it is their turn.
pub(super) async fn next_up(
    session: &mut Session,
    campaign: i64,
    limit: u32,
) -> Result<Vec<Candidate>, DbError> {
    NEXT_RECIPIENTS.bind(campaign).bind(limit).all(session).await
}

/// Looks once.
pub(super) async fn admit(cx: &Context<Services>, id: i64, generation: i32) -> Result<Admitted, Failure> {
    let (services, now) = (cx.services(), cx.now());
    let mut candidates = due(&mut services.db.read().await?, id, now, BATCH).await?;
    let mut tx = services.db.write().await?;
    if candidates.is_empty() {
        return nobody_due(tx, cx, (id, generation), now).await;
    }
    let closed = optout::closed(&mut tx, candidates.iter().map(|person| person.number.as_str())).await?;
    let Some(campaign) = ours(&mut tx, cx, id, generation).await? else { return Ok(Admitted::NotOurs) };
    candidates.iter_mut().for_each(|person| person.give(campaign.winner.as_deref()));
    let plan = &campaign.plan.0;
    let Ok(rules) =
        Rules::new(plan, &services.campaigns.holidays).map(|rules| rules.only(campaign.winner.as_deref()))
    else {
        return Ok(Admitted::Hold("plan_unreadable".to_owned()));
    };
    services.provider.hold(&mut tx).await?;
    let numbers = || candidates.iter().map(|person| person.number.as_str());
    let lately = texted_lately(&mut tx, plan, id, numbers(), now - plan.duplicates_within()).await?;
    let flagged = left_out(&mut tx, numbers()).await?;
    let verdicts = candidates.into_iter().map(|person| {
        let known = Known {
            opted_out: closed.contains(&person.number),
            kept_out: flagged.get(&person.number).map(String::as_str),
            texted_at: lately.get(&person.number).copied(),
        };
        let verdict = person.verdict(&rules, known, now);
        (person, verdict)
    });
    let mut round = match Round::of(plan, verdicts) {
        Ok(round) => round,
        Err(reason) => return Ok(Admitted::Hold(reason)),
    };
    let metrics = &services.campaigns.metrics;
    metrics.verdict("hold", round.held.len());
    metrics.verdict("refuse", round.refused.len());
    let limits = match read_limits(&mut tx, &campaign, now).await? {
        Ok(limits) => limits,
        Err(reason) => return Ok(Admitted::Hold(reason)),
    };
    let wanted = round.want(&limits);
    let grant = services.provider.take(&mut tx, Share::Campaign, wanted, now).await?;

    let held = round.held.drain(..);
    let held =
        held.map(|(person, until, reason)| line(id, &person, "waiting", Some(reason.into()), Some(until)));
    let mut lines: Vec<Line> = held.collect();
    let refused = round.refused.drain(..);
    lines.extend(refused.map(|(person, reason)| line(id, &person, "refused", Some(reason), None)));
    let leaving = round.leave(limits, grant, now);
    lines.extend(leaving.texts.iter().map(|(person, ..)| line(id, person, "taken", None, None)));
    let texts = leaving.texts.into_iter();
    let sends: Vec<NewSend> = texts.map(|(person, text, sender)| person.text(text, sender)).collect();
    let counts_until = now + plan.counts_for();
    let intents = insert_intended(&mut tx, id, &sends, cx.task(), now, counts_until).await?;
    if !lines.is_empty() {
        DECIDE_RECIPIENTS.bind(Rows::of(&lines)?).execute(&mut tx).await?;
    }
    let segments: i64 = sends.iter().map(|send| i64::from(send.segments)).sum();
    COUNT_SEGMENTS.bind(id).bind(segments).execute(&mut tx).await?;
    if let Some(reason) = leaving.stop {
        tx.commit().await?;
        return Ok(Admitted::Hold(reason.to_owned()));
    }
    let (waits_for, next) = (leaving.waits_for, leaving.next);
    table::note_wait(&mut tx, id, waits_for, waits_for.map(|_| next)).await?;
    crash_point!("send.before_intent");
    tx.commit().await?;
    metrics.verdict("send", intents.len());
    Ok(Admitted::Texts { intents, next })
}

/// The campaign, locked, if it runs and this attempt is its pump.
async fn ours(
    tx: &mut Session,
    cx: &Context<Services>,
    id: i64,
    generation: i32,
) -> Result<Option<CampaignRow>, DbError> {
    let task = cx.task();
    let living = IS_PUMP.bind(task.id.0).bind(task.token).exists(tx).await?;
    let row = table::lock(tx, id).await?;
    Ok(row.filter(|row| living && row.state == State::Running && row.generation == generation))
}

async fn nobody_due(
    mut tx: Session,
    cx: &Context<Services>,
    (id, generation): (i64, i32),
    now: DateTime<Utc>,
) -> Result<Admitted, Failure> {
    let Some(campaign) = ours(&mut tx, cx, id, generation).await? else { return Ok(Admitted::NotOurs) };
    // In this order: a text that is settled in between and goes back to waiting is seen in one place or in both.
    let open = FIND_OPEN_SEND.bind(campaign.id).exists(&mut tx).await?;
    let next: Option<NextAt> = NEXT_DUE_RECIPIENT.bind(campaign.id).optional(&mut tx).await?;
    let waits = match next {
        Some(next) => (next.reason.unwrap_or_else(|| "turn".to_owned()), next.at),
        None if open => ("outcomes".to_owned(), now + TimeDelta::seconds(15)),
        None => return Ok(Admitted::Finished),
    };
    table::note_wait(&mut tx, campaign.id, Some(&waits.0), Some(waits.1)).await?;
    tx.commit().await?;
    Ok(Admitted::Texts { intents: Vec::new(), next: waits.1.max(now) })
}

fn line(
    campaign: i64,
    person: &Candidate,
    state: &'static str,
    reason: Option<String>,
    due_at: Option<DateTime<Utc>>,
) -> Line {
    Line { campaign, position: person.position, state, reason, due_at: due_at.map(sql_time) }
}

/// When another campaign texted these people last, where that was after `since`.
pub(super) async fn texted_lately<'n>(
    session: &mut Session,
    plan: &Plan,
    campaign: i64,
    numbers: impl Iterator<Item = &'n str>,
    since: DateTime<Utc>,
) -> Result<BTreeMap<String, DateTime<Utc>>, DbError> {
    if plan.duplicate_days == 0 {
        return Ok(BTreeMap::new());
    }
    let query = TEXTED_LATELY.bind(number_rows(numbers)?).bind(since).bind(campaign);
    let rows: Vec<Lately> = query.all(session).await?;
    Ok(rows.into_iter().map(|row| (row.number, row.at)).collect())
}

/// What the limits leave, counted in the ledger. The inner error: none of the numbers may send, for this reason.
async fn read_limits(
    tx: &mut Session,
    campaign: &CampaignRow,
    now: DateTime<Utc>,
) -> Result<Result<Limits, String>, DbError> {
    let plan = &campaign.plan.0;
    let free = match breaker::held(tx).await?.free(&plan.senders) {
        Ok(free) => free,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut senders = Vec::with_capacity(free.len());
    for sender in free {
        let taken: Taken = TEXTS_OF_SENDER.bind(sender).bind(now - DAY).bind(plan.daily_cap).one(tx).await?;
        senders.push(Room::of(sender, plan.daily_cap, taken.count(), taken.oldest, now));
    }
    let rate = match own_rate(plan) {
        Some((count, period)) => {
            let query = TEXTS_OF_CAMPAIGN.bind(campaign.id).bind(now - period).bind(count);
            let taken: Taken = query.one(tx).await?;
            Some(room(count, period, taken.count(), taken.oldest, now))
        }
        None => None,
    };
    Ok(Ok(Limits::new(plan, campaign.segments, senders, rate)))
}

impl Taken {
    fn count(&self) -> u32 {
        u32::try_from(self.taken).unwrap_or(u32::MAX)
    }
}
