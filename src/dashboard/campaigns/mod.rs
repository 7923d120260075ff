//! Campaigns: what is sent to many.
//!
//! * `list`, `show`: which there are, and one as it goes. `figures`, `report`: what of it is counted. `charts`: pictures of that.
//! * `flight`: what will come of one, and that beside what came. `preview`: what somebody would get. `recipients`: who got what.
//! * `act`: what can be done to one; what would come of it is shown before it is done.
//! * `numbers`: ours that the breaker holds.
//! * `build`: making one and changing it. `written`: its form, as somebody fills it in.

pub(super) mod act;
pub(super) mod build;
mod charts;
mod figures;
pub(super) mod flight;
pub(super) mod list;
pub(super) mod numbers;
pub(super) mod preview;
pub(super) mod recipients;
mod report;
pub(super) mod show;
mod written;

use maud::{Markup, html};
use tokio::time::timeout;
use trunkline_jobs::campaigns::flight::FlightError;
use trunkline_jobs::campaigns::{self as jobs, Audience, CampaignRow, OperateError, State};
use trunkline_jobs::contacts::segments::Filter;

use super::PATIENCE;
use super::layout::Place;
use super::visit::{Stop, Visit};
use crate::mask;

/// The campaign of this number.
async fn found(visit: &Visit<'_>, id: &str) -> Result<CampaignRow, Stop> {
    let row = match id.parse() {
        Ok(id) => jobs::show(visit.pages.tasks.db(), id).await?,
        Err(_) => None,
    };
    row.ok_or_else(|| visit.missing(Place::Campaigns, "such campaign"))
}

/// What takes a processor for long, when nobody else asks for it. None: it takes too long for a page.
async fn foreseen<T>(
    visit: &Visit<'_>,
    foreseeing: impl Future<Output = Result<T, FlightError>>,
) -> Result<Option<T>, Stop> {
    match timeout(PATIENCE, visit.pages.campaigns.alone(foreseeing)).await {
        Err(_) => Ok(None),
        Ok(Ok(foreseen)) => Ok(Some(foreseen)),
        Ok(Err(FlightError::Database(error))) => Err(error.into()),
        Ok(Err(FlightError::Plan(error))) => {
            let why = format!("The plan cannot be carried out: {error}.");
            Err(visit.refuse(Place::Campaigns, &mask::phones_in(&why)))
        }
    }
}

/// Why something was not done, in the words of whoever refused it; or the page that says so where it is not about what was asked.
fn refusal(visit: &Visit<'_>, error: OperateError) -> Result<String, Stop> {
    match error {
        OperateError::Database(error) => Err(error.into()),
        OperateError::Unknown(_) => Err(visit.missing(Place::Campaigns, "such campaign")),
        other => Ok(mask::phones_in(&format!("{other}."))),
    }
}

/// Those whom an audience takes. None: they are a list, or nobody can be meant.
fn audience(audience: &Audience) -> Option<Filter> {
    match audience {
        Audience::Everyone => Some(Filter::All(Vec::new())),
        Audience::Tag(tag) => format!("tag:{tag}").parse().ok(),
        Audience::Segment(filter) => Some(filter.clone()),
        Audience::List => None,
    }
}

/// Where a campaign is. The style goes by the word, and only what is held wants somebody.
fn state(state: State) -> Markup {
    let class = match state {
        State::Paused => "state dead",
        State::Completed => "state done",
        _ => "state",
    };
    html! { span class=(class) { (state) } }
}
