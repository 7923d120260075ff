//! What all pages share: their frame, and the headers that keep a page to itself.

use maud::{DOCTYPE, Markup, html};
use poem::Response;
use poem::http::{HeaderName, StatusCode, header};

use crate::access::{Caller, Denied, Scope};

/// Everything comes from here, nothing runs, and no other page may show ours.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";

/// Where a page stands in the menu.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Overview,
    DeadLetters,
    Tasks,
    Events,
    Schedules,
    Queues,
    Campaigns,
    Contacts,
    Calls,
    Media,
    /// For administrators.
    Keys,
    Audit,
    System,
    /// Reached from elsewhere.
    Aside,
}

impl Place {
    /// Whether there is anything for them.
    fn is_for(self, caller: &Caller) -> bool {
        self != Self::Keys || caller.scopes.has(Scope::Admin)
    }
}

const MENU: [(Place, &str, &str); 13] = [
    (Place::Overview, "/", "Overview"),
    (Place::DeadLetters, "/dead", "Dead letters"),
    (Place::Tasks, "/tasks", "Tasks"),
    (Place::Events, "/events", "Events"),
    (Place::Schedules, "/schedules", "Schedules"),
    (Place::Queues, "/queues", "Queues"),
    (Place::Campaigns, "/campaigns", "Campaigns"),
    (Place::Contacts, "/contacts", "Contacts"),
    (Place::Calls, "/calls", "Calls"),
    (Place::Media, "/media", "Media"),
    (Place::Keys, "/keys", "Keys"),
    (Place::Audit, "/audit", "Audit"),
    (Place::System, "/system", "System"),
];

/// A page for whoever is in.
pub(super) fn within(
    status: StatusCode,
    place: Place,
    title: &str,
    caller: &Caller,
    content: &Markup,
) -> Response {
    let head = html! {
        a.skip href="#content" { "Skip to the content" }
        header {
            strong { a href="/" { "Trunkline" } }
            nav aria-label="Pages" {
                @for (entry, path, name) in MENU.into_iter().filter(|(entry, ..)| entry.is_for(caller)) {
                    a href=(path) aria-current=[(entry == place).then_some("page")] { (name) }
                }
                a href="/api/v1/docs" { "API" }
            }
            form.inline method="post" action="/logout" {
                span.note { (caller.name) " " }
                button.quiet type="submit" { "Log out" }
            }
        }
    };
    answer(status, title, &head, content)
}

/// A page for whoever is not.
pub(super) fn outside(status: StatusCode, title: &str, content: &Markup) -> Response {
    answer(status, title, &html! {}, content)
}

/// A page that says why there is none.
pub(super) fn failure(denied: &Denied) -> Response {
    let (status, says) = match denied {
        Denied::Throttled { .. } | Denied::Limited { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many tries from here. Wait a minute, then try again.")
        }
        Denied::Scope => (StatusCode::FORBIDDEN, "Your key does not allow this."),
        Denied::CrossSite => (StatusCode::FORBIDDEN, "This did not come from a page of this program."),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "Keys cannot be checked at the moment. Try again."),
    };
    outside(status, "Not now", &html! { h1 { "Not now" } p.problem role="alert" { (says) } })
}

fn answer(status: StatusCode, title: &str, head: &Markup, content: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Trunkline" }
                link rel="stylesheet" href="/assets/style.css";
                link rel="icon" href="data:,";
            }
            body { (head) main #content tabindex="-1" { (content) } }
        }
    };
    Response::builder()
        .status(status)
        .content_type("text/html; charset=utf-8")
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::X_FRAME_OPTIONS, "DENY")
        .header(header::REFERRER_POLICY, "same-origin")
        .header(header::CACHE_CONTROL, "no-store")
        .header(HeaderName::from_static("cross-origin-opener-policy"), "same-origin")
        .header(HeaderName::from_static("cross-origin-resource-policy"), "same-origin")
        .body(page.into_string())
}
