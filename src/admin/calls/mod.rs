//! Calls, and what was made of them.

#![expect(clippy::too_many_arguments, reason = "an argument is a parameter of the operation")]

mod figures;
mod full;

use chrono::{DateTime, NaiveDate, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use trunkline_jobs::calls::stats::{self, Filter, Range, USUAL_DAYS};
use trunkline_jobs::calls::{self, CallFilter, CallLine};

use super::granted::{Granted, Read, View};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use figures::{By, Figures};
use full::CallInFull;

pub(super) struct CallsApi(pub(super) Desk);

/// Which way a call went
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "CallDirection", rename_all = "snake_case")]
enum Direction {
    Incoming,
    Outgoing,
}

/// A call
#[derive(Debug, Object)]
struct Call {
    id: String,
    /// When it began
    at: DateTime<Utc>,
    /// `incoming` or `outgoing`; absent where nobody told
    direction: Option<String>,
    /// How it stands or how it ended, in the provider's word
    status: String,
    caller: Option<String>,
    callee: Option<String>,
    user_id: Option<String>,
    answered_by: Option<String>,
    duration_ms: Option<i64>,
    conversation_id: Option<String>,
    has_voicemail: bool,
    /// What it came to: one of the counts of `call_stats`. Absent while it goes on
    outcome: Option<String>,
    recorded: bool,
    transcribed: bool,
    summarised: bool,
}

#[OpenApi(tag = "Tag::Calls")]
impl CallsApi {
    /// List calls
    ///
    /// The newest first. Numbers are masked; `show_call` can unmask.
    #[oai(path = "/calls", method = "get", operation_id = "list_calls")]
    async fn list(
        &self,
        by: Granted<Read>,
        /// Somebody who took part: `+12125550101`
        number: Query<Option<String>>,
        direction: Query<Option<Direction>>,
        /// How it ended: `missed`
        status: Query<Option<String>>,
        /// What it came to, as `call_stats` counts it: `voicemail`
        outcome: Query<Option<String>>,
        /// The user who answered it, or else whose call it was: the provider's id
        user: Query<Option<String>>,
        /// Begun since then
        since: Query<Option<DateTime<Utc>>>,
        /// Begun before then
        until: Query<Option<DateTime<Utc>>>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Call>> {
        let direction = direction.0.map(Direction::as_str);
        let narrowed = (&number.0, direction, &status.0, &outcome.0, &user.0, since.0, until.0);
        let listing = Listing::of("calls", &narrowed);
        let filter = CallFilter {
            before: listing.after(cursor.0.as_deref())?,
            number: number.0,
            direction: direction.map(str::to_owned),
            status: status.0,
            outcome: outcome.0,
            user: user.0,
            since: since.0,
            until: until.0,
            limit: limit.0 + 1,
        };
        let view = by.view(false, "calls").await?;
        let rows = calls::list(self.0.tasks.db(), &filter).await?;
        Ok(listing.page(rows, limit.0, |row| (row.at, row.id.clone()), |row| Call::of(row, view)))
    }

    /// Tell figures on calls
    ///
    /// How many came to what, how long people talked, and when it rings. Days and hours are those of the business's zone.
    #[oai(path = "/calls/stats", method = "get", operation_id = "call_stats")]
    async fn stats(
        &self,
        by: Granted<Read>,
        /// What to tell the figures by, beside the whole
        #[oai(name = "by")]
        breakdown: Query<Option<By>>,
        /// The first day: `2026-03-01`. Otherwise so that it is 30 days
        from: Query<Option<NaiveDate>>,
        /// The last day. Otherwise today
        to: Query<Option<NaiveDate>>,
        /// Only calls on one of our numbers: as people dial it, or the provider's id of it
        number: Query<Option<String>>,
        /// Only calls of a user: the provider's id
        user: Query<Option<String>>,
    ) -> Answer<Figures> {
        let (db, zone) = (self.0.tasks.db(), self.0.zone);
        let range = Range::asked(from.0, to.0, USUAL_DAYS, self.0.tasks.clock().now(), zone);
        let filter = Filter { range, number: number.0, user: user.0 };
        let view = by.view(false, "calls").await?;
        let told = stats::stats(db, zone, &filter, breakdown.0.and_then(By::breakdown)).await?;
        let hours = match breakdown.0 {
            Some(By::Hour) => Some(stats::by_hour(db, zone, &filter).await?),
            _ => None,
        };
        Ok(Json(Figures::of(told, hours, view)))
    }

    /// Show a call
    ///
    /// With all that was made of it: recordings, dialogue, summary, voicemail. Numbers and texts are masked; `unmask`
    /// takes the scope `pii` and is in the audit.
    #[oai(path = "/calls/:id", method = "get", operation_id = "show_call")]
    async fn show(
        &self,
        by: Granted<Read>,
        id: Path<String>,
        #[oai(default)] unmask: Query<bool>,
    ) -> Answer<CallInFull> {
        let details = calls::show(self.0.tasks.db(), &id).await?;
        let details = details.ok_or_else(|| Problem::not_found("call with this id"))?;
        let view = by.view(unmask.0, &format!("call:{}", details.call.id)).await?;
        Ok(Json(CallInFull::of(details, view)))
    }
}

impl Call {
    fn of(line: CallLine, view: View) -> Self {
        Self {
            id: line.id,
            at: line.at,
            direction: line.direction,
            status: line.status,
            caller: line.caller.map(|number| view.number(&number)),
            callee: line.callee.map(|number| view.number(&number)),
            user_id: line.user_id,
            answered_by: line.answered_by,
            duration_ms: line.duration_ms,
            conversation_id: line.conversation_id,
            has_voicemail: line.has_voicemail,
            outcome: line.outcome,
            recorded: line.recorded,
            transcribed: line.transcribed,
            summarised: line.summarised,
        }
    }
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }
}
