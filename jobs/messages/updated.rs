//! A text of ours is on its way, as the provider said when it was asked. No webhook tells of that.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Message;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps a text as far as it has come.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageUpdated {
    pub event: EventId,
}

impl Job for MessageUpdated {
    type Services = Services;
    const NAME: &'static str = "message.updated";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep(cx, told::<Message>(cx, self.event).await?).await
    }
}
