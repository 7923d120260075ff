//! Replays, and one while it goes on. Without script the page looks again by itself.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_jobs::events::replay::{self, ReplayRow};

use super::wanted;
use crate::access::Scope;
use crate::dashboard::form::{self, Fields, address, hidden};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::Page;
use crate::dashboard::{Pages, parts};
use crate::mask::View;

const PAGE: u32 = 50;

/// `GET /events/replays`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let rows = replay::list(pages.tasks.db(), fields.number("before"), PAGE + 1).await?;
    let (shown, last) = parts::page(&rows, PAGE);
    let last = last.map(|row| row.id.to_string());
    let content = html! {
        h1 { "Replays of events" }
        p { a href="/events" { "Events" } " · " a href="/runbooks/replay" { "Runbook" } }
        @if shown.is_empty() { p.note { "There are none." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Replay" } th { "State" } th.n { "Replayed" } th { "Of" } th { "Begun" } th { "By" } } }
                    tbody {
                        @for row in shown {
                            tr {
                                td { a href={ "/events/replays/" (row.id) } { (row.id) } }
                                td { (state(row)) }
                                td.n { (row.replayed) }
                                td { (wanted::told(&row.filter(), View::of(false))) }
                                td { (parts::time(row.started_at, visit.now)) }
                                td { code { (row.actor) } }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(last) = last { (parts::next("/events/replays", &[("before", Some(&last))])) }
    };
    Ok(visit.live(Place::Events, "Replays of events", &content))
}

/// `GET /events/replays/:id`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let row = match id.parse() {
        Ok(id) => replay::show(pages.tasks.db(), id).await?,
        Err(_) => None,
    };
    let row = row.ok_or_else(|| visit.missing(Place::Events, "such replay"))?;
    let view = View::of(false);
    let filter = row.filter();
    let named = wanted::fields(&filter);
    let may_see = visit.caller.scopes.has(Scope::Pii);
    let of = row.expected.map(|expected| format!(" of {expected}")).unwrap_or_default();
    let content = html! {
        h1 { "Replay " (row.id) " " (state(&row)) }
        p { "Of " (wanted::told(&filter, view)) }
        p.big role="status" { (standing(&row)) }
        @if row.state != "complete" {
            progress max="100" value=(row.percent()) aria-label="How much of what it looks at it has looked at" { (row.percent()) "%" }
        }
        (parts::facts(&[
            ("Replayed", Some(html! { (row.replayed) (of) })),
            ("Without a job", (row.jobless > 0).then(|| html! { (row.jobless) })),
            ("Looked at", Some(html! { (row.looked) " events, up to " (row.seen_to) " of " (row.last_event) })),
            ("Pace", Some(html! { (row.pace) " a second" })),
            ("Begun", Some(html! { (parts::time(row.started_at, visit.now)) " by " code { (row.actor) } })),
            ("Why", row.reason.as_deref().map(|reason| html! { (view.line(reason)) })),
            ("Ended", row.ended_at.map(|at| parts::time(at, visit.now))),
        ]))
        @if visit.may_operate() { (act(&row)) }
        p {
            // The address tells whom and what it looks for.
            @if may_see || (filter.number.is_none() && filter.text.is_none()) {
                a href=(address("/events", &wanted::borrowed(&named, &[]))) { "How these events stand now" } " · "
            }
            a href=(format!("/audit?subject=event_replay:{}", row.id)) { "Audit" } " · "
            a href="/events/replays" { "Replays" }
        }
    };
    let (place, title) = (format!("/events/replays/{}", row.id), format!("Replay {}", row.id));
    Ok(visit.live_at(&place, row.is_running().then_some(2), Place::Events, &title, &content))
}

/// What can be done to it.
fn act(row: &ReplayRow) -> Markup {
    let to = |word: &str| format!("/events/replays/{}/{word}", row.id);
    html! {
        @match row.state.as_str() {
            "running" => form method="post" action=(to("cancel")) {
                // The page comes anew every other second, so nobody can write into it.
                (hidden(&[("reason", Some("stopped on its page"))]))
                button.grave type="submit" { "Stop it" }
            },
            "cancelled" | "failed" => form method="post" action=(to("resume")) {
                (form::reason("reason"))
                button type="submit" { "Go on" }
            },
            _ => {},
        }
    }
}

fn state(row: &ReplayRow) -> Markup {
    let class = match row.state.as_str() {
        "complete" => "state done",
        "failed" => "state dead",
        _ => "state",
    };
    html! { span class=(class) { (row.state) } }
}

fn standing(row: &ReplayRow) -> Markup {
    html! {
        @match row.state.as_str() {
            "running" => { "It goes on, " (row.percent()) "%." },
            "complete" => "It is done. The tasks it enqueued are worked off behind everything that is new.",
            "cancelled" => "Stopped as asked.",
            _ => { "It failed: " (View::of(false).line(row.error.as_deref().unwrap_or("no reason is known"))) },
        }
    }
}
