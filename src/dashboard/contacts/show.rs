//! All that is known of a number: the person, whether it may be texted and what was said about that, and every text it got or did not
//! get, with the reason.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_jobs::campaigns::{RecipientRow, recipients_of};
use trunkline_jobs::contacts::optout::{self, ConsentRow, OptOutRow};
use trunkline_jobs::contacts::people::{self as known, Person};
use trunkline_jobs::contacts::place;
use trunkline_jobs::sends::{self, SendFilter, SendRow};

use super::act;
use crate::dashboard::form::Fields;
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts, people};
use crate::mask::View;

/// Words of one number that are told.
const MOST_SAID: u32 = 50;
/// Campaigns and texts that are told.
const MOST_TOLD: u32 = 100;

/// `GET /contacts/:number`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(number): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let number = people::number(&visit, &number);
    let number = number.map_err(|_| visit.missing(Place::Contacts, "such number"))?;
    let db = pages.tasks.db();
    let person = known::find(&mut db.read().await?, [number.as_str()]).await?.pop();
    let opt_out = optout::show(db, &number).await?;
    let said = optout::consents(db, &number, MOST_SAID).await?;
    let campaigns = recipients_of(db, &number, MOST_TOLD).await?;
    let filter = SendFilter { number: Some(number.clone()), limit: MOST_TOLD, ..SendFilter::default() };
    let texts = sends::list(db, &filter).await?;
    let unknown = person.is_none() && opt_out.is_none() && said.is_empty();
    if unknown && campaigns.is_empty() && texts.is_empty() {
        return Err(visit.missing(Place::Contacts, "contact with this number, and nobody ever spoke of it"));
    }
    let fields = Fields::of_query(request);
    let unmask = fields.get("unmask") == Some("true");
    let view = visit.view(unmask, &format!("number:{number}")).await?;
    let closed = opt_out.as_ref().is_some_and(|row| row.closed);
    let content = html! {
        h1 {
            "Contact " code { (view.number(&number)) } " "
            @if closed { span class="state dead" { "opted out" } }
        }
        (act::outcome(&fields))
        (may_be_texted(&visit, opt_out.as_ref(), person.as_ref(), view))
        @if visit.may_operate() { (act::choices(&number, closed)) }
        (about(&visit, &number, person, view))
        (visit.way_to_unmask(unmask, &format!("/contacts/{number}")))
        (ledger(&visit, &said, view))
        (turns(&visit, &campaigns, view))
        (got(&visit, &texts, view))
    };
    Ok(visit.page(Place::Contacts, "Contact", &content))
}

fn may_be_texted(
    visit: &Visit<'_>,
    opt_out: Option<&OptOutRow>,
    person: Option<&Person>,
    view: View,
) -> Markup {
    html! {
        p.big {
            @match (opt_out, person.and_then(Person::kept_out)) {
                (Some(row), _) if row.closed => {
                    "It must not be texted, since " (parts::time(row.at, visit.now)) ", said by " (row.channel)
                    @if let Some(wording) = &row.wording { ": " q { (view.said(wording)) } }
                    "."
                },
                (_, Some(flag)) => { "Campaigns leave it out, because of the flag " code { (flag) } "." },
                (Some(row), None) => { "It may be texted: it was opened again " (parts::time(row.at, visit.now)) "." },
                (None, None) => "It may be texted: nobody asked to stop.",
            }
        }
    }
}

fn about(visit: &Visit<'_>, number: &str, person: Option<Person>, view: View) -> Markup {
    let at = person.as_ref().map_or_else(|| place::of(number), Person::place);
    let zones = html! {
        @for zone in &at.zones { (zone.name()) " " }
        @if !at.known { span.note { "(nobody knows, so it must be the hour in all of them)" } }
    };
    let person = person.map(|person| view.person(person));
    let of = |get: fn(&Person) -> &Option<String>| {
        person.as_ref().and_then(|person| get(person).as_ref()).map(|text| html! { (text) })
    };
    let time = |at| parts::time(at, visit.now);
    html! {
        @if person.is_none() { p.note { "It is in no list." } }
        (parts::facts(&[
            ("First name", of(|person| &person.first_name)),
            ("Last name", of(|person| &person.last_name)),
            ("Company", of(|person| &person.company)),
            ("Email", of(|person| &person.email)),
            ("State", at.state.as_ref().map(|state| html! { (state) })),
            ("Zones", Some(zones)),
            ("Tags", person.as_ref().filter(|person| !person.tags.is_empty())
                .map(|person| html! { @for tag in &person.tags { span.chip { (tag) } " " } })),
            ("Flags", person.as_ref().filter(|person| !person.flags.is_empty())
                .map(|person| html! { @for flag in &person.flags { span.chip { (flag) } " " } })),
            ("Last reply", person.as_ref().and_then(|person| person.last_reply_at).map(time)),
            ("Came by", person.as_ref().map(|person| html! { code { (person.source) } ", " (time(person.created_at)) })),
            ("Changed", person.as_ref().map(|person| time(person.updated_at))),
        ]))
        @if let Some(person) = person.as_ref().filter(|person| !person.fields.is_empty()) {
            h2 { "What else templates can name" }
            dl { @for (name, value) in &person.fields { dt { code { (name) } } dd { (value) } } }
        }
    }
}

fn ledger(visit: &Visit<'_>, said: &[ConsentRow], view: View) -> Markup {
    html! {
        h2 { "What was said about being texted" }
        @if said.is_empty() { p.note { "Nothing." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "When" } th { "What" } th { "By" } th { "Wording" } th { "Written down by" } th { "Review" } } }
                    tbody {
                        @for row in said {
                            tr {
                                td { (parts::time(row.at, visit.now)) }
                                td { (row.act) }
                                td { (row.channel) }
                                td { @if let Some(wording) = &row.wording { (view.said(wording)) } }
                                td { @match &row.actor { Some(actor) => code { (actor) }, None => "the program" } }
                                td { @if let Some(review) = &row.review { (review) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The campaigns it is in, with why it waits or got nothing.
fn turns(visit: &Visit<'_>, campaigns: &[RecipientRow], view: View) -> Markup {
    html! {
        h2 { "Its campaigns" }
        @if campaigns.is_empty() { p.note { "It is in none." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Campaign" } th { "Text" } th { "State" } th { "Why" } th { "When" } } }
                    tbody {
                        @for row in campaigns {
                            tr {
                                td { a href={ "/campaigns/" (row.campaign_id) } { (row.campaign_id) " " (parts::shortened(&row.campaign)) } }
                                td { (row.variant) }
                                td { @match row.send_id { Some(id) => a href={ "/sends/" (id) } { (parts::state(row.outcome())) }, None => (parts::state(row.outcome())) } }
                                td { @if let Some(why) = row.why() { code { (view.line(why)) } } }
                                td {
                                    @if row.outcome() == "waiting" { "again " (parts::time(row.due_at, visit.now)) }
                                    @else if let Some(at) = row.state_at { (parts::time(at, visit.now)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn got(visit: &Visit<'_>, texts: &[SendRow], view: View) -> Markup {
    html! {
        h2 { "Its texts" }
        @if texts.is_empty() { p.note { "It got none." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Text" } th { "Kind" } th { "State" } th { "Why" } th { "Says" } th { "When" } } }
                    tbody {
                        @for row in texts {
                            tr {
                                td { a href={ "/sends/" (row.id) } { (row.id) } }
                                td { (row.kind) }
                                td { (parts::state(row.state)) }
                                td { @if let Some(why) = row.error_code.as_deref().or(row.reason.as_deref()) { code { (view.line(why)) } } }
                                td { (view.said(&row.body)) }
                                td { (parts::time(row.state_at, visit.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
