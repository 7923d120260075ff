//! Development endpoints: where verified deliveries are forwarded to.

use chrono::{DateTime, TimeDelta, Utc};
use poem::http::StatusCode;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use trunkline_jobs::forward::EventTypes;
use trunkline_jobs::forward::endpoints::{
    self, EndpointError, EndpointRow, EndpointState, ForwardRow, NewEndpoint,
};

use super::granted::{Administer, Granted, Read};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use crate::mask;

pub(super) struct EndpointsApi(pub(super) Desk);

/// Whether anything is forwarded there
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "EndpointState", remote = "EndpointState", rename_all = "snake_case")]
enum State {
    Open,
    Expired,
    Removed,
    /// It was found to lead where nothing may be sent
    Refused,
}

/// A development endpoint
#[derive(Debug, Object)]
struct Endpoint {
    id: i64,
    /// Without its query
    url: String,
    /// The types of events that it gets; empty for all
    types: Vec<String>,
    state: State,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    /// Deliveries that were not sent yet
    waiting: i64,
    /// The number of the last event that was looked at for it
    seen_to: i64,
}

/// An endpoint to register
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct EndpointToAdd {
    /// Within the installation's `forward.allow`
    #[oai(validator(min_length = 1, max_length = 2000))]
    url: String,
    /// The types of events that it gets, such as `message.received` or `message.*`; absent for all
    #[oai(default, validator(max_items = 50))]
    types: Vec<String>,
    /// How long it is good for
    #[oai(validator(minimum(value = "60"), maximum(value = "2592000")))]
    expires_in_seconds: i64,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// What came of a delivery
#[derive(Debug, Object)]
struct Forward {
    /// The event's number
    event: i64,
    event_type: String,
    /// `waiting`, `delivered`, `failed` (given up), `refused` (it must not be sent there), `dropped` (the endpoint was gone)
    state: String,
    tries: i32,
    /// What was answered last
    status: Option<i32>,
    /// How long that took
    duration_ms: Option<i64>,
    error: Option<String>,
    created_at: DateTime<Utc>,
    tried_at: Option<DateTime<Utc>>,
}

#[OpenApi(tag = "Tag::Development")]
impl EndpointsApi {
    /// List development endpoints
    ///
    /// The newest first, those included that are closed.
    #[oai(path = "/endpoints", method = "get", operation_id = "list_endpoints")]
    async fn list(
        &self,
        _by: Granted<Read>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Endpoint>> {
        let listing = Listing::of("endpoints", &());
        let before = listing.after(cursor.0.as_deref())?;
        let rows = endpoints::list(self.0.tasks.db(), before, limit.0 + 1).await?;
        let now = self.0.tasks.clock().now();
        Ok(listing.page(rows, limit.0, |row| row.id, |row| Endpoint::of(&row, now)))
    }

    /// Register a development endpoint
    ///
    /// It gets every verified webhook from now on, body and headers as they came, until it expires. An address that the
    /// installation's `forward.allow` does not admit is refused, and the refusal is in the audit.
    #[oai(path = "/endpoints", method = "post", operation_id = "add_endpoint")]
    async fn add(&self, by: Granted<Administer>, body: Json<EndpointToAdd>) -> Answer<Endpoint> {
        let Json(EndpointToAdd { url, types, expires_in_seconds, reason }) = body;
        let types = EventTypes::new(types).map_err(|error| Problem::invalid(error.to_string()))?;
        let new = NewEndpoint { url, types, expires_in: TimeDelta::seconds(expires_in_seconds) };
        let actor = by.actor(reason);
        let row = endpoints::register(&self.0.tasks, &self.0.forwarder, new, &actor).await?;
        Ok(Json(Endpoint::of(&row, self.0.tasks.clock().now())))
    }

    /// Remove a development endpoint
    ///
    /// Nothing is sent there any more; what waits is dropped.
    #[oai(path = "/endpoints/:id", method = "delete", operation_id = "remove_endpoint")]
    async fn remove(
        &self,
        by: Granted<Administer>,
        id: Path<i64>,
        /// Why, for the audit
        #[oai(validator(max_length = 1000))]
        reason: Query<Option<String>>,
    ) -> Answer<Endpoint> {
        let row = endpoints::remove(&self.0.tasks, id.0, &by.actor(reason.0)).await?;
        Ok(Json(Endpoint::of(&row, self.0.tasks.clock().now())))
    }

    /// List what was forwarded
    ///
    /// To one endpoint, the newest first.
    #[oai(path = "/endpoints/:id/forwards", method = "get", operation_id = "list_forwards")]
    async fn forwards(
        &self,
        _by: Granted<Read>,
        id: Path<i64>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Forward>> {
        let listing = Listing::of("forwards", &id.0);
        let before = listing.after(cursor.0.as_deref())?;
        let db = self.0.tasks.db();
        if endpoints::show(db, id.0).await?.is_none() {
            return Err(EndpointError::Unknown(id.0).into());
        }
        let rows = endpoints::log(db, id.0, before, limit.0 + 1).await?;
        Ok(listing.page(rows, limit.0, |row| row.event_id, Forward::of))
    }
}

impl Endpoint {
    fn of(row: &EndpointRow, now: DateTime<Utc>) -> Self {
        Self {
            id: row.id,
            url: row.shown_url(),
            types: row.types().names().to_vec(),
            state: row.state(now).into(),
            created_at: row.created_at,
            created_by: row.created_by.clone(),
            expires_at: row.expires_at,
            ended_at: row.ended_at,
            waiting: row.waiting,
            seen_to: row.seen_to,
        }
    }
}

impl Forward {
    fn of(row: ForwardRow) -> Self {
        Self {
            event: row.event_id,
            event_type: row.event_type,
            state: row.state,
            tries: row.tries,
            status: row.status,
            duration_ms: row.duration_ms,
            error: row.error.map(|error| mask::phones_in(&error)),
            created_at: row.created_at,
            tried_at: row.tried_at,
        }
    }
}

impl From<EndpointError> for Problem {
    fn from(error: EndpointError) -> Self {
        match error {
            EndpointError::Unknown(id) => Self::not_found(format!("endpoint {id}")),
            EndpointError::Refused(_) => Self::new(StatusCode::FORBIDDEN, "not_listed", error.to_string()),
            EndpointError::TooMany | EndpointError::Ended(_) => Self::conflict(error.to_string()),
            EndpointError::Database(error) => error.into(),
            EndpointError::Invalid(_) | EndpointError::Unreachable(_) => Self::invalid(error.to_string()),
        }
    }
}
