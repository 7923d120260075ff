//! Pages that keep themselves up to date: each is made again as its address makes it, behind the same door, and sent to whoever
//! looks at it when it has changed.
//!
//! A page that takes long to make is made more rarely, and so is every page when many look, so that all who look take a part of a
//! core together and no more. Who has not the right any more, or looks at a page that is not there any more, is told to ask for it anew.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use poem::http::uri::Scheme;
use poem::http::{HeaderMap, StatusCode, Uri, header};
use poem::web::sse::{Event, SSE};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, Endpoint, IntoResponse, Request, RequestParts, Response, Route};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::form::Fields;
use super::layout::is_live;
use super::{PATIENCE, Pages};

/// Viewers at a time, in one process.
const MOST_VIEWERS: usize = 64;
/// A page is made again no more rarely than this, however long it takes.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long one stream goes on; a browser asks for the next by itself.
const LONGEST_STREAM: Duration = Duration::from_secs(30 * 60);
/// So that neither side takes a quiet stream for a dead one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const LONGEST_ADDRESS: usize = 4096;

/// The share of a core that making pages takes for all viewers together. Sending them takes about as much again.
const SHARE: f64 = 0.01;

/// How often pages are made again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Not more often than this.
    pub least: Duration,
    /// The share of a core that making pages for all viewers of a process may take.
    pub share: f64,
}

impl Pace {
    /// A hundredth of a core for all viewers of a process.
    pub fn of(least: Duration) -> Self {
        Self { least, share: SHARE }
    }

    /// The pause of one among so many viewers, after a page that took so long to make.
    fn pause(self, took: Duration, viewers: usize) -> Duration {
        let fair = took.as_secs_f64() * viewers as f64 / self.share;
        let fair = Duration::try_from_secs_f64(fair).unwrap_or(LONGEST_PAUSE);
        fair.clamp(self.least, LONGEST_PAUSE.max(self.least))
    }
}

/// Those who look at pages of this process.
#[derive(Clone, Debug)]
pub struct Viewers {
    places: Arc<Semaphore>,
    stop: CancellationToken,
    pace: Pace,
}

impl Viewers {
    /// `stop` lets all of them go.
    pub fn new(pace: Pace, stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(MOST_VIEWERS)), stop, pace }
    }

    /// The pause of one of them, after a page that took so long to make.
    fn pause(&self, took: Duration) -> Duration {
        self.pace.pause(took, MOST_VIEWERS - self.places.available_permits())
    }
}

/// `GET /live?of=ADDRESS`: the page of that address whenever it has changed, as server-sent events. `page` has the whole page,
/// `over` says that it cannot be kept up to date any more.
pub(super) struct Live {
    pub(super) pages: Arc<Pages>,
    /// What makes them.
    pub(super) maker: Arc<Route>,
}

impl Endpoint for Live {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        self.pages.visit(&request).await?;
        let fields = Fields::of_query(&request);
        let Some(of) = fields.get("of").and_then(address) else {
            return Ok(StatusCode::BAD_REQUEST.into());
        };
        let viewers = &self.pages.viewers;
        let Ok(place) = Arc::clone(&viewers.places).try_acquire_owned() else {
            let busy = StatusCode::SERVICE_UNAVAILABLE.with_header(header::RETRY_AFTER, "30");
            return Ok(busy.into_response());
        };
        let viewer = Viewer {
            maker: Arc::clone(&self.maker),
            asks: Asks::of(&request, of),
            last: None,
            viewers: viewers.clone(),
            next: Instant::now() + viewers.pace.least,
            end: Instant::now() + LONGEST_STREAM,
            _place: place,
        };
        let events = stream::unfold(viewer, async |mut viewer| {
            let event = viewer.wait().await?;
            Some((event, viewer))
        });
        Ok(SSE::new(events).keep_alive(KEEP_ALIVE).into_response())
    }
}

/// The address of a page of ours.
fn address(of: &str) -> Option<Uri> {
    let ours = of.starts_with('/') && !of.starts_with("//") && of.len() <= LONGEST_ADDRESS;
    ours.then(|| of.parse().ok()).flatten()
}

/// Somebody who looks at a page.
struct Viewer {
    maker: Arc<Route>,
    asks: Asks,
    /// The page as they have it.
    last: Option<String>,
    viewers: Viewers,
    next: Instant,
    end: Instant,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    /// What they are told next; none at the stream's end.
    async fn wait(&mut self) -> Option<Event> {
        loop {
            if self.next >= self.end {
                return None;
            }
            tokio::select! {
                () = self.viewers.stop.cancelled() => return None,
                () = sleep_until(self.next) => {}
            }
            let began = Instant::now();
            let made = timeout(PATIENCE, self.make()).await;
            self.next = Instant::now() + self.viewers.pause(began.elapsed());
            match made {
                Ok(Made::Page(page)) if self.last.as_deref() != Some(page.as_str()) => {
                    self.last = Some(page.clone());
                    return Some(Event::message(page).event_type("page"));
                }
                Ok(Made::Over) => {
                    self.end = self.next;
                    return Some(Event::message("").event_type("over"));
                }
                // It is tried again.
                Ok(Made::Page(_) | Made::Failed) | Err(_) => {}
            }
        }
    }

    async fn make(&self) -> Made {
        let response = self.maker.get_response(self.asks.request()).await;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Made::Failed;
        }
        match response.into_body().into_string().await {
            Ok(page) if status == StatusCode::OK && is_live(&page) => Made::Page(page),
            Ok(_) => Made::Over,
            Err(_) => Made::Failed,
        }
    }
}

/// What an address came to.
enum Made {
    Page(String),
    /// It is no page that is kept up to date: who looks at it has to ask for it themselves.
    Over,
    Failed,
}

/// How a viewer's browser asks, for asking in its place.
struct Asks {
    of: Uri,
    headers: HeaderMap,
    local: LocalAddr,
    remote: RemoteAddr,
    scheme: Scheme,
}

impl Asks {
    fn of(request: &Request, of: Uri) -> Self {
        let (local, remote) = (request.local_addr().clone(), request.remote_addr().clone());
        Self { of, headers: request.headers().clone(), local, remote, scheme: request.scheme().clone() }
    }

    fn request(&self) -> Request {
        let (mut parts, ()) = poem::http::Request::new(()).into_parts();
        parts.uri.clone_from(&self.of);
        parts.headers.clone_from(&self.headers);
        let from = (self.local.clone(), self.remote.clone(), self.scheme.clone());
        Request::from_parts(RequestParts::from((parts, from.0, from.1, from.2)), Body::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_viewers_share_a_part_of_a_core_and_nobody_waits_for_longer_than_a_minute() {
        let pace = Pace::of(Duration::from_secs(2));
        let cases = [
            (1, 0, 2_000),
            (1, 20, 2_000),
            (1, 40, 4_000),
            (20, 1, 2_000),
            (20, 5, 10_000),
            (20, 20, 40_000),
            (64, 100, 60_000),
        ];
        for (viewers, took, pause) in cases {
            let told = pace.pause(Duration::from_millis(took), viewers);
            assert_eq!(told, Duration::from_millis(pause), "{took} ms, {viewers} viewers");
        }
    }

    #[test]
    fn only_an_address_of_ours_is_looked_at() {
        for theirs in ["", "dead", "//evil.example/", "http://evil.example/", "/\0", "/ a"] {
            assert_eq!(address(theirs), None, "{theirs}");
        }
        assert_eq!(address(&format!("/{}", "a".repeat(LONGEST_ADDRESS))), None);
        assert_eq!(address("/tasks?q=state:dead").unwrap().path(), "/tasks");
    }
}
