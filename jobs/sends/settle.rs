//! Finding out what became of a text when nobody told.
//!
//! The provider is asked for the texts to that number since the intent. One with the same words that no other row claims is
//! ours. Absence is proven only when nothing unclaimed went to that number at all, and long enough after the intent that no
//! request of ours can still be on its way; then the text may be tried again. What stays unclear goes to a person,
//! with what was seen.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;
use trunkline_openphone::client::MessageQuery;
use trunkline_openphone::event::{Direction, Message};
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::crash_point;
use trunkline_platform::db::{DbError, Session};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Retry};

use super::record::{accept, conclude, wait_again};
use super::{SendState, SendText, body_hash};
use crate::provider::Share;
use crate::{SENDS, Services};

/// Clocks differ: the provider's time of a text can lie before our intent.
const SKEW: TimeDelta = TimeDelta::minutes(2);
/// A request lives for 40 s at most, and the provider may take its time.
const ABSENT_AFTER: TimeDelta = TimeDelta::minutes(5);
/// Later texts to the number are others.
const OURS_WITHIN: TimeDelta = TimeDelta::hours(1);
/// When the provider is asked, counted from the intent; after the last a person is.
const LOOKUPS: [TimeDelta; 7] = [
    TimeDelta::zero(),
    TimeDelta::seconds(15),
    TimeDelta::seconds(60),
    TimeDelta::seconds(310),
    TimeDelta::minutes(15),
    TimeDelta::minutes(45),
    TimeDelta::minutes(120),
];
const MOST_PAGES: usize = 3;
/// A text that three times did not arrive will not.
const MOST_TRIES: i32 = 3;
/// Another text to the same number is on its way: which is which cannot be told before it has its answer.
const IN_FLIGHT: TimeDelta = TimeDelta::seconds(15);

trunkline_platform::statements! {
    FIND_UNSETTLED = same {
        "SELECT state, number, sender, body_hash, tries, lookups, intended_at, campaign_id FROM sends WHERE id = $1"
    }
    FIND_IN_FLIGHT = same {
        "SELECT id FROM sends WHERE number = $1 AND id <> $2 AND state = 'intended' AND intended_at > $3 LIMIT 1"
    }
    FIND_CLAIMED = same {
        "SELECT provider_id FROM sends WHERE number = $1 AND intended_at > $2 AND provider_id IS NOT NULL LIMIT 1000"
    }
    NOTE_LOOKUP = same {
        "UPDATE sends SET lookups = lookups + 1, evidence = $3 WHERE id = $1 AND tries = $2 AND state = 'unknown'"
    }
    RESOLVE = same {
        "UPDATE sends SET state = $2, reason = $3, state_at = $4 WHERE id = $1 AND state = 'unresolved'"
    }
}

#[derive(sqlx::FromRow)]
struct Unsettled {
    #[sqlx(try_from = "String")]
    state: SendState,
    number: String,
    sender: String,
    body_hash: String,
    tries: i32,
    lookups: i32,
    intended_at: Option<DateTime<Utc>>,
    campaign_id: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Claimed {
    provider_id: String,
}

/// What the provider's list says.
#[derive(Debug)]
enum Finding<'m> {
    Ours(&'m Message),
    /// Nothing went to that number that is not accounted for.
    Absent,
    /// Something went there that may be it, or the list has no end.
    Unclear,
    /// Nothing is there, which proves nothing yet.
    TooEarly,
}

/// Asks the provider what became of one text.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SettleSend {
    /// Its row in the ledger.
    pub send: i64,
}

impl Job for SettleSend {
    type Services = Services;
    const NAME: &'static str = "sends.settle";
    const QUEUE: Queue = SENDS;
    const RETRY: Retry = Retry::exponential(Duration::from_secs(10), Duration::from_secs(600)).attempts(100);

    fn unique_key(&self) -> Option<String> {
        Some(self.send.to_string())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let (db, now) = (&cx.services().db, cx.now());
        let mut session = db.read().await?;
        let row: Option<Unsettled> = FIND_UNSETTLED.bind(self.send).optional(&mut session).await?;
        let Some(row) = row.filter(|row| row.state == SendState::Unknown) else { return Ok(Done::new()) };
        let intended_at = row.intended_at.unwrap_or(now);
        let turn = usize::try_from(row.lookups).unwrap_or(usize::MAX);
        let Some(due) = LOOKUPS.get(turn).map(|after| intended_at + *after) else {
            return self.hand_to_a_person(cx, &row, "no answer settles it").await;
        };
        if due > now {
            return Err(Failure::snooze_until(due, "the provider is asked again later"));
        }
        let since = now - ABSENT_AFTER;
        let in_flight = FIND_IN_FLIGHT.bind(row.number.as_str()).bind(self.send).bind(since);
        if in_flight.exists(&mut session).await? {
            return Err(Failure::snooze_until(now + IN_FLIGHT, "another text to the number is on its way"));
        }
        let claimed = FIND_CLAIMED.bind(row.number.as_str()).bind(intended_at - TimeDelta::days(1));
        let claimed: Vec<Claimed> = claimed.all(&mut session).await?;
        drop(session);
        let claimed: BTreeSet<&str> = claimed.iter().map(|row| row.provider_id.as_str()).collect();
        let (messages, complete) = match self.listed(cx, &row, intended_at).await {
            Ok(listed) => listed,
            // Past the last look-up nobody waits for the provider to come back.
            Err(failure) if is_over(&failure, intended_at, now) => {
                return self.hand_to_a_person(cx, &row, "the provider could not be asked").await;
            }
            Err(failure) => return Err(failure),
        };
        crash_point!("settle.after_look");
        match judge(&row, &messages, &claimed, complete, intended_at, now) {
            Finding::Ours(message) => {
                let mut tx = db.write().await?;
                accept(&mut tx, self.send, row.tries, message, now).await?;
                tx.commit().await?;
                Ok(Done::new())
            }
            Finding::Absent if row.tries < MOST_TRIES => self.try_again(cx, &row).await,
            Finding::Absent => {
                self.hand_to_a_person(cx, &row, "it was tried three times and never arrived").await
            }
            Finding::Unclear | Finding::TooEarly => {
                let seen = json!({ "at": now, "texts_to_the_number": messages.len(), "complete": complete });
                let mut tx = db.write().await?;
                NOTE_LOOKUP.bind(self.send).bind(row.tries).bind(seen.to_string()).execute(&mut tx).await?;
                tx.commit().await?;
                let next = LOOKUPS.get(turn + 1).map_or(now, |after| intended_at + *after);
                Err(Failure::snooze_until(next.max(now), "the provider is asked again later"))
            }
        }
    }
}

impl SettleSend {
    /// The texts with that number since the intent, and whether that is all of them.
    async fn listed(
        &self,
        cx: &Context<Services>,
        row: &Unsettled,
        intended_at: DateTime<Utc>,
    ) -> Result<(Vec<Message>, bool), Failure> {
        let mut query = MessageQuery::with(&row.sender, &row.number);
        query.created_after = Some(intended_at - SKEW);
        let mut messages = Vec::new();
        for _ in 0..MOST_PAGES {
            let (provider, query_ref) = (&cx.services().provider, &query);
            let page = provider.ask(cx, Share::Repair, |client| client.list_messages(query_ref)).await??;
            messages.extend(page.items);
            match page.next_page_token {
                Some(token) => query.page_token = Some(token),
                None => return Ok((messages, true)),
            }
        }
        Ok((messages, false))
    }

    async fn try_again(&self, cx: &Context<Services>, row: &Unsettled) -> Result<Done, Failure> {
        let mut tx = cx.services().db.write().await?;
        let reason = "never_arrived";
        let concluded =
            conclude(&mut tx, (self.send, row.tries), SendState::Waiting, reason, None, cx.now()).await?;
        let concluded_here = concluded.is_some();
        wait_again(&mut tx, concluded, reason, cx.now()).await?;
        tx.commit().await?;
        let done = Done::new();
        if row.campaign_id.is_some() || !concluded_here {
            return Ok(done);
        }
        Ok(done.then(cx.follow_up(&SendText { send: self.send })?))
    }

    async fn hand_to_a_person(
        &self,
        cx: &Context<Services>,
        row: &Unsettled,
        why: &str,
    ) -> Result<Done, Failure> {
        let mut tx = cx.services().db.write().await?;
        conclude(&mut tx, (self.send, row.tries), SendState::Unresolved, why, None, cx.now()).await?;
        tx.commit().await?;
        tracing::warn!(
            send = self.send,
            why,
            "nobody can tell whether a text was sent; see `trunkline sends list`"
        );
        Ok(Done::new())
    }
}

/// Whether a failure to ask comes after the last look-up. A wait for a token is none.
fn is_over(failure: &Failure, intended_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    use trunkline_platform::job::FailureKind;
    let waits = matches!(failure.kind, FailureKind::Snooze(_));
    !waits && LOOKUPS.last().is_some_and(|after| now >= intended_at + *after)
}

fn judge<'m>(
    row: &Unsettled,
    messages: &'m [Message],
    claimed: &BTreeSet<&str>,
    complete: bool,
    intended_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Finding<'m> {
    let in_time = |message: &Message| {
        message.created_at.is_none_or(|at| at >= intended_at - SKEW && at <= intended_at + OURS_WITHIN)
    };
    let unclaimed: Vec<&Message> = messages
        .iter()
        .filter(|message| message.direction == Direction::Outgoing && in_time(message))
        .filter(|message| !claimed.contains(message.id.as_str()))
        .collect();
    let same_words = unclaimed
        .iter()
        .filter(|message| message.text.as_deref().is_some_and(|text| body_hash(text) == row.body_hash));
    if let Some(ours) = same_words.min_by_key(|message| message.created_at) {
        return Finding::Ours(ours);
    }
    if !unclaimed.is_empty() || !complete {
        return Finding::Unclear;
    }
    if now < intended_at + ABSENT_AFTER { Finding::TooEarly } else { Finding::Absent }
}

/// What a person decides about a text nobody could tell of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resolution {
    /// It was sent.
    Sent,
    /// It was not, and shall not be.
    GiveUp,
}

#[derive(Debug, Error)]
pub enum ResolveError {
    #[error("text {0} waits for nobody's decision; see `trunkline sends list --state unresolved`")]
    NotUnresolved(i64),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Ends a text that is unresolved, in the caller's transaction and with an entry in the audit.
pub async fn resolve(
    tx: &mut Session,
    send: i64,
    resolution: Resolution,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), ResolveError> {
    let (state, reason) = match resolution {
        Resolution::Sent => (SendState::Sent, "a person said so"),
        Resolution::GiveUp => (SendState::Refused, "given_up"),
    };
    if RESOLVE.bind(send).bind(state.as_str()).bind(reason).bind(now).execute(tx).await? == 0 {
        return Err(ResolveError::NotUnresolved(send));
    }
    let act = Act {
        action: "send.resolve",
        subject: format!("send:{send}"),
        before: Some(json!({ "state": SendState::Unresolved })),
        after: Some(json!({ "state": state })),
    };
    Ok(audit::record(tx, now, actor, &[act]).await?)
}

#[cfg(test)]
mod tests {
    use trunkline_openphone::event::{Event, Payload};

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
    }

    fn row() -> Unsettled {
        Unsettled {
            state: SendState::Unknown,
            number: "+12125550101".to_owned(),
            sender: "PN1".to_owned(),
            body_hash: body_hash("It's on"),
            tries: 1,
            lookups: 0,
            intended_at: Some(at(0)),
            campaign_id: Some(1),
        }
    }

    fn message(id: &str, direction: Direction, text: &str, minutes: i64) -> Message {
        let body = format!(
            r#"{{"id":"EV1","type":"message.delivered","data":{{"resource":{{"id":"{id}","direction":"outgoing",
                "text":"{text}","createdAt":"{}"}}}}}}"#,
            at(minutes).to_rfc3339()
        );
        match Event::parse(body.as_bytes()).unwrap().payload {
            Payload::Message(message) => Message { direction, ..message },
            other => panic!("{other:?}"),
        }
    }

    fn found(messages: &[Message], claimed: &[&str], complete: bool, now: i64) -> String {
        let claimed = claimed.iter().copied().collect();
        match judge(&row(), messages, &claimed, complete, at(0), at(now)) {
            Finding::Ours(message) => message.id.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_first_text_with_the_same_words_that_nobody_claims_is_ours() {
        let listed = [
            message("AC3", Direction::Outgoing, "It’s on", 2),
            message("AC2", Direction::Outgoing, "It’s on", 1),
            message("AC1", Direction::Outgoing, "It’s on", 0),
            message("AC0", Direction::Incoming, "It's on", 0),
        ];
        assert_eq!(found(&listed, &[], true, 0), "AC1");
        assert_eq!(found(&listed, &["AC1"], true, 0), "AC2");
        assert_eq!(found(&listed, &["AC1", "AC2", "AC3"], true, 10), "Absent");
    }

    #[test]
    fn absence_is_proven_late_and_only_when_nothing_else_went_there() {
        assert_eq!(found(&[], &[], true, 4), "TooEarly");
        assert_eq!(found(&[], &[], true, 5), "Absent");
        assert_eq!(found(&[], &[], false, 60), "Unclear", "the list has no end");
        let other = [message("AC9", Direction::Outgoing, "Hello", 1)];
        assert_eq!(found(&other, &[], true, 60), "Unclear", "it may be ours in other words");
        assert_eq!(found(&other, &["AC9"], true, 60), "Absent");
        let long_before = [message("AC9", Direction::Outgoing, "It's on", -30)];
        assert_eq!(found(&long_before, &[], true, 60), "Absent");
    }
}
