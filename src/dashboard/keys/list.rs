//! All keys, and a form for one more.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};

use crate::access::{KeyId, KeyRow, Scope};
use crate::dashboard::form::{self, Fields};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::elapsed;

const PAGE: u32 = 50;

/// `GET /keys`
#[handler]
pub(in crate::dashboard) async fn list(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.admin(request).await?;
    let fields = Fields::of_query(request);
    let rows = pages.gate.access.keys().list(fields.get("before").and_then(place), PAGE + 1).await?;
    let (shown, last) = parts::page(&rows, PAGE);
    let content = html! {
        h1 { "Keys" }
        p { "Who may use the pages and the API. One for each person or program, with the least that will do. " a href="/runbooks/keys" { "Runbook" } }
        details { summary { "Make a key" } (new()) }
        (table(&visit, shown))
        @if let Some(last) = last {
            @let before = next(last);
            (parts::next("/keys", &[("before", Some(&before))]))
        }
    };
    Ok(visit.page(Place::Keys, "Keys", &content))
}

fn next(row: &KeyRow) -> String {
    format!("{},{}", row.created_at.to_rfc3339_opts(SecondsFormat::Micros, true), row.id)
}

fn place(text: &str) -> Option<(DateTime<Utc>, KeyId)> {
    let (at, id) = text.split_once(',')?;
    Some((elapsed::time(at)?, KeyId::parse(id)?))
}

fn new() -> Markup {
    let allows = [
        (Scope::Read, "looks, with numbers, names and texts masked"),
        (Scope::Operate, "acts on work, and looks"),
        (Scope::Admin, "acts on the installation, keys among it, and on work"),
        (Scope::Pii, "sees what is masked and hears recordings, beside one of the others"),
    ];
    html! {
        form method="post" action="/keys" {
            label for="name" { "What it is for" }
            input #name name="name" required maxlength="100" autocomplete="off" placeholder="nightly export";
            fieldset {
                legend { "What it allows" }
                @for (scope, says) in allows {
                    label.option { input type="checkbox" name="scope" value=(scope); " " strong { (scope) } ": " (says) }
                }
            }
            label for="expires" { "How long it is good for" }
            input #expires name="expires" required value="365d" maxlength="20" aria-describedby="expires-note";
            p.note #expires-note { "A length such as 90d, or never." }
            (form::reason("reason"))
            p.buttons { button type="submit" { "Make it" } }
        }
    }
}

fn table(visit: &Visit<'_>, rows: &[KeyRow]) -> Markup {
    html! {
        div.wide tabindex="0" {
            table {
                thead {
                    tr { th { "Key" } th { "What it is for" } th { "Allows" } th { "State" } th { "Expires" } th { "Last used" } th { "Made by" } }
                }
                tbody {
                    @for row in rows {
                        tr {
                            td { a href={ "/keys/" (row.id) } { code { (row.id) } } @if row.id == visit.caller.key { " " span.chip { "yours" } } }
                            td { (row.name) }
                            td { (row.scopes) }
                            td { (parts::state(row.state(visit.now).as_str())) }
                            td { @match row.expires_at { Some(at) => (parts::time(at, visit.now)), None => "never" } }
                            td { @match row.last_used_at { Some(at) => (parts::time(at, visit.now)), None => span.note { "never" } } }
                            td { (row.created_by) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_list_is_read_and_what_is_none_begins_it_anew() {
        let (at, id) = place("2026-03-02T09:00:00.123456Z,00000000000a").unwrap();
        assert_eq!((at, id.as_str()), ("2026-03-02T09:00:00.123456Z".parse().unwrap(), "00000000000a"));
        for bad in ["", "2026-03-02T09:00:00Z", "soon,00000000000a", "2026-03-02T09:00:00Z,x"] {
            assert!(place(bad).is_none(), "{bad}");
        }
    }
}
