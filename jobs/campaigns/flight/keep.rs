//! Keeping the plan a campaign began with, so that what happens can be told beside it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::{Db, DbError};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue};

use super::{FlightPlan, Tower};
use crate::campaigns::State;
use crate::campaigns::read::show;
use crate::{Services, UPKEEP};

trunkline_platform::statements! {
    /// The first one stays.
    KEEP_FLIGHT_PLAN = same {
        "INSERT INTO flight_plans (campaign_id, made_at, document) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
    }
    SHOW_FLIGHT_PLAN = same { "SELECT document FROM flight_plans WHERE campaign_id = $1" }
}

#[derive(sqlx::FromRow)]
struct Kept {
    document: String,
}

/// Foresees a campaign whose recipients have just been written down.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanCampaign {
    pub campaign: i64,
}

impl Job for PlanCampaign {
    type Services = Services;
    const NAME: &'static str = "campaign.plan";
    const QUEUE: Queue = UPKEEP;
    /// A million recipients at a text a second.
    const TIMEOUT: Duration = Duration::from_secs(600);

    fn unique_key(&self) -> Option<String> {
        Some(self.campaign.to_string())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let Services { db, campaigns, provider, .. } = cx.services();
        let running = show(db, self.campaign).await?.filter(|row| row.state == State::Running);
        let Some(campaign) = running else { return Ok(Done::new()) };
        let tower = Tower { db, holidays: &campaigns.holidays, limit: provider.limit() };
        let plan = tower.foresee(&campaign, cx.now(), cx.now(), None).await?;
        let mut tx = db.write().await?;
        let document = serde_json::to_string(&plan)?;
        KEEP_FLIGHT_PLAN.bind(self.campaign).bind(plan.made_at).bind(document).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(Done::new())
    }
}

/// The plan a campaign began with. None: it has not begun, or began before plans were kept.
pub async fn kept(db: &Db, campaign: i64) -> Result<Option<FlightPlan>, DbError> {
    let kept: Option<Kept> = SHOW_FLIGHT_PLAN.bind(campaign).optional(&mut db.read().await?).await?;
    // One that cannot be read was written by another release; the campaign goes on without.
    Ok(kept.and_then(|kept| serde_json::from_str(&kept.document).ok()))
}
