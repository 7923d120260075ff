//! Having late joiners looked for, campaign by campaign.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::JoinCampaign;
use super::table::{self, CampaignRow};
use crate::{SENDS, Services};

/// Running campaigns of one look.
const MOST: u32 = 1_000;

trunkline_platform::statements! {
    /// The states of the index are named as it names them: SQLite draws no conclusions.
    FIND_RUNNING = parts {
        "SELECT " (sql table::COLUMNS)
        " FROM campaigns WHERE state IN ('running', 'paused') AND state = 'running' ORDER BY id DESC LIMIT $1"
    }
}

/// Has people taken in by every running campaign that takes late joiners.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct FindLateJoiners {}

impl Job for FindLateJoiners {
    type Services = Services;
    const NAME: &'static str = "campaigns.late_joiners";
    const QUEUE: Queue = SENDS;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let running: Vec<CampaignRow> =
            FIND_RUNNING.bind(MOST).all(&mut cx.services().db.read().await?).await?;
        running.iter().filter(|row| row.takes_late_joiners()).try_fold(Done::new(), |done, row| {
            Ok(done.then(cx.follow_up(&JoinCampaign { campaign: row.id })?))
        })
    }
}
