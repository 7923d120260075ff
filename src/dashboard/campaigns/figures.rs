//! A campaign on its way: how fast it goes, how many are where, and what something was stopped for.

use maud::{Markup, html};
use trunkline_jobs::campaigns::breaker::Trip;
use trunkline_jobs::campaigns::flight::Progress;
use trunkline_jobs::campaigns::{CampaignRow, Live, Outcome};

use super::charts;
use crate::dashboard::form::address;
use crate::dashboard::parts;
use crate::dashboard::visit::Visit;
use crate::elapsed;
use crate::mask::View;

/// How far it is, and how fast it goes.
pub(super) fn live(live: &Live) -> Markup {
    let over = live.recipients - live.waiting;
    html! {
        p.big role="status" {
            strong { (live.left) } " of " (live.recipients) " have left, "
            (live.last_minute) " of them in the last minute. " (live.waiting) " wait."
        }
        @if live.recipients > 0 {
            progress max=(live.recipients) value=(over) aria-label="Recipients who have come to an end, or have a text on its way" { (over) }
        }
    }
}

/// Beside the plan it began with.
pub(super) fn fares(visit: &Visit<'_>, progress: &Progress) -> Markup {
    let Progress { left, planned, behind_seconds, ends_at, planned_end } = progress;
    let late = chrono::TimeDelta::seconds(*behind_seconds);
    html! {
        p {
            "Planned by now: " (planned) "; left: " (left)
            @if late.num_seconds() > 0 { ", " (elapsed::roughly(late)) " behind" }
            @else if late.num_seconds() < 0 { ", " (elapsed::roughly(-late)) " ahead" }
            "."
            @if let Some(at) = ends_at { " The last leaves " (parts::time(*at, visit.now)) "." }
            @if let Some(at) = planned_end { " Planned: " (parts::time(*at, visit.now)) "." }
        }
    }
}

/// How many are where and why, each with the way to who they are.
pub(super) fn outcomes(visit: &Visit<'_>, campaign: &CampaignRow, outcomes: &[Outcome]) -> Markup {
    let whole: i64 = outcomes.iter().map(|row| row.count).sum();
    let place = format!("/campaigns/{}/recipients", campaign.id);
    let view = View::of(false);
    html! {
        h2 { "Who is where, and why" }
        @if outcomes.is_empty() { p.note { "Nobody is written down yet. That happens when it starts." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th.n { "People" } th { "State" } th { "Why" } th { "Part" } th { "Looked at again" } } }
                    tbody {
                        @for row in outcomes {
                            @let fields = [("state", Some(row.state.as_str())), ("reason", row.reason.as_deref())];
                            tr {
                                td.n { a href=(address(&place, &fields)) { (row.count) } }
                                td { (parts::state(&row.state)) }
                                td { @if let Some(why) = &row.reason { code { (view.line(why)) } } }
                                td { (charts::bar(row.count, whole)) }
                                td {
                                    @if let Some(at) = row.next_at.filter(|_| row.state == "waiting") { (parts::time(at, visit.now)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the breaker stopped, the latest first.
pub(super) fn trips(visit: &Visit<'_>, trips: &[Trip]) -> Markup {
    let view = View::of(false);
    html! {
        @if !trips.is_empty() {
            h2 { "What it was stopped for" }
            ul.plain {
                @for trip in trips {
                    li {
                        (parts::time(trip.tripped_at, visit.now)) " "
                        @if let Some(sender) = &trip.sender { "number " code { (sender) } ": " }
                        (view.line(&trip.reason))
                        @let seen = &trip.evidence.0;
                        span.note {
                            " Of " (seen.ended) " texts " (seen.failures) " had failed and " (seen.opt_outs) " people had asked to stop."
                            @match trip.released_at {
                                Some(at) => { " Let go on " (parts::time(at, visit.now)) @if let Some(by) = &trip.released_by { " by " (by) } "." },
                                None => " It is held still.",
                            }
                        }
                    }
                }
            }
        }
    }
}
