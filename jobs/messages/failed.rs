//! A text of ours could not be sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Message;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Notes that a text was not sent. It can be tried again, so this need not be its end.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageFailed {
    pub event: EventId,
}

impl Job for MessageFailed {
    type Services = Services;
    const NAME: &'static str = "message.failed";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep(cx, told::<Message>(cx, self.event).await?).await
    }
}
