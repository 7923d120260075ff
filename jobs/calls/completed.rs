//! A call ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::{Call, CallStatus};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps how a call ended, with the recordings and the voicemail that the oldest webhooks put into it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallCompleted {
    pub event: EventId,
}

impl Job for CallCompleted {
    type Services = Services;
    const NAME: &'static str = "call.completed";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep_call(cx, told::<Call>(cx, self.event).await?, CallStatus::Completed).await
    }
}
