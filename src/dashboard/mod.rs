//! The pages for people, made on the server and whole without script: log in with a key, look at a call and listen
//! to it. They stand behind the same door as the API, and ask it for what they play.

mod call;
mod layout;
mod login;

use std::sync::Arc;

use poem::endpoint::make_sync;
use poem::http::{StatusCode, header};
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response, Route, get, post};
use trunkline_platform::db::Db;

use crate::access::gate::Gate;
use crate::access::{Caller, Denied};

const STYLE: &str = include_str!("style.css");

/// What the pages work with.
#[derive(Clone)]
pub struct Pages {
    pub gate: Gate,
    pub db: Db,
}

/// The pages, to be put beside what else a process answers.
pub fn routes(pages: Pages) -> Route {
    let pages = Arc::new(pages);
    Route::new()
        .at("/", get(login::home.data(Arc::clone(&pages))))
        .at("/login", get(login::form.data(Arc::clone(&pages))).post(login::enter.data(Arc::clone(&pages))))
        .at("/logout", post(login::leave.data(Arc::clone(&pages))))
        .at("/calls/:id", get(call::show.data(pages)))
        .at("/assets/style.css", get(style()))
}

fn style() -> impl Endpoint<Output = Response> {
    make_sync(|_| {
        Response::builder()
            .content_type("text/css; charset=utf-8")
            .header(header::CACHE_CONTROL, "public, max-age=300")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(STYLE)
    })
}

impl Pages {
    /// Who looks; or where to send whoever is not known, or what to tell them.
    async fn caller(&self, request: &Request) -> Result<Caller, Response> {
        self.gate.caller(request).await.map_err(|denied| match denied.wait() {
            Some(_) => layout::failure(&denied),
            None if matches!(denied, Denied::CrossSite) => layout::failure(&denied),
            None => see_other("/login"),
        })
    }
}

/// Go and look there.
fn see_other(place: &str) -> Response {
    StatusCode::SEE_OTHER
        .with_header(header::LOCATION, place)
        .with_header(header::CACHE_CONTROL, "no-store")
        .into_response()
}
