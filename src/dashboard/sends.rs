//! One text: what became of it and why, and those of which nobody can tell, for a person to decide.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_jobs::campaigns::recipients_of;
use trunkline_jobs::contacts::optout;
use trunkline_jobs::sends::{self, Resolution, ResolveError, SendFilter, SendRow, SendState};

use super::form::{self, Fields};
use super::layout::Place;
use super::visit::{Page, Stop, Visit};
use super::{Pages, parts, see_other};
use crate::mask::View;

/// Campaigns of its number that are looked through for its own.
const MOST_LOOKED: u32 = 100;

const PAGE: u32 = 50;

/// `GET /sends`: those that may have been sent and may not.
#[handler]
pub(super) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let (state, before) = (Some(SendState::Unresolved), fields.number("before"));
    let filter = SendFilter { state, before, limit: PAGE + 1, ..SendFilter::default() };
    let rows = sends::list(pages.tasks.db(), &filter).await?;
    let (shown, last) = parts::page(&rows, PAGE);
    let last = last.map(|row| row.id.to_string());
    let view = View::of(false);
    let content = html! {
        h1 { "Texts nobody can tell of" }
        p.note {
            "They were given to the provider, which never said that it took them, and its list does not tell. They are not sent again; a person "
            "looks at the conversation and decides. " a href="/runbooks/sending" { "Runbook" }
        }
        @if shown.is_empty() { p.note { "There are none." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Text" } th { "To" } th { "From" } th { "Campaign" } th { "Why" } th { "Since" } } }
                    tbody {
                        @for row in shown {
                            tr {
                                td { a href={ "/sends/" (row.id) } { (row.id) } }
                                td { code { (view.number(&row.number)) } }
                                td { code { (row.sender) } }
                                td { @if let Some(id) = row.campaign_id { a href={ "/campaigns/" (id) } { (id) } } }
                                td { (parts::shortened(&view.line(row.reason.as_deref().unwrap_or_default()))) }
                                td { (parts::time(row.state_at, visit.now)) }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(last) = &last { (parts::next("/sends", &[("before", Some(last))])) }
    };
    Ok(visit.live(Place::Campaigns, "Texts nobody can tell of", &content))
}

/// `GET /sends/:id`
#[handler]
pub(super) async fn show(Data(pages): Data<&Arc<Pages>>, request: &Request, Path(id): Path<String>) -> Page {
    let visit = pages.visit(request).await?;
    let row = found(&visit, &id).await?;
    let unmask = Fields::of_query(request).get("unmask") == Some("true");
    let view = visit.view(unmask, &format!("send:{}", row.id)).await?;
    let db = pages.tasks.db();
    let closed = optout::show(db, &row.number).await?.is_some_and(|row| row.closed);
    let turn = match row.campaign_id {
        Some(campaign) => recipients_of(db, &row.number, MOST_LOOKED)
            .await?
            .into_iter()
            .find(|turn| turn.campaign_id == campaign),
        None => None,
    };
    let why = row.error_code.as_deref().or(row.reason.as_deref());
    let content = html! {
        h1 { "Text " (row.id) " " (parts::state(row.state)) }
        @if let Some(why) = why { p.problem { (view.line(why)) } }
        @if closed { p { "The number has opted out: nothing more is sent to it." } }
        @if visit.may_operate() && row.state == SendState::Unresolved { (decide(row.id)) }
        (about(&visit, &row, turn.map(|turn| turn.position), view))
        h2 { "What it says" }
        pre.prose tabindex="0" { (view.said(&row.body)) }
        (visit.way_to_unmask(unmask, &format!("/sends/{}", row.id)))
        @if let Some(evidence) = &row.evidence { h2 { "What was seen of it" } (parts::json(&view.json(evidence))) }
    };
    Ok(visit.live(Place::Contacts, "Text", &content))
}

fn about(visit: &Visit<'_>, row: &SendRow, turn: Option<i64>, view: View) -> Markup {
    let code = |text: &str| html! { code { (text) } };
    let campaign = row.campaign_id.map(|id| {
        html! {
            a href={ "/campaigns/" (id) } { (id) }
            @if let Some(variant) = &row.variant { ", text " (variant) }
            @if let Some(turn) = turn { ", turn " (turn) }
        }
    });
    parts::facts(&[
        ("Kind", Some(html! { (row.kind) })),
        ("Campaign", campaign),
        ("To", Some(code(&view.number(&row.number)))),
        ("From", Some(code(&row.sender))),
        ("Segments", Some(html! { (row.segments) })),
        ("In this state since", Some(parts::time(row.state_at, visit.now))),
        ("Written", Some(parts::time(row.created_at, visit.now))),
        ("Committed to", row.intended_at.map(|at| parts::time(at, visit.now))),
        (
            "Tries",
            Some(html! { (row.tries) @if row.lookups > 0 { "; asked after " (row.lookups) " times" } }),
        ),
        ("At the provider", row.provider_id.as_deref().map(code)),
        ("Task", row.task_id.map(|id| html! { a href={ "/tasks/" (id) } { (id) } })),
        ("Cause", Some(html! { (view.line(&row.cause)) })),
    ])
}

fn decide(id: i64) -> Markup {
    let form = |verdict: &str, says: &str, would: &str| {
        form::folded(&format!("/sends/{id}/{verdict}"), says, would, &format!("why-{verdict}"), &html! {})
    };
    html! {
        p.big { "Nobody can tell whether it was sent. Look at the conversation with the provider, then decide." }
        (form("sent", "It was sent", "It counts as sent from then on."))
        (form("give-up", "It was not sent", "It is given up: it will not be sent."))
    }
}

/// `POST /sends/:id/sent`, `POST /sends/:id/give-up`
#[handler]
pub(super) async fn resolve(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path((id, word)): Path<(String, String)>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let verdict = match word.as_str() {
        "sent" => Resolution::Sent,
        "give-up" => Resolution::GiveUp,
        _ => return Err(visit.missing(Place::Contacts, "such act")),
    };
    let row = found(&visit, &id).await?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let actor = visit.actor(Some(visit.reason(Place::Contacts, &fields)?));
    let mut tx = pages.tasks.begin().await?;
    match sends::resolve(tx.session(), row.id, verdict, &actor, visit.now).await {
        Ok(()) => tx.commit().await?,
        Err(ResolveError::Database(error)) => return Err(error.into()),
        Err(ResolveError::NotUnresolved(id)) => {
            let why = format!("Text {id} is {}: it waits for nobody's decision.", row.state);
            return Err(visit.refuse(Place::Contacts, &why));
        }
    }
    Ok(see_other(&format!("/sends/{}", row.id)))
}

async fn found(visit: &Visit<'_>, id: &str) -> Result<SendRow, Stop> {
    let row = match id.parse() {
        Ok(id) => sends::show(visit.pages.tasks.db(), id).await?,
        Err(_) => None,
    };
    row.ok_or_else(|| visit.missing(Place::Contacts, "such text"))
}
