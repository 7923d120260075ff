//! One key: what it allows, how long, and the ways to end it.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};

use crate::access::{KeyId, KeyRow, KeyState};
use crate::dashboard::form::{self, Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{Pages, parts};

/// `GET /keys/:id`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.admin(request).await?;
    let id = known(&visit, &id)?;
    let row = pages.gate.access.keys().show(&id).await?;
    let row = row.ok_or_else(|| visit.missing(Place::Keys, "such key"))?;
    let state = row.state(visit.now);
    let content = html! {
        h1 { "Key " code { (row.id) } " " (parts::state(state.as_str())) }
        (parts::outcome(&Fields::of_query(request)))
        @if row.id == visit.caller.key { p.note { "It is the one that you are in with." } }
        (facts(&visit, &row))
        p {
            a href=(address("/audit", &[("subject", Some(&format!("key:{id}")))])) { "What was done to it" } " · "
            a href=(address("/audit", &[("actor", Some(&format!("key:{id}")))])) { "What was done with it" } " · "
            a href="/runbooks/keys" { "Runbook" }
        }
        @if state == KeyState::Active { (rotation(&id)) }
        @if state != KeyState::Revoked { (revocation(&id)) }
    };
    Ok(visit.page(Place::Keys, "Key", &content))
}

/// What has the form of an id.
pub(super) fn known(visit: &Visit<'_>, id: &str) -> Result<KeyId, Stop> {
    KeyId::parse(id).ok_or_else(|| visit.missing(Place::Keys, "such key"))
}

pub(super) fn facts(visit: &Visit<'_>, row: &KeyRow) -> Markup {
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| parts::time(at, visit.now));
    parts::facts(&[
        ("What it is for", Some(html! { (row.name) })),
        ("Allows", Some(html! { (row.scopes) })),
        ("Expires", time(row.expires_at).or_else(|| Some(html! { "never" }))),
        ("Revoked", time(row.revoked_at)),
        ("Last used", time(row.last_used_at).or_else(|| Some(html! { "never" }))),
        ("Made", time(Some(row.created_at))),
        ("Made by", Some(html! { (row.created_by) })),
        (
            "In the place of",
            row.replaces.as_ref().map(|old| html! { a href={ "/keys/" (old) } { code { (old) } } }),
        ),
    ])
}

fn rotation(id: &KeyId) -> Markup {
    html! {
        details {
            summary { "Rotate it" }
            form method="post" action={ "/keys/" (id) "/rotate" } {
                p { "Another takes its place, with the same scopes and lifetime. This one goes on for a while." }
                label for="overlap" { "For how long" }
                input #overlap name="overlap" required value="24h" maxlength="20" aria-describedby="overlap-note";
                p.note #overlap-note { "A length such as 24h, up to 90d; 0s ends it at once." }
                (form::reason("why-rotate"))
                p.buttons { button type="submit" { "Rotate it" } }
            }
        }
    }
}

fn revocation(id: &KeyId) -> Markup {
    html! {
        details {
            summary { "Revoke it" }
            form method="post" action={ "/keys/" (id) "/revoke" } {
                p { "It opens nothing any more, at once and in every process, and whoever is in with it is out. That cannot be undone." }
                (form::reason("why-revoke"))
                p.buttons { button.grave type="submit" { "Revoke it" } }
            }
        }
    }
}
