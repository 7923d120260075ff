//! The audit: who did what to what, when and why.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use serde_json::Value;
use trunkline_platform::audit::{self, AuditFilter, AuditRow};

use super::form::Fields;
use super::layout::Place;
use super::visit::{Page, Visit};
use super::{Pages, parts};
use crate::mask::{self, View};

const PAGE: u32 = 50;

/// `GET /audit`
#[handler]
pub(super) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let filter = AuditFilter {
        subject: fields.owned("subject"),
        actor: fields.owned("actor"),
        action: fields.owned("action"),
        before: fields.number("before"),
        limit: PAGE + 1,
    };
    let found = audit::list(pages.tasks.db(), &filter).await?;
    let (rows, last) = parts::page(&found, PAGE);
    let last = last.map(|row| row.id.to_string());
    let search = |name: &str, label: &str, example: &str| {
        html! {
            div { label for=(name) { (label) } input id=(name) name=(name) value=[fields.get(name)] placeholder=(example); }
        }
    };
    let content = html! {
        h1 { "Audit" }
        form.filter method="get" action="/audit" role="search" {
            (search("subject", "To what", "task:17"))
            (search("actor", "By whom", "operator:ana"))
            (search("action", "What", "task.cancel"))
            button type="submit" { "Search" }
        }
        (entries(&visit, rows))
        @if let Some(last) = last {
            (parts::next("/audit", &[("subject", fields.get("subject")), ("actor", fields.get("actor")),
                ("action", fields.get("action")), ("before", Some(&last))]))
        }
    };
    Ok(visit.live(Place::Audit, "Audit", &content))
}

fn entries(visit: &Visit<'_>, rows: &[AuditRow]) -> Markup {
    let view = View::of(false);
    html! {
        @if rows.is_empty() { p.note { "Nothing of this kind was done." } }
        ol.plain.entries {
            @for row in rows {
                li {
                    (parts::time(row.at, visit.now)) " " strong { (row.action) } " " (subject(&view.line(&row.subject)))
                    " by " code { (row.actor) }
                    @if let Some(reason) = &row.reason { ": " q { (view.line(reason)) } }
                    (documents(row))
                }
            }
        }
    }
}

fn subject(subject: &str) -> Markup {
    match subject.strip_prefix("task:").filter(|id| id.parse::<i64>().is_ok()) {
        Some(id) => html! { a href={ "/tasks/" (id) } { (subject) } },
        None => html! { code { (subject) } },
    }
}

/// What was before and after; of an edited payload only what differs.
fn documents(row: &AuditRow) -> Markup {
    let read = |text: &Option<String>| {
        text.as_deref().map(|text| serde_json::from_str::<Value>(text).unwrap_or_default())
    };
    let after = read(&row.after);
    let edited = after.as_ref().and_then(|after| after.get("changes")).map(mask::changes);
    html! {
        @if let Some(edited) = edited {
            (parts::changes(&edited))
        } @else if row.before.is_some() || row.after.is_some() {
            details {
                summary { "Before and after" }
                @for document in [&row.before, &row.after].into_iter().flatten() { (parts::json(&mask::json(document))) }
            }
        }
    }
}
