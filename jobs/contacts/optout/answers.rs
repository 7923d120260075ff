//! What the program texts by itself to whom spoke about being texted: one confirmation to whom asked to stop, and an
//! answer to HELP.
//!
//! Both are requested in the transaction that writes the entry in the ledger, by a text whose cause is that entry, so
//! an entry that is told twice is answered once. They are the only texts that may reach a closed number, so whether
//! one still may leave is asked anew before every try: for a few minutes, and only while the entry is the latest word.

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_platform::db::{DbError, Session};
use trunkline_platform::job::{Context, Failure};
use trunkline_platform::task::TaskTx;

use super::{Said, lock_alone};
use crate::Services;
use crate::campaigns::gate::MARGIN;
use crate::sends::{self, Kind, Text};

/// How long after the word an answer may leave (for confirmations 47 CFR 64.1200(a)(12)).
pub const CONFIRM_WITHIN: TimeDelta = TimeDelta::minutes(5);
/// What is told of an opt-out, unless another text is set.
pub const CONFIRMATION: &str =
    "You are opted out and will get no more texts from us. Reply START to get them again.";
const HELP_PERIOD: TimeDelta = TimeDelta::hours(1);

trunkline_platform::statements! {
    IS_OWED = same {
        "SELECT number FROM opt_outs WHERE number = $1 AND entry = $2 AND closed AND confirmation = 'due' LIMIT 1"
    }
    /// The first try takes what is due. A later one goes on with what the first took.
    TAKE_CONFIRMATION = same {
        "UPDATE opt_outs SET confirmation = 'taken'
         WHERE number = $1 AND entry = $2 AND closed AND confirmation = $3 AND at > $4"
    }
    HELPED_LATELY = same {
        "SELECT id FROM sends WHERE number = $1 AND kind = 'help_answer' AND created_at > $2 LIMIT 1"
    }
    /// Who asked for help after having opted out is answered; who opted out after having asked is not.
    MAY_HELP = same {
        "SELECT c.id FROM consents AS c LEFT JOIN opt_outs AS o ON o.number = c.number AND o.closed
         WHERE c.entry = $1 AND c.at > $2 AND (o.at IS NULL OR o.at < c.at) LIMIT 1"
    }
}

/// The texts, and how often HELP is answered.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Absent: opt-outs are not confirmed.
    pub confirmation: Option<String>,
    /// Absent: HELP is not answered.
    pub help: Option<String>,
    /// A number's HELP is answered once in so long.
    pub help_period: TimeDelta,
}

impl Default for Answers {
    fn default() -> Self {
        Self { confirmation: Some(CONFIRMATION.to_owned()), help: None, help_period: HELP_PERIOD }
    }
}

/// When a word must have been said for an answer to arrive in time.
pub(super) fn answered_since(now: DateTime<Utc>) -> DateTime<Utc> {
    now - CONFIRM_WITHIN + MARGIN
}

/// Has an opt-out confirmed, if its entry is the one that closes the number and nobody else's turn it was.
pub(super) async fn confirm(
    tx: &mut TaskTx,
    cx: &Context<Services>,
    said: &Said<'_>,
    (sender, body): (&str, &str),
) -> Result<(), Failure> {
    if IS_OWED.bind(said.number).bind(said.entry.as_str()).exists(tx.session()).await? {
        send(tx, cx, said, Kind::OptOutConfirmation, (sender, body)).await?;
    }
    Ok(())
}

/// Has HELP answered, if it was not lately.
pub(super) async fn help(
    tx: &mut TaskTx,
    cx: &Context<Services>,
    said: &Said<'_>,
    (sender, body): (&str, &str),
) -> Result<(), Failure> {
    let since = cx.now() - cx.services().contacts.answers.help_period;
    if !HELPED_LATELY.bind(said.number).bind(since).exists(tx.session()).await? {
        send(tx, cx, said, Kind::HelpAnswer, (sender, body)).await?;
    }
    Ok(())
}

async fn send(
    tx: &mut TaskTx,
    cx: &Context<Services>,
    said: &Said<'_>,
    kind: Kind,
    (sender, body): (&str, &str),
) -> Result<(), Failure> {
    let correlation_id = Some(cx.task().correlation_id.as_str());
    let text = Text { kind, number: said.number, sender, body, cause: said.entry.clone(), correlation_id };
    let task = sends::request(tx.session(), &text, cx.now()).await?;
    tx.enqueue(&[cx.follow_up(&task)?]).await?;
    Ok(())
}

/// Takes the right to send the one confirmation of the entry that closed a number, in the transaction that commits this
/// text as intended, for its first try or for one more. False: it is not owed, or no longer, or another text took it.
pub async fn take_confirmation(
    tx: &mut Session,
    number: &str,
    entry: &str,
    first: bool,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    lock_alone(tx, [number]).await?;
    let stands = if first { "due" } else { "taken" };
    let take = TAKE_CONFIRMATION.bind(number).bind(entry).bind(stands).bind(answered_since(now));
    Ok(take.execute(tx).await? > 0)
}

/// Whether the answer to a HELP may leave now, in the transaction that commits it as intended.
pub(crate) async fn may_help(
    tx: &mut Session,
    number: &str,
    entry: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    lock_alone(tx, [number]).await?;
    MAY_HELP.bind(entry).bind(answered_since(now)).exists(tx).await
}
