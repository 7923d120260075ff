//! A text of ours was sent and did not arrive.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Message;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Notes that a text was not delivered, with the carrier's reason.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageUndelivered {
    pub event: EventId,
}

impl Job for MessageUndelivered {
    type Services = Services;
    const NAME: &'static str = "message.undelivered";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep(cx, told::<Message>(cx, self.event).await?).await
    }
}
