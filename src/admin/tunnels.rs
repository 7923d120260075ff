//! Tunnels: the deliveries as they came, for a program on a machine that nobody can reach.
//!
//! A look that finds nothing waits for something, so that a delivery is told of at once. How many wait at a time is bounded;
//! who finds no place is answered at once and asks again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use trunkline_jobs::events::{EventId, feed};
use trunkline_jobs::forward::EventTypes;
use trunkline_jobs::forward::tunnels::{self, Batch, Tunnel};
use trunkline_platform::db::DbError;

use super::granted::{Granted, ReadPersonal};
use super::problem::Problem;
use super::{Answer, Desk, Tag};

/// Looks that wait at a time, in one process.
const MOST_WAITING: usize = 32;
/// Between two looks of one that waits.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) struct TunnelsApi(pub(super) Desk);

/// Those who wait for deliveries in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Followers {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Followers {
    /// `stop` lets all of them go.
    pub fn new(stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(MOST_WAITING)), stop }
    }
}

/// What a tunnel is to bring
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct TunnelToOpen {
    /// Types of events, such as `message.received` or `message.*`; absent for all
    #[oai(default, validator(max_items = 50))]
    types: Vec<String>,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// A tunnel
#[derive(Debug, Object)]
#[oai(rename = "Tunnel")]
struct OpenTunnel {
    id: i64,
    /// Whoever gives this as `after` gets what is received from now on
    position: i64,
    /// Open another then
    expires_at: DateTime<Utc>,
}

/// A verified webhook as it came
#[derive(Debug, Object)]
struct Delivery {
    /// The event's number
    id: i64,
    event_type: String,
    received_at: DateTime<Utc>,
    correlation_id: String,
    /// Each header's values by its name, those left out that carry somebody's credentials
    headers: BTreeMap<String, Vec<String>>,
    /// Byte for byte what was signed
    body: String,
}

/// Deliveries in order
#[derive(Debug, Object)]
struct Deliveries {
    items: Vec<Delivery>,
    /// Give it as `after` to go on, once these are dealt with
    next: i64,
}

#[OpenApi(tag = "Tag::Development")]
impl TunnelsApi {
    /// Open a tunnel
    ///
    /// What is asked for through it is not in the audit again; that it was opened is.
    #[oai(path = "/tunnels", method = "post", operation_id = "open_tunnel")]
    async fn open(&self, by: Granted<ReadPersonal>, body: Json<TunnelToOpen>) -> Answer<OpenTunnel> {
        let Json(TunnelToOpen { types, reason }) = body;
        let types = EventTypes::new(types).map_err(|error| Problem::invalid(error.to_string()))?;
        let (db, now) = (self.0.tasks.db(), self.0.tasks.clock().now());
        let position = feed::reach(db).await?.0;
        let key = by.caller().key.as_str();
        let Tunnel { id, expires_at, .. } = tunnels::open(db, key, &types, &by.actor(reason), now).await?;
        Ok(Json(OpenTunnel { id, position, expires_at }))
    }

    /// Follow deliveries
    ///
    /// What was received after a number, in order; nothing is passed over. Ask again with `next` once it is dealt with: what
    /// was cut off on the way is then answered again.
    #[oai(path = "/tunnels/:id/deliveries", method = "get", operation_id = "follow_deliveries")]
    async fn follow(
        &self,
        by: Granted<ReadPersonal>,
        id: Path<i64>,
        /// The number of the last event that was dealt with; 0 for the beginning
        #[oai(validator(minimum(value = "0")))]
        after: Query<i64>,
        #[oai(default = "most", validator(minimum(value = "1"), maximum(value = "100")))] limit: Query<u32>,
        /// How many seconds to wait for something
        #[oai(default, validator(maximum(value = "25")))]
        wait: Query<u32>,
    ) -> Answer<Deliveries> {
        let now = self.0.tasks.clock().now();
        let found = tunnels::find(self.0.tasks.db(), id.0, by.caller().key.as_str(), now).await?;
        let tunnel = found.ok_or_else(|| Problem::not_found(format!("tunnel {} of this key", id.0)))?;
        let until = Instant::now() + Duration::from_secs(wait.0.into());
        let batch = self.wait(&tunnel, EventId(after.0), limit.0, until).await?;
        let items: Result<Vec<Delivery>, _> = batch.deliveries.into_iter().map(Delivery::of).collect();
        let items = items.map_err(|error| Problem::internal(&error))?;
        Ok(Json(Deliveries { items, next: batch.next.0 }))
    }
}

impl TunnelsApi {
    /// Looks until there is something, the time is over, or this process stops.
    async fn wait(
        &self,
        tunnel: &Tunnel,
        after: EventId,
        limit: u32,
        until: Instant,
    ) -> Result<Batch, DbError> {
        let Followers { places, stop } = &self.0.followers;
        let db = self.0.tasks.db();
        let mut batch = tunnel.read(db, after, limit).await?;
        let Ok(_place) = places.try_acquire() else { return Ok(batch) };
        // What passed by unwanted counts as progress, too: it need not be looked at again.
        while batch.deliveries.is_empty() && Instant::now() < until {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = timeout_at(until, sleep(LOOK_EVERY)) => {}
            }
            batch = tunnel.read(db, batch.next, limit).await?;
        }
        Ok(batch)
    }
}

fn most() -> u32 {
    100
}

impl Delivery {
    fn of(original: feed::Original) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: original.id.0,
            event_type: original.event_type,
            received_at: original.received_at,
            correlation_id: original.correlation_id,
            headers: serde_json::from_str(&original.headers)?,
            body: original.body,
        })
    }
}
