//! Queues: how they stand, and holding them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_platform::audit::{self, AuditFilter, AuditRow};
use trunkline_platform::db::DbError;

use super::form::{self, Fields, address};
use super::layout::Place;
use super::visit::{Page, Visit};
use super::{Pages, parts, see_other};
use crate::mask::View;
use crate::queues;

/// `GET /queues`
#[handler]
pub(super) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let (backlog, limits) = (pages.tasks.backlog().await?, pages.tasks.limits().await?);
    let standing = queues::join(&backlog, pages.tasks.rates().await?, &limits);
    let held = |name: &str| {
        let limit = limits.iter().find(|limit| limit.scope.strip_prefix("queue:") == Some(name));
        limit.is_some_and(|limit| limit.paused)
    };
    let mut names = pages.jobs.queue_names();
    names.sort_by_key(|name| !held(name));
    let mut why = BTreeMap::new();
    for name in names.iter().filter(|name| held(name)) {
        why.insert(*name, last_act(pages, name).await?);
    }
    let content = html! {
        h1 { "Queues" }
        (parts::outcome(&Fields::of_query(request)))
        p.note { "While a queue is paused nothing of it starts; what runs goes on. " a href="/runbooks/holding-back" { "Runbook" } }
        @for name in names {
            @let found = standing.iter().find(|queue| queue.depth.queue == name);
            section.card {
                h2 { (name) @if held(name) { " " span.state { "paused" } } }
                @if let Some(last) = why.get(name).and_then(Option::as_ref) { (paused(&visit, name, last)) }
                @if let Some(queue) = found {
                    p {
                        (queue.depth.due) " due, " (queue.depth.delayed) " later, " (queue.depth.running) " running, "
                        (queue.depth.blocked) " behind others"
                        @if let Some(since) = queue.depth.oldest_due { "; the oldest due since " (parts::time(since, visit.now)) }
                        "."
                    }
                } @else { p.note { "Nothing waits and nothing runs." } }
                @if visit.may_operate() { (change(name, held(name))) }
            }
        }
    };
    Ok(visit.live(Place::Queues, "Queues", &content))
}

/// What somebody did to it last.
async fn last_act(pages: &Pages, queue: &str) -> Result<Option<AuditRow>, DbError> {
    let filter = AuditFilter { subject: Some(format!("queue:{queue}")), limit: 1, ..AuditFilter::default() };
    Ok(audit::list(pages.tasks.db(), &filter).await?.pop())
}

/// Who holds it since when, and why.
fn paused(visit: &Visit<'_>, queue: &str, last: &AuditRow) -> Markup {
    html! {
        p {
            "Since " (parts::time(last.at, visit.now)) ", by " code { (last.actor) }
            @if let Some(why) = &last.reason { ": " (View::of(false).line(why)) }
            ". " a href=(address("/audit", &[("subject", Some(&format!("queue:{queue}")))])) { "Audit" }
        }
    }
}

/// A pause is asked for twice; to let it go on is one press.
fn change(queue: &str, paused: bool) -> Markup {
    let form = |word: &str, says: &str| {
        html! {
            form method="post" action=(format!("/queues/{queue}/{word}")) {
                (form::reason(&format!("why-{queue}")))
                button type="submit" { (says) " " (queue) }
            }
        }
    };
    html! {
        @if paused { (form("resume", "Resume")) } @else { details { summary { "Pause…" } (form("pause", "Pause")) } }
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
