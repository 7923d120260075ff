//! What the next recipients would get if it were their turn now. Of a draft nobody is written down yet, but for a list: then it is some
//! of those whom its audience takes.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_jobs::campaigns::{self as jobs, CampaignRow, Preview};
use trunkline_jobs::contacts::segments;

use super::{audience, found};
use crate::dashboard::form::Fields;
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{Pages, parts};
use crate::mask::{self, View};

const MOST: u32 = 20;

/// `GET /campaigns/:id/preview`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let campaign = found(&visit, &id).await?;
    let unmask = Fields::of_query(request).get("unmask") == Some("true");
    let view = visit.view(unmask, &format!("campaign:{}", campaign.id)).await?;
    let rows = previews(&visit, &campaign).await?;
    let place = format!("/campaigns/{}/preview", campaign.id);
    let content = html! {
        h1 { "What the next would get in campaign " a href={ "/campaigns/" (campaign.id) } { (campaign.id) " " (campaign.name) } }
        p { "If it were their turn now, by the code that decides when it is. What other campaigns sent them is looked up only then." }
        (table(&visit, &rows, view))
        (visit.way_to_unmask(unmask, &place))
    };
    Ok(visit.page(Place::Campaigns, "Preview", &content))
}

async fn previews(visit: &Visit<'_>, campaign: &CampaignRow) -> Result<Vec<Preview>, Stop> {
    let (db, holidays) = (visit.pages.tasks.db(), &visit.pages.campaigns.holidays);
    // Whom it would go to, where they are not written down yet.
    let filter = audience(&campaign.plan.0.audience).filter(|_| campaign.started_at.is_none());
    let previews = match filter {
        Some(filter) => {
            let leaf = segments::leaf(db, &filter, 0, MOST as usize, visit.now).await?;
            jobs::preview_of(campaign, holidays, leaf.people, visit.now)
        }
        None => jobs::preview(db, campaign, holidays, visit.now, MOST).await?,
    };
    previews.map_err(|error| visit.refuse(Place::Campaigns, &mask::phones_in(&format!("{error}."))))
}

fn table(visit: &Visit<'_>, rows: &[Preview], view: View) -> Markup {
    html! {
        @if rows.is_empty() { p.note { "Nobody waits." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Number" } th { "Text" } th { "Now" } th { "Why" } th.n { "Segments" } th { "Says" } } }
                    tbody {
                        @for row in rows {
                            tr {
                                td { code { (view.number(&row.number)) } }
                                td { (row.variant) }
                                td { (row.verdict) }
                                td {
                                    @if let Some(why) = &row.reason { code { (view.line(why)) } }
                                    @if let Some(until) = row.until { " until " (parts::time(until, visit.now)) }
                                }
                                td.n { @if let Some(segments) = row.segments { (segments) } }
                                td { @if let Some(text) = &row.text { (view.said(text)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
