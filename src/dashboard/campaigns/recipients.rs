//! Those a campaign goes to, in the order of their turns, and what became of each.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_jobs::campaigns::{self as jobs, RecipientFilter, RecipientRow};

use super::found;
use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::mask::View;

const PAGE: u32 = 50;
/// Where a recipient can be.
const STATES: [&str; 10] = [
    "waiting",
    "refused",
    "intended",
    "accepted",
    "unknown",
    "unresolved",
    "sent",
    "delivered",
    "failed",
    "undelivered",
];

/// `GET /campaigns/:id/recipients`
#[handler]
pub(in crate::dashboard) async fn list(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let campaign = found(&visit, &id).await?;
    let fields = Fields::of_query(request);
    let unmask = fields.get("unmask") == Some("true");
    let view = visit.view(unmask, &format!("campaign:{}", campaign.id)).await?;
    let (state, reason) = (fields.get("state"), fields.get("reason"));
    let filter = RecipientFilter {
        outcome: state.map(str::to_owned),
        why: reason.map(str::to_owned),
        after: fields.number("after").unwrap_or(0),
        limit: PAGE,
    };
    let page = jobs::recipients(pages.tasks.db(), &campaign, &filter).await?;
    let place = format!("/campaigns/{}/recipients", campaign.id);
    let named = [("state", state), ("reason", reason)];
    let next = page.next.map(|next| next.to_string());
    let content = html! {
        h1 { "Recipients of campaign " a href={ "/campaigns/" (campaign.id) } { (campaign.id) " " (campaign.name) } }
        form.filter method="get" action=(place) role="search" {
            div {
                label for="state" { "Where they are" }
                select #state name="state" {
                    option value="" { "anywhere" }
                    @for one in STATES { option value=(one) selected[state == Some(one)] { (one) } }
                }
            }
            div {
                label for="why" { "Why" }
                input #why name="reason" value=[reason] placeholder="quiet_hours, opted_out, 30007" maxlength="100" autocomplete="off";
            }
            button type="submit" { "Search" }
        }
        (table(&visit, &page.rows, view))
        (visit.way_to_unmask(unmask, &address(&place, &named)))
        @if let Some(next) = &next {
            @if page.rows.len() < PAGE as usize { p.note { "One page looks through 50,000 places. There are more." } }
            @let unmasked = unmask.then_some("true");
            (parts::next(&place, &[named[0], named[1], ("after", Some(next)), ("unmask", unmasked)]))
        }
    };
    Ok(visit.live(Place::Campaigns, "Recipients", &content))
}

fn table(visit: &Visit<'_>, rows: &[RecipientRow], view: View) -> Markup {
    html! {
        @if rows.is_empty() { p.note { "There are none here." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th.n { "Turn" } th { "Number" } th { "Text" } th { "State" } th { "Why" } th { "When" } } }
                    tbody {
                        @for row in rows {
                            tr {
                                td.n { (row.position) }
                                td { code { (view.number(&row.number)) } }
                                td { (row.variant) }
                                td {
                                    @match row.send_id {
                                        Some(id) => a href={ "/sends/" (id) } { (parts::state(row.outcome())) },
                                        None => (parts::state(row.outcome())),
                                    }
                                }
                                td { @if let Some(why) = row.why() { code { (view.line(why)) } } }
                                td {
                                    @if row.outcome() == "waiting" { "again " (parts::time(row.due_at, visit.now)) }
                                    @else if let Some(at) = row.state_at { (parts::time(at, visit.now)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
