//! A contact was deleted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Contact;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::store::{self, Standing};
use crate::events::{EventId, told};
use crate::{EVENTS, Services};

/// Marks a contact as deleted, for good.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ContactDeleted {
    pub event: EventId,
}

impl Job for ContactDeleted {
    type Services = Services;
    const NAME: &'static str = "contact.deleted";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        store::keep(cx, told::<Contact>(cx, self.event).await?, Standing::Deleted).await
    }
}
