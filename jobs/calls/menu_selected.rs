//! A caller chose from the phone menu.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::{Call, CallStatus};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps the choice. The call rings on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallMenuSelected {
    pub event: EventId,
}

impl Job for CallMenuSelected {
    type Services = Services;
    const NAME: &'static str = "call.menu_selected";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep_call(cx, told::<Call>(cx, self.event).await?, CallStatus::Ringing).await
    }
}
