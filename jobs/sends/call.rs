//! Asking the provider to send one text, and what its answer means for the ledger.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use trunkline_openphone::client::{ApiError, Client, Refusal, SendMessage};
use trunkline_openphone::event::Message;

use crate::contacts::optout::OPTED_OUT;

/// A process that was stopped between its commit and the request must not send what others have given up since.
const FRESH: Duration = Duration::from_secs(10);

/// A text that is committed as `intended`.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) id: i64,
    pub(crate) tries: i32,
    pub(crate) number: String,
    pub(crate) sender: String,
    pub(crate) body: String,
    /// By our clock.
    pub(crate) intended_at: DateTime<Utc>,
}

impl Intent {
    /// Whether it is young enough to be carried out. Both clocks must say so: the stopwatch stands still while a machine
    /// is suspended, and the time of day can be set.
    fn is_fresh(&self, committed: Instant, now: DateTime<Utc>) -> bool {
        let age = (now - self.intended_at).abs().to_std().unwrap_or(Duration::MAX);
        committed.elapsed() < FRESH && age < FRESH
    }
}

/// What became of one try.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The provider has it.
    Accepted(Box<Message>),
    /// The provider does not take this text, and asking again would not help.
    Refused { code: Option<String>, reason: &'static str },
    /// It provably was not sent, for a reason that passes.
    NotSent { reason: &'static str, error: Option<ApiError> },
    /// It provably was not sent, and no other would be until a person has done something.
    Stopped { code: Option<String>, reason: &'static str },
    /// It may have been sent.
    Unknown { reason: &'static str },
}

/// A try with its outcome.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) intent: Intent,
    pub(crate) outcome: Outcome,
    pub(crate) asked_at: DateTime<Utc>,
}

/// Asks once. `committed` is when the intent was.
pub(crate) async fn call(
    client: &Client,
    intent: Intent,
    committed: Instant,
    asked_at: DateTime<Utc>,
) -> Called {
    let outcome = if intent.is_fresh(committed, asked_at) {
        let message = SendMessage {
            from: intent.sender.clone(),
            to: vec![intent.number.clone()],
            content: intent.body.clone(),
            user_id: None,
            mark_done: true,
        };
        client
            .send_message(&message)
            .await
            .map_or_else(meaning, |message| Outcome::Accepted(Box::new(message)))
    } else {
        Outcome::NotSent { reason: "held_up", error: None }
    };
    Called { intent, outcome, asked_at }
}

fn meaning(error: ApiError) -> Outcome {
    let code = error.refusal().and_then(|refusal| refusal.code.clone());
    let stopped = |reason| Outcome::Stopped { code: code.clone(), reason };
    let refused = |reason| Outcome::Refused { code: code.clone(), reason };
    match &error {
        ApiError::Invalid(refusal) | ApiError::Forbidden(refusal) | ApiError::Conflict(refusal)
            if opted_out(refusal) =>
        {
            Outcome::Refused { code: Some(OPTED_OUT.to_owned()), reason: "opted_out_at_carrier" }
        }
        ApiError::RateLimited { .. } => Outcome::NotSent { reason: "rate_limited", error: Some(error) },
        ApiError::Connect(_) => Outcome::NotSent { reason: "unreachable", error: Some(error) },
        ApiError::Unauthorized(_) => stopped("api_key_refused"),
        ApiError::PaymentRequired(_) => stopped("no_credit"),
        ApiError::NotFound(_) => stopped("sender_unknown"),
        ApiError::Forbidden(_) if code.as_deref() == Some("0204403") => stopped("carrier_daily_cap"),
        ApiError::Forbidden(_) if code.as_deref() == Some("0202403") => stopped("sender_not_ours"),
        ApiError::Forbidden(_) => refused("forbidden"),
        ApiError::Invalid(_) if code.as_deref() == Some("0206400") => stopped("a2p_not_approved"),
        ApiError::Invalid(_) => refused("invalid"),
        ApiError::Conflict(_) => refused("conflict"),
        ApiError::Timeout(_) => Outcome::Unknown { reason: "timeout" },
        ApiError::Interrupted(_) => Outcome::Unknown { reason: "connection_lost" },
        ApiError::Decode(_) => Outcome::Unknown { reason: "answer_unreadable" },
        ApiError::Server(_) => Outcome::Unknown { reason: "provider_error" },
        ApiError::Unexpected(_) => Outcome::Unknown { reason: "answer_unexpected" },
    }
}

/// Whether the recipient has opted out at the carrier: the provider does not document where it says so.
fn opted_out(refusal: &Refusal) -> bool {
    let told = refusal.message.as_deref().unwrap_or_default();
    refusal.code.as_deref() == Some(OPTED_OUT)
        || told.split(|c: char| !c.is_ascii_digit()).any(|digits| digits == OPTED_OUT)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use trunkline_openphone::client::DecodeError;

    use super::*;

    /// What the client calls unknown the ledger must, too: here a mistake sends a text twice.
    #[test]
    fn what_may_have_happened_is_unknown_and_nothing_else_is() {
        let refusal = |code: &str| Refusal { code: Some(code.to_owned()), ..Refusal::default() };
        let errors = [
            ApiError::RateLimited { retry_after: None, refusal: refusal("") },
            ApiError::Unauthorized(refusal("")),
            ApiError::PaymentRequired(refusal("0202402")),
            ApiError::NotFound(refusal("")),
            ApiError::Forbidden(refusal("0204403")),
            ApiError::Forbidden(refusal("0202403")),
            ApiError::Forbidden(refusal("0299403")),
            ApiError::Invalid(refusal("0206400")),
            ApiError::Invalid(refusal("0200400")),
            ApiError::Conflict(refusal("")),
            ApiError::Server(refusal("")),
            ApiError::Unexpected(refusal("")),
            ApiError::Decode(DecodeError::NoId),
        ];
        for error in errors {
            let (unknown, told) = (error.outcome_unknown(), error.to_string());
            assert_eq!(matches!(meaning(error), Outcome::Unknown { .. }), unknown, "{told}");
        }
    }

    #[test]
    fn an_intent_is_carried_out_at_once_or_not_at_all() {
        let committed = Instant::now();
        let intended_at = DateTime::UNIX_EPOCH;
        let intent = Intent {
            id: 1,
            tries: 1,
            number: "+12125550101".to_owned(),
            sender: "PN1".to_owned(),
            body: "Hi".to_owned(),
            intended_at,
        };
        assert!(intent.is_fresh(committed, intended_at + TimeDelta::seconds(9)));
        assert!(!intent.is_fresh(committed, intended_at + TimeDelta::seconds(10)), "the machine slept");
        assert!(!intent.is_fresh(committed, intended_at - TimeDelta::hours(1)), "the clock was set back");
        assert!(!intent.is_fresh(committed - FRESH, intended_at), "the process stood still");
    }

    #[test]
    fn an_opt_out_at_the_carrier_is_found_in_the_code_and_in_the_words() {
        let refusal = |code: &str, message: &str| Refusal {
            code: Some(code.to_owned()),
            message: Some(message.to_owned()),
            ..Refusal::default()
        };
        let is_found = |refusal| match meaning(ApiError::Invalid(refusal)) {
            Outcome::Refused { code, .. } => code.as_deref() == Some(OPTED_OUT),
            _ => false,
        };
        assert!(is_found(refusal("21610", "")));
        assert!(is_found(refusal("0200400", "Carrier error 21610: the recipient has opted out")));
        assert!(!is_found(refusal("0200400", "Cannot text +121610")));
        assert!(!is_found(refusal("0200400", "Carrier error 216100")));
    }

    #[test]
    fn what_stops_all_texts_is_not_taken_for_one_bad_number() {
        let refusal = |code: &str| Refusal { code: Some(code.to_owned()), ..Refusal::default() };
        assert!(matches!(meaning(ApiError::Invalid(refusal("0206400"))), Outcome::Stopped { .. }));
        assert!(matches!(meaning(ApiError::Invalid(refusal("0200400"))), Outcome::Refused { .. }));
    }
}
