//! A call, and what was said.

use std::sync::Arc;

use maud::html;
use poem::http::StatusCode;
use poem::web::{Data, Path};
use poem::{Request, Response, handler};
use trunkline_jobs::media::inspect;

use super::{Pages, layout};
use crate::access::{Scope, Scopes};

/// `GET /calls/:id`
#[handler]
pub(super) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Response {
    let caller = match pages.caller(request).await {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let (access, source) = (&pages.gate.access, pages.gate.sources.of_request(request));
    if let Err(denied) = access.allow(&caller, Scopes::of(&[Scope::Read]), source) {
        return layout::failure(&denied);
    }
    let recordings = match inspect::recordings(&pages.db, &id.replace('\0', "")).await {
        Ok(recordings) => recordings,
        Err(error) => return layout::failure(&access.refuse(Some(&caller.key), error.into(), source)),
    };
    if recordings.is_empty() {
        let content =
            html! { h1 { "No recording" } p { "No recording of the call " code { (id) } " is known." } };
        return layout::outside(StatusCode::NOT_FOUND, "No recording", &content);
    }
    let may_listen = caller.scopes.has(Scope::Pii);
    let content = html! {
        h1 { "Call " code { (id) } }
        @for recording in &recordings {
            section {
                dl {
                    dt { "Recording" } dd { code { (recording.owner_id) } }
                    dt { "State" } dd { (recording.state) }
                    @if let Some(error) = &recording.error { dt { "Why" } dd { (crate::mask::phones_in(error)) } }
                }
                @if recording.servable().is_none() {
                    p.note { "It is not there to be listened to." }
                } @else if may_listen {
                    audio controls preload="metadata" src=(format!("/api/v1/media/{}/content?redirect=false", recording.id)) {}
                } @else {
                    p.note { "To listen, your key needs the scope " code { "pii" } "." }
                }
            }
        }
    };
    layout::page("Call", &caller, &content)
}
