//! Contacts in the order of their numbers, found by a filter. Pages go by how many were gone through: that tells nobody's number.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use tokio::time::timeout;
use trunkline_jobs::contacts::people::Person;
use trunkline_jobs::contacts::segments::{self, Filter, Leaf, SegmentError, SegmentRow};

use crate::access::Scope;
use crate::dashboard::form::{Fields, address};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{PATIENCE, Pages, parts, people, see_other};
use crate::mask::View;

const PAGE: usize = 50;
/// Segments to choose from.
const MOST_SEGMENTS: u32 = 200;

/// `GET /contacts`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let db = pages.tasks.db();
    let filter = match (fields.get("segment"), fields.get("filter")) {
        (Some(name), None) => match segments::show(db, name).await.and_then(|row| row.filter()) {
            Ok(filter) => Ok(filter),
            Err(SegmentError::Database(error)) => return Err(error.into()),
            Err(other) => Err(format!("{other}.")),
        },
        (None, Some(told)) => people::filter(&visit, told),
        (Some(_), Some(_)) => Err("Say either a segment or a filter.".to_owned()),
        (None, None) => Ok(Filter::All(Vec::new())),
    };
    let unmask = fields.get("unmask") == Some("true");
    let view = visit.view(unmask, "contacts").await?;
    let segments = segments::list(db, None, MOST_SEGMENTS).await?;
    let (leaf, counted, unclear) = match &filter {
        Ok(filter) => {
            let passed = fields.number("after").unwrap_or(0);
            let counted = match fields.has("count") {
                true => Some(counted(&visit, filter).await?),
                false => None,
            };
            (segments::leaf(db, filter, passed, PAGE, visit.now).await?, counted, None)
        }
        Err(unclear) => (Leaf { people: Vec::new(), next: None }, None, Some(unclear)),
    };
    let named = [("segment", fields.get("segment")), ("filter", fields.get("filter"))];
    let place = address("/contacts", &named);
    let next = leaf.next.map(|next| next.to_string());
    let content = html! {
        h1 { "Contacts" }
        p { "Those whom campaigns can text, one row a number." }
        p.ways { a href="/contacts/reviews" { "May be opt-outs" } }
        (search(&fields, &segments))
        @if let Some(unclear) = unclear { p.problem role="alert" { (unclear) } } @else {
            @match &counted {
                Some(counted) => (counted),
                None => p { a href=(address(&place, &[("count", Some("yes"))])) { "Count them" } },
            }
            (table(&visit, leaf.people, view, unmask))
            (visit.way_to_unmask(unmask, &place))
            @if let Some(next) = &next {
                p.note { "There may be more. Who comes or goes between two pages shifts the second." }
                (parts::next(&place, &[("after", Some(next)), ("unmask", unmask.then_some("true"))]))
            }
        }
        h2 { "One number" }
        form.filter method="get" action="/contacts/find" {
            div { label for="number" { "The number" } input #number name="number" required placeholder="+12125550101" maxlength="40" autocomplete="off"; }
            button type="submit" { "Show what is known" }
        }
    };
    Ok(visit.page(Place::Contacts, "Contacts", &content))
}

/// `GET /contacts/find`: to the page of a number.
#[handler]
pub(in crate::dashboard) async fn find(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let number = people::number(&visit, fields.get("number").unwrap_or_default());
    let number = number.map_err(|why| visit.refuse(Place::Contacts, &why))?;
    Ok(see_other(&format!("/contacts/{number}")))
}

/// It goes through everybody on record.
async fn counted(visit: &Visit<'_>, filter: &Filter) -> Result<Markup, Stop> {
    let count = timeout(PATIENCE, segments::count(visit.pages.tasks.db(), filter, visit.now)).await;
    let Ok(count) = count else {
        return Ok(
            html! { p.problem role="alert" { "It takes too long to count them. Narrow the filter by a tag." } },
        );
    };
    let count = count?;
    Ok(html! {
        p role="status" {
            strong { (count.people) } @if count.people == 1 { " person" } @else { " people" } ": " (count.opted_out) " asked to get none, "
            (count.kept_out) " are left out by a flag, and of " (count.nowhere) " nobody knows which time it is where they are."
        }
    })
}

fn search(fields: &Fields, segments: &[SegmentRow]) -> Markup {
    html! {
        form.filter method="get" action="/contacts" role="search" {
            div.grow {
                label for="filter" { "Filter" }
                input #filter name="filter" value=[fields.get("filter")] placeholder="tag:vip state:TX -flag:test last_reply<30d" maxlength="1000" autocomplete="off";
            }
            @if !segments.is_empty() {
                div {
                    label for="segment" { "Or a segment" }
                    select #segment name="segment" {
                        option value="" { "none" }
                        @for row in segments { option value=(row.name) selected[fields.get("segment") == Some(row.name.as_str())] { (row.name) } }
                    }
                }
            }
            button type="submit" { "Search" }
        }
    }
}

fn table(visit: &Visit<'_>, people: Vec<Person>, view: View, unmask: bool) -> Markup {
    html! {
        @if people.is_empty() { p.note { "There are none here." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Number" } th { "Name" } th { "Where" } th { "Tags and flags" } th { "May be texted" } th { "Last reply" } th { "Added" } } }
                    tbody {
                        @for person in people {
                            @let kept_out = person.kept_out();
                            @let place = person.place();
                            @let person = view.person(person);
                            tr {
                                td { @if unmask { a href={ "/contacts/" (person.number) } { code { (person.number) } } } @else { code { (person.number) } } }
                                td { (person.first_name.as_deref().unwrap_or_default()) " " (person.last_name.as_deref().unwrap_or_default()) }
                                td { (place.state.as_deref().unwrap_or("nobody knows")) }
                                td {
                                    @for tag in &person.tags { span.chip { (tag) } " " }
                                    @for flag in &person.flags { span.chip { "flag " (flag) } " " }
                                }
                                td {
                                    @if person.opted_out { span class="state dead" { "opted out" } }
                                    @else if let Some(flag) = kept_out { span.state { "left out: " (flag) } }
                                    @else { "yes" }
                                }
                                td { @if let Some(at) = person.last_reply_at { (parts::time(at, visit.now)) } }
                                td { (parts::time(person.created_at, visit.now)) }
                            }
                        }
                    }
                }
            }
        }
        @if !unmask && visit.caller.scopes.has(Scope::Pii) { p.note { "Shown with their numbers, they lead to what is known of each." } }
    }
}
