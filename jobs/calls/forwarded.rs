//! A call was sent on to another number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::{Call, CallStatus};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps where a call was sent. How it ended there is told when it is completed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallForwarded {
    pub event: EventId,
}

impl Job for CallForwarded {
    type Services = Services;
    const NAME: &'static str = "call.forwarded";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep_call(cx, told::<Call>(cx, self.event).await?, CallStatus::Ringing).await
    }
}
