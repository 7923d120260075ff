//! Events: what the provider told us.

#![expect(clippy::too_many_arguments, reason = "an argument is a parameter of the operation")]

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::Value;
use trunkline_jobs::events::{self, EventFilter, EventId, EventRow, EventState, EventSummary, FoundEvent};

use super::granted::{Granted, Read, View};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag};

pub(super) struct EventsApi(pub(super) Desk);

/// What became of an event: how its newest task stands; `unknown`, no job knew its type; `gone`, its task is no longer
/// stored
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "EventState", remote = "EventState", rename_all = "snake_case")]
pub(super) enum State {
    Pending,
    Running,
    Done,
    Dead,
    Cancelled,
    Discarded,
    Unknown,
    Gone,
}

/// An event
#[derive(Debug, Object)]
#[oai(rename = "Event")]
pub(super) struct Told {
    id: i64,
    event_type: String,
    /// The name of its job; absent when no job knew its type
    job: Option<String>,
    state: Option<State>,
    /// The provider's id of the event
    event_id: String,
    /// How it came: `standard`, `legacy`, or `reconciled` when we asked for it
    scheme: String,
    api_version: Option<String>,
    occurred_at: Option<DateTime<Utc>>,
    received_at: DateTime<Utc>,
    /// Shared by everything that followed from it
    correlation_id: String,
}

/// An event as it came
#[derive(Debug, Object)]
struct EventInFull {
    event: Told,
    /// By which it is known when it comes again
    dedupe_key: String,
    /// Without credentials
    headers: BTreeMap<String, Vec<String>>,
    body: Any<Value>,
}

#[OpenApi(tag = "Tag::Events")]
impl EventsApi {
    /// List events
    ///
    /// The newest first. All that is said must hold. A page looks at 5,000 events at the most, so with `number`, `text` or
    /// `state` it can be short, or empty, and not the last: go on while there is `next`.
    #[oai(path = "/events", method = "get", operation_id = "list_events")]
    async fn list(
        &self,
        _by: Granted<Read>,
        /// The type as it was sent: `message.received`
        #[oai(name = "type")]
        event_type: Query<Option<String>>,
        /// Received at this time or later
        since: Query<Option<DateTime<Utc>>>,
        /// Received before this time
        until: Query<Option<DateTime<Utc>>>,
        /// Tells of this phone number, on either side
        number: Query<Option<String>>,
        /// Part of anything it tells: words, names, ids. Capitals or not
        text: Query<Option<String>>,
        state: Query<Option<State>>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Told>> {
        let filter = EventFilter {
            event_type: event_type.0,
            since: since.0,
            until: until.0,
            number: number.0,
            text: text.0,
            state: state.0.map(EventState::from),
        };
        let filter = checked(filter)?;
        let listing = Listing::of("events", &filter);
        let before: Option<EventId> = listing.after(cursor.0.as_deref())?;
        let found = events::find(self.0.tasks.db(), &filter, before, limit.0 as usize).await?;
        Ok(listing.page_until(found.events.into_iter().map(Told::of).collect(), found.next))
    }

    /// Show an event
    ///
    /// With its body. `unmask` takes the scope `pii` and is in the audit.
    #[oai(path = "/events/:id", method = "get", operation_id = "show_event")]
    async fn show(
        &self,
        by: Granted<Read>,
        id: Path<i64>,
        #[oai(default)] unmask: Query<bool>,
    ) -> Answer<EventInFull> {
        let id = EventId(id.0);
        let row = events::show(self.0.tasks.db(), id).await?;
        let row = row.ok_or_else(|| Problem::not_found(format!("event {id}")))?;
        let view = by.view(unmask.0, &format!("event:{id}")).await?;
        let summary = row.summary();
        let state = events::state_of(self.0.tasks.db(), &summary).await?;
        Ok(Json(EventInFull::of(row, Told::of(FoundEvent { event: summary, state, body: None }), view)))
    }
}

/// The filter, or why it cannot be meant.
pub(super) fn checked(filter: EventFilter) -> Result<EventFilter, Problem> {
    filter.checked().map_err(|error| Problem::invalid(trunkline_platform::chain(&error)))
}

impl Told {
    fn of(found: FoundEvent) -> Self {
        Self { state: found.state.map(State::from), ..Self::stateless(found.event) }
    }

    pub(super) fn stateless(event: EventSummary) -> Self {
        Self {
            id: event.id.0,
            event_type: event.event_type,
            job: event.job,
            state: None,
            event_id: event.event_id,
            scheme: event.scheme,
            api_version: event.api_version,
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            correlation_id: event.correlation_id,
        }
    }
}

impl EventInFull {
    fn of(row: EventRow, event: Told, view: View) -> Self {
        Self {
            event,
            dedupe_key: row.dedupe_key,
            headers: serde_json::from_str(&row.headers).unwrap_or_default(),
            body: Any(view.json(&row.body)),
        }
    }
}
