//! What was said in a call.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Transcript;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps the transcript of a call, which may not be known yet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallTranscript {
    pub event: EventId,
}

impl Job for CallTranscript {
    type Services = Services;
    const NAME: &'static str = "call.transcript";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep_transcript(cx, told::<Transcript>(cx, self.event).await?).await
    }
}
