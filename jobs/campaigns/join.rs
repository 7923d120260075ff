//! Taking in people who come to be of a running campaign's audience, a page at a time. Nobody is in a campaign
//! twice: a recipient's row is unique.

use std::time::Duration;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Retry};

use super::audience;
use crate::{SENDS, Services};

/// How long those who joined may wait for a pump that had nothing to do.
pub(super) const JOIN_EVERY: TimeDelta = TimeDelta::minutes(5);

/// Looks at one page of people, and has the next one looked at.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct JoinCampaign {
    pub campaign: i64,
}

impl Job for JoinCampaign {
    type Services = Services;
    const NAME: &'static str = "campaign.join";
    const QUEUE: Queue = SENDS;
    const RETRY: Retry = Retry::exponential(Duration::from_secs(5), Duration::from_secs(60)).attempts(10);

    fn unique_key(&self) -> Option<String> {
        Some(self.campaign.to_string())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        if audience::join(cx, self.campaign).await? {
            return Ok(Done::new());
        }
        Ok(Done::new().then(cx.follow_up(self)?))
    }
}
