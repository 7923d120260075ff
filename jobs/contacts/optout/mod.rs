//! Who must not be texted. One row a number says whether it is closed; the ledger beside it (`consents`) says why, in
//! the words of whoever said so, and is never rewritten.
//!
//! **The row is a join.** The latest word counts, by the time it was said and not by the time we heard of it, and of
//! two of one time the one that closes. STOP and START that arrive swapped or twice leave the same row. What
//! people decide here is given a time after everything that is known, so that it counts.
//!
//! **No text starts after the row is committed.** A gate that decides about texts and a word that closes a number
//! must not pass each other, so both take the number's lock, and keep it to the end of their transactions:
//!
//! * [`closed`] takes it shared: gates do not wait for one another. It belongs into the transaction that commits the
//!   ledger's `intended`, and nothing may be sent that was not committed there.
//! * [`close`], [`open`] and [`take_confirmation`] take it alone.
//!
//! So either the gate commits first, and that text had started when the number was closed, or the gate
//! waits, reads again, and finds the number closed. On PostgreSQL the lock is an advisory one, because a number that
//! nobody ever spoke of has no row to lock; it is taken by a statement of its own, since one that began before it had
//! the lock would read what was true before. SQLite has one writer, whose transactions begin by taking it.
//! Whoever takes these locks takes them first in his transaction, before any row, and all in one call: they are taken in one order
//! inside a call, and so nobody waits for somebody who waits for him.
//!
//! What is left is the time between the commit of `intended` and the request that goes out. A sender that was held
//! up in it (by a slow machine, a full queue) asks again with [`closed`] before it sends.
//!
//! **One confirmation.** A row that closes may say that the person is owed one text about it, which is requested with it.
//! [`take_confirmation`], in the transaction that commits that text's `intended`, hands out the right to send it: to one
//! text, within five minutes of the word, and only while no other word came. That and the answer to a HELP that was said
//! after the opt-out are the only texts to a closed number. Words that the provider answers by itself owe none.

mod answers;
mod carrier;
mod hear;
mod review;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use thiserror::Error;
use trunkline_platform::db::{Db, DbError, Rows, Session, Stmt, sql_text};

use crate::conversations::number_rows;
use crate::sends;

pub(crate) use answers::may_help;
pub use answers::{Answers, CONFIRM_WITHIN, CONFIRMATION, take_confirmation};
pub(crate) use carrier::{OPTED_OUT, close_refused, hear_refused, lock_refused};
pub(crate) use hear::{hear, lock_for};
pub use review::{ReviewError, ReviewRow, Verdict, decide, opt_in, opt_out, reviews};
pub use words::{Meaning, MoreWords, Words, WordsError};

/// Entries of the ledger that one page of closed numbers looks through.
const LOOKED_THROUGH: i64 = 50_000;

trunkline_platform::statements! {
    /// Differs by necessity: see above. In order, so that two who lock the same numbers do not wait for each other.
    LOCK_SHARED = split {
        postgres:
        "SELECT COUNT(pg_advisory_xact_lock_shared(person)) AS numbers
         FROM (SELECT DISTINCT hashtextextended('opt-out:' || r.number, 0) AS person
               FROM json_to_recordset(CAST($1 AS json)) AS r(number TEXT) ORDER BY 1) AS people",
        sqlite: "SELECT json_array_length($1) AS numbers",
    }
    LOCK_ALONE = split {
        postgres:
        "SELECT COUNT(pg_advisory_xact_lock(person)) AS numbers
         FROM (SELECT DISTINCT hashtextextended('opt-out:' || r.number, 0) AS person
               FROM json_to_recordset(CAST($1 AS json)) AS r(number TEXT) ORDER BY 1) AS people",
        sqlite: "SELECT json_array_length($1) AS numbers",
    }
    FIND_CLOSED = parts {
        "SELECT o.number FROM " (rows "$1" as r (number TEXT)) " JOIN opt_outs AS o ON o.number = r.number
         WHERE o.closed"
    }
    KEEP_CONSENT = same {
        "INSERT INTO consents AS kept (entry, number, act, at, channel, wording, message_id, actor, review, recorded_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (entry) DO UPDATE SET at = excluded.at WHERE excluded.at > kept.at"
    }
    /// While a number stays closed, a confirmation that was taken stays so, and one that is due is not when something
    /// else is said meanwhile.
    KEEP_OPT_OUT = same {
        "INSERT INTO opt_outs AS kept (number, closed, at, entry, channel, confirmation)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (number) DO UPDATE SET
             closed = excluded.closed, at = excluded.at, entry = excluded.entry, channel = excluded.channel,
             confirmation = CASE WHEN NOT (kept.closed AND excluded.closed) THEN excluded.confirmation
                 WHEN kept.confirmation = 'due' AND kept.entry <> excluded.entry THEN 'none'
                 ELSE kept.confirmation END
         WHERE (excluded.at, excluded.closed, excluded.entry) > (kept.at, kept.closed, kept.entry)"
    }
    SHOW_OPT_OUT = same {
        "SELECT o.number, o.closed, o.at, o.channel, o.confirmation, c.wording, c.message_id, c.actor
         FROM opt_outs AS o LEFT JOIN consents AS c ON c.entry = o.entry WHERE o.number = $1"
    }
    LIST_OPT_OUTS = same {
        "SELECT o.number, o.closed, o.at, o.channel, o.confirmation, c.wording, c.message_id, c.actor
         FROM opt_outs AS o LEFT JOIN consents AS c ON c.entry = o.entry
         WHERE o.closed AND (CAST($1 AS TEXT) IS NULL OR o.number > $1) ORDER BY o.number LIMIT $2"
    }
    /// By the entries that decided, so that a place between two of them says nothing of anybody. Looked up one by one: joined, they would
    /// have PostgreSQL read every number for a page.
    LATEST_OPT_OUTS = same {
        "SELECT c.id, c.number, (SELECT o.closed FROM opt_outs AS o WHERE o.number = c.number) AS closed, c.at, c.channel,
                (SELECT o.confirmation FROM opt_outs AS o WHERE o.number = c.number) AS confirmation, c.wording, c.message_id, c.actor
         FROM consents AS c
         WHERE c.id >= $1 AND c.id < $2
           AND (SELECT o.entry FROM opt_outs AS o WHERE o.number = c.number AND o.closed) = c.entry
         ORDER BY c.id DESC LIMIT $3"
    }
    LAST_CONSENT = same { "SELECT COALESCE(MAX(id), 0) AS id FROM consents" }
    LIST_CONSENTS = same {
        "SELECT id, number, act, at, channel, wording, message_id, actor, review, recorded_at FROM consents
         WHERE number = $1 ORDER BY at DESC, id DESC LIMIT $2"
    }
}

pub(super) static ALL_STATEMENTS: &[&[&Stmt]] = &[STATEMENTS, answers::STATEMENTS, review::STATEMENTS];

/// What somebody said about being texted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    OptOut,
    OptIn,
    /// Agreed to be texted, without having asked to stop before.
    Consent,
    Help,
}

impl Act {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OptOut => "opt_out",
            Self::OptIn => "opt_in",
            Self::Consent => "consent",
            Self::Help => "help",
        }
    }
}

/// On which way it was said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Channel {
    Text,
    Phone,
    Email,
    Web,
    InPerson,
    /// The provider refused a text because the person had opted out there.
    Provider,
    Import,
}

const CHANNELS: [Channel; 7] = [
    Channel::Text,
    Channel::Phone,
    Channel::Email,
    Channel::Web,
    Channel::InPerson,
    Channel::Provider,
    Channel::Import,
];

impl Channel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Web => "web",
            Self::InPerson => "in_person",
            Self::Provider => "provider",
            Self::Import => "import",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no channel.
#[derive(Debug, Error)]
#[error("{0:?} is no channel: there are text, phone, email, web, in_person, provider and import")]
pub struct UnknownChannel(String);

impl FromStr for Channel {
    type Err = UnknownChannel;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let found = CHANNELS.into_iter().find(|channel| channel.as_str() == word);
        found.ok_or_else(|| UnknownChannel(word.to_owned()))
    }
}

/// One thing that was said, for the ledger.
#[derive(Clone, Debug)]
pub struct Said<'s> {
    /// What told of it: the same again changes nothing. `message:AC…`, `operator:…`, `send:17:1`.
    pub entry: String,
    pub number: &'s str,
    /// When it was said.
    pub at: DateTime<Utc>,
    pub channel: Channel,
    pub wording: Option<&'s str>,
    pub message_id: Option<&'s str>,
    /// Who wrote it down; none for what the program heard itself.
    pub actor: Option<&'s str>,
    /// A person should look whether it was meant so.
    pub review: bool,
    /// The person is owed a text that confirms it.
    pub confirm: bool,
}

/// A number's state, with what decided it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct OptOutRow {
    pub number: String,
    pub closed: bool,
    pub at: DateTime<Utc>,
    pub channel: String,
    pub confirmation: String,
    pub wording: Option<String>,
    pub message_id: Option<String>,
    pub actor: Option<String>,
}

/// Some of the closed numbers.
#[derive(Clone, Debug)]
pub struct Latest {
    pub rows: Vec<LatestRow>,
    /// Before which entry to go on; none at the end. There can be more although no row is here.
    pub next: Option<i64>,
}

/// A closed number, and the entry of the ledger that closed it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct LatestRow {
    pub id: i64,
    #[sqlx(flatten)]
    pub row: OptOutRow,
}

/// An entry of the ledger.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ConsentRow {
    pub id: i64,
    pub number: String,
    pub act: String,
    pub at: DateTime<Utc>,
    pub channel: String,
    pub wording: Option<String>,
    pub message_id: Option<String>,
    pub actor: Option<String>,
    pub review: Option<String>,
    pub recorded_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Entry {
    id: i64,
}

#[derive(sqlx::FromRow)]
struct Closed {
    number: String,
}

/// Which of these numbers must not be texted. They stay as they are until the transaction ends, so this belongs into
/// the one that decides about the texts, before anything else in it.
pub async fn closed<'n>(
    tx: &mut Session,
    numbers: impl IntoIterator<Item = &'n str>,
) -> Result<BTreeSet<String>, DbError> {
    let numbers = number_rows(numbers)?;
    LOCK_SHARED.bind(numbers.clone()).execute(tx).await?;
    find_closed(tx, numbers).await
}

/// Which of these numbers are closed as far as is known now. It holds nobody up, so nothing may be sent on its word.
pub(crate) async fn closed_so_far<'n>(
    session: &mut Session,
    numbers: impl IntoIterator<Item = &'n str>,
) -> Result<BTreeSet<String>, DbError> {
    find_closed(session, number_rows(numbers)?).await
}

async fn find_closed(session: &mut Session, numbers: Rows) -> Result<BTreeSet<String>, DbError> {
    let rows: Vec<Closed> = FIND_CLOSED.bind(numbers).all(session).await?;
    Ok(rows.into_iter().map(|row| row.number).collect())
}

/// Whether this number must not be texted; see [`closed`].
pub async fn is_closed(tx: &mut Session, number: &str) -> Result<bool, DbError> {
    closed(tx, [number]).await.map(|closed| !closed.is_empty())
}

/// Closes a number: from the commit on nothing is sent to it. True: the ledger did not have it yet.
pub async fn close(tx: &mut Session, said: &Said<'_>, now: DateTime<Utc>) -> Result<bool, DbError> {
    lock_alone(tx, [said.number]).await?;
    let new = keep_consent(tx, Act::OptOut, said, now).await?;
    keep_opt_out(tx, true, said).await?;
    sends::attribute(tx, said.number, said.at).await?;
    Ok(new)
}

/// Opens a number that was closed. True: the ledger did not have it yet.
pub async fn open(tx: &mut Session, said: &Said<'_>, now: DateTime<Utc>) -> Result<bool, DbError> {
    lock_alone(tx, [said.number]).await?;
    let new = keep_consent(tx, Act::OptIn, said, now).await?;
    keep_opt_out(tx, false, said).await?;
    Ok(new)
}

/// Writes into the ledger what opens or closes nothing: a consent, a call for help.
pub async fn note(tx: &mut Session, act: Act, said: &Said<'_>, now: DateTime<Utc>) -> Result<bool, DbError> {
    keep_consent(tx, act, said, now).await
}

/// The state of a number; none when nobody ever spoke of it.
pub async fn show(db: &Db, number: &str) -> Result<Option<OptOutRow>, DbError> {
    SHOW_OPT_OUT.bind(number).optional(&mut db.read().await?).await
}

/// Closed numbers in their order, after one.
pub async fn list(db: &Db, after: Option<&str>, limit: u32) -> Result<Vec<OptOutRow>, DbError> {
    LIST_OPT_OUTS.bind(after).bind(limit.clamp(1, 1_000)).all(&mut db.read().await?).await
}

/// Closed numbers before an entry of the ledger, those whose word we heard last first, of so many entries at a time.
pub async fn latest(db: &Db, before: Option<i64>, limit: u32) -> Result<Latest, DbError> {
    let mut session = db.read().await?;
    let before = match before {
        Some(before) => before,
        None => LAST_CONSENT.query().one::<Entry>(&mut session).await?.id.saturating_add(1),
    };
    let (from, limit) = (before.saturating_sub(LOOKED_THROUGH), limit.clamp(1, 1_000));
    let query = LATEST_OPT_OUTS.bind(from).bind(before).bind(limit + 1);
    let mut rows: Vec<LatestRow> = query.all(&mut session).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = match rows.last().filter(|_| more) {
        Some(last) => Some(last.id),
        None => (from > 1).then_some(from),
    };
    Ok(Latest { rows, next })
}

/// What was said about a number, the latest first.
pub async fn consents(db: &Db, number: &str, limit: u32) -> Result<Vec<ConsentRow>, DbError> {
    LIST_CONSENTS.bind(number).bind(limit.clamp(1, 1_000)).all(&mut db.read().await?).await
}

/// Takes the locks of numbers that will be closed or opened, in one call and first of all.
pub(super) async fn lock_alone<'n>(
    tx: &mut Session,
    numbers: impl IntoIterator<Item = &'n str>,
) -> Result<(), DbError> {
    LOCK_ALONE.bind(number_rows(numbers)?).execute(tx).await.map(drop)
}

async fn keep_consent(
    tx: &mut Session,
    act: Act,
    said: &Said<'_>,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let written = KEEP_CONSENT
        .bind(&said.entry)
        .bind(said.number)
        .bind(act.as_str())
        .bind(said.at)
        .bind(said.channel.as_str())
        .bind(said.wording.map(|wording| sql_text(wording).into_owned()))
        .bind(said.message_id)
        .bind(said.actor)
        .bind(said.review.then_some("open"))
        .bind(now)
        .execute(tx)
        .await?;
    Ok(written > 0)
}

async fn keep_opt_out(tx: &mut Session, closed: bool, said: &Said<'_>) -> Result<(), DbError> {
    let confirmation = if closed && said.confirm { "due" } else { "none" };
    KEEP_OPT_OUT
        .bind(said.number)
        .bind(closed)
        .bind(said.at)
        .bind(&said.entry)
        .bind(said.channel.as_str())
        .bind(confirmation)
        .execute(tx)
        .await
        .map(drop)
}
