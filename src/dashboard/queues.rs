//! Queues: how they stand, and holding them back.

use std::sync::Arc;

use maud::html;
use poem::web::{Data, Path};
use poem::{Body, Request, handler};

use super::form::{self, Fields, address};
use super::layout::Place;
use super::visit::Page;
use super::{Pages, parts, see_other};
use crate::queues;

/// `GET /queues`
#[handler]
pub(super) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let (backlog, limits) = (pages.tasks.backlog().await?, pages.tasks.limits().await?);
    let standing = queues::join(&backlog, pages.tasks.rates().await?, &limits);
    let content = html! {
        h1 { "Queues" }
        (parts::outcome(&Fields::of_query(request)))
        p.note { "While a queue is paused nothing of it starts; what runs goes on. " a href="/runbooks/holding-back" { "Runbook" } }
        @for name in pages.jobs.queue_names() {
            @let found = standing.iter().find(|queue| queue.depth.queue == name);
            @let limit = limits.iter().find(|limit| limit.scope.strip_prefix("queue:") == Some(name));
            @let paused = limit.is_some_and(|limit| limit.paused);
            section.card {
                h2 { (name) @if paused { " " span.state { "paused" } } }
                @if let Some(queue) = found {
                    p {
                        (queue.depth.due) " due, " (queue.depth.delayed) " later, " (queue.depth.running) " running, "
                        (queue.depth.blocked) " behind others"
                        @if let Some(since) = queue.depth.oldest_due { "; the oldest due since " (parts::time(since, visit.now)) }
                        "."
                    }
                } @else { p.note { "Nothing waits and nothing runs." } }
                @if let Some(limit) = limit { p.note { "Set by " (limit.set_by) "." } }
                @if visit.may_operate() {
                    form method="post" action=(format!("/queues/{name}/{}", if paused { "resume" } else { "pause" })) {
                        (form::reason(&format!("why-{name}")))
                        button type="submit" { (if paused { "Resume " } else { "Pause " }) (name) }
                    }
                }
            }
        }
    };
    Ok(visit.live(Place::Queues, "Queues", &content))
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
