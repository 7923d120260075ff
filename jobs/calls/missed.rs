//! A call that nobody took.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::{Call, CallStatus};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps that a call was missed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallMissed {
    pub event: EventId,
}

impl Job for CallMissed {
    type Services = Services;
    const NAME: &'static str = "call.missed";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep_call(cx, told::<Call>(cx, self.event).await?, CallStatus::Missed).await
    }
}
