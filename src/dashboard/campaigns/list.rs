//! Campaigns, the newest first.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_jobs::campaigns::{self as jobs, CampaignFilter, CampaignRow, State};

use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::mask::View;

const PAGE: u32 = 50;

/// `GET /campaigns`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let state = fields.get("state").map(str::parse::<State>).transpose();
    let state = state.map_err(|error| visit.refuse(Place::Campaigns, &format!("{error}.")))?;
    let filter = CampaignFilter { state, before: fields.number("before"), limit: PAGE + 1 };
    let rows = jobs::list(pages.tasks.db(), &filter).await?;
    let (shown, last) = parts::page(&rows, PAGE);
    let last = last.map(|row| row.id.to_string());
    let word = state.map(State::as_str);
    let content = html! {
        h1 { "Campaigns" }
        p { "One text to many, within hours and limits, to nobody twice and to nobody who asked to get none." }
        @if visit.may_operate() { p.buttons { a.button href="/campaigns/new" { "New campaign…" } } }
        nav.ways aria-label="States" {
            a href="/campaigns" aria-current=[state.is_none().then_some("page")] { "all" }
            @for one in State::ALL {
                a href=(address("/campaigns", &[("state", Some(one.as_str()))])) aria-current=[(state == Some(one)).then_some("page")] { (one) }
            }
        }
        (table(&visit, shown))
        p.ways { a href="/campaigns/numbers" { "Numbers that send nothing" } a href="/sends" { "Texts nobody can tell of" } }
        @if let Some(last) = last { (parts::next("/campaigns", &[("state", word), ("before", Some(&last))])) }
    };
    Ok(visit.live(Place::Campaigns, "Campaigns", &content))
}

fn table(visit: &Visit<'_>, rows: &[CampaignRow]) -> Markup {
    let view = View::of(false);
    html! {
        @if rows.is_empty() { p.note { "There are none." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Campaign" } th { "State" } th.n { "Recipients" } th.n { "Segments" } th { "Why, or what it waits for" } th { "Made" } } }
                    tbody {
                        @for row in rows {
                            tr {
                                td { a href={ "/campaigns/" (row.id) } { (row.id) " " (parts::shortened(&row.name)) } }
                                td { (super::state(row.state)) @if row.plan.0.dry_run { " " span.chip { "dry run" } } }
                                td.n { (row.recipients) }
                                td.n { (row.segments) }
                                td {
                                    @if let Some(why) = &row.reason { (parts::shortened(&view.line(why))) }
                                    @else if let Some(what) = &row.waits_for {
                                        code { (what) } @if let Some(at) = row.next_at { " " (parts::time(at, visit.now)) }
                                    }
                                    @else if let Some(at) = row.scheduled_for { "starts " (parts::time(at, visit.now)) }
                                }
                                td { (parts::time(row.created_at, visit.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
