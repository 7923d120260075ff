//! A caller left a message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Voicemail;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store;
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Keeps a voicemail and fetches it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CallVoicemail {
    pub event: EventId,
}

impl Job for CallVoicemail {
    type Services = Services;
    const NAME: &'static str = "call.voicemail";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep_voicemail(cx, told::<Voicemail>(cx, self.event).await?).await
    }
}
