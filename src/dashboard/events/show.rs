//! One event: what it told, and the tasks that came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{SecondsFormat, TimeDelta};
use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_jobs::events::{self, EventId, EventRow, Source};
use trunkline_platform::task::{TaskFilter, TaskRow};

use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};

/// Tasks that are shown.
const MOST: u32 = 200;

/// `GET /events/:id`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let row = match id.parse() {
        Ok(id) => events::show(pages.tasks.db(), EventId(id)).await?,
        Err(_) => None,
    };
    let row = row.ok_or_else(|| visit.missing(Place::Events, "such event; it may have been cleared away"))?;
    let unmask = Fields::of_query(request).get("unmask") == Some("true");
    let view = visit.view(unmask, &format!("event:{}", row.id)).await?;
    let summary = row.summary();
    let state = events::state_of(pages.tasks.db(), &summary).await?;
    // What one reconciliation told of shares a correlation, thousands of events at times.
    let tasks = if row.scheme == Source::Reconciled.as_str() {
        let mut tasks = Vec::new();
        for id in events::tasks_of(pages.tasks.db(), &summary).await?.into_iter().take(MOST as usize) {
            tasks.extend(pages.tasks.show(id).await?);
        }
        tasks
    } else {
        let correlation_id = Some(row.correlation_id.clone());
        pages.tasks.list(&TaskFilter { correlation_id, limit: MOST, ..TaskFilter::default() }).await?
    };
    let headers: BTreeMap<String, Vec<String>> = serde_json::from_str(&row.headers).unwrap_or_default();
    let content = html! {
        h1 { "Event " (row.id) " " code { (row.event_type) } " " @if let Some(state) = state { (parts::state(state)) } }
        @if visit.may_operate() {
            p.buttons { a.button href=(again(&row)) { "Replay it…" } }
        }
        (about(&visit, &row))
        h2 { "What came of it" }
        (came(&visit, &tasks))
        h2 { "What it told" }
        (parts::json(&view.json(&row.body)))
        (visit.way_to_unmask(unmask, &format!("/events/{}", row.id)))
        @if !headers.is_empty() {
            h2 { "Headers" }
            dl { @for (name, values) in &headers { dt { (name) } dd { (values.join(", ")) } } }
        }
    };
    Ok(visit.page(Place::Events, &format!("Event {}", row.id), &content))
}

/// A replay of what came at this very moment.
fn again(row: &EventRow) -> String {
    let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let (since, until) = (time(row.received_at), time(row.received_at + TimeDelta::microseconds(1)));
    let of = [
        ("type", Some(row.event_type.as_str())),
        ("since", Some(since.as_str())),
        ("until", Some(until.as_str())),
    ];
    address("/events/replay", &of)
}

fn about(visit: &Visit<'_>, row: &EventRow) -> Markup {
    let code = |text: &str| html! { code { (text) } };
    let to = address("/tasks", &[("q", Some(&format!("correlation:{}", row.correlation_id)))]);
    parts::facts(&[
        ("Job", row.job.as_deref().map(code).or_else(|| Some(html! { "none: no job knew its type" }))),
        ("Event", Some(code(&row.event_id))),
        ("Came", Some(html! { (row.scheme) })),
        ("API version", row.api_version.as_deref().map(code)),
        ("Occurred", row.occurred_at.map(|at| parts::time(at, visit.now))),
        ("Received", Some(parts::time(row.received_at, visit.now))),
        ("Dedupe key", Some(code(&row.dedupe_key))),
        ("Correlation", Some(html! { a href=(to) { (row.correlation_id) } })),
    ])
}

fn came(visit: &Visit<'_>, tasks: &[TaskRow]) -> Markup {
    html! {
        @if tasks.is_empty() { p.note { "No task of it is stored." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Task" } th { "Job" } th { "State" } th { "Cause" } th { "Created" } } }
                    tbody {
                        @for task in tasks {
                            tr {
                                td { (parts::task(task.id)) }
                                td { code { (task.kind) } }
                                td { (parts::state(task.state)) }
                                td { (task.cause) }
                                td { (parts::time(task.created_at, visit.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
