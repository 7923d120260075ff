//! Making, rotating and revoking keys.

use std::sync::Arc;

use chrono::TimeDelta;
use maud::html;
use poem::web::{Data, Path};
use poem::{Body, Request, Response, handler};
use secrecy::ExposeSecret;

use super::show;
use crate::access::{CreatedKey, KeyError, KeyId, NewKey, Scopes};
use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{Pages, see_other};
use crate::elapsed;

/// `POST /keys`
#[handler]
pub(in crate::dashboard) async fn create(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    body: Body,
) -> Page {
    let visit = pages.admin(request).await?;
    let fields = Fields::of_body(body).await.unwrap_or_default();
    let reason = visit.reason(Place::Keys, &fields)?;
    let scopes: Result<Scopes, _> = fields.all("scope").map(str::parse).collect();
    let scopes = scopes.map_err(|error| visit.refuse(Place::Keys, &format!("{error}.")))?;
    let expires_in = match fields.get("expires") {
        Some("never") => None,
        told => Some(length(&visit, told)?),
    };
    let new = NewKey { name: fields.owned("name").unwrap_or_default(), scopes, expires_in };
    match pages.gate.access.keys().create(new, &visit.actor(Some(reason))).await {
        Ok(created) => Ok(shown_once(&visit, &created)),
        Err(error) => Err(refused(&visit, error)),
    }
}

/// `POST /keys/:id/rotate`
#[handler]
pub(in crate::dashboard) async fn rotate(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
    body: Body,
) -> Page {
    let (visit, id, fields) = sent(pages, request, &id, body).await?;
    let reason = visit.reason(Place::Keys, &fields)?;
    let overlap = length(&visit, fields.get("overlap"))?;
    match pages.gate.access.keys().rotate(&id, overlap, &visit.actor(Some(reason))).await {
        Ok(created) => Ok(shown_once(&visit, &created)),
        Err(error) => Err(refused(&visit, error)),
    }
}

/// `POST /keys/:id/revoke`
#[handler]
pub(in crate::dashboard) async fn revoke(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
    body: Body,
) -> Page {
    let (visit, id, fields) = sent(pages, request, &id, body).await?;
    let reason = visit.reason(Place::Keys, &fields)?;
    match pages.gate.access.keys().revoke(&id, &visit.actor(Some(reason))).await {
        Ok(row) => Ok(see_other(&address(&format!("/keys/{}", row.id), &[("did", Some("revoke"))]))),
        Err(error) => Err(refused(&visit, error)),
    }
}

/// What was sent to be done to a key, by somebody who may.
async fn sent<'p>(
    pages: &'p Pages,
    request: &Request,
    id: &str,
    body: Body,
) -> Result<(Visit<'p>, KeyId, Fields), Stop> {
    let visit = pages.admin(request).await?;
    let id = show::known(&visit, id)?;
    Ok((visit, id, Fields::of_body(body).await.unwrap_or_default()))
}

fn length(visit: &Visit<'_>, told: Option<&str>) -> Result<TimeDelta, Stop> {
    told.and_then(elapsed::delta).ok_or_else(|| {
        visit.refuse(
            Place::Keys,
            "This is no length of time: write a whole number and s, m, h or d, such as 90d.",
        )
    })
}

/// The key itself, on this answer and nowhere else. Browsers are told to keep no page of ours.
fn shown_once(visit: &Visit<'_>, created: &CreatedKey) -> Response {
    let content = html! {
        h1 { "Here is the key" }
        p.done role="status" { "It is shown this once. Nobody can look it up: if it is lost, revoke it and make another." }
        label for="token" { "The key" }
        input #token readonly value=(created.token.expose_secret()) autocomplete="off" spellcheck="false";
        (show::facts(visit, &created.key))
        p.buttons { a href={ "/keys/" (created.key.id) } { "I have it" } }
    };
    visit.page(Place::Keys, "New key", &content)
}

fn refused(visit: &Visit<'_>, error: KeyError) -> Stop {
    match error {
        KeyError::Db(error) => error.into(),
        KeyError::Unknown(_) => visit.missing(Place::Keys, "such key"),
        other => visit.refuse(Place::Keys, &format!("{other}.")),
    }
}
