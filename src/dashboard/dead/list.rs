//! The groups, and the letters of one.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_platform::task::dead::{Cursor, DeadFilter, DeadGroup, DeadRow, Order};

use super::wanted::Wanted;
use crate::dashboard::form::{Fields, address, hidden};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::mask;

const MOST_GROUPS: u32 = 200;
const PAGE: u32 = 50;

/// `GET /dead`
#[handler]
pub(in crate::dashboard) async fn groups(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let found = pages.tasks.dead_groups(&DeadFilter::default(), MOST_GROUPS).await?;
    let content = html! {
        h1 { "Dead letters" }
        (parts::outcome(&Fields::of_query(request)))
        @if found.is_empty() {
            p { "There are none." }
        } @else {
            p {
                "Tasks that are not tried again unless somebody says so, by what they died of. "
                a href="/dead/list" { "All of them" } " · " a href="/runbooks/dead-letters" { "Runbook" }
            }
            (group_table(&visit, &found))
        }
        @let replays = pages.replays.list();
        @if !replays.is_empty() {
            h2 { "Replays" }
            ul.plain {
                @for replay in &replays {
                    li {
                        a href={ "/dead/replays/" (replay.id) } { "Replay " (replay.id) } " of "
                        (Wanted::of_filter(&replay.filter).told())
                        span.note { " begun " (parts::time(replay.began_at, visit.now)) " by " (replay.by) }
                    }
                }
            }
        }
    };
    Ok(visit.live(Place::DeadLetters, "Dead letters", &content))
}

fn group_table(visit: &Visit<'_>, found: &[DeadGroup]) -> Markup {
    html! {
        div.wide tabindex="0" {
            table {
                thead { tr { th.n { "Count" } th { "Job" } th { "Died of" } th { "First" } th { "Last" } th { "Newest" } } }
                tbody {
                    @for group in found {
                        @let of = [("kind", Some(group.kind.as_str())), ("fingerprint", group.fingerprint.as_deref())];
                        tr {
                            td.n { (group.count) }
                            td { code { (group.kind) } }
                            td { a href=(address("/dead/list", &of)) { (or_nothing(&mask::phones_in(&group.error))) } }
                            td { (parts::time(group.first_died_at, visit.now)) }
                            td { (parts::time(group.last_died_at, visit.now)) }
                            td { (parts::task(group.sample)) }
                        }
                    }
                }
            }
        }
    }
}

/// `GET /dead/list`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let fields = Fields::of_query(request);
    let wanted = Wanted::of(&fields);
    let after = match fields.get("after").map(str::parse::<Cursor>) {
        None => None,
        Some(Ok(cursor)) => Some(cursor),
        Some(Err(error)) => return Err(visit.refuse(Place::DeadLetters, &error.to_string())),
    };
    let mut rows = pages.tasks.list_dead(&wanted.filter(), Order::Newest, after, PAGE + 1).await?;
    let more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let next =
        rows.last().filter(|_| more).map(|row| Cursor { died_at: row.died_at, id: row.id }.to_string());
    let behind = pages.tasks.waiting_behind(&rows).await?;
    let content = html! {
        h1 { "Dead letters" }
        (parts::outcome(&fields))
        p { "Of " (wanted.told()) " · " a href="/dead" { "Groups" } }
        (search(&wanted))
        @if rows.is_empty() {
            p.note { "There are none." }
        } @else {
            form method="get" action="/dead/act" {
                (hidden(&wanted.fields()))
                @if wanted.is_empty() { (hidden(&[("all", Some("yes"))])) }
                div.wide tabindex="0" {
                    table {
                        thead { tr { th { "Choose" } th { "Task" } th { "Job" } th { "Tries" } th { "Died" } th { "Of" } } }
                        tbody {
                            @for row in &rows {
                                @let waiting = behind.get(&row.id).copied().unwrap_or(0);
                                tr {
                                    td { input type="checkbox" name="id" value=(row.id) aria-label={ "Choose task " (row.id) }; }
                                    td { (parts::task(row.id)) }
                                    td { code { (row.kind) } }
                                    td { (tries(row)) }
                                    td { (parts::time(row.died_at, visit.now)) }
                                    td {
                                        (or_nothing(&parts::shortened(&mask::phones_in(row.last_error.as_deref().unwrap_or_default()))))
                                        @if waiting > 0 { " " span.chip { "holds up " (waiting) } }
                                    }
                                }
                            }
                        }
                    }
                }
                @if visit.may_operate() { (choice()) }
            }
            @if let Some(next) = next {
                @let [kind, queue, fingerprint, error] = wanted.fields();
                (parts::next("/dead/list", &[kind, queue, fingerprint, error, ("after", Some(&next))]))
            }
        }
    };
    Ok(visit.live(Place::DeadLetters, "Dead letters", &content))
}

fn search(wanted: &Wanted) -> Markup {
    let field = |name: &str, label: &str, value: Option<&str>| {
        html! { div { label for=(name) { (label) } input id=(name) name=(name) value=[value]; } }
    };
    html! {
        form.filter method="get" action="/dead/list" role="search" {
            (field("kind", "Job", wanted.kind.as_deref()))
            (field("queue", "Queue", wanted.queue.as_deref()))
            (field("error", "Part of the error", wanted.error.as_deref()))
            (hidden(&[("fingerprint", wanted.fingerprint.as_deref())]))
            button type="submit" { "Search" }
        }
    }
}

/// What to do, and to which.
fn choice() -> Markup {
    html! {
        fieldset {
            legend { "What to do" }
            p {
                label.option { input type="radio" name="which" value="ids" checked; " to those chosen" }
                label.option { input type="radio" name="which" value="filter"; " to all that are found, other pages as well" }
            }
            p.buttons {
                button type="submit" name="act" value="retry" { "Retry…" }
                button type="submit" name="act" value="replay" { "Replay with a canary…" }
                button.grave type="submit" name="act" value="discard" { "Discard…" }
            }
            p.note { "Nothing is done yet: the next page shows what would be." }
        }
    }
}

fn tries(row: &DeadRow) -> String {
    format!("{}/{}", row.attempt - row.refunds, row.max_attempts)
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "(no error was told)" } else { text }
}
