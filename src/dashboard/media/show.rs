//! One file: what it is, what became of it, and what can be done to it.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_jobs::media::MediaId;
use trunkline_jobs::media::inspect::{self, MediaDetail};

use super::{list, owner, why};
use crate::access::Scope;
use crate::dashboard::form::{self, Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{Pages, parts};
use crate::mask;
use crate::size::size;

/// `GET /media/:id`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let row = find(&visit, &id).await?;
    let fields = Fields::of_query(request);
    let content = html! {
        h1 { "File " (row.id) " " (parts::state(&row.state)) @if row.legal_hold { " " span.chip { "held" } } }
        (parts::outcome(&fields))
        (facts(&visit, &row))
        (contents(&visit, &row, fields.get("picture") == Some("yes")))
        p { a href=(address("/audit", &[("subject", Some(&format!("media:{}", row.id)))])) { "What was done to it" } }
        (acts(&visit, &row))
    };
    Ok(visit.page(Place::Media, "File", &content))
}

pub(super) async fn find(visit: &Visit<'_>, id: &str) -> Result<MediaDetail, Stop> {
    let row = match id.parse() {
        Ok(id) => inspect::show(visit.pages.tasks.db(), MediaId(id)).await?,
        Err(_) => None,
    };
    row.ok_or_else(|| visit.missing(Place::Media, "such file"))
}

fn facts(visit: &Visit<'_>, row: &MediaDetail) -> Markup {
    let text = |text: &Option<String>| text.as_deref().map(|text| html! { (mask::phones_in(text)) });
    let code = |text: &Option<String>| text.as_deref().map(|text| html! { code { (text) } });
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| parts::time(at, visit.now));
    let label = if row.signature.is_some() { "The scanner found" } else { "Why" };
    parts::facts(&[
        ("Of", Some(html! { (owner(row)) ", file " (row.position) })),
        (label, why(row).map(|why| html! { strong { (why) } })),
        ("What it is", text(&row.media_type)),
        ("What it was said to be", text(&row.declared_type)),
        ("What its host called it", text(&row.served_type)),
        ("Beware", row.type_mismatch.then(|| html! { "it is not what it was said to be" })),
        ("Size", row.size.map(|bytes| html! { (size(bytes)) })),
        ("SHA-256", code(&row.sha256)),
        ("It was", code(&row.former_sha256)),
        ("No small picture", text(&row.thumbnail_error)),
        ("Host", row.host().map(|host| html! { (host) })),
        ("Told", time(Some(row.told_at))),
        ("Fresh link asked for", time(row.asked_at)),
        ("Stored", time(row.stored_at)),
        ("Scanned", time(row.scanned_at)),
        ("Purged", time(row.purged_at)),
    ])
}

/// What is in it, for whoever may see that. A page alone opens nothing.
fn contents(visit: &Visit<'_>, row: &MediaDetail, picture: bool) -> Markup {
    let content = format!("/api/v1/media/{}/content?redirect=false", row.id);
    let kind = row.media_type.as_deref().unwrap_or_default();
    html! {
        @if row.servable().is_none() {
            p.note { "It is not there to be opened." }
        } @else if !visit.caller.scopes.has(Scope::Pii) {
            p.note { "To open it, your key needs the scope " code { "pii" } "." }
        } @else {
            @if kind.starts_with("audio/") { audio controls preload="none" src=(content) {} }
            @if picture { p { (list::thumbnail(row)) } }
            p.buttons {
                a href=(content) { "Open it" }
                @if row.servable_thumbnail().is_some() && !picture {
                    a href={ "/media/" (row.id) "?picture=yes" } { "Show a small picture" }
                }
                span.note { "The audit tells that you did." }
            }
        }
    }
}

fn acts(visit: &Visit<'_>, row: &MediaDetail) -> Markup {
    let form = |word: &str, says: &str, note: &str, grave: bool| {
        html! {
            details {
                summary { (says) }
                form method="post" action=(format!("/media/{}/{word}", row.id)) {
                    p { (note) }
                    (form::reason(&format!("why-{word}")))
                    p.buttons { button.grave[grave] type="submit" { (says) } }
                }
            }
        }
    };
    let is = |states: &[&str]| states.contains(&row.state.as_str());
    html! {
        @if visit.may_operate() {
            @if is(&["pending", "failed", "quarantined"]) {
                (form("fetch", "Fetch it again", "It is fetched and checked as if it were new. What the scanner found is forgotten; it will find it again.", false))
            }
            @if is(&["stored"]) && visit.pages.scans {
                (form("rescan", "Scan it again", "With the signatures of today.", false))
            }
        }
        @if visit.caller.scopes.has(Scope::Admin) && !is(&["purged"]) {
            @if row.legal_hold {
                (form("release", "Lift the legal hold", "It can be purged then, and will be when its time is over.", false))
            } @else {
                (form("hold", "Put it under legal hold", "Nothing removes it while that lasts.", false))
                (form("purge", "Purge it", "Its content is gone for good; what was known of it stays.", true))
            }
        }
    }
}
