//! Begin a run when its time has come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::runs::{Begun, Order, begin};
use crate::{MEDIA, Services};

/// Recordings, summaries and transcripts are ready minutes after their call: an hour before the mark is looked at again.
pub const OVERLAP_MINUTES: u32 = 60;

fn overlap() -> u32 {
    OVERLAP_MINUTES
}

/// Begins to ask for what webhooks missed since the last time.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StartReconcile {
    /// How many minutes before the last time to begin.
    #[serde(default = "overlap")]
    pub overlap_minutes: u32,
}

impl Job for StartReconcile {
    type Services = Services;
    const NAME: &'static str = "reconcile.start";
    const QUEUE: Queue = MEDIA;

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let services = cx.services();
        if !services.provider.is_configured() {
            return Err(Failure::discard("there is no API key to ask the provider with (openphone.api_key)"));
        }
        let order = Order { overlap_minutes: self.overlap_minutes, ..Order::default() };
        let mut tx = services.upkeep.tasks.begin().await?;
        let begun = begin(&mut tx, &order, &format!("task:{}", cx.task().id), cx.now()).await?;
        tx.commit().await?;
        if let Begun::Running(run) = begun {
            tracing::info!(run, "an earlier reconciliation is still under way");
        }
        Ok(Done::new())
    }
}
