//! In with a key, out with a button. The key is looked at once; the browser keeps a session's secret instead.

use std::sync::Arc;

use maud::{Markup, html};
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{Body, IntoResponse, Request, Response, handler};
use secrecy::ExposeSecret;
use url::form_urlencoded;

use super::{Pages, layout, see_other};
use crate::access::Denied;
use crate::access::gate::is_cross_site;

/// Longer than any form of ours.
const LONGEST_FORM: usize = 4_096;

/// `GET /login`
#[handler]
pub(super) fn form() -> Response {
    layout::outside(StatusCode::OK, "Log in", &form_with(None))
}

/// `POST /login`
#[handler]
pub(super) async fn enter(Data(pages): Data<&Arc<Pages>>, request: &Request, body: Body) -> Response {
    let source = pages.gate.sources.of_request(request);
    let access = &pages.gate.access;
    if is_cross_site(request) {
        return layout::failure(&access.refuse(None, Denied::CrossSite, source));
    }
    let Some(token) = key_in(body).await else {
        access.refuse(None, Denied::Malformed, source);
        return refused();
    };
    let caller = match access.by_token(&token, source).await {
        Ok(caller) => caller,
        Err(denied) if denied.wait().is_some() => return layout::failure(&denied),
        Err(_) => return refused(),
    };
    match access.open_session(&caller).await {
        Ok(secret) => see_other("/")
            .with_header(header::SET_COOKIE, pages.gate.session_cookie(request, secret.expose_secret()))
            .into_response(),
        Err(error) => layout::failure(&access.refuse(Some(&caller.key), error.into(), source)),
    }
}

/// `POST /logout`
#[handler]
pub(super) async fn leave(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Response {
    let gone =
        see_other("/login").with_header(header::SET_COOKIE, pages.gate.no_cookie(request)).into_response();
    let caller = match pages.gate.caller(request).await {
        Ok(caller) => caller,
        Err(denied @ Denied::CrossSite) => return layout::failure(&denied),
        Err(_) => return gone,
    };
    let Some(secret) = pages.gate.session_secret(request) else { return gone };
    match pages.gate.access.close_session(&caller, secret).await {
        Ok(()) => gone,
        Err(error) => layout::failure(&error.into()),
    }
}

async fn key_in(body: Body) -> Option<String> {
    let bytes = body.into_bytes_limit(LONGEST_FORM).await.ok()?;
    let mut fields = form_urlencoded::parse(&bytes);
    fields.find(|(name, _)| name == "key").map(|(_, key)| key.trim().to_owned())
}

fn refused() -> Response {
    layout::outside(
        StatusCode::UNAUTHORIZED,
        "Log in",
        &form_with(Some("This is no key that opens anything.")),
    )
}

fn form_with(problem: Option<&str>) -> Markup {
    html! {
        form.login method="post" action="/login" {
            h1 { "Trunkline" }
            @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
            div {
                label for="key" { "Your key" }
                input #key name="key" type="password" autocomplete="current-password" required autofocus maxlength="200";
            }
            button type="submit" { "Log in" }
            p.note { "A key is made with " code { "trunkline keys create" } "." }
        }
    }
}
