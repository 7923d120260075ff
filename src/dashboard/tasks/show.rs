//! The life of one task: what caused it, what was tried, what people did, what followed, what it is to do.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_platform::job::Priority;
use trunkline_platform::task::{AttemptRow, TaskId, TaskRow, TaskState};

use super::act;
use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::mask::View;
use crate::timeline::{self, Moment};

/// `GET /tasks/:id`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let row = match id.parse() {
        Ok(id) => pages.tasks.show(TaskId(id)).await?,
        Err(_) => None,
    };
    let row = row.ok_or_else(|| visit.missing(Place::Tasks, "such task"))?;
    let unmask = fields.get("unmask") == Some("true");
    let view = visit.view(unmask, &format!("task:{}", row.id)).await?;
    let attempts = pages.tasks.attempts(row.id).await?;
    let acts = timeline::acts(&pages.tasks, row.id).await?;
    let moments = timeline::viewed(timeline::of(&row, &attempts, &acts), |text| view.line(text));
    let follow_ups = timeline::follow_ups(&pages.tasks, &row).await?;
    let progress = pages.tasks.progress(row.id).await?;
    let content = html! {
        h1 { "Task " (row.id) " " code { (row.kind) } " " (parts::state(row.state)) }
        (parts::outcome(&fields))
        @match &row.last_error {
            Some(error) if row.state == TaskState::Done => p.note { "It failed before: " (view.line(error)) },
            Some(error) => pre.problem tabindex="0" { (view.line(error)) },
            None => {},
        }
        @if visit.may_operate() { (act::choices(&row, pages, visit.now)) }
        (about(&visit, &row, view))
        @if let Some(said) = &progress {
            p {
                "It said: " (said.done) @if let Some(total) = said.total { " of " (total) }
                @if let Some(note) = &said.note { ", " (view.line(note)) } " " (parts::time(said.at, visit.now))
            }
        }
        h2 { "What happened" }
        (life(&visit, &moments))
        @if !follow_ups.is_empty() {
            h2 { "What followed" }
            ul.plain { @for task in &follow_ups { li { (parts::task(task.id)) " " code { (task.kind) } " " (parts::state(task.state)) } } }
        }
        h2 { "Payload" span.note { " version " (row.version) } }
        (parts::json(&view.json(&row.payload)))
        (visit.way_to_unmask(unmask, &format!("/tasks/{}", row.id)))
        @if !attempts.is_empty() { h2 { "Attempts that did not succeed" } (failures(&visit, &attempts, view)) }
    };
    Ok(visit.live(Place::Tasks, &format!("Task {}", row.id), &content))
}

fn about(visit: &Visit<'_>, row: &TaskRow, view: View) -> Markup {
    let time = |at| html! { (parts::time(at, visit.now)) };
    let key = |key: &Option<String>| key.as_deref().map(|key| html! { code { (view.line(key)) } });
    let correlation = row.correlation_id.as_deref().map(|id| {
        let to = address("/tasks", &[("q", Some(&format!("correlation:{id}")))]);
        html! { a href=(to) { (id) } }
    });
    let line = match (row.state, row.blocked) {
        (TaskState::Dead, _) => " (it holds up those behind it)",
        (_, true) => " (waits behind another)",
        _ => "",
    };
    parts::facts(&[
        ("Cause", Some(parts::cause(&row.cause))),
        ("Correlation", correlation),
        ("Queue", Some(html! { (row.queue) ", " (Priority::from_level(row.priority).name()) " priority" })),
        (
            "Tries",
            Some(html! {
                (row.attempt - row.refunds) " of " (row.max_attempts)
                @if row.crashes > 0 { "; its worker died " (row.crashes) " times" }
            }),
        ),
        ("Created", Some(time(row.created_at))),
        ("Due", (row.state == TaskState::Pending).then(|| time(row.run_at))),
        ("Started", row.started_at.map(time)),
        ("Ended", row.finished_at.map(time)),
        ("To be cancelled", row.cancel_requested_at.map(time)),
        ("Worker", row.worker.as_deref().map(|worker| html! { code { (worker) } })),
        ("Unique key", key(&row.unique_key)),
        ("Line", key(&row.ordering_key).map(|key| html! { (key) (line) })),
        ("Rate key", key(&row.rate_key)),
    ])
}

fn life(visit: &Visit<'_>, moments: &[Moment]) -> Markup {
    html! {
        ol.plain.life {
            @for moment in moments { li { (parts::time(moment.at, visit.now)) " " (moment.what) } }
        }
    }
}

fn failures(visit: &Visit<'_>, attempts: &[AttemptRow], view: View) -> Markup {
    html! {
        ol.plain {
            // The newest says what is wrong now.
            @for attempt in attempts.iter().rev() {
                li {
                    "Attempt " (attempt.attempt) ": " (attempt.verdict) " after "
                    (format!("{:.3} s", attempt.duration_ms as f64 / 1_000.0)) " by " code { (attempt.worker) }
                    @if let Some(at) = attempt.started_at { ", started " (parts::time(at, visit.now)) }
                    @if let Some(error) = &attempt.error { pre tabindex="0" { (view.line(error)) } }
                }
            }
        }
    }
}
