//! Queues: how they stand, and holding them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use serde_json::Value;
use trunkline_platform::audit::{self, AuditFilter, AuditRow};
use trunkline_platform::db::DbError;
use trunkline_platform::task::Scope;

use super::form::{self, Fields, address};
use super::layout::Place;
use super::visit::{Page, Visit};
use super::{Pages, parts, see_other};
use crate::mask::View;
use crate::queues;

/// Of a queue, among which the one is looked for that holds it.
const LATEST_ACTS: u32 = 50;

/// `GET /queues`
#[handler]
pub(super) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let (backlog, limits) = (pages.tasks.backlog().await?, pages.tasks.limits().await?);
    let standing = queues::join(&backlog, pages.tasks.rates().await?, &limits);
    let mut held = BTreeMap::new();
    for name in queues::paused(&limits) {
        held.insert(name, last_pause(pages, name).await?);
    }
    let mut names = pages.jobs.queue_names();
    names.sort_by_key(|name| !held.contains_key(name));
    let content = html! {
        h1 { "Queues" }
        (parts::outcome(&Fields::of_query(request)))
        p.note { "While a queue is paused nothing of it starts; what runs goes on. " a href="/runbooks/holding-back" { "Runbook" } }
        @for name in names {
            @let found = standing.iter().find(|queue| queue.depth.queue == name);
            section.card {
                h2 { (name) @if held.contains_key(name) { " " span.state { "paused" } } }
                @if let Some(Some(pause)) = held.get(name) { (paused(&visit, pause)) }
                @if let Some(queue) = found {
                    p {
                        (queue.depth.due) " due, " (queue.depth.delayed) " later, " (queue.depth.running) " running, "
                        (queue.depth.blocked) " behind others"
                        @if let Some(since) = queue.depth.oldest_due { "; the oldest due since " (parts::time(since, visit.now)) }
                        "."
                    }
                } @else { p.note { "Nothing waits and nothing runs." } }
                @if visit.may_operate() { (change(name, held.contains_key(name))) }
            }
        }
    };
    Ok(visit.live(Place::Queues, "Queues", &content))
}

/// The act that holds it: the last that found it going and left it paused, whatever else has been done to it since.
async fn last_pause(pages: &Pages, queue: &str) -> Result<Option<AuditRow>, DbError> {
    let subject = Some(Scope::Queue(queue.to_owned()).to_string());
    let filter = AuditFilter { subject, limit: LATEST_ACTS, ..AuditFilter::default() };
    let acts = audit::list(pages.tasks.db(), &filter).await?;
    let paused = |state: &Option<String>| {
        let state = state.as_deref().and_then(|state| serde_json::from_str::<Value>(state).ok());
        state.is_some_and(|state| state["paused"] == true)
    };
    Ok(acts.into_iter().find(|row| paused(&row.after) && !paused(&row.before)))
}

/// Who holds it since when, and why.
fn paused(visit: &Visit<'_>, pause: &AuditRow) -> Markup {
    html! {
        p {
            "Since " (parts::time(pause.at, visit.now)) ", by " code { (pause.actor) }
            @if let Some(why) = &pause.reason { ": " (View::of(false).line(why)) }
            ". " a href=(address("/audit", &[("subject", Some(&pause.subject))])) { "Audit" }
        }
    }
}

/// A pause is asked for twice; to let it go on is one press.
fn change(queue: &str, paused: bool) -> Markup {
    let (path, id) = (|word: &str| format!("/queues/{queue}/{word}"), format!("why-{queue}"));
    html! {
        @if paused {
            form method="post" action=(path("resume")) {
                (form::reason(&id))
                button type="submit" { "Resume " (queue) }
            }
        } @else {
            (form::folded(&path("pause"), &format!("Pause {queue}"), "Nothing of it starts until somebody resumes it.", &id, &html! {}))
        }
    }
}

/// `POST /queues/:name/pause`, `POST /queues/:name/resume`
#[handler]
pub(super) async fn act(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path((name, word)): Path<(String, String)>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let paused = match word.as_str() {
        "pause" => true,
        "resume" => false,
        _ => return Err(visit.missing(Place::Queues, "such act")),
    };
    if !pages.jobs.queue_names().contains(&name.as_str()) {
        return Err(visit.missing(Place::Queues, "such queue"));
    }
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let reason = visit.reason(Place::Queues, &fields)?;
    pages.tasks.pause_queue(&name, paused, &visit.actor(Some(reason))).await?;
    Ok(see_other(&address("/queues", &[("did", Some(&word))])))
}
