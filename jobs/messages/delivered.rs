//! A text of ours arrived.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Message;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps an outgoing text, whoever sent it, and that it arrived.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageDelivered {
    pub event: EventId,
}

impl Job for MessageDelivered {
    type Services = Services;
    const NAME: &'static str = "message.delivered";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep(cx, told::<Message>(cx, self.event).await?).await
    }
}
