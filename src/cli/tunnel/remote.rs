//! What a tunnel asks of the installation.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use trunkline_jobs::forward::EventTypes;
use url::Url;

use crate::cli::server::{Server, whole};

/// How long the installation waits for something to tell.
const WAIT_SECONDS: u32 = 20;
/// Longer than that, and than an answer takes on its way.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may be another time.
    Passing(anyhow::Error),
    /// Asking again gives the same.
    Final(anyhow::Error),
}

/// A webhook as the installation received it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Delivery {
    pub(super) id: i64,
    pub(super) event_type: String,
    pub(super) correlation_id: String,
    pub(super) headers: BTreeMap<String, Vec<String>>,
    pub(super) body: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) items: Vec<Delivery>,
    pub(super) next: i64,
}

#[derive(Debug, Deserialize)]
struct Opened {
    id: i64,
    position: i64,
}

/// What a tunnel has to do with the installation.
pub(super) struct Remote {
    server: Server,
    types: EventTypes,
    reason: Option<String>,
    tunnel: Option<i64>,
}

impl Remote {
    pub(super) fn new(server: Server, types: EventTypes, reason: Option<String>) -> Self {
        Self { server, types, reason, tunnel: None }
    }

    /// Opens a session and tells where the stream is.
    pub(super) async fn open(&mut self) -> Result<i64, Failure> {
        let body = json!({"types": self.types, "reason": self.reason});
        let request = self.server.client.post(self.url("tunnels")?).json(&body);
        let opened: Opened = read(self.ask(request).await?).await?;
        self.tunnel = Some(opened.id);
        Ok(opened.position)
    }

    /// What follows `after`; waits for something.
    pub(super) async fn follow(&mut self, after: i64) -> Result<Page, Failure> {
        self.deliveries(after, 100, WAIT_SECONDS).await
    }

    /// One webhook by its number.
    pub(super) async fn one(&mut self, event: i64) -> Result<Option<Delivery>, Failure> {
        let page = self.deliveries(event - 1, 1, 0).await?;
        Ok(page.items.into_iter().find(|delivery| delivery.id == event))
    }

    async fn deliveries(&mut self, after: i64, limit: u32, wait: u32) -> Result<Page, Failure> {
        let tunnel = match self.tunnel {
            Some(tunnel) => tunnel,
            None => {
                self.open().await?;
                self.tunnel.unwrap_or_default()
            }
        };
        let url = self.url(&format!("tunnels/{tunnel}/deliveries"))?;
        let query = [("after", after), ("limit", i64::from(limit)), ("wait", i64::from(wait))];
        let answer = self.ask(self.server.client.get(url).query(&query)).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            // The session is over; the next time there is another.
            self.tunnel = None;
            return Err(Failure::Passing(anyhow!("the session at the server is over")));
        }
        read(answer).await
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.server.url(path).map_err(Failure::Final)
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Response, Failure> {
        self.server.ask(request).await.map_err(Failure::Passing)
    }
}

/// The answer's JSON. What the key does not allow is final; the rest may pass.
async fn read<T: DeserializeOwned>(mut answer: Response) -> Result<T, Failure> {
    let status = answer.status();
    let body = whole(&mut answer).await.map_err(Failure::Passing)?;
    let body = body.ok_or_else(|| Failure::Final(anyhow!("the server's answer is too large")))?;
    if status.is_success() {
        let read = serde_json::from_slice(&body).context("the server's answer cannot be read");
        return read.map_err(Failure::Final);
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it says no more");
    let error = anyhow!("the server answers {status}: {detail}");
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Failure::Passing(error)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Failure::Final(error.context("the key file needs a key with the scopes read and pii")))
        }
        StatusCode::NOT_FOUND => {
            Err(Failure::Final(error.context("--server is not the address of a Trunkline that has tunnels")))
        }
        status if status.is_client_error() => Err(Failure::Final(error)),
        _ => Err(Failure::Passing(error)),
    }
}
