//! What a tunnel asks of the installation.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use trunkline_jobs::forward::EventTypes;
use url::Url;

use crate::cli::host::is_this_machine;

/// How long the installation waits for something to tell.
const WAIT_SECONDS: u32 = 20;
/// Longer than that, and than an answer takes on its way.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A batch and what JSON adds to it. A single webhook can be larger than a batch usually is.
const LARGEST_ANSWER: usize = 64 << 20;

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

/// The installation's API.
pub(super) struct Remote {
    client: Client,
    api: Url,
    key: SecretString,
    types: EventTypes,
    reason: Option<String>,
    tunnel: Option<i64>,
}

/// Keeps a key from being sent where others can read it on the way.
pub(super) fn may_have_key(server: &Url, plain_http: bool) -> Result<()> {
    match server.scheme() {
        "https" => Ok(()),
        "http" if is_this_machine(server) || plain_http => Ok(()),
        "http" => bail!(
            "the key could be read on its way to {server}: write https://, or add --plain-http where the way is your own"
        ),
        other => bail!("--server is https:// or http://, not {other}://"),
    }
}

impl Remote {
    pub(super) fn new(
        server: Url,
        key: SecretString,
        types: EventTypes,
        reason: Option<String>,
    ) -> Result<Self> {
        let client = Client::builder()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("trunkline-tunnel/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("setting up HTTP")?;
        let mut api = server;
        api.path_segments_mut()
            .map_err(|()| anyhow!("--server is no web address"))?
            .pop_if_empty()
            .extend(["api", "v1", ""]);
        Ok(Self { client, api, key, types, reason, tunnel: None })
    }

    /// Opens a session and tells where the stream is.
    pub(super) async fn open(&mut self) -> Result<i64, Failure> {
        let body = json!({"types": self.types, "reason": self.reason});
        let request = self.client.post(self.url("tunnels")?).json(&body);
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
        let answer = self.ask(self.client.get(url).query(&query)).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            // The session is over; the next time there is another.
            self.tunnel = None;
            return Err(Failure::Passing(anyhow!("the session at the server is over")));
        }
        read(answer).await
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.api.join(path).map_err(|error| Failure::Final(error.into()))
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = request.bearer_auth(self.key.expose_secret()).send().await;
        answer.map_err(|error| {
            let error =
                anyhow::Error::new(error.without_url()).context(format!("{} does not answer", self.host()));
            Failure::Passing(error)
        })
    }

    fn host(&self) -> String {
        self.api.origin().ascii_serialization()
    }
}

/// The answer's JSON. What the key does not allow is final; the rest may pass.
async fn read<T: DeserializeOwned>(mut answer: Response) -> Result<T, Failure> {
    let status = answer.status();
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= LARGEST_ANSWER => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::Final(anyhow!("the server's answer is too large"))),
            Ok(None) => break,
            Err(error) => {
                let error = anyhow::Error::new(error.without_url()).context("the connection broke off");
                return Err(Failure::Passing(error));
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_over_plain_http_to_this_machine_only_unless_somebody_says_so() {
        let may = |text: &str, plain| may_have_key(&text.parse().unwrap(), plain).is_ok();
        for here in ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]/", "https://a.example"] {
            assert!(may(here, false), "{here}");
        }
        assert!(!may("http://a.example", false) && may("http://a.example", true));
        assert!(!may("ftp://a.example", true));
    }

    #[test]
    fn the_api_is_found_below_whatever_path_the_server_has() {
        for (server, api) in [
            ("https://a.example", "https://a.example/api/v1/"),
            ("https://a.example/", "https://a.example/api/v1/"),
            ("https://a.example/trunkline/", "https://a.example/trunkline/api/v1/"),
        ] {
            let remote =
                Remote::new(server.parse().unwrap(), "k".into(), EventTypes::default(), None).unwrap();
            assert_eq!(remote.api.as_str(), api);
        }
    }
}
