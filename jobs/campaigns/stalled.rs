//! Campaigns that are to send and do not, because their pump is a dead letter: one that is always running dies with every
//! process that dies, and so may be taken for poison.

use serde::Serialize;
use trunkline_platform::db::DbError;
use trunkline_platform::job::Job;
use trunkline_platform::task::dead::{DeadFilter, Order};
use trunkline_platform::task::{TaskId, Tasks};

use super::pump::PumpCampaign;
use super::read::show;
use super::state::State;

/// The most dead pumps that are looked at.
const MOST: u32 = 100;

/// A campaign that stands still until somebody retries its task.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Stalled {
    pub campaign: i64,
    pub task: TaskId,
}

/// Those that stand still; of the newest 100 pumps that died.
pub async fn stalled(tasks: &Tasks) -> Result<Vec<Stalled>, DbError> {
    let pumps = DeadFilter { kind: Some(PumpCampaign::NAME.to_owned()), ..DeadFilter::default() };
    let mut found = Vec::new();
    for row in tasks.list_dead(&pumps, Order::Newest, None, MOST).await? {
        let Ok(pump) = serde_json::from_str::<PumpCampaign>(&row.payload) else { continue };
        let waits = show(tasks.db(), pump.campaign).await?.is_some_and(|campaign| {
            matches!(campaign.state, State::Scheduled | State::Running)
                && campaign.generation == pump.generation
        });
        if waits {
            found.push(Stalled { campaign: pump.campaign, task: row.id });
        }
    }
    Ok(found)
}
