//! Files, the newest first, by what became of them and what they belong to.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_jobs::media::inspect::{self, MediaDetail, MediaFilter};

use super::{OWNERS, STATES, owner, why};
use crate::access::Scope;
use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::mask;
use crate::size::size;

const PAGE: u32 = 50;

/// `GET /media`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let filter = MediaFilter {
        state: fields.owned("state"),
        owner_type: fields.owned("of"),
        before: fields.number("before"),
        limit: PAGE + 1,
        ..MediaFilter::default()
    };
    let rows = inspect::list(pages.tasks.db(), &filter).await?;
    let (shown, last) = parts::page(&rows, PAGE);
    let last = last.map(|row| row.id.to_string());
    let named = [("state", fields.get("state")), ("of", fields.get("of"))];
    let may_see = visit.caller.scopes.has(Scope::Pii);
    let pictures = may_see && fields.get("pictures") == Some("yes");
    let content = html! {
        h1 { @if fields.get("state") == Some("quarantined") { "Files in quarantine" } @else { "Files" } }
        p { "Of texts and calls. " a href="/runbooks/media" { "Runbook" } " · " a href="/runbooks/media-failed" { "What failed" } }
        (choices(&fields))
        @if fields.get("state") == Some("quarantined") {
            p.note { "The virus scanner found something in these. Nothing of them is kept or handed out, unless the law holds it." }
        }
        @if may_see && !pictures && shown.iter().any(|row| row.servable_thumbnail().is_some()) {
            p { a href=(address("/media", &[&named[..], &[("before", fields.get("before")), ("pictures", Some("yes"))]].concat())) { "Show pictures" } " (the audit tells which you saw)" }
        }
        (table(&visit, shown, pictures))
        @if let Some(last) = last {
            (parts::next("/media", &[&named[..], &[("pictures", pictures.then_some("yes")), ("before", Some(last.as_str()))]].concat()))
        }
    };
    Ok(visit.live(Place::Media, "Files", &content))
}

/// Each state and each owner as a link, the chosen ones told apart.
fn choices(fields: &Fields) -> Markup {
    let links = |label: &str, name: &str, of: &[&str], other: &str| {
        html! {
            p.choices {
                span.note { (label) ": " }
                @for one in [None].into_iter().chain(of.iter().map(|one| Some(*one))) {
                    a href=(address("/media", &[(name, one), (other, fields.get(other))])) aria-current=[(fields.get(name) == one).then_some("true")] { (one.unwrap_or("all")) }
                    " "
                }
            }
        }
    };
    html! { (links("State", "state", &STATES, "of")) (links("Of", "of", &OWNERS, "state")) }
}

fn table(visit: &Visit<'_>, rows: &[MediaDetail], pictures: bool) -> Markup {
    html! {
        @if rows.is_empty() { p.note { "There are none." } } @else {
            div.wide tabindex="0" {
                table {
                    thead {
                        tr {
                            th { "File" } @if pictures { th { "Picture" } } th { "State" } th { "Of" } th { "Type" } th.n { "Size" } th { "Told" } th { "Why" }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr {
                                td { a href={ "/media/" (row.id) } { (row.id) } }
                                @if pictures { td { (thumbnail(row)) } }
                                td { (parts::state(&row.state)) @if row.legal_hold { " " span.chip { "held" } } }
                                td { (owner(row)) }
                                td { (kind(row)) }
                                td.n { @if let Some(bytes) = row.size { (size(bytes)) } }
                                td { (parts::time(row.told_at, visit.now)) }
                                td { @if let Some(why) = why(row) { (parts::shortened(&why)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a file is; until that is known, what it was said to be.
fn kind(row: &MediaDetail) -> Markup {
    html! {
        @match (&row.media_type, &row.declared_type) {
            (Some(told), _) => (told),
            (None, Some(declared)) => span.note { "said to be " (mask::phones_in(declared)) },
            (None, None) => "",
        }
        @if row.type_mismatch { " " span.chip { "not as said" } }
    }
}

/// A small picture, from the API, which asks whether it may be seen and writes down that it was.
pub(super) fn thumbnail(row: &MediaDetail) -> Markup {
    html! {
        @if row.servable_thumbnail().is_some() {
            img.thumbnail src=(format!("/api/v1/media/{}/thumbnail?redirect=false", row.id)) alt={ "Picture of file " (row.id) } loading="lazy";
        }
    }
}
