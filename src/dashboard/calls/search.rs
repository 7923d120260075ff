//! What was written and said, by the words in it.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_jobs::search::{self, Cursor, Hit, Kind, Order, Query};

use super::wanted::{self, choice, field};
use crate::access::Scope;
use crate::dashboard::form::{Fields, address, hidden};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::elapsed::clock;
use crate::mask::View;

const PAGE: u32 = 20;
/// The fields of an address that say what is looked for.
const NAMES: [&str; 7] = ["q", "kind", "number", "since", "until", "order", "conversation"];

/// `GET /calls/search`
#[handler]
pub(in crate::dashboard) async fn found(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let unmask = fields.get("unmask") == Some("true");
    let asked = NAMES.iter().any(|name| fields.has(name));
    let told = match read(&fields, visit.now) {
        Ok(query) => {
            let view = visit.view(unmask && asked, "search").await?;
            Ok((search::search(pages.tasks.db(), &query).await?, view))
        }
        Err(unclear) => Err(unclear),
    };
    let named: Vec<_> = NAMES.iter().map(|name| (*name, fields.get(name))).collect();
    let with = |name, value| address("/calls/search", &[&named[..], &[(name, Some(value))]].concat());
    let content = html! {
        h1 { "Search" }
        (form(&fields, unmask))
        @match &told {
            Err(unclear) => p.problem role="alert" { (unclear) },
            Ok((page, _)) if page.cut => p.problem role="alert" { "This is too long: look for fewer words." },
            Ok(_) if !asked => p.note { "Every word must be there. \"Words in quotes\" must stand in this order; techn* stands for every word that begins so." },
            Ok((page, view)) => {
                @if !unmask && visit.caller.scopes.has(Scope::Pii) {
                    p { a href=(with("unmask", "true")) { "Show numbers and texts" } " (the audit tells that you did)" }
                }
                @if page.hits.is_empty() {
                    p.note { @if page.next.is_some() { "Nothing is found so far." } @else { "Nothing is found." } }
                }
                ol.plain.entries { @for hit in &page.hits { li { (entry(&visit, hit, *view)) } } }
                @if let Some(next) = page.next {
                    @let next = next.to_string();
                    (parts::next("/calls/search", &[&named[..], &[("unmask", unmask.then_some("true")), ("after", Some(next.as_str()))]].concat()))
                }
            }
        }
    };
    Ok(visit.page(Place::Calls, "Search", &content))
}

/// Reads what is looked for, or says why it cannot be meant.
fn read(fields: &Fields, now: chrono::DateTime<chrono::Utc>) -> Result<Query, String> {
    let kind = |word: &str| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
        kind.ok_or_else(|| format!("There is no kind {word:?} of texts."))
    };
    let cursor: Option<Cursor> = fields
        .get("after")
        .map(|text| text.parse().map_err(|error: search::CursorError| format!("{error}.")))
        .transpose()?;
    Ok(Query {
        text: fields.owned("q").unwrap_or_default(),
        kinds: fields.all("kind").map(kind).collect::<Result<_, _>>()?,
        number: fields.get("number").map(wanted::number),
        speaker: None,
        conversation: fields.owned("conversation"),
        since: fields.get("since").map(|text| wanted::time(text, now)).transpose()?,
        until: fields.get("until").map(|text| wanted::time(text, now)).transpose()?,
        order: if fields.get("order") == Some("newest") { Order::Newest } else { Order::Best },
        limit: PAGE,
        cursor,
    })
}

fn form(fields: &Fields, unmask: bool) -> Markup {
    let kinds = Kind::ALL.map(Kind::as_str);
    html! {
        form.filter method="get" action="/calls/search" role="search" {
            div.grow {
                label for="q" { "Find in texts and in what was said" }
                input #q name="q" type="search" value=[fields.get("q")] maxlength="500" autocomplete="off";
            }
            (choice(fields, "kind", "In", &kinds))
            (field(fields, "number", "Somebody’s number", "+13105550142"))
            (field(fields, "since", "Since", "2h"))
            (field(fields, "until", "Before", "2026-03-02T09:00:00Z"))
            div {
                label for="order" { "Order" }
                select #order name="order" {
                    option value="" { "the best first" }
                    option value="newest" selected[fields.get("order") == Some("newest")] { "the newest first" }
                }
            }
            (hidden(&[("conversation", fields.get("conversation")), ("unmask", unmask.then_some("true"))]))
            button type="submit" { "Find" }
        }
        @if let Some(conversation) = fields.get("conversation") {
            p { "Only in the conversation " code { (conversation) } ". " a href="/calls/search" { "In all" } }
        }
    }
}

fn entry(visit: &Visit<'_>, hit: &Hit, view: View) -> Markup {
    let number = |number: &String| view.number(number);
    let who = hit.speaker.user_id.clone().or_else(|| hit.speaker.number.as_ref().map(number));
    let to: Vec<String> = hit.to.iter().map(number).collect();
    html! {
        span.chip { (hit.kind.as_str()) } " "
        (place(visit, hit))
        @if let Some(from) = &hit.from { " from " (number(from)) }
        @if !to.is_empty() { " to " (to.join(", ")) }
        @if let Some(who) = who { span.note { " · " (who) } }
        @if hit.call_id.is_none() && let Some(conversation) = &hit.conversation_id {
            span.note { " · " a href=(address("/calls/search", &[("conversation", Some(conversation)), ("order", Some("newest"))])) { "Its conversation" } }
        }
        p.said {
            @if hit.snippet.cut_before { "…" }
            @for piece in &hit.snippet.pieces {
                @let text = view.said(&piece.text);
                @if piece.hit { mark { (text) } } @else { (text) }
            }
            @if hit.snippet.cut_after { "…" }
        }
    }
}

/// When it was, as a link to the call and the moment in it.
fn place(visit: &Visit<'_>, hit: &Hit) -> Markup {
    let Some(call) = &hit.call_id else { return html! { (visit.local(hit.at)) } };
    let start = hit.start.map(|start| start.to_string());
    html! {
        a href=(address(&super::path(call), &[("at", start.as_deref())])) {
            (visit.local(hit.at))
            @if let Some(start) = hit.start { ", at " (clock(start)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_read_and_what_cannot_be_meant_is_told() {
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        let query =
            read(&Fields::read("q=heater&kind=summary&number=212-555-0101&order=newest&after=7.2"), now)
                .unwrap();
        assert_eq!(
            (query.text.as_str(), query.kinds, query.order),
            ("heater", vec![Kind::Summary], Order::Newest)
        );
        assert_eq!(query.number.as_deref(), Some("+12125550101"));
        for bad in ["kind=letter", "since=soon", "until=x", "after=x"] {
            assert!(read(&Fields::read(bad), now).is_err(), "{bad}");
        }
    }
}
