//! Changing what a dead letter is to do, then trying it again. What would change is shown before it is done; what the
//! job cannot take is told beside the form, which keeps what was written.
//!
//! A payload with people in it is not shown to whoever may not see them, so it cannot be written anew by them either:
//! they set one place of it.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use serde_json::Value;
use trunkline_platform::task::TaskId;
use trunkline_platform::task::dead::{Batch, BatchOutcome, DeadAct, DeadRow, Edit};

use crate::access::Scope;
use crate::dashboard::form::{Fields, address, hidden};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{Pages, parts, see_other};
use crate::mask;

/// What somebody wrote.
#[derive(Default)]
struct Written {
    payload: Option<String>,
    pointer: Option<String>,
    value: Option<String>,
    reason: Option<String>,
}

impl Written {
    fn of(fields: &Fields) -> Self {
        Self {
            payload: fields.owned("payload"),
            pointer: fields.owned("pointer"),
            value: fields.owned("value"),
            reason: fields.owned("reason"),
        }
    }

    /// The change that is meant.
    fn edit(&self) -> Result<Edit, String> {
        match (&self.payload, &self.pointer) {
            (Some(payload), None) => {
                let read = serde_json::from_str(payload);
                read.map(Edit::Replace).map_err(|error| format!("This is no JSON: {error}."))
            }
            (None, Some(pointer)) if pointer.starts_with('/') => {
                let text = self.value.clone().unwrap_or_default();
                let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                Ok(Edit::Set(vec![(pointer.clone(), value)]))
            }
            _ => Err("Write a payload, or a place that begins with a slash.".to_owned()),
        }
    }
}

/// `GET /tasks/:id/edit`
#[handler]
pub(in crate::dashboard) async fn edit(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<i64>,
) -> Page {
    let visit = pages.operator(request).await?;
    let row = dead(&visit, id).await?;
    let unmask = Fields::of_query(request).get("unmask") == Some("true");
    let view = visit.view(unmask, &format!("task:{id}")).await?;
    let shown = view.json(&row.payload);
    // Written back, a mask would take the place of what it hides.
    let whole = serde_json::from_str::<Value>(&row.payload).is_ok_and(|payload| payload == shown);
    let text = serde_json::to_string_pretty(&shown).unwrap_or_default();
    let written = Written { payload: whole.then_some(text), ..Written::default() };
    Ok(visit.page(Place::Tasks, "Edit and retry", &form_page(&visit, &row, &written, whole, None)))
}

/// `POST /tasks/:id/edit`: without `do`, what would change.
#[handler]
pub(in crate::dashboard) async fn try_edit(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<i64>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let row = dead(&visit, id).await?;
    let Some(fields) = Fields::of_body(body).await else {
        return Err(visit.refuse(Place::Tasks, "The payload is too long for a form."));
    };
    let written = Written::of(&fields);
    let whole = written.payload.is_some();
    let again = |why: &str| {
        visit.page(Place::Tasks, "Edit and retry", &form_page(&visit, &row, &written, whole, Some(why)))
    };
    let meant = match written.edit() {
        Ok(meant) => meant,
        Err(why) => return Ok(again(&why)),
    };
    let Some(reason) = &written.reason else { return Ok(again("Say why you change it.")) };
    let earnest = fields.has("do");
    let act = DeadAct::Edit(meant, Arc::clone(&pages.jobs));
    let mut batch = Batch::new(&pages.tasks, act, visit.actor(Some(reason)), !earnest);
    let outcome = batch.act_on(&[row.id]).await?;
    if let Some(refused) = outcome.refused.first() {
        return Ok(again(&mask::phones_in(&refused.why.to_string())));
    }
    if earnest {
        return Ok(see_other(&address(&format!("/tasks/{id}"), &[("did", Some("edit"))])));
    }
    Ok(visit.page(Place::Tasks, "Edit and retry", &confirm(&visit, &row, &written, &outcome)))
}

async fn dead(visit: &Visit<'_>, id: i64) -> Result<DeadRow, Stop> {
    let row = visit.pages.tasks.read_dead(&[TaskId(id)]).await?.pop();
    row.ok_or_else(|| visit.missing(Place::Tasks, "dead letter of this number; it may have been retried"))
}

fn form_page(
    visit: &Visit<'_>,
    row: &DeadRow,
    written: &Written,
    whole: bool,
    problem: Option<&str>,
) -> Markup {
    let place = format!("/tasks/{}/edit", row.id);
    let described = problem.map(|_| "problem");
    html! {
        h1 { "Edit and retry task " (parts::task(row.id)) " " code { (row.kind) } }
        @if let Some(error) = &row.last_error { pre.problem tabindex="0" { (mask::phones_in(error)) } }
        form method="post" action=(place) {
            @if let Some(problem) = problem { p.problem #problem role="alert" { (problem) } }
            @if whole {
                label for="payload" { "Payload" }
                textarea #payload name="payload" rows="12" spellcheck="false" required aria-describedby=[described] {
                    (written.payload.as_deref().unwrap_or_default())
                }
            } @else {
                p { "This payload tells of people, so it is masked here:" }
                (parts::json(&mask::json(&row.payload)))
                label for="pointer" { "Place to change" }
                input #pointer name="pointer" required placeholder="/event" value=[written.pointer.as_deref()] aria-describedby=[described];
                label for="value" { "What shall stand there (JSON, else a text)" }
                input #value name="value" value=[written.value.as_deref()];
                @if visit.caller.scopes.has(Scope::Pii) {
                    p { a href=(address(&place, &[("unmask", Some("true"))])) { "Write it whole" } " (the audit tells that you saw it)" }
                }
            }
            label for="reason" { "Why" }
            input #reason name="reason" required maxlength="500" value=[written.reason.as_deref()];
            p.buttons { button type="submit" { "Check it…" } a href={ "/tasks/" (row.id) } { "Leave it" } }
        }
        @if let Some(schema) = visit.pages.jobs.schema_of(&row.kind) {
            details { summary { "What " code { (row.kind) } " takes" } (parts::json(&schema)) }
        }
    }
}

fn confirm(visit: &Visit<'_>, row: &DeadRow, written: &Written, outcome: &BatchOutcome) -> Markup {
    // Whoever wrote all of it knows what is in it; else what was there is masked.
    let may_see = written.payload.is_some() && visit.caller.scopes.has(Scope::Pii);
    let changed = outcome.edited.first().map(|edited| match may_see {
        true => edited.changes.clone(),
        false => mask::changes(&edited.changes),
    });
    html! {
        h1 { "Change and retry task " (row.id) "?" }
        @match &changed {
            Some(changed) if changed.as_array().is_some_and(|all| !all.is_empty()) => (parts::changes(changed)),
            _ => p { "Nothing changes. It is retried as it is." },
        }
        form method="post" action=(format!("/tasks/{}/edit", row.id)) {
            (hidden(&[("payload", written.payload.as_deref()), ("pointer", written.pointer.as_deref()),
                ("value", written.value.as_deref()), ("reason", written.reason.as_deref()), ("do", Some("yes"))]))
            p.buttons {
                button type="submit" { "Change and retry" }
                a href=(format!("/tasks/{}/edit", row.id)) { "Back" }
            }
        }
    }
}
