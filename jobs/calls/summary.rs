//! What a call came to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Summary;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps the summary of a call, which may not be known yet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallSummary {
    pub event: EventId,
}

impl Job for CallSummary {
    type Services = Services;
    const NAME: &'static str = "call.summary";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep_summary(cx, told::<Summary>(cx, self.event).await?).await
    }
}
