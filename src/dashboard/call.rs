//! A call, and what was said.

use std::sync::Arc;

use maud::html;
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_jobs::media::inspect;

use super::Pages;
use super::layout::Place;
use super::visit::Page;
use crate::access::Scope;

/// `GET /calls/:id`
#[handler]
pub(super) async fn show(Data(pages): Data<&Arc<Pages>>, request: &Request, Path(id): Path<String>) -> Page {
    let visit = pages.visit(request).await?;
    let recordings = inspect::recordings(pages.tasks.db(), &id.replace('\0', "")).await?;
    if recordings.is_empty() {
        return Err(visit.missing(Place::Aside, "recording of this call"));
    }
    let may_listen = visit.caller.scopes.has(Scope::Pii);
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
    Ok(visit.page(Place::Aside, "Call", &content))
}
