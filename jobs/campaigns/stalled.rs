//! Campaigns that are to send and do not, because their pump is a dead letter: one that is always running dies with every
//! process that dies, and so may be taken for poison.

use std::collections::BTreeMap;

use serde::Serialize;
use trunkline_platform::db::DbError;
use trunkline_platform::job::Job;
use trunkline_platform::task::dead::{DeadFilter, Order};
use trunkline_platform::task::{TaskId, Tasks};

use super::pump::PumpCampaign;

/// The most dead pumps that are looked at.
const MOST: u32 = 100;

trunkline_platform::statements! {
    TO_SEND = parts {
        "SELECT id, generation FROM campaigns WHERE state IN ('scheduled', 'running') AND id IN " (any "$1")
    }
}

/// A campaign that stands still until somebody retries its task.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Stalled {
    pub campaign: i64,
    pub task: TaskId,
}

/// Those that stand still; of the newest 100 pumps that died.
pub async fn stalled(tasks: &Tasks) -> Result<Vec<Stalled>, DbError> {
    let pumps = DeadFilter { kind: Some(PumpCampaign::NAME.to_owned()), ..DeadFilter::default() };
    let dead = tasks.list_dead(&pumps, Order::Newest, None, MOST).await?;
    let dead: Vec<(TaskId, PumpCampaign)> =
        dead.iter().filter_map(|row| Some((row.id, serde_json::from_str(&row.payload).ok()?))).collect();
    if dead.is_empty() {
        return Ok(Vec::new());
    }
    let campaigns: Vec<i64> = dead.iter().map(|(_, pump)| pump.campaign).collect();
    let to_send: Vec<(i64, i32)> = TO_SEND.bind(campaigns).all(&mut tasks.db().read().await?).await?;
    let generations: BTreeMap<i64, i32> = to_send.into_iter().collect();
    let stands = |pump: &PumpCampaign| generations.get(&pump.campaign) == Some(&pump.generation);
    let stalled = dead.into_iter().filter(|(_, pump)| stands(pump));
    Ok(stalled.map(|(task, pump)| Stalled { campaign: pump.campaign, task }).collect())
}
