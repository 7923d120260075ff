//! A call was answered, if only by a voicemail box.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::{Call, CallStatus};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps who answered a call, and when.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallAnswered {
    pub event: EventId,
}

impl Job for CallAnswered {
    type Services = Services;
    const NAME: &'static str = "call.answered";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep_call(cx, told::<Call>(cx, self.event).await?, CallStatus::InProgress).await
    }
}
