//! What can be done to a campaign: moves between its states, changes of its plan, a text promoted. What it cannot do is
//! refused with 409 and the reason.

use chrono::{DateTime, Utc};
use poem_openapi::param::{Header, Path};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use trunkline_jobs::campaigns::experiment::{evidence, promote};
use trunkline_jobs::campaigns::{self as jobs, Move, OperateError};

use super::super::etag::{self, Tagged, tagged};
use super::super::granted::{Granted, Operate};
use super::super::problem::Problem;
use super::super::{Answer, Desk, Tag};
use super::found;
use super::plan::CampaignPlan;
use super::report::TextsStanding;
use super::state::State;
use super::wishes::PlanToSet;

pub(in crate::admin) struct CampaignActsApi(pub(in crate::admin) Desk);

/// Why a campaign is moved
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct CampaignMove {
    /// For the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// When a campaign shall start
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct CampaignSchedule {
    at: DateTime<Utc>,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// How a campaign shall go on
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct CampaignResume {
    /// One of its texts by its name: who would get it gets none
    without: Option<String>,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// A change of a campaign's plan
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct CampaignChange {
    plan: PlanToSet,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// A text to promote
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct Promotion {
    /// Its name
    text: String,
    /// Why, for the audit
    #[oai(validator(min_length = 1, max_length = 1000))]
    reason: String,
}

/// Where a campaign is now
#[derive(Debug, Object)]
struct CampaignMoved {
    id: i64,
    state: State,
    /// When it starts, if it is scheduled
    #[oai(skip_serializing_if_is_none)]
    at: Option<DateTime<Utc>>,
}

/// A text that was promoted
#[derive(Debug, Object)]
struct Promoted {
    id: i64,
    winner: String,
    /// It was not promoted before
    changed: bool,
    standing: TextsStanding,
}

#[OpenApi(tag = "Tag::Campaigns")]
impl CampaignActsApi {
    /// Start a campaign
    ///
    /// Its recipients are written down, and then texts leave within its hours and limits. A text cannot be taken back: ask
    /// `plan_campaign` first.
    #[oai(path = "/campaigns/:id/start", method = "post", operation_id = "start_campaign")]
    async fn start(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<CampaignMove>,
    ) -> Answer<CampaignMoved> {
        self.can_send()?;
        self.make(&by, id.0, Move::Start, None, body.0.reason).await
    }

    /// Have a campaign start at a time
    #[oai(path = "/campaigns/:id/schedule", method = "post", operation_id = "schedule_campaign")]
    async fn schedule(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<CampaignSchedule>,
    ) -> Answer<CampaignMoved> {
        let Json(CampaignSchedule { at, reason }) = body;
        self.make(&by, id.0, Move::Schedule, Some(at), reason).await
    }

    /// Hold a campaign
    ///
    /// What the provider has been asked to send is not taken back.
    #[oai(path = "/campaigns/:id/pause", method = "post", operation_id = "pause_campaign")]
    async fn pause(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<CampaignMove>,
    ) -> Answer<CampaignMoved> {
        self.make(&by, id.0, Move::Pause, None, body.0.reason).await
    }

    /// Let a held campaign go on
    #[oai(path = "/campaigns/:id/resume", method = "post", operation_id = "resume_campaign")]
    async fn resume(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<CampaignResume>,
    ) -> Answer<CampaignMoved> {
        let Json(CampaignResume { without, reason }) = body;
        let Some(text) = without else { return self.make(&by, id.0, Move::Resume, None, reason).await };
        let (actor, now) = (by.actor(reason), self.0.tasks.clock().now());
        let mut tx = self.0.tasks.begin().await?;
        let state = jobs::resume_without(&mut tx, id.0, &text, &actor, now).await?;
        tx.commit().await?;
        Ok(Json(CampaignMoved { id: id.0, state: state.into(), at: None }))
    }

    /// Cancel a campaign
    ///
    /// Those who wait get nothing. That cannot be undone.
    #[oai(path = "/campaigns/:id/cancel", method = "post", operation_id = "cancel_campaign")]
    async fn cancel(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        body: Json<CampaignMove>,
    ) -> Answer<CampaignMoved> {
        self.make(&by, id.0, Move::Cancel, None, body.0.reason).await
    }

    /// Change a campaign's plan
    ///
    /// All of it in a draft, but for whom it goes to; later the rate, the hours, the holidays, the cap and the budget. The next text
    /// goes by it. With `If-Match` it is changed only if nobody has since the `ETag` that `show_campaign` told.
    #[oai(path = "/campaigns/:id/change", method = "post", operation_id = "change_campaign")]
    async fn change(
        &self,
        by: Granted<Operate>,
        id: Path<i64>,
        /// The `ETag` of the campaign as it was looked at
        #[oai(name = "If-Match")]
        seen: Header<Option<String>>,
        body: Json<CampaignChange>,
    ) -> Tagged<CampaignPlan> {
        let Json(CampaignChange { plan: wishes, reason }) = body;
        if wishes.is_empty() {
            return Err(Problem::invalid("nothing to change: say in `plan` what shall be otherwise"));
        }
        let (wishes, actor, now) = (wishes.read()?, by.actor(reason), self.0.tasks.clock().now());
        let mut tx = self.0.tasks.begin().await?;
        let seen = etag::seen(seen.0.as_deref());
        let plan = jobs::change(tx.session(), id.0, |plan| wishes.apply(plan), seen, &actor, now).await?;
        tx.commit().await?;
        Ok(tagged(&plan.tag(), CampaignPlan::of(&plan)))
    }

    /// Promote a text
    ///
    /// Everybody who waits gets it, whatever was drawn for them. What was known of the texts goes into the audit.
    #[oai(path = "/campaigns/:id/promote", method = "post", operation_id = "promote_text")]
    async fn promote(&self, by: Granted<Operate>, id: Path<i64>, body: Json<Promotion>) -> Answer<Promoted> {
        let Json(Promotion { text, reason }) = body;
        let campaign = found(&self.0, id.0).await?;
        let (standing, evidence) = evidence(self.0.tasks.db(), &campaign).await?;
        let (actor, now) = (by.actor(Some(reason)), self.0.tasks.clock().now());
        let mut tx = self.0.tasks.begin().await?;
        let changed = promote(tx.session(), id.0, &text, &evidence, &actor, now).await?;
        tx.commit().await?;
        Ok(Json(Promoted { id: id.0, winner: text, changed, standing: TextsStanding::of(standing) }))
    }
}

impl CampaignActsApi {
    /// One that nothing can be sent of would wait without end.
    fn can_send(&self) -> Result<(), Problem> {
        match self.0.campaigns.provider.client() {
            Ok(_) => Ok(()),
            Err(no_key) => Err(Problem::conflict(format!("nothing can be sent: {no_key}"))),
        }
    }

    async fn make(
        &self,
        by: &Granted<Operate>,
        id: i64,
        to: Move,
        at: Option<DateTime<Utc>>,
        reason: Option<String>,
    ) -> Answer<CampaignMoved> {
        let (actor, now) = (by.actor(reason), self.0.tasks.clock().now());
        let mut tx = self.0.tasks.begin().await?;
        let state = jobs::make_move(&mut tx, id, to, at, &actor, now).await?;
        tx.commit().await?;
        Ok(Json(CampaignMoved { id, state: state.into(), at }))
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Database(error) => error.into(),
            OperateError::Json(_) => Self::internal(&error),
            OperateError::Unknown(id) => Self::not_found(format!("campaign {id}")),
            OperateError::Plan(_) | OperateError::NoSuchText { .. } | OperateError::Past => {
                Self::invalid(error.to_string())
            }
            OperateError::Nobody => Self::conflict("nobody is named: the list of its audience is empty"),
            OperateError::NumbersHeld(told) => Self::conflict(format!(
                "the breaker holds every number it is sent from: {told}; see list_held_numbers and release_number"
            )),
            OperateError::Outdated => Self::outdated(error.to_string()),
            OperateError::NameTaken(_)
            | OperateError::Illegal(_)
            | OperateError::Fixed(..)
            | OperateError::Drawn(_)
            | OperateError::Promoted(_)
            | OperateError::OneText
            | OperateError::NotUnderWay(_) => Self::conflict(error.to_string()),
        }
    }
}
