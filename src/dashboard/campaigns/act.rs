//! What can be done to a campaign: each act is shown for what it would do, asks why, and is done then. What cannot be done is refused
//! in the library's words.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_jobs::campaigns::experiment::{evidence, promote};
use trunkline_jobs::campaigns::{self as jobs, Audience, CampaignRow, Live, Move, OperateError, State};

use super::{flight, found, refusal, show};
use crate::dashboard::form::{self, Fields, address, hidden};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{Pages, parts, see_other};
use crate::mask::View;

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Act {
    Move(Move),
    Promote,
}

impl Act {
    fn of(visit: &Visit<'_>, word: &str) -> Result<Self, Stop> {
        Ok(Self::Move(match word {
            "start" => Move::Start,
            "schedule" => Move::Schedule,
            "pause" => Move::Pause,
            "resume" => Move::Resume,
            "cancel" => Move::Cancel,
            "promote" => return Ok(Self::Promote),
            _ => return Err(visit.missing(Place::Campaigns, "such act")),
        }))
    }

    /// That it can be done from here.
    fn check(self, visit: &Visit<'_>, state: State) -> Result<(), Stop> {
        if let (Self::Move(Move::Start), Err(no_key)) = (self, visit.pages.campaigns.provider.client()) {
            return Err(visit.refuse(Place::Campaigns, &format!("Nothing can be sent: {no_key}.")));
        }
        let refused = match self {
            Self::Move(to) => state.after(to).err().map(OperateError::Illegal),
            Self::Promote if matches!(state, State::Running | State::Paused) => None,
            Self::Promote => Some(OperateError::NotUnderWay(state)),
        };
        match refused {
            Some(error) => Err(visit.refuse(Place::Campaigns, &refusal(visit, error)?)),
            None => Ok(()),
        }
    }
}

/// `GET /campaigns/:id/start`, `…/schedule`, `…/pause`, `…/resume`, `…/cancel`, `…/promote`: what would be done.
#[handler]
pub(in crate::dashboard) async fn rehearse(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path((id, word)): Path<(String, String)>,
) -> Page {
    let visit = pages.operator(request).await?;
    let act = Act::of(&visit, &word)?;
    let campaign = found(&visit, &id).await?;
    act.check(&visit, campaign.state)?;
    let fields = Fields::of_query(request);
    let (title, would) = match act {
        Act::Move(Move::Start) => ("Start", start(&visit, &campaign).await?),
        Act::Move(Move::Schedule) => ("Schedule", schedule(&visit, &campaign, &fields).await?),
        Act::Move(Move::Pause) => ("Pause", pause(&visit, &campaign).await?),
        Act::Move(Move::Resume) => ("Resume", resume(&visit, &campaign).await?),
        Act::Promote => ("Promote a text of", choose(&visit, &campaign).await?),
        Act::Move(_) => ("Cancel", cancel(&visit, &campaign).await?),
    };
    let content = html! {
        h1 { (title) " campaign " (campaign.id) " " (campaign.name) "? " (super::state(campaign.state)) }
        (would)
    };
    Ok(visit.page(Place::Campaigns, title, &content))
}

/// The end of every page of an act: why, and do it.
fn last(campaign: &CampaignRow, word: &str, says: &str, grave: bool, more: &Markup) -> Markup {
    html! {
        form method="post" action=(format!("/campaigns/{}/{word}", campaign.id)) {
            (more)
            (form::reason("reason"))
            p.buttons {
                button type="submit" class=[grave.then_some("grave")] { (says) }
                a href={ "/campaigns/" (campaign.id) } { "Leave it" }
            }
        }
    }
}

async fn planned(
    visit: &Visit<'_>,
    campaign: &CampaignRow,
    at: Option<DateTime<Utc>>,
) -> Result<Markup, Stop> {
    let plan = flight::foresee(visit, campaign, at).await?;
    Ok(html! {
        p {
            "To " (show::audience(&campaign.plan.0.audience, View::of(false))) ". "
            a href={ "/campaigns/" (campaign.id) "/preview" } { "What they would get" }
        }
        @match &plan { Some(plan) => (flight::told(visit, plan)), None => (flight::too_long(campaign)) }
        (show::texts(&campaign.plan.0))
        p { "A text cannot be taken back." }
    })
}

async fn start(visit: &Visit<'_>, campaign: &CampaignRow) -> Result<Markup, Stop> {
    let now = Some(visit.now);
    Ok(html! {
        (planned(visit, campaign, now).await?)
        (last(campaign, "start", "Start it", false, &html! {}))
    })
}

async fn schedule(visit: &Visit<'_>, campaign: &CampaignRow, fields: &Fields) -> Result<Markup, Stop> {
    let at = fields.get("at").map(|text| flight::time(text, visit.now));
    let written = fields.get("at");
    let place = format!("/campaigns/{}/schedule", campaign.id);
    Ok(html! {
        form method="get" action=(place) {
            label for="at" { "When it shall start" }
            input #at name="at" required value=[written] placeholder="2h, 2026-03-02T09:00:00Z" autocomplete="off"
                aria-describedby=[matches!(at, Some(Err(_))).then_some("problem")];
            @if let Some(Err(why)) = &at { p.problem #problem role="alert" { (why) } }
            p.buttons {
                button type="submit" { "See what would be…" }
                a href={ "/campaigns/" (campaign.id) } { "Leave it" }
            }
        }
        @if let Some(Ok(at)) = at {
            @let time = at.to_rfc3339_opts(SecondsFormat::Secs, true);
            h2 { "Started at " (time) " (" (parts::time(at, visit.now)) ")" }
            (planned(visit, campaign, Some(at)).await?)
            (last(campaign, "schedule", "Schedule it", false, &hidden(&[("at", Some(&time))])))
        }
    })
}

async fn pause(visit: &Visit<'_>, campaign: &CampaignRow) -> Result<Markup, Stop> {
    let live = live(visit, campaign).await?;
    Ok(html! {
        p.big { strong { (live.waiting) } " would wait until it is resumed." }
        p { "What the provider has been asked to send is not taken back." }
        (last(campaign, "pause", "Pause it", false, &html! {}))
    })
}

async fn resume(visit: &Visit<'_>, campaign: &CampaignRow) -> Result<Markup, Stop> {
    let live = live(visit, campaign).await?;
    let plan = &campaign.plan.0;
    let sent: Vec<&str> = plan
        .variants
        .iter()
        .map(|text| text.name.as_str())
        .filter(|name| !plan.without.iter().any(|without| without == name))
        .collect();
    let choice = html! {
        @if sent.len() > 1 {
            label for="without" { "All its texts?" }
            select #without name="without" {
                option value="" { "all of them" }
                @for name in &sent { option value=(name) { "without text " (name) ": who would get it gets none" } }
            }
        }
    };
    Ok(html! {
        @if let Some(why) = &campaign.reason { p { "It is held: " (View::of(false).line(why)) } }
        p.big { strong { (live.waiting) } " wait, and would get their texts within its hours and limits." }
        (last(campaign, "resume", "Resume it", false, &choice))
    })
}

async fn cancel(visit: &Visit<'_>, campaign: &CampaignRow) -> Result<Markup, Stop> {
    let live = live(visit, campaign).await?;
    let nobody_yet = campaign.started_at.is_none() && campaign.plan.0.audience != Audience::List;
    Ok(html! {
        p.big {
            @if nobody_yet { "Nobody would get a text." }
            @else { strong { (live.waiting) } " wait and would get nothing. " (live.left) " have left already." }
        }
        p { "That cannot be undone." }
        (last(campaign, "cancel", "Cancel it", true, &html! {}))
    })
}

async fn choose(visit: &Visit<'_>, campaign: &CampaignRow) -> Result<Markup, Stop> {
    let live = live(visit, campaign).await?;
    let (standing, _) = evidence(visit.pages.tasks.db(), campaign).await?;
    let plan = &campaign.plan.0;
    let choice = html! {
        label for="text" { "Which" }
        select #text name="text" required {
            @for text in plan.variants.iter().filter(|text| !plan.without.contains(&text.name)) {
                option value=(text.name) selected[campaign.winner.as_ref() == Some(&text.name)] { "text " (text.name) }
            }
        }
    };
    Ok(html! {
        p.big { strong { (live.waiting) } " wait. All of them would get it, whatever was drawn for them." }
        p { "What is known by now: " (standing) ". It goes into the audit." }
        (last(campaign, "promote", "Promote it", false, &choice))
    })
}

async fn live(visit: &Visit<'_>, campaign: &CampaignRow) -> Result<Live, Stop> {
    let db = visit.pages.tasks.db();
    let outcomes = jobs::outcomes(db, campaign.id).await?;
    Ok(Live::of(db, campaign, &outcomes, visit.now).await?)
}

/// `POST /campaigns/:id/start`, `…/schedule`, `…/pause`, `…/resume`, `…/cancel`, `…/promote`
#[handler]
pub(in crate::dashboard) async fn perform(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path((id, word)): Path<(String, String)>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let act = Act::of(&visit, &word)?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let campaign = found(&visit, &id).await?;
    act.check(&visit, campaign.state)?;
    let reason = visit.reason(Place::Campaigns, &fields)?;
    match carry_out(&visit, &campaign, act, &fields, reason).await {
        Ok(()) => Ok(see_other(&address(&format!("/campaigns/{}", campaign.id), &[("did", Some(&word))]))),
        Err(error) => Err(visit.refuse(Place::Campaigns, &refusal(&visit, error)?)),
    }
}

/// In one transaction, with its entry in the audit.
async fn carry_out(
    visit: &Visit<'_>,
    campaign: &CampaignRow,
    act: Act,
    fields: &Fields,
    reason: &str,
) -> Result<(), OperateError> {
    let (tasks, actor, now) = (&visit.pages.tasks, visit.actor(Some(reason)), visit.now);
    let (_, evidence) = evidence(tasks.db(), campaign).await?;
    let mut tx = tasks.begin().await?;
    match (act, fields.get("without")) {
        (Act::Promote, _) => {
            let text = fields.get("text").unwrap_or_default();
            promote(tx.session(), campaign.id, text, &evidence, &actor, now).await?;
        }
        (Act::Move(Move::Resume), Some(text)) => {
            jobs::resume_without(&mut tx, campaign.id, text, &actor, now).await?;
        }
        (Act::Move(to), _) => {
            // What is no time lies in no future.
            let at = fields.get("at").and_then(|text| flight::time(text, now).ok());
            jobs::make_move(&mut tx, campaign.id, to, at, &actor, now).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}
