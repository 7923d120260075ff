//! Opt-outs: who must not be texted, and the sentences that wait for a person.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use trunkline_jobs::contacts::optout::{self, Latest, LatestRow, OptOutRow, ReviewError, ReviewRow};

use super::granted::{Granted, Operate, Read, View};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag, people};

pub(super) struct OptOutsApi(pub(super) Desk);

/// On which way something was said
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "OptOutChannel", rename_all = "snake_case")]
enum Channel {
    Text,
    Phone,
    Email,
    Web,
    InPerson,
}

/// Whether a number may be texted, and the word that decided
#[derive(Debug, Object)]
pub(super) struct OptOut {
    number: String,
    /// It must not be texted
    closed: bool,
    /// Since when
    at: DateTime<Utc>,
    /// On which way it was said
    channel: String,
    /// Of the one text that confirms it: `none`, `due` or `taken`
    confirmation: String,
    /// What was said
    wording: Option<String>,
    message_id: Option<String>,
    /// Who wrote it down; absent for what the program heard itself
    actor: Option<String>,
}

/// Numbers to close
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct OptOutsToAdd {
    /// As people write them
    #[oai(validator(min_items = 1, max_items = 500))]
    numbers: Vec<String>,
    /// On which way they asked
    channel: Channel,
    /// What was said, word for word
    #[oai(validator(max_length = 2000))]
    wording: Option<String>,
    /// Only tell how many it would be
    #[oai(default)]
    dry_run: bool,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// Numbers that are closed now
#[derive(Debug, Object)]
struct OptOutsAdded {
    dry_run: bool,
    /// How many different numbers it were
    numbers: u64,
    /// Of them, those that were open; absent in a dry run
    #[oai(skip_serializing_if_is_none)]
    closed: Option<u64>,
}

/// A number to open again
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct OptOutToRemove {
    number: String,
    /// On which way the person asked for it
    channel: Channel,
    /// What was said, word for word
    #[oai(validator(max_length = 2000))]
    wording: Option<String>,
    /// Why, for the audit: a number that asked to be left alone is not opened without
    #[oai(validator(min_length = 1, max_length = 1000))]
    reason: String,
}

/// A number that is open again
#[derive(Debug, Object)]
struct OptOutRemoved {
    number: String,
    was_closed: bool,
}

/// A sentence that was taken for an opt-out
#[derive(Debug, Object)]
struct Review {
    id: i64,
    number: String,
    at: DateTime<Utc>,
    wording: Option<String>,
    message_id: Option<String>,
    /// The number is closed at present
    closed: bool,
}

/// What a sentence was meant as
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "ReviewVerdict", remote = "optout::Verdict", rename_all = "snake_case")]
enum Verdict {
    /// An opt-out
    Confirm,
    /// None: the number is open again
    Reopen,
}

/// A decision about a sentence
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct ReviewDecision {
    verdict: Verdict,
    /// Why, for the audit; a number is not opened without
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// A sentence that was decided about
#[derive(Debug, Object)]
struct Reviewed {
    id: i64,
    number: String,
    /// The number stays closed
    closed: bool,
}

#[OpenApi(tag = "Tag::OptOuts")]
impl OptOutsApi {
    /// List numbers that must not be texted
    ///
    /// Those who said so last come first. A page can be short, or empty, and not the last. Numbers and words are masked; `unmask` takes the scope `pii` and is in the audit.
    #[oai(path = "/opt-outs", method = "get", operation_id = "list_opt_outs")]
    async fn list(
        &self,
        by: Granted<Read>,
        #[oai(default)] unmask: Query<bool>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<OptOut>> {
        let listing = Listing::of("opt-outs", &());
        let before = listing.after(cursor.0.as_deref())?;
        let view = by.view(unmask.0, "opt-outs").await?;
        let Latest { rows, next } = optout::latest(self.0.tasks.db(), before, limit.0).await?;
        let rows = rows.into_iter().map(|LatestRow { row, .. }| OptOut::of(row, view)).collect();
        Ok(listing.page_until(rows, next))
    }

    /// Close numbers
    ///
    /// Of people who asked to stop, on whatever way. From the answer on nothing is sent to them.
    #[oai(path = "/opt-outs", method = "post", operation_id = "add_opt_outs")]
    async fn add(&self, by: Granted<Operate>, body: Json<OptOutsToAdd>) -> Answer<OptOutsAdded> {
        let Json(OptOutsToAdd { numbers, channel, wording, dry_run, reason }) = body;
        let numbers: BTreeSet<String> = people::numbers(&numbers, self.0.country)?.into_iter().collect();
        let told = |closed| OptOutsAdded { dry_run, numbers: numbers.len() as u64, closed };
        if dry_run {
            return Ok(Json(told(None)));
        }
        let given: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let (tasks, actor) = (&self.0.tasks, by.actor(reason));
        let (db, clock, channel) = (tasks.db(), tasks.clock(), channel.into());
        let were = optout::opt_out(db, clock, &given, channel, wording.as_deref(), &actor).await?;
        let closed = were.values().filter(|was_open| **was_open).count() as u64;
        Ok(Json(told(Some(closed))))
    }

    /// Open a number again
    ///
    /// For a reason. The provider may block it still, until the person texts START.
    #[oai(path = "/opt-outs/remove", method = "post", operation_id = "remove_opt_out")]
    async fn remove(&self, by: Granted<Operate>, body: Json<OptOutToRemove>) -> Answer<OptOutRemoved> {
        let Json(OptOutToRemove { number, channel, wording, reason }) = body;
        let number = people::number(&number, self.0.country)?;
        let (tasks, actor) = (&self.0.tasks, by.actor(Some(reason)));
        let (db, clock, channel) = (tasks.db(), tasks.clock(), channel.into());
        let was_closed = optout::opt_in(db, clock, &number, channel, wording.as_deref(), &actor).await?;
        let view = by.view(false, "opt-outs").await?;
        Ok(Json(OptOutRemoved { number: view.number(&number), was_closed }))
    }

    /// List sentences that wait for a person
    ///
    /// They plainly ask to stop and were taken for an opt-out, the oldest first. Numbers and words are masked; `unmask`
    /// takes the scope `pii` and is in the audit.
    #[oai(path = "/opt-outs/reviews", method = "get", operation_id = "list_reviews")]
    async fn reviews(
        &self,
        by: Granted<Read>,
        #[oai(default)] unmask: Query<bool>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Review>> {
        let listing = Listing::of("reviews", &());
        let after = listing.after(cursor.0.as_deref())?;
        let view = by.view(unmask.0, "opt-outs:reviews").await?;
        let rows = optout::reviews(self.0.tasks.db(), after, limit.0 + 1).await?;
        Ok(listing.page(rows, limit.0, |row| row.id, |row| Review::of(row, view)))
    }

    /// Decide what a sentence meant
    #[oai(path = "/opt-outs/reviews/:id/decide", method = "post", operation_id = "decide_review")]
    async fn decide(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<ReviewDecision>,
    ) -> Answer<Reviewed> {
        let Json(ReviewDecision { verdict, reason }) = body;
        let (tasks, actor) = (&self.0.tasks, by.actor(reason));
        let number = optout::decide(tasks.db(), tasks.clock(), id.0, verdict.into(), &actor).await?;
        let view = by.view(false, "opt-outs").await?;
        let closed = matches!(verdict, Verdict::Confirm);
        Ok(Json(Reviewed { id: id.0, number: view.number(&number), closed }))
    }
}

impl OptOut {
    pub(super) fn of(row: OptOutRow, view: View) -> Self {
        Self {
            number: view.number(&row.number),
            closed: row.closed,
            at: row.at,
            channel: row.channel,
            confirmation: row.confirmation,
            wording: row.wording.map(|said| view.said(&said)),
            message_id: row.message_id,
            actor: row.actor,
        }
    }
}

impl Review {
    fn of(row: ReviewRow, view: View) -> Self {
        Self {
            id: row.id,
            number: view.number(&row.number),
            at: row.at,
            wording: row.wording.map(|said| view.said(&said)),
            message_id: row.message_id,
            closed: row.closed,
        }
    }
}

impl From<Channel> for optout::Channel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Text => Self::Text,
            Channel::Phone => Self::Phone,
            Channel::Email => Self::Email,
            Channel::Web => Self::Web,
            Channel::InPerson => Self::InPerson,
        }
    }
}

impl From<ReviewError> for Problem {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::Database(error) => error.into(),
            ReviewError::Unknown(id) => Self::not_found(format!("entry {id} to review; see list_reviews")),
            ReviewError::Decided(..) => Self::conflict(error.to_string()),
            ReviewError::NoReason => {
                Self::invalid("a number that asked to be left alone is opened only for a `reason`")
            }
        }
    }
}
