//! What all pages share: their frame, and the headers that keep a page to itself.

use maud::{DOCTYPE, Markup, html};
use poem::Response;
use poem::http::{HeaderName, StatusCode, header};

use crate::access::{Caller, Denied, Scope};

/// Everything comes from here, nothing runs but our one file of script, and no other page may show ours.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
    media-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// What the frame of a page says that is kept up to date. Content cannot say it: its quotes are escaped.
const LIVE: &str = "<main id=\"content\" data-live=\"";

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

/// The pages, and the key that leads there after `g`.
const MENU: [(Place, &str, &str, &str); 13] = [
    (Place::Overview, "/", "Overview", "o"),
    (Place::DeadLetters, "/dead", "Dead letters", "d"),
    (Place::Tasks, "/tasks", "Tasks", "t"),
    (Place::Events, "/events", "Events", "e"),
    (Place::Schedules, "/schedules", "Schedules", "s"),
    (Place::Queues, "/queues", "Queues", "q"),
    (Place::Campaigns, "/campaigns", "Campaigns", "c"),
    (Place::Contacts, "/contacts", "Contacts", "p"),
    (Place::Calls, "/calls", "Calls", "l"),
    (Place::Media, "/media", "Media", "m"),
    (Place::Keys, "/keys", "Keys", "k"),
    (Place::Audit, "/audit", "Audit", "a"),
    (Place::System, "/system", "System", "y"),
];

/// How a page is kept up to date.
pub(super) struct Live {
    /// The address that is looked at.
    pub(super) of: String,
    /// After how many seconds a browser without script asks for it again.
    pub(super) without_script: Option<u32>,
}

/// Whether this is a page that is kept up to date.
pub(super) fn is_live(page: &str) -> bool {
    page.contains(LIVE)
}

/// A page for whoever is in.
pub(super) fn within(
    status: StatusCode,
    place: Place,
    title: &str,
    caller: &Caller,
    content: &Markup,
    live: Option<&Live>,
) -> Response {
    let entries = || MENU.into_iter().filter(|(entry, ..)| entry.is_for(caller));
    let head = html! {
        a.skip href="#content" { "Skip to the content" }
        header {
            strong { a href="/" { "Trunkline" } }
            nav aria-label="Pages" {
                @for (entry, path, name, key) in entries() {
                    a href=(path) data-key=(key) aria-current=[(entry == place).then_some("page")] { (name) }
                }
                a href="/api/v1/docs" { "API" }
            }
            form.inline method="post" action="/logout" {
                span.note #live hidden {}
                span.note { (caller.name) " " }
                button.quiet #keys-button type="button" hidden { "Keys" }
                button.quiet type="submit" { "Log out" }
            }
        }
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { "Keys" }
            dl {
                dt { kbd { "/" } } dd { "Search" }
                dt { kbd { "?" } } dd { "These keys" }
                @for (_, _, name, key) in entries() { dt { kbd { "g" } " " kbd { (key) } } dd { (name) } }
            }
            form.buttons method="dialog" {
                button type="submit" { "Close" }
                button.quiet #keys-switch type="button" { "Turn the keys off" }
            }
        }
    };
    answer(status, title, &head, content, live)
}

/// A page for whoever is not.
pub(super) fn outside(status: StatusCode, title: &str, content: &Markup) -> Response {
    answer(status, title, &html! {}, content, None)
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

fn answer(status: StatusCode, title: &str, head: &Markup, content: &Markup, live: Option<&Live>) -> Response {
    let again = live.and_then(|live| Some(format!("{}; url={}", live.without_script?, live.of)));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Trunkline" }
                link rel="stylesheet" href="/assets/style.css";
                link rel="icon" href="data:,";
                script src="/assets/script.js" defer {}
                @if let Some(again) = again { noscript { meta http-equiv="refresh" content=(again); } }
            }
            body { (head) main #content data-live=[live.map(|live| &live.of)] tabindex="-1" { (content) } }
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
