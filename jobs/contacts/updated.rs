//! A contact was made or changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Contact;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store::{self, Standing};
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Replaces what is known of a contact by what is newer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ContactUpdated {
    pub event: EventId,
}

impl Job for ContactUpdated {
    type Services = Services;
    const NAME: &'static str = "contact.updated";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep(cx, told::<Contact>(cx, self.event).await?, Standing::Present).await
    }
}
