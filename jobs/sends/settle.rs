//! Finding out what became of a text when nobody told.
//!
//! The provider is asked for the texts to that number around the intent. One with the same words that no other row claims is
//! ours. Absence is proven only when nothing unclaimed went to that number at all, and so long after the first look, by the
//! provider's own clock, that no request of ours can still be on its way; then the text may be tried again. No clock of ours
//! proves anything: it may have been set. What stays unclear goes to a person, with what was seen.

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

/// How far our clock, when it gave the time of the intent, may have been from the provider's.
const CLOCKS_APART: TimeDelta = TimeDelta::hours(2);
/// Texts in other words count when they went out so near the intent: before it, and after.
const NEAR: (TimeDelta, TimeDelta) = (TimeDelta::minutes(2), TimeDelta::hours(1));
/// A request lives for 50 s after its intent at most, and the provider may take its time. Counted from the first look.
const ABSENT_AFTER: TimeDelta = TimeDelta::minutes(5);
/// How long to wait after each look for the next; after the last a person is asked.
const WAITS: [TimeDelta; 6] = [
    TimeDelta::seconds(15),
    TimeDelta::seconds(45),
    TimeDelta::seconds(305),
    TimeDelta::minutes(10),
    TimeDelta::minutes(30),
    TimeDelta::minutes(75),
];
/// From then on nobody waits for a provider that cannot be asked.
const OVER_AFTER: TimeDelta = TimeDelta::hours(2);
const MOST_PAGES: usize = 3;
/// A text that three times did not arrive will not.
const MOST_TRIES: i32 = 3;
/// Another text to the same number is on its way: which is which cannot be told before it has its answer.
const IN_FLIGHT: TimeDelta = TimeDelta::seconds(15);

trunkline_platform::statements! {
    FIND_UNSETTLED = same {
        "SELECT state, number, sender, body_hash, tries, lookups, first_looked_at, intended_at, campaign_id
         FROM sends WHERE id = $1"
    }
    /// Those that nobody looks after any more become unknown themselves, so this ends.
    FIND_IN_FLIGHT = same {
        "SELECT id FROM sends WHERE number = $1 AND id <> $2 AND state = 'intended' LIMIT 1"
    }
    FIND_CLAIMED = same {
        "SELECT provider_id FROM sends WHERE number = $1 AND intended_at > $2 AND provider_id IS NOT NULL LIMIT 1000"
    }
    NOTE_LOOKUP = same {
        "UPDATE sends SET lookups = lookups + 1, evidence = $3, first_looked_at = COALESCE(first_looked_at, $4)
         WHERE id = $1 AND tries = $2 AND state = 'unknown'"
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
    first_looked_at: Option<DateTime<Utc>>,
    intended_at: Option<DateTime<Utc>>,
    campaign_id: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Claimed {
    provider_id: String,
}

/// What the provider listed.
struct Look {
    messages: Vec<Message>,
    /// Whether that is all of them.
    complete: bool,
    /// By the provider's clock.
    at: Option<DateTime<Utc>>,
}

/// What a look comes to.
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
        if turn > WAITS.len() {
            return self.hand_to_a_person(cx, &row, "no answer settles it").await;
        }
        let in_flight = FIND_IN_FLIGHT.bind(row.number.as_str()).bind(self.send);
        if in_flight.exists(&mut session).await? {
            return Err(Failure::snooze_until(now + IN_FLIGHT, "another text to the number is on its way"));
        }
        let claimed = FIND_CLAIMED.bind(row.number.as_str()).bind(intended_at - TimeDelta::days(1));
        let claimed: Vec<Claimed> = claimed.all(&mut session).await?;
        drop(session);
        let claimed: BTreeSet<&str> = claimed.iter().map(|row| row.provider_id.as_str()).collect();
        let look = match self.look(cx, &row, intended_at).await {
            Ok(look) => look,
            // Past the last look-up nobody waits for the provider to come back.
            Err(failure) if is_over(&failure, intended_at, now) => {
                return self.hand_to_a_person(cx, &row, "the provider could not be asked").await;
            }
            Err(failure) => return Err(failure),
        };
        crash_point!("settle.after_look");
        match judge(&row, &look, &claimed, intended_at) {
            Finding::Ours(message) => {
                let mut tx = db.write().await?;
                accept(&mut tx, self.send, row.tries, message, now).await?;
                tx.commit().await?;
                crash_point!("settle.after_verdict");
                Ok(Done::new())
            }
            Finding::Absent if row.tries < MOST_TRIES => self.try_again(cx, &row).await,
            Finding::Absent => {
                self.hand_to_a_person(cx, &row, "it was tried three times and never arrived").await
            }
            Finding::Unclear | Finding::TooEarly => {
                let seen = json!({
                    "at": now,
                    "provider_at": look.at,
                    "texts_to_the_number": look.messages.len(),
                    "complete": look.complete,
                });
                let note = NOTE_LOOKUP.bind(self.send).bind(row.tries).bind(seen.to_string()).bind(look.at);
                let mut tx = db.write().await?;
                note.execute(&mut tx).await?;
                tx.commit().await?;
                let next = WAITS.get(turn).map_or(now, |wait| now + *wait);
                Err(Failure::snooze_until(next, "the provider is asked again later"))
            }
        }
    }
}

impl SettleSend {
    /// The texts with that number around the intent.
    async fn look(
        &self,
        cx: &Context<Services>,
        row: &Unsettled,
        intended_at: DateTime<Utc>,
    ) -> Result<Look, Failure> {
        let mut query = MessageQuery::with(&row.sender, &row.number);
        query.created_after = Some(intended_at - CLOCKS_APART);
        let mut look = Look { messages: Vec::new(), complete: false, at: None };
        for _ in 0..MOST_PAGES {
            let (provider, query_ref) = (&cx.services().provider, &query);
            let page = provider.ask(cx, Share::Repair, |client| client.list_messages(query_ref)).await??;
            look.messages.extend(page.items);
            // The first page has the newest.
            look.at = look.at.or(page.answered_at);
            query.page_token = page.next_page_token;
            look.complete = query.page_token.is_none();
            if look.complete {
                break;
            }
        }
        Ok(look)
    }

    async fn try_again(&self, cx: &Context<Services>, row: &Unsettled) -> Result<Done, Failure> {
        let mut tx = cx.services().db.write().await?;
        let reason = "never_arrived";
        let concluded =
            conclude(&mut tx, (self.send, row.tries), SendState::Waiting, reason, None, cx.now()).await?;
        let concluded_here = concluded.is_some();
        wait_again(&mut tx, concluded, reason, cx.now()).await?;
        tx.commit().await?;
        crash_point!("settle.after_verdict");
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

/// Whether a failure to ask comes when nobody waits any more. A wait for a token is none.
fn is_over(failure: &Failure, intended_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    use trunkline_platform::job::FailureKind;
    let waits = matches!(failure.kind, FailureKind::Snooze(_));
    !waits && now >= intended_at + OVER_AFTER
}

fn judge<'l>(
    row: &Unsettled,
    look: &'l Look,
    claimed: &BTreeSet<&str>,
    intended_at: DateTime<Utc>,
) -> Finding<'l> {
    let within = |message: &Message, before, after| {
        message.created_at.is_none_or(|at| at >= intended_at - before && at <= intended_at + after)
    };
    let unclaimed = || {
        let outgoing = look.messages.iter().filter(|message| message.direction == Direction::Outgoing);
        outgoing.filter(|message| !claimed.contains(message.id.as_str()))
    };
    let same_words = unclaimed()
        .filter(|message| within(message, CLOCKS_APART, CLOCKS_APART))
        .filter(|message| message.text.as_deref().is_some_and(|text| body_hash(text) == row.body_hash));
    if let Some(ours) = same_words.min_by_key(|message| message.created_at) {
        return Finding::Ours(ours);
    }
    if !look.complete || unclaimed().any(|message| within(message, NEAR.0, NEAR.1)) {
        return Finding::Unclear;
    }
    let watched = look.at.zip(row.first_looked_at).map(|(now, first)| now - first);
    if watched.is_some_and(|watched| watched >= ABSENT_AFTER) { Finding::Absent } else { Finding::TooEarly }
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
            lookups: 1,
            first_looked_at: Some(at(1)),
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

    fn look(messages: &[Message], minutes: i64) -> Look {
        Look { messages: messages.to_vec(), complete: true, at: Some(at(minutes)) }
    }

    fn found(look: &Look, claimed: &[&str]) -> String {
        let claimed = claimed.iter().copied().collect();
        match judge(&row(), look, &claimed, at(0)) {
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
        assert_eq!(found(&look(&listed, 1), &[]), "AC1");
        assert_eq!(found(&look(&listed, 1), &["AC1"]), "AC2");
        assert_eq!(found(&look(&listed, 10), &["AC1", "AC2", "AC3"]), "Absent");
    }

    #[test]
    fn absence_is_proven_late_and_only_when_nothing_else_went_there() {
        assert_eq!(found(&look(&[], 5), &[]), "TooEarly");
        assert_eq!(found(&look(&[], 6), &[]), "Absent");
        assert_eq!(found(&Look { complete: false, ..look(&[], 60) }, &[]), "Unclear", "the list has no end");
        assert_eq!(found(&Look { at: None, ..look(&[], 60) }, &[]), "TooEarly", "who knows how late it is");
        let other = [message("AC9", Direction::Outgoing, "Hello", 1)];
        assert_eq!(found(&look(&other, 60), &[]), "Unclear", "it may be ours in other words");
        assert_eq!(found(&look(&other, 60), &["AC9"]), "Absent");
        let before = [message("AC9", Direction::Outgoing, "Hello", -30)];
        assert_eq!(found(&look(&before, 60), &[]), "Absent");
    }

    /// The intent was written by a clock that is off by an hour.
    #[test]
    fn a_text_is_found_whatever_our_clock_said() {
        for minutes in [-60, 60] {
            let ours = [message("AC1", Direction::Outgoing, "It's on", minutes)];
            assert_eq!(found(&look(&ours, 60), &[]), "AC1");
        }
        let long_before = [message("AC9", Direction::Outgoing, "It's on", -150)];
        assert_eq!(found(&look(&long_before, 60), &[]), "Absent");
    }
}
