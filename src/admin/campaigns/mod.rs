//! Campaigns: making them, looking at them, who is in them.
//!
//! * `plan`: what a campaign is to do, as it is told; `wishes`: as somebody sets it. `state`: where it is.
//! * `live`: how it is doing. `flight`, `report`: what will come of it, and what came.
//! * `acts`: what can be done to one. `numbers`: our numbers that the breaker holds.
//! * `recipients`: those it goes to, one by one and all of them.

pub(super) mod acts;
pub(super) mod flight;
mod live;
pub(super) mod numbers;
mod plan;
pub(super) mod recipients;
pub(super) mod report;
mod state;
mod wishes;

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use trunkline_jobs::campaigns::flight::QUICK;
use trunkline_jobs::campaigns::{
    self as jobs, CampaignFilter, CampaignRow, Live, OperateError, add_recipients, breaker,
};

use super::etag::{Tagged, tagged};
use super::granted::{Granted, Operate, Read, View};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use live::{Fares, HowMany, LiveFigures, Trip};
use plan::CampaignPlan;
use state::State;
use wishes::{AudienceToText, PlanToSet};

/// The latest times the breaker stopped a campaign.
const MOST_TRIPS: u32 = 10;

pub(super) struct CampaignsApi(pub(super) Desk);

/// A campaign
#[derive(Debug, Object)]
struct Campaign {
    id: i64,
    name: String,
    state: State,
    /// Why it is held or was cancelled
    reason: Option<String>,
    /// Recipients that are written down. Those of a list are from the start, others when it begins
    recipients: i64,
    /// Segments of the texts that were let go
    segments: i64,
    /// What the next text waits for
    waits_for: Option<String>,
    /// Until when
    next_at: Option<DateTime<Utc>>,
    scheduled_for: Option<DateTime<Utc>>,
    created_by: String,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// The text that those get who wait
    winner: Option<String>,
    promoted_at: Option<DateTime<Utc>>,
    /// Everything is decided and nothing is sent
    dry_run: bool,
}

/// A campaign with its plan and how it is doing
#[derive(Debug, Object)]
struct CampaignInFull {
    campaign: Campaign,
    plan: CampaignPlan,
    live: LiveFigures,
    /// How many are where, and why: `list_recipients` tells who
    outcomes: Vec<HowMany>,
    /// Beside the plan it began with. Absent: it does not run, or so many wait that it takes `forecast`
    #[oai(skip_serializing_if_is_none)]
    fares: Option<Fares>,
    /// When the breaker stopped it, the latest first, ten at most
    trips: Vec<Trip>,
}

/// A campaign to make. It is a draft at first
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(super) struct CampaignToMake {
    /// What it is called. No two have the same name
    #[oai(validator(min_length = 1, max_length = 100))]
    name: String,
    audience: AudienceToText,
    plan: PlanToSet,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// What one of the next recipients would get if it were their turn now
#[derive(Debug, Object)]
struct PreviewedText {
    number: String,
    /// The name of the text
    text: String,
    /// `send`, `hold` or `refuse`
    verdict: String,
    reason: Option<String>,
    /// Held until then
    until: Option<DateTime<Utc>>,
    /// The words with their variables filled
    words: Option<String>,
    segments: Option<u32>,
}

#[OpenApi(tag = "Tag::Campaigns")]
impl CampaignsApi {
    /// List campaigns
    ///
    /// The newest first.
    #[oai(path = "/campaigns", method = "get", operation_id = "list_campaigns")]
    async fn list(
        &self,
        by: Granted<Read>,
        state: Query<Option<State>>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Campaign>> {
        let state = state.0.map(jobs::State::from);
        let listing = Listing::of("campaigns", &state);
        let before = listing.after(cursor.0.as_deref())?;
        let view = by.view(false, "campaigns").await?;
        let filter = CampaignFilter { state, before, limit: limit.0 + 1 };
        let rows = jobs::list(self.0.tasks.db(), &filter).await?;
        Ok(listing.page(rows, limit.0, |row| row.id, |row| Campaign::of(row, view)))
    }

    /// Make a campaign
    ///
    /// It is a draft: nothing is sent before it is started. What the plan does not say is as usual. A body has a megabyte at
    /// most: of a list that is longer, import the people and name their tag.
    #[oai(path = "/campaigns", method = "post", operation_id = "create_campaign")]
    async fn create(&self, by: Granted<Operate>, body: Json<CampaignToMake>) -> Answer<CampaignInFull> {
        let Json(CampaignToMake { name, audience, plan: wishes, reason }) = body;
        let (tasks, now) = (&self.0.tasks, self.0.tasks.clock().now());
        let (audience, numbers) = audience.read(&by, tasks.db(), self.0.country).await?;
        let mut plan =
            jobs::Plan { variants: Vec::new(), senders: Vec::new(), ..jobs::Plan::new(audience, "", "") };
        plan.counts_for_hours = self.0.campaigns.counts_for_hours;
        wishes.read()?.apply(&mut plan);
        let actor = by.actor(reason);
        let mut tx = tasks.begin().await?;
        let campaign = jobs::create(tx.session(), &name, &plan, &actor, now).await?;
        if !numbers.is_empty() {
            add_recipients(tx.session(), &campaign, &numbers, now).await?;
        }
        tx.commit().await?;
        let view = by.view(false, "campaigns").await?;
        in_full(&self.0, found(&self.0, campaign.id).await?, false, view).await
    }

    /// Show a campaign
    ///
    /// With its plan, how many recipients are where and why, and what the breaker saw. The `ETag` is the plan's, for `change_campaign`.
    #[oai(path = "/campaigns/:id", method = "get", operation_id = "show_campaign")]
    async fn show(
        &self,
        by: Granted<Read>,
        id: Path<i64>,
        /// Tell how it fares and when it will end although more than 20,000 wait, which takes some seconds
        #[oai(default)]
        forecast: Query<bool>,
    ) -> Tagged<CampaignInFull> {
        let campaign = found(&self.0, id.0).await?;
        let view = by.view(false, "campaigns").await?;
        let tag = campaign.plan.0.tag();
        let Json(full) = in_full(&self.0, campaign, forecast.0, view).await?;
        Ok(tagged(&tag, full))
    }

    /// Show what the next recipients would get
    ///
    /// If it were their turn now, by the code that decides when it is. Opt-outs and other campaigns' texts are looked up only
    /// then. Numbers and words are masked; `unmask` takes the scope `pii` and is in the audit. Nobody waits in a campaign
    /// that has not begun, but for those of a list.
    #[oai(path = "/campaigns/:id/preview", method = "get", operation_id = "preview_campaign")]
    async fn preview(
        &self,
        by: Granted<Read>,
        id: Path<i64>,
        #[oai(default)] unmask: Query<bool>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Vec<PreviewedText>> {
        let campaign = found(&self.0, id.0).await?;
        let view = by.view(unmask.0, &format!("campaign:{}", id.0)).await?;
        let (db, now) = (self.0.tasks.db(), self.0.tasks.clock().now());
        let rows = jobs::preview(db, &campaign, &self.0.campaigns.holidays, now, limit.0).await?;
        let rows = rows.map_err(OperateError::from)?;
        Ok(Json(rows.into_iter().map(|row| PreviewedText::of(row, view)).collect()))
    }
}

/// The campaign of this number.
async fn found(desk: &Desk, id: i64) -> Result<CampaignRow, Problem> {
    let row = jobs::show(desk.tasks.db(), id).await?;
    row.ok_or_else(|| Problem::not_found(format!("campaign {id}")))
}

async fn in_full(desk: &Desk, campaign: CampaignRow, forecast: bool, view: View) -> Answer<CampaignInFull> {
    let (db, now) = (desk.tasks.db(), desk.tasks.clock().now());
    let outcomes = jobs::outcomes(db, campaign.id).await?;
    let trips = breaker::trips_of(db, campaign.id, MOST_TRIPS).await?;
    let live = Live::of(db, &campaign, &outcomes, now).await?;
    let fares = if forecast || live.waiting <= QUICK {
        flight::alone(desk, desk.campaigns.tower(db).progress(&campaign, now)).await?
    } else {
        None
    };
    Ok(Json(CampaignInFull {
        plan: CampaignPlan::of(&campaign.plan.0),
        live: LiveFigures::of(live),
        outcomes: outcomes.into_iter().map(HowMany::of).collect(),
        fares: fares.map(Fares::of),
        trips: trips.into_iter().map(|trip| Trip::of(trip, view)).collect(),
        campaign: Campaign::of(campaign, view),
    }))
}

impl Campaign {
    fn of(row: CampaignRow, view: View) -> Self {
        Self {
            id: row.id,
            name: row.name,
            state: row.state.into(),
            reason: view.maybe(row.reason.as_deref()),
            recipients: row.recipients,
            segments: row.segments,
            waits_for: row.waits_for,
            next_at: row.next_at,
            scheduled_for: row.scheduled_for,
            created_by: row.created_by,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            winner: row.winner,
            promoted_at: row.promoted_at,
            dry_run: row.plan.0.dry_run,
        }
    }
}

impl PreviewedText {
    fn of(row: jobs::Preview, view: View) -> Self {
        Self {
            number: view.number(&row.number),
            text: row.variant,
            verdict: row.verdict.to_owned(),
            reason: view.maybe(row.reason.as_deref()),
            until: row.until,
            words: row.text.map(|words| view.said(&words)),
            segments: row.segments,
        }
    }
}
