//! Follow the stored events for one endpoint, and make a task of each delivery that it wants.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::{Rows, sql_time};
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};
use trunkline_platform::task::NewTask;

use super::deliver::ForwardDelivery;
use super::endpoints::{self, EndpointRow};
use crate::events::EventId;
use crate::events::feed::{self, Head};
use crate::{FORWARD, Services};

/// How often an endpoint's pump looks.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(1);
/// Events of one look.
const LOOK_AT: u32 = 500;
/// Deliveries that wait for one endpoint. Those behind them stay where they are, in the table of events.
const MOST_WAITING: i64 = 100;
/// A task that lives for a month would carry the failures of a month.
const RENEW_AFTER: TimeDelta = TimeDelta::hours(1);

trunkline_platform::statements! {
    /// Compares where it was, so of two pumps one makes the tasks.
    MOVE_ENDPOINT = same {
        "UPDATE dev_endpoints SET seen_to = $3 WHERE id = $1 AND seen_to = $2 AND ended_at IS NULL"
    }
    ADD_FORWARDS = parts {
        "INSERT INTO forwards (endpoint_id, event_id, event_type, state, tries, created_at)
         SELECT $1, r.event_id, r.event_type, 'waiting', 0, r.created_at
         FROM " (rows "$2" as r (event_id BIGINT, event_type TEXT, created_at TIMESTAMPTZ))
        " WHERE true ORDER BY r.event_id ON CONFLICT DO NOTHING"
    }
}

/// Makes tasks of what one endpoint wants, for as long as it is open.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PumpForwards {
    pub endpoint: i64,
}

#[derive(Serialize)]
struct Line<'h> {
    event_id: i64,
    event_type: &'h str,
    created_at: String,
}

impl Job for PumpForwards {
    type Services = Services;
    const NAME: &'static str = "forward.pump";
    const QUEUE: Queue = FORWARD;
    const PRIORITY: Priority = Priority::HIGH;
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn unique_key(&self) -> Option<String> {
        Some(self.endpoint.to_string())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let db = &cx.services().db;
        let now = cx.now();
        let found = endpoints::find(&mut db.read().await?, self.endpoint).await?;
        let Some(endpoint) = found.filter(|endpoint| endpoint.ended_at.is_none()) else {
            return Ok(Done::new());
        };
        if endpoint.expires_at <= now {
            let mut tx = db.write().await?;
            endpoints::expire(&mut tx, endpoint.id, now).await?;
            tx.commit().await?;
            return Ok(Done::new());
        }
        if self.make_tasks(cx, &endpoint, now).await? || now - cx.task().created_at >= RENEW_AFTER {
            return Ok(Done::new().then(cx.follow_up(self)?));
        }
        Err(Failure::snooze_until(now + LOOK_EVERY, "waiting for deliveries"))
    }
}

impl PumpForwards {
    /// True: there is more to be had at once.
    async fn make_tasks(
        &self,
        cx: &Context<Services>,
        endpoint: &EndpointRow,
        now: DateTime<Utc>,
    ) -> Result<bool, Failure> {
        let mut room = MOST_WAITING - endpoint.waiting;
        if room <= 0 {
            return Ok(false);
        }
        let from = EventId(endpoint.seen_to);
        let look = feed::look(&cx.services().db, from, LOOK_AT).await?;
        let (types, mut wanted, mut next) = (endpoint.types(), Vec::<&Head>::new(), look.next);
        for head in &look.heads {
            if !head.was_delivered() || !types.want(&head.event_type) {
                continue;
            }
            if room == 0 {
                next = EventId(head.id.0 - 1);
                break;
            }
            room -= 1;
            wanted.push(head);
        }
        if next == from {
            return Ok(false);
        }
        let mut tx = cx.services().upkeep.tasks.begin().await?;
        let moved = MOVE_ENDPOINT.bind(endpoint.id).bind(from.0).bind(next.0);
        if moved.execute(tx.session()).await? == 0 {
            return Ok(false);
        }
        let lines: Vec<Line<'_>> = wanted
            .iter()
            .map(|head| Line { event_id: head.id.0, event_type: &head.event_type, created_at: sql_time(now) })
            .collect();
        ADD_FORWARDS.bind(endpoint.id).bind(Rows::of(&lines)?).execute(tx.session()).await?;
        let tasks: Result<Vec<NewTask>, _> = wanted
            .iter()
            .map(|head| {
                let job = ForwardDelivery { endpoint: endpoint.id, event: head.id };
                Ok::<_, serde_json::Error>(cx.follow_up(&job)?.correlation_id(&head.correlation_id))
            })
            .collect();
        tx.enqueue(&tasks?).await?;
        tx.commit().await?;
        Ok(room > 0 && look.heads.len() >= LOOK_AT as usize)
    }
}
