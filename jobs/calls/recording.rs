//! A call was recorded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::CallRecordings;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps the recordings of a call, which may not be known yet, and fetches them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallRecording {
    pub event: EventId,
}

impl Job for CallRecording {
    type Services = Services;
    const NAME: &'static str = "call.recording";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep_recordings(cx, told::<CallRecordings>(cx, self.event).await?).await
    }
}
