//! Calls, the newest first.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_jobs::calls::{self, CallFilter, CallLine};

use super::wanted::{self, choice, field};
use crate::dashboard::form::Fields;
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::elapsed::clock;
use crate::mask::View;

const PAGE: u32 = 50;

/// `GET /calls`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let found = match wanted::read(&fields, visit.now) {
        Ok(filter) => {
            let filter = CallFilter { limit: PAGE + 1, ..filter };
            Ok(calls::list(pages.tasks.db(), &filter).await?)
        }
        Err(unclear) => Err(unclear),
    };
    let named: Vec<_> = wanted::NAMES.iter().map(|name| (*name, fields.get(name))).collect();
    let content = html! {
        h1 { "Calls" }
        form.filter method="get" action="/calls/search" role="search" {
            div.grow {
                label for="q" { "Find in texts and in what was said" }
                input #q name="q" type="search" required maxlength="500" autocomplete="off" placeholder="heater \"out of order\" techn*";
            }
            button type="submit" { "Find" }
        }
        p { a href="/calls/figures" { "Figures" } " · " a href="/runbooks/search" { "How to search" } }
        (search(&fields))
        @match &found {
            Err(unclear) => p.problem role="alert" { (unclear) },
            Ok(rows) => {
                @let (shown, last) = parts::page(rows, PAGE);
                (table(&visit, shown))
                @if let Some(last) = last {
                    @let before = wanted::next(last);
                    (parts::next("/calls", &[&named[..], &[("before", Some(before.as_str()))]].concat()))
                }
            }
        }
    };
    Ok(visit.live(Place::Calls, "Calls", &content))
}

fn search(fields: &Fields) -> Markup {
    html! {
        details open[wanted::NAMES.iter().any(|name| fields.has(name))] {
            summary { "Narrow the list" }
            form.filter method="get" action="/calls" {
                (field(fields, "number", "Somebody’s number", "+13105550142"))
                (field(fields, "user", "User", "US0123456789"))
                (field(fields, "since", "Begun since", "2h"))
                (field(fields, "until", "Before", "2026-03-02T09:00:00Z"))
                (choice(fields, "outcome", "What it came to", &wanted::outcomes()))
                (choice(fields, "direction", "Which way", &wanted::DIRECTIONS))
                (field(fields, "status", "The provider’s word", "no-answer"))
                button type="submit" { "Narrow" }
            }
        }
    }
}

fn table(visit: &Visit<'_>, rows: &[CallLine]) -> Markup {
    let view = View::of(false);
    let number = |number: &Option<String>| number.as_deref().map(|number| view.number(number));
    html! {
        @if rows.is_empty() { p.note { "There are none." } } @else {
            div.wide tabindex="0" {
                table {
                    thead {
                        tr {
                            th { "Began" } th { "Which way" } th { "Came to" } th { "From" } th { "To" } th.n { "Length" }
                            th { "Kept" }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr {
                                td { a href=(super::path(&row.id)) { (visit.local(row.at)) } }
                                td { (row.direction.as_deref().unwrap_or_default()) }
                                td { (came_to(row.outcome.as_deref(), &row.status)) }
                                td { (number(&row.caller).unwrap_or_default()) }
                                td { (number(&row.callee).unwrap_or_default()) }
                                td.n { @if let Some(ms) = row.duration_ms { (clock(ms as f64 / 1_000.0)) } }
                                td { (kept(row)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a call came to; in the provider's word while it goes on.
pub(super) fn came_to(outcome: Option<&str>, status: &str) -> Markup {
    match outcome {
        Some(outcome) => html! { span.outcome.(outcome) { (outcome.replace('_', " ")) } },
        None => html! { span.note { (status) } },
    }
}

fn kept(row: &CallLine) -> String {
    let all = [
        (row.recorded, "recording"),
        (row.has_voicemail, "voicemail"),
        (row.transcribed, "transcript"),
        (row.summarised, "summary"),
    ];
    let there: Vec<&str> = all.into_iter().filter_map(|(is, name)| is.then_some(name)).collect();
    there.join(", ")
}
