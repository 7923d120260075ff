//! A canary replay while it goes on. Without script the page looks again by itself.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_platform::task::dead::Stopped;

use super::wanted::Wanted;
use crate::dashboard::layout::Place;
use crate::dashboard::visit::Page;
use crate::dashboard::{Pages, parts, see_other};
use crate::mask;
use crate::replays::ReplayNow;

/// `GET /dead/replays/:id`
#[handler]
pub(in crate::dashboard) async fn replay(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<u64>,
) -> Page {
    let visit = pages.visit(request).await?;
    let now = pages.replays.show(id);
    let now = now.ok_or_else(|| visit.missing(Place::DeadLetters, "such replay in this process"))?;
    let counts = now.counts;
    let content = html! {
        h1 { "Replay " (now.id) }
        p { "Of " (Wanted::of_filter(&now.filter).told()) ", begun " (parts::time(now.began_at, visit.now)) " by " (now.by) "." }
        p.big role="status" { (standing(&now)) }
        dl {
            @for (name, count) in [("Retried", counts.retried), ("Done", counts.done), ("On their way", counts.open),
                ("Failed of something else", counts.failed_otherwise), ("Ended without effect", counts.ended_otherwise),
                ("Refused", counts.refused)] {
                dt { (name) } dd { (count) }
            }
        }
        @if now.ended_at.is_none() && visit.may_operate() {
            form method="post" action={ "/dead/replays/" (now.id) "/stop" } { button type="submit" { "Stop it" } }
        }
        p { a href="/dead" { "Dead letters" } " · " a href="/audit?action=task.retry" { "Audit" } }
    };
    let again = now.ended_at.is_none().then_some(2);
    Ok(visit.live_at(&format!("/dead/replays/{id}"), again, Place::DeadLetters, "Replay", &content))
}

fn standing(now: &ReplayNow) -> Markup {
    let task = |id| parts::task(id);
    html! {
        @match (&now.failed, &now.stopped, now.ended_at) {
            (Some(why), _, _) => { "It failed: " (mask::phones_in(why)) },
            (None, None, None) => "It goes on.",
            (None, None, Some(_)) => "It is done.",
            (None, Some(Stopped::Repeat { task: id, error, .. }), _) => {
                "Stopped: task " (task(*id)) " failed of the same again: " (mask::phones_in(error))
                ". The others are dead letters as before. Repair the cause, then begin again."
            },
            (None, Some(Stopped::NoneDone { task: id, error }), _) => {
                "Stopped: none of the first succeeded. Task " (task(*id)) " failed of something else: " (mask::phones_in(error))
            },
            (None, Some(Stopped::Undecided { tasks }), _) => {
                "Stopped: " (tasks.len()) " did not end in time. Does a worker run, is the queue paused?"
            },
            (None, Some(Stopped::Interrupted), _) => "Stopped as asked. Begin again to go on.",
        }
    }
}

/// `POST /dead/replays/:id/stop`
#[handler]
pub(in crate::dashboard) async fn stop(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<u64>,
) -> Page {
    let visit = pages.operator(request).await?;
    match pages.replays.stop(id, &visit.actor(None)).await? {
        true => Ok(see_other(&format!("/dead/replays/{id}"))),
        false => Err(visit.missing(Place::DeadLetters, "such replay in this process")),
    }
}
