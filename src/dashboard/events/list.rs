//! Events, found by what they are, when they came, of whom and of what they tell, and what became of them.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_jobs::events::{self, EventFilter, EventId, EventState, Found, FoundEvent};

use super::wanted;
use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};

const PAGE: usize = 50;

/// `GET /events`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let (filter, found, unclear) = match wanted::read(&fields, visit.now) {
        Ok(filter) => {
            let before = fields.number("before").map(EventId);
            let found = events::find(pages.tasks.db(), &filter, before, PAGE).await?;
            (filter, found, None)
        }
        Err(unclear) => (EventFilter::default(), Found { events: Vec::new(), next: None }, Some(unclear)),
    };
    let named = wanted::fields(&filter);
    let next = found.next.map(|next| next.to_string());
    let content = html! {
        h1 { "Events" }
        p {
            "What the provider told us. " a href="/events/replays" { "Replays" } " · "
            a href="/runbooks/replay" { "Runbook" }
        }
        (search(&fields))
        @if let Some(unclear) = &unclear { p.problem role="alert" { (unclear) } }
        @else {
            @if visit.may_operate() && !found.events.is_empty() {
                @let all = filter.is_empty().then_some("yes");
                p.buttons {
                    a.button href=(address("/events/replay", &wanted::borrowed(&named, &[("all", all)]))) {
                        @if filter.is_empty() { "Replay all events…" } @else { "Replay all that are found…" }
                    }
                    span.note { "Nothing is done yet: the next page shows what would be." }
                }
            }
            (table(&visit, &found))
            @if let Some(next) = &next {
                @if found.events.len() < PAGE {
                    p.note { "One page looks at 5,000 events. There are older ones to look at." }
                }
                (parts::next("/events", &wanted::borrowed(&named, &[("before", Some(next))])))
            }
        }
    };
    Ok(visit.live(Place::Events, "Events", &content))
}

fn search(fields: &Fields) -> Markup {
    let field = |name: &str, label: &str, example: &str| {
        html! {
            div {
                label for=(name) { (label) }
                input id=(name) name=(name) value=[fields.get(name)] placeholder=(example) maxlength="255" autocomplete="off";
            }
        }
    };
    html! {
        form.filter method="get" action="/events" role="search" {
            (field("type", "Type", "message.received"))
            (field("since", "Received since", "2h"))
            (field("until", "Before", "2026-03-02T09:00:00Z"))
            (field("number", "Phone number", "+12125550101"))
            (field("text", "Words, names or ids", ""))
            div {
                label for="state" { "What became of it" }
                select #state name="state" {
                    option value="" { "anything" }
                    @for state in EventState::ALL {
                        option value=(state) selected[fields.get("state") == Some(state.as_str())] { (state) }
                    }
                }
            }
            button type="submit" { "Search" }
        }
    }
}

fn table(visit: &Visit<'_>, found: &Found) -> Markup {
    html! {
        @if found.events.is_empty() { p.note { "There are none." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Event" } th { "Type" } th { "State" } th { "Job" } th { "Received" } th { "Came" } } }
                    tbody {
                        @for FoundEvent { event, state, .. } in &found.events {
                            tr {
                                td { a href={ "/events/" (event.id) } { (event.id) } }
                                td { code { (event.event_type) } }
                                td { @if let Some(state) = state { (parts::state(state)) } }
                                td { @match &event.job { Some(job) => code { (job) }, None => span.note { "none" } } }
                                td { (parts::time(event.received_at, visit.now)) }
                                td { (event.scheme) }
                            }
                        }
                    }
                }
            }
        }
    }
}
