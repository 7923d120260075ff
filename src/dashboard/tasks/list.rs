//! Tasks, found by one field.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_platform::task::{TaskFilter, TaskRow};

use super::grammar::{self, Search};
use crate::dashboard::form::Fields;
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts, see_other};
use crate::mask;

const PAGE: u32 = 50;

/// `GET /tasks`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let text = fields.get("q").unwrap_or_default();
    let (rows, unclear) = match grammar::read(text) {
        Ok(Search::One(id)) => return Ok(see_other(&format!("/tasks/{id}"))),
        Ok(Search::Many(filter)) => {
            let filter = TaskFilter { before: fields.number("before"), limit: PAGE + 1, ..filter };
            (pages.tasks.list(&filter).await?, None)
        }
        Err(unclear) => (Vec::new(), Some(unclear.to_string())),
    };
    let (shown, last) = parts::page(&rows, PAGE);
    let last = last.map(|row| row.id.to_string());
    let content = html! {
        h1 { "Tasks" }
        form.filter method="get" action="/tasks" role="search" {
            div.grow {
                label for="q" { "Search" }
                input #q name="q" value=(text) autocomplete="off" spellcheck="false" aria-describedby="q-help"
                    placeholder="state:dead kind:media.download" maxlength="500";
            }
            button type="submit" { "Search" }
        }
        @if let Some(unclear) = &unclear { p.problem role="alert" { (unclear) } }
        p.note #q-help {
            "Words: " code { "state:" } " " code { "kind:" } " " code { "queue:" } " " code { "correlation:" }
            ", or the number of a task. "
            @for state in ["pending", "running", "dead", "done"] { a href={ "/tasks?q=state:" (state) } { (state) } " " }
        }
        @if unclear.is_none() { (table(&visit, shown)) }
        @if let Some(last) = last { (parts::next("/tasks", &[("q", fields.get("q")), ("before", Some(&last))])) }
    };
    Ok(visit.live(Place::Tasks, "Tasks", &content))
}

fn table(visit: &Visit<'_>, rows: &[TaskRow]) -> Markup {
    html! {
        @if rows.is_empty() { p.note { "There are none." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Task" } th { "Job" } th { "State" } th { "Queue" } th { "Tries" } th { "Created" } th { "Error" } } }
                    tbody {
                        @for row in rows {
                            tr {
                                td { (parts::task(row.id)) }
                                td { code { (row.kind) } }
                                td { (parts::state(row.state)) }
                                td { (row.queue) }
                                td { (row.attempt - row.refunds) "/" (row.max_attempts) }
                                td { (parts::time(row.created_at, visit.now)) }
                                td { (parts::shortened(&mask::phones_in(row.last_error.as_deref().unwrap_or_default()))) }
                            }
                        }
                    }
                }
            }
        }
    }
}
