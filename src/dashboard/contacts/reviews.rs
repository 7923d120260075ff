//! Sentences that were taken for an opt-out without being one of its words. The numbers are closed meanwhile; a person says whether
//! it was meant so.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_jobs::contacts::optout::{self, ReviewError, ReviewRow, Verdict};

use crate::dashboard::form::{self, Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts, see_other};
use crate::mask::View;

const PAGE: u32 = 50;
const PATH: &str = "/contacts/reviews";

/// `GET /contacts/reviews`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let rows = optout::reviews(pages.tasks.db(), fields.number("after"), PAGE + 1).await?;
    let unmask = fields.get("unmask") == Some("true");
    let view = visit.view(unmask, "reviews").await?;
    let (shown, last) = parts::page(&rows, PAGE);
    let last = last.map(|row| row.id.to_string());
    let content = html! {
        h1 { "May be opt-outs" }
        (outcome(&fields))
        p.note {
            "Somebody wrote what may mean that they want no more texts. Their numbers are closed until somebody says that it was not meant so. "
            a href="/runbooks/opt-outs" { "Runbook" }
        }
        @if shown.is_empty() { p.note { "There are none." } }
        @for row in shown { (review(&visit, row, view, unmask)) }
        (visit.way_to_unmask(unmask, PATH))
        @if let Some(last) = &last { (parts::next(PATH, &[("after", Some(last)), ("unmask", unmask.then_some("true"))])) }
    };
    Ok(visit.live(Place::Contacts, "May be opt-outs", &content))
}

fn review(visit: &Visit<'_>, row: &ReviewRow, view: View, unmask: bool) -> Markup {
    let number = view.number(&row.number);
    html! {
        section.card {
            h2 {
                @if unmask { a href={ "/contacts/" (row.number) } { code { (number) } } } @else { code { (number) } }
                " " span.state { (if row.closed { "closed" } else { "open" }) }
            }
            p.note { (parts::time(row.at, visit.now)) }
            @if let Some(wording) = &row.wording { p.said { (view.said(wording)) } }
            @if visit.may_operate() {
                (decide(row.id, "confirm", "Yes, they opted out", "The number stays closed."))
                (decide(row.id, "reopen", "No, open the number again", "It can be texted again from then on."))
            }
        }
    }
}

fn decide(id: i64, verdict: &str, says: &str, would: &str) -> Markup {
    form::folded(&format!("{PATH}/{id}/{verdict}"), says, would, &format!("why-{id}-{verdict}"), &html! {})
}

/// What an act that sent the visitor here has done.
fn outcome(fields: &Fields) -> Markup {
    let says = match fields.get("did") {
        Some("confirm") => "It counts as an opt-out: the number stays closed.",
        Some("reopen") => "It was none: the number is open again.",
        _ => return html! {},
    };
    html! { p.done role="status" { (says) } }
}

/// `POST /contacts/reviews/:id/confirm`, `POST /contacts/reviews/:id/reopen`
#[handler]
pub(in crate::dashboard) async fn act(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path((id, word)): Path<(String, String)>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let verdict = match word.as_str() {
        "confirm" => Verdict::Confirm,
        "reopen" => Verdict::Reopen,
        _ => return Err(visit.missing(Place::Contacts, "such act")),
    };
    let id = id.parse().map_err(|_| visit.missing(Place::Contacts, "such sentence"))?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let actor = visit.actor(Some(visit.reason(Place::Contacts, &fields)?));
    match optout::decide(pages.tasks.db(), pages.tasks.clock(), id, verdict, &actor).await {
        Ok(_) => Ok(see_other(&address(PATH, &[("did", Some(&word))]))),
        Err(ReviewError::Database(error)) => Err(error.into()),
        Err(ReviewError::Unknown(_)) => Err(visit.missing(Place::Contacts, "such sentence")),
        Err(other) => Err(visit.refuse(Place::Contacts, &format!("{other}."))),
    }
}
