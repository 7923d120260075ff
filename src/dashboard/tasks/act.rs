//! What can be done to one task: retry or discard a dead letter (which the pages of dead letters do), cancel what has
//! not ended, change what waits.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_platform::job::Priority;
use trunkline_platform::task::{Acted, Change, Outcome, TaskId, TaskRow, TaskState};

use crate::dashboard::form::{self, Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, see_other};
use crate::elapsed;

/// The acts that its state allows.
pub(super) fn choices(row: &TaskRow, pages: &Pages, now: DateTime<Utc>) -> Markup {
    let id = row.id;
    html! {
        @match row.state {
            TaskState::Dead => p.buttons {
                a.button href=(format!("/tasks/{id}/edit")) { "Edit and retry…" }
                a.button href=(format!("/dead/act?act=retry&id={id}")) { "Retry…" }
                a.button.grave href=(format!("/dead/act?act=discard&id={id}")) { "Discard…" }
            },
            TaskState::Pending | TaskState::Running => {
                @if row.state == TaskState::Pending { (change_form(row, pages, now)) }
                details {
                    summary { "Cancel it" }
                    form method="post" action=(format!("/tasks/{id}/cancel")) {
                        (form::reason("why-cancel"))
                        button.grave type="submit" { "Cancel task " (id) }
                    }
                }
            },
            TaskState::Done | TaskState::Cancelled | TaskState::Discarded => {},
        }
    }
}

fn change_form(row: &TaskRow, pages: &Pages, now: DateTime<Utc>) -> Markup {
    let later = row.run_at > now;
    html! {
        details {
            summary { "Change it" }
            form method="post" action=(format!("/tasks/{}/change", row.id)) {
                label for="priority" { "Priority" }
                select #priority name="priority" {
                    @for priority in Priority::ALL {
                        option value=(priority.name()) selected[i32::from(priority.level()) == row.priority] { (priority.name()) }
                    }
                }
                label for="queue" { "Queue" }
                select #queue name="queue" {
                    @for queue in pages.jobs.queue_names() {
                        option value=(queue) selected[queue == row.queue] { (queue) }
                    }
                }
                label for="at" { "Not before" }
                input #at name="at" placeholder=(if later { "now, 5m, 2026-03-02T09:00:00Z; empty: as it is" } else { "5m, 2026-03-02T09:00:00Z; empty: as it is" });
                (form::reason("why-change"))
                button type="submit" { "Change task " (row.id) }
            }
        }
    }
}

/// `POST /tasks/:id/cancel`
#[handler]
pub(in crate::dashboard) async fn cancel(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<i64>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let reason = visit.reason(Place::Tasks, &fields)?;
    let acted = pages.tasks.cancel(&[TaskId(id)], &visit.actor(Some(reason))).await?;
    told(&visit, id, "cancel", &acted)
}

/// `POST /tasks/:id/change`
#[handler]
pub(in crate::dashboard) async fn change(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<i64>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let reason = visit.reason(Place::Tasks, &fields)?;
    let what = wanted(&fields, pages, visit.now).map_err(|why| visit.refuse(Place::Tasks, &why))?;
    let acted = pages.tasks.change(&[TaskId(id)], &what, &visit.actor(Some(reason))).await?;
    told(&visit, id, "change", &acted)
}

fn wanted(fields: &Fields, pages: &Pages, now: DateTime<Utc>) -> Result<Change, String> {
    let priority = fields.get("priority").map(str::parse::<Priority>).transpose();
    let queue = fields.owned("queue");
    if let Some(queue) = queue.as_deref().filter(|queue| !pages.jobs.queue_names().contains(queue)) {
        return Err(format!("There is no queue {queue:?}."));
    }
    Ok(Change {
        priority: priority.map_err(|error| error.to_string())?,
        run_at: fields.get("at").map(|text| not_before(text, now)).transpose()?,
        queue,
    })
}

/// `now`, a length of time from now, or a time.
fn not_before(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let time = match text {
        "now" => Some(now),
        _ => elapsed::ahead(text, now).or_else(|| elapsed::time(text)),
    };
    time.ok_or_else(|| format!("{text:?} is no time: write now, 5m, or a time such as 2026-03-02T09:00:00Z."))
}

/// Back to the task, or why not.
fn told(visit: &Visit<'_>, id: i64, did: &str, acted: &[Acted]) -> Page {
    let did = match acted.first().map(|one| &one.outcome) {
        Some(Outcome::Done) => did,
        Some(Outcome::Told) => "told",
        Some(Outcome::Refused { why }) => {
            return Err(visit.refuse(Place::Tasks, &format!("Task {id} was refused: {why}.")));
        }
        None => return Err(visit.missing(Place::Tasks, "such task")),
    };
    Ok(see_other(&address(&format!("/tasks/{id}"), &[("did", Some(did))])))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_time_is_now_or_from_now_or_itself() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(not_before("now", now), Ok(now));
        assert_eq!(not_before("5m", now), Ok(now + TimeDelta::minutes(5)));
        assert_eq!(not_before("1970-01-01T01:00:00+01:00", now), Ok(now));
        for bad in ["soon", "99999999d", "99999999999999d"] {
            assert!(not_before(bad, now).is_err(), "{bad}");
        }
    }
}
