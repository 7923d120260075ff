//! What `trunkline dev --with-trouble` breaks on purpose, so that whoever is new can find out why something died, and mend
//! it: a task with a slip in its payload, and a queue that somebody paused and forgot.

use anyhow::{Context, Result};
use serde_json::json;
use trunkline_jobs::contacts::ContactUpdated;
use trunkline_jobs::events::{self, EventFilter};
use trunkline_openphone::event::{EventType, Generation};
use trunkline_openphone::factory::Factory;
use trunkline_openphone::simulator::SimulatorHandle;
use trunkline_platform::audit::Actor;
use trunkline_platform::job::{Job, Jobs};
use trunkline_platform::task::Tasks;

const PAUSED: &str = "media";
/// Nobody stores so many events while they try the program.
const SLIP: i64 = 1_000_000;

/// Makes the trouble, once the receiver takes webhooks: at every start one more task that dies.
pub(super) async fn make(tasks: &Tasks, simulator: &SimulatorHandle) -> Result<()> {
    let actor = |name: &str, reason: String| Actor { name: name.to_owned(), reason: Some(reason) };
    let told = Factory::new(tasks.clock().now().timestamp_micros().unsigned_abs())
        .event(EventType::ContactUpdated, Generation::Dated, tasks.clock().now())
        .context("making an event")?;
    simulator.emit(told).await.context("telling the receiver of a contact")?;
    let name = EventType::ContactUpdated.as_str();
    let filter = EventFilter { event_type: Some(name.to_owned()), ..EventFilter::default() };
    let found = events::find(tasks.db(), &filter, None, 1).await?;
    let event = found.events.first().context("the event was not stored")?.event.id.0;
    let task = trunkline_jobs::registry()?.check(ContactUpdated::NAME, &json!({ "event": event * SLIP }))?;
    let why = format!("apply event {event} once more, the contact looks old");
    tasks.enqueue_by_hand(&task, None, &actor("operator:day-shift", why)).await?;
    let why = "their host was slow this afternoon".to_owned();
    tasks.pause_queue(PAUSED, true, &actor("operator:day-shift", why)).await?;
    Ok(())
}
