//! Our numbers that the breaker holds: they send nothing in any campaign until a person lets them.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, handler};
use trunkline_jobs::campaigns::breaker::{self, Trip};

use crate::dashboard::form::{self, Fields, address, segment};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts, see_other};
use crate::mask::View;

const PATH: &str = "/campaigns/numbers";

/// `GET /campaigns/numbers`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let held = breaker::held_numbers(pages.tasks.db()).await?;
    let content = html! {
        h1 { "Numbers that send nothing" }
        @if let Some(number) = fields.get("released") {
            p.done role="status" { code { (number) } " may send again. Resume the campaigns that were paused with it." }
        }
        p.note {
            "Too many texts from them failed, or too many people asked to stop. " a href="/runbooks/campaigns" { "Runbook" }
        }
        @if held.is_empty() { p.note { "There are none: every number may send." } }
        @for trip in &held { (number(&visit, trip)) }
    };
    Ok(visit.live(Place::Campaigns, "Numbers", &content))
}

fn number(visit: &Visit<'_>, trip: &Trip) -> Markup {
    let seen = &trip.evidence.0;
    let sender = trip.sender.as_deref().unwrap_or_default();
    html! {
        section.card {
            h2 { code { (sender) } }
            p.problem { (View::of(false).line(&trip.reason)) }
            p {
                "Held " (parts::time(trip.tripped_at, visit.now)) " for texts of "
                a href={ "/campaigns/" (trip.seen_in) } { "campaign " (trip.seen_in) } ": of " (seen.ended) ", "
                (seen.failures) " had failed and " (seen.opt_outs) " people had asked to stop."
            }
            @if !seen.codes.is_empty() {
                p { "The provider said " @for (code, count) in &seen.codes { code { (code) } " × " (count) " " } }
            }
            @if !seen.sends.is_empty() {
                p { "For example texts " @for send in &seen.sends { a href={ "/sends/" (send) } { (send) } " " } }
            }
            @if visit.may_operate() {
                form method="post" action=(format!("{PATH}/{}/release", segment(sender))) {
                    (form::reason(&format!("why-{}", trip.id)))
                    button type="submit" { "Let it send again" }
                }
            }
        }
    }
}

/// `POST /campaigns/numbers/:number/release`
#[handler]
pub(in crate::dashboard) async fn release(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(number): Path<String>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let actor = visit.actor(Some(visit.reason(Place::Campaigns, &fields)?));
    let mut tx = pages.tasks.begin().await?;
    if !breaker::release(tx.session(), &number, &actor, visit.now).await? {
        return Err(visit.refuse(Place::Campaigns, "Nobody holds this number: it may send."));
    }
    tx.commit().await?;
    Ok(see_other(&address(PATH, &[("released", Some(&number))])))
}
