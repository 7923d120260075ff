//! A to-do item in the provider's app changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_openphone::event::Task;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use crate::events::{EventId, told};
use crate::{EVENTS, Services};

trunkline_platform::statements! {
    KEEP_TASK = same {
        "INSERT INTO provider_tasks AS kept (id, event_type, told_at, resource)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET
             event_type = excluded.event_type, told_at = excluded.told_at, resource = excluded.resource
         WHERE (excluded.told_at, excluded.event_type, excluded.resource)
             > (kept.told_at, kept.event_type, kept.resource)"
    }
}

/// Keeps the newest telling of a to-do item, whatever kind of change it was.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProviderTaskChanged {
    pub event: EventId,
}

impl Job for ProviderTaskChanged {
    type Services = Services;
    const NAME: &'static str = "provider_task.changed";
    const QUEUE: Queue = EVENTS;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let told = told::<Task>(cx, self.event).await?;
        KEEP_TASK
            .bind(&told.subject.id)
            .bind(&told.event_type)
            .bind(told.at)
            .bind(told.subject.resource.to_string())
            .execute(&mut cx.services().db.write_one().await?)
            .await?;
        Ok(Done::new())
    }
}
