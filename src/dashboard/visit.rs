//! Who looks at a page, what they may do there, and how they are told no.

use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};
use poem::http::StatusCode;
use poem::http::uri::PathAndQuery;
use poem::{Request, Response};
use trunkline_platform::audit::{Act, Actor};
use trunkline_platform::db::DbError;

use super::form::{Fields, address};
use super::layout::{self, Live, Place};
use super::{Pages, see_other};
use crate::access::{Caller, Denied, Scope, Scopes};
use crate::mask::View;

/// Somebody whose key allows what the page takes.
pub(super) struct Visit<'p> {
    pub(super) pages: &'p Pages,
    pub(super) caller: Caller,
    pub(super) now: DateTime<Utc>,
    source: IpAddr,
    address: String,
}

/// A page instead of the one that was asked for.
pub(super) struct Stop(Box<Response>);

/// What a page comes to.
pub(super) type Page = Result<Response, Stop>;

impl Pages {
    /// Lets in whoever may look.
    pub(super) async fn visit(&self, request: &Request) -> Result<Visit<'_>, Stop> {
        self.visit_with(request, Scope::Read).await
    }

    /// Lets in whoever may act. Only a page of ours can have sent them.
    pub(super) async fn operator(&self, request: &Request) -> Result<Visit<'_>, Stop> {
        self.visit_with(request, Scope::Operate).await
    }

    /// Lets in whoever may act on the installation. Only a page of ours can have sent them.
    pub(super) async fn admin(&self, request: &Request) -> Result<Visit<'_>, Stop> {
        self.visit_with(request, Scope::Admin).await
    }

    async fn visit_with(&self, request: &Request, scope: Scope) -> Result<Visit<'_>, Stop> {
        let source = self.gate.sources.of_request(request);
        let caller = self.gate.caller(request).await.map_err(|denied| match denied.wait() {
            Some(_) => Stop::from(denied),
            None if matches!(denied, Denied::CrossSite) => denied.into(),
            None => see_other("/login").into(),
        })?;
        self.gate.access.allow(&caller, Scopes::of(&[scope]), source)?;
        let address = request.uri().path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
        Ok(Visit { pages: self, caller, now: self.tasks.clock().now(), source, address })
    }
}

impl Visit<'_> {
    pub(super) fn page(&self, place: Place, title: &str, content: &Markup) -> Response {
        layout::within(StatusCode::OK, place, title, &self.caller, content, None)
    }

    /// A page that is kept up to date; without script it comes anew when it is asked for.
    pub(super) fn live(&self, place: Place, title: &str, content: &Markup) -> Response {
        self.live_at(&self.address, None, place, title, content)
    }

    /// A page that is kept up to date as what is at an address, and that comes anew without script, too, every so many seconds.
    pub(super) fn live_at(
        &self,
        of: &str,
        without_script: Option<u32>,
        place: Place,
        title: &str,
        content: &Markup,
    ) -> Response {
        // Each look at people is one in the audit.
        let live = (!of.contains("unmask=")).then(|| Live { of: of.to_owned(), without_script });
        layout::within(StatusCode::OK, place, title, &self.caller, content, live.as_ref())
    }

    /// There is no such thing.
    pub(super) fn missing(&self, place: Place, what: &str) -> Stop {
        let content = html! { h1 { "There is no " (what) } };
        layout::within(StatusCode::NOT_FOUND, place, "Not there", &self.caller, &content, None).into()
    }

    /// What was sent cannot be meant, or cannot be done.
    pub(super) fn refuse(&self, place: Place, why: &str) -> Stop {
        let content = html! { h1 { "This cannot be done" } p.problem role="alert" { (why) } };
        layout::within(StatusCode::BAD_REQUEST, place, "Not done", &self.caller, &content, None).into()
    }

    /// Why they act, which the audit keeps.
    pub(super) fn reason<'f>(&self, place: Place, fields: &'f Fields) -> Result<&'f str, Stop> {
        let missing = || self.refuse(place, "Say why: the audit tells it to whoever looks next.");
        fields.get("reason").ok_or_else(missing)
    }

    pub(super) fn may_operate(&self) -> bool {
        self.caller.scopes.has(Scope::Operate)
    }

    /// A time by the business's clock.
    pub(super) fn local(&self, at: DateTime<Utc>) -> Markup {
        let whole = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let local = at.with_timezone(&self.pages.zone).format("%a %Y-%m-%d %H:%M").to_string();
        html! { time datetime=(whole) title=(whole) { (local) } }
    }

    /// The link to the same page with people in it, for whoever may see them and does not yet.
    pub(super) fn way_to_unmask(&self, unmask: bool, place: &str) -> Markup {
        html! {
            @if !unmask && self.caller.scopes.has(Scope::Pii) {
                p { a href=(address(place, &[("unmask", Some("true"))])) { "Show numbers and texts" } " (the audit tells that you did)" }
            }
        }
    }

    pub(super) fn actor(&self, reason: Option<&str>) -> Actor {
        self.caller.actor(reason.map(str::to_owned))
    }

    /// How personal things are to be shown. As they are only to a key with `pii`, and not without an entry in the
    /// audit.
    pub(super) async fn view(&self, unmask: bool, subject: &str) -> Result<View, Stop> {
        if unmask {
            let access = &self.pages.gate.access;
            access.allow(&self.caller, Scopes::of(&[Scope::Pii]), self.source)?;
            let act = Act { action: "unmask", subject: subject.to_owned(), before: None, after: None };
            access.record_look(&self.caller, act).await?;
        }
        Ok(View::of(unmask))
    }
}

impl From<Response> for Stop {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl From<Denied> for Stop {
    fn from(denied: Denied) -> Self {
        layout::failure(&denied).into()
    }
}

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        let (status, says) = match error.is_passing() {
            true => (StatusCode::SERVICE_UNAVAILABLE, "The database is away or busy. Try again in a moment."),
            false => (StatusCode::INTERNAL_SERVER_ERROR, "This failed on our side. The log tells why."),
        };
        tracing::error!(error = &error as &dyn std::error::Error, "a page could not be made");
        let content = html! {
            h1 { "No page" }
            p.problem role="alert" { (says) }
            p { "What to do while the database is away is in the runbook " code { "ops/docs/runbooks/database-away.md" } "." }
        };
        layout::outside(status, "No page", &content).into()
    }
}

impl From<Stop> for poem::Error {
    fn from(stop: Stop) -> Self {
        Self::from_response(*stop.0)
    }
}
