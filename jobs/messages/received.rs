//! Somebody texted us.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Message;
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps an incoming text and fetches what came with it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageReceived {
    pub event: EventId,
}

impl Job for MessageReceived {
    type Services = Services;
    const NAME: &'static str = "message.received";
    const QUEUE: Queue = EVENTS;
    const PRIORITY: Priority = Priority::HIGH;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep(cx, told::<Message>(cx, self.event).await?).await
    }
}
