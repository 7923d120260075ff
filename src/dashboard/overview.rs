//! What whoever is woken opens first: is it well, what is not, and where that is dealt with. Each trouble is told with
//! its place and its runbook; figures come after.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_platform::task::dead::DeadGroup;

use super::form::address;
use super::layout::Place;
use super::visit::Page;
use super::{Pages, parts};
use crate::mask;
use crate::queues::QueueNow;
use crate::troubles::{self, Look, Trouble};

/// `GET /`
#[handler]
pub(super) async fn show(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let report = pages.probes.report().await;
    let look = Look::take(&pages.tasks, pages.jobs.as_ref(), &pages.secrets).await?;
    let found = [troubles::of_checks(&report.checks), look.troubles(visit.now)].concat();
    let content = html! {
        (verdict(&troubles::ranked(found)))
        (queue_table(&look, visit.now))
        @if look.dead > 0 {
            h2 { "Dead letters: " (look.dead) }
            ul.plain {
                @for group in &look.groups {
                    li {
                        a href=(group_address(group)) { (group.count) " × " code { (group.kind) } }
                        " " (mask::phones_in(&group.error)) " "
                        span.note { "last " (parts::time(group.last_died_at, visit.now)) }
                    }
                }
            }
        }
        h2 { "Workers" }
        ul.plain {
            @for worker in look.alive(visit.now) {
                li { code { (worker.id) } " on " (worker.host) ", since " (parts::time(worker.started_at, visit.now)) }
            }
        }
    };
    Ok(visit.live(Place::Overview, "Overview", &content))
}

fn verdict(troubles: &[Trouble]) -> Markup {
    html! {
        @match troubles.len() {
            0 => h1 { "All is well" },
            1 => h1 { "One thing is not well" },
            count => h1 { (count) " things are not well" },
        }
        ul.troubles {
            @for trouble in troubles {
                li class=(if trouble.urgent { "urgent" } else { "soon" }) {
                    strong { (if trouble.urgent { "Now: " } else { "Soon: " }) }
                    (trouble.what)
                    span.ways {
                        @if let Some(page) = &trouble.page { a href=(page) { "Deal with it" } " " }
                        @else if let Some(command) = &trouble.command { code { (command) } " " }
                        a href={ "/runbooks/" (trouble.runbook) } { "Runbook: " (trouble.runbook) }
                    }
                }
            }
        }
    }
}

fn group_address(group: &DeadGroup) -> String {
    let (kind, fingerprint) = (Some(group.kind.as_str()), group.fingerprint.as_deref());
    address("/dead/list", &[("kind", kind), ("fingerprint", fingerprint)])
}

fn queue_table(look: &Look, now: DateTime<Utc>) -> Markup {
    html! {
        h2 { "Queues" }
        div.wide tabindex="0" {
            table {
                thead {
                    tr {
                        th { "Queue" } th.n { "Due" } th.n { "Later" } th.n { "Running" } th.n { "Behind" }
                        th { "Oldest due" } th.n { "Done/min" } th.n { "Failed/min" }
                    }
                }
                tbody {
                    @for QueueNow { depth, paused, rate } in &look.queues {
                        tr {
                            td {
                                a href=(address("/tasks", &[("q", Some(&format!("queue:{}", depth.queue)))])) { (depth.queue) }
                                @if *paused { " " span.state { "paused" } }
                            }
                            td.n { (depth.due) } td.n { (depth.delayed) } td.n { (depth.running) } td.n { (depth.blocked) }
                            td { @if let Some(since) = depth.oldest_due { (parts::time(since, now)) } }
                            td.n { (format!("{:.1}", rate.done_per_minute[1])) }
                            td.n { (format!("{:.1}", rate.failed_per_minute[1])) }
                        }
                    }
                }
            }
        }
        @if look.backlog.is_empty() { p.note { "Nothing waits and nothing runs." } }
        p.note { "Rates: over the last five minutes. Done and failed are attempts." }
    }
}
