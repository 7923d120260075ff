//! The provider's door: the API, the files, and the tally.

mod answer;
mod api;
mod connections;
mod send;
mod webhooks;
mod window;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use poem::{Endpoint, Request, Response};

pub(super) use self::connections::SeverableAcceptor;
use self::{answer::Answer, connections::Connections, window::Window};
use super::provider::Provider;
use crate::factory;

/// The largest request that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// What answers requests.
pub(super) struct Door {
    provider: Arc<Provider>,
    connections: Connections,
    window: Window,
}

/// A request, taken apart.
struct Call<'r> {
    method: &'r Method,
    path: &'r [&'r str],
    query: Vec<(String, String)>,
    /// Whether it is of the API that takes its version from a header.
    dated: bool,
    headers: &'r HeaderMap,
    body: Bytes,
}

impl Door {
    pub(super) fn new(provider: Arc<Provider>, connections: Connections) -> Self {
        let window = Window::new(provider.calls_per_second);
        Self { provider, connections, window }
    }

    fn file(name: &str, headers: &HeaderMap) -> Response {
        // The files are kept elsewhere: whoever shows the API key there has leaked it.
        if headers.contains_key(header::AUTHORIZATION) {
            return StatusCode::BAD_REQUEST.into();
        }
        match factory::render(name) {
            Some(media) => Response::builder().content_type(media.content_type).body(media.bytes),
            None => StatusCode::NOT_FOUND.into(),
        }
    }
}

impl Endpoint for Door {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let body = request.take_body().into_bytes_limit(MAX_BODY).await?;
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match (request.method(), path.as_slice()) {
            (&Method::GET, ["media", name]) => Ok(Self::file(name, request.headers())),
            (&Method::GET, ["_simulator", "tally"]) => Ok(Answer::ok(&self.provider.tally()).into()),
            (method, path @ (["v1", ..] | ["webhooks", ..])) => {
                let dated = path.first() != Some(&"v1");
                let path = if dated { path } else { path.get(1..).unwrap_or_default() };
                let query = request.uri().query().unwrap_or_default();
                let call = Call {
                    method,
                    path,
                    query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
                    dated,
                    headers: request.headers(),
                    body,
                };
                let answer = self.answer(&call).await;
                if answer.lost {
                    self.connections.sever(request.remote_addr());
                }
                let mut response: Response = answer.into();
                if let Ok(date) = self.provider.now().format(HTTP_DATE).to_string().parse() {
                    response.headers_mut().insert(header::DATE, date);
                }
                Ok(response)
            }
            _ => Ok(Answer::unknown_path().into()),
        }
    }
}

impl Call<'_> {
    /// Path and query as one name.
    fn whole(&self) -> String {
        let pairs: Vec<String> = self.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{}?{}", self.path.join("/"), pairs.join("&"))
    }

    /// The first value of a query parameter.
    fn param(&self, name: &str) -> Option<&str> {
        self.params(name).next()
    }

    fn params(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
