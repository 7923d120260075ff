//! Downloads one file from a link that a stranger chose.
//!
//! The body goes straight to a temporary file, hashed and counted on the way, so memory stays flat and a
//! file that is too large costs no more than its limit. Redirects are followed here and not by the HTTP
//! client, since every hop must pass the [guard](super::guard) before anything connects to it.
//!
//! Media links are often signed: whoever has the URL has the file. Errors therefore name an origin, never
//! a path or a query, and requests carry no referrer, and no credentials but to hosts that the operator named.

mod incoming;

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use futures_util::StreamExt;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use tempfile::NamedTempFile;
use trunkline_openphone::client::ApiKey;
use url::Url;

pub(super) use self::incoming::Incoming;
use super::guard::{AddressPolicy, GuardedResolver, HostRule, Reach, Refusal};
use super::store::Sha256Hash;

#[derive(Debug, Clone)]
pub struct FetchConfig {
    pub max_bytes: u64,
    /// For the whole download, redirects included.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// How long the other side may stay silent.
    pub read_timeout: Duration,
    pub max_redirects: usize,
    pub policy: AddressPolicy,
    pub user_agent: String,
    pub credentials: Option<Credentials>,
}

/// The provider's API key, for media hosts that want it.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub api_key: ApiKey,
    /// Who gets it. A redirect to another host goes without.
    pub hosts: Vec<HostRule>,
}

impl Credentials {
    /// The key as a header, if this URL's host is to have it. Never over plain http to a host that is not ours.
    fn header(&self, url: &Url, reach: Reach) -> Option<HeaderValue> {
        let (host, port) = (url.host()?, url.port_or_known_default()?);
        let safe = url.scheme() == "https" || reach == Reach::Listed;
        if !safe || !self.hosts.iter().any(|rule| rule.matches(&host, port)) {
            return None;
        }
        self.api_key.in_use().map(|key| key.header())
    }
}

/// A complete download, on disk and not yet in its place.
#[derive(Debug)]
pub struct Fetched {
    /// Removed when dropped.
    pub file: NamedTempFile,
    pub sha256: Sha256Hash,
    pub size: u64,
    /// What the server called it. A claim, not a fact.
    pub declared_type: Option<String>,
    /// The first kilobytes, for [`sniff`](super::sniff::sniff).
    pub head: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{origin} redirects to something that is not a URL")]
    InvalidUrl { origin: String },
    #[error("more than {limit} redirects")]
    TooManyRedirects { limit: usize },
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("{origin} answered {status}")]
    Status { origin: String, status: StatusCode },
    #[error("{origin} asks for fewer requests")]
    RateLimited { origin: String, retry_after: Option<Duration> },
    #[error("{origin} took too long")]
    Timeout { origin: String },
    #[error("cannot connect to {origin}")]
    Connect { origin: String, source: reqwest::Error },
    #[error("the download from {origin} broke off")]
    Interrupted { origin: String, source: reqwest::Error },
    #[error("cannot write the downloaded file")]
    Io(#[from] io::Error),
}

impl FetchError {
    /// Whether the same URL can never succeed.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::InvalidUrl { .. }
            | Self::TooManyRedirects { .. }
            | Self::TooLarge { .. } => true,
            Self::Status { status, .. } => {
                status.is_client_error()
                    && !matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY)
            }
            Self::RateLimited { .. }
            | Self::Timeout { .. }
            | Self::Connect { .. }
            | Self::Interrupted { .. }
            | Self::Io(_) => false,
        }
    }

    /// Whether the link has expired or the file was removed. A link fetched anew may still work.
    pub fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Status { status: StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE, .. }
        )
    }

    fn from_transfer(error: reqwest::Error, url: &Url) -> Self {
        if let Some(refusal) = Refusal::behind(&error) {
            return Self::Refused(refusal.clone());
        }
        let (origin, source) = (origin_of(url), error.without_url());
        if source.is_connect() {
            Self::Connect { origin, source }
        } else if source.is_timeout() {
            Self::Timeout { origin }
        } else {
            Self::Interrupted { origin, source }
        }
    }
}

/// Downloads files. Keeps its connections, so make one and share it.
#[derive(Debug, Clone)]
pub struct Fetcher {
    config: FetchConfig,
    public: Client,
    listed: Client,
}

impl Fetcher {
    pub fn new(config: FetchConfig) -> Result<Self, reqwest::Error> {
        Self::resolving(config, GuardedResolver::public())
    }

    /// With other answers to who has which address, for tests of names that change theirs.
    fn resolving(config: FetchConfig, resolver: GuardedResolver) -> Result<Self, reqwest::Error> {
        let public = client(&config).dns_resolver(resolver).build()?;
        let listed = client(&config).build()?;
        Ok(Self { config, public, listed })
    }

    /// Downloads `url` into a temporary file in `into_dir`. On any failure nothing stays behind.
    pub async fn fetch(&self, url: &Url, into_dir: &Path) -> Result<Fetched, FetchError> {
        let download = async {
            let (answered, response) = self.follow(url).await?;
            self.receive(&answered, response, into_dir).await
        };
        tokio::time::timeout(self.config.timeout, download)
            .await
            .unwrap_or_else(|_| Err(FetchError::Timeout { origin: origin_of(url) }))
    }

    /// Follows redirects until something else is answered, and tells by which URL.
    async fn follow(&self, url: &Url) -> Result<(Url, Response), FetchError> {
        let mut url = url.clone();
        for _ in 0..=self.config.max_redirects {
            let response = self.request(&url).await?;
            match redirect_target(&url, &response)? {
                Some(target) => url = target,
                None => return Ok((url, response)),
            }
        }
        Err(FetchError::TooManyRedirects { limit: self.config.max_redirects })
    }

    async fn request(&self, url: &Url) -> Result<Response, FetchError> {
        let reach = self.config.policy.check(url)?;
        let client = match reach {
            Reach::Public => &self.public,
            Reach::Listed => &self.listed,
        };
        let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(key) = self.config.credentials.as_ref().and_then(|key| key.header(url, reach)) {
            request = request.header(AUTHORIZATION, key);
        }
        request.send().await.map_err(|error| FetchError::from_transfer(error, url))
    }

    async fn receive(&self, url: &Url, response: Response, into_dir: &Path) -> Result<Fetched, FetchError> {
        ensure_ok(url, &response)?;
        let limit = self.config.max_bytes;
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(FetchError::TooLarge { limit });
        }
        let declared_type = header(response.headers(), CONTENT_TYPE).map(str::to_owned);

        let mut incoming = Incoming::create(into_dir).await?;
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| FetchError::from_transfer(error, url))?;
            if incoming.size() + chunk.len() as u64 > limit {
                return Err(FetchError::TooLarge { limit });
            }
            incoming.write(&chunk).await?;
        }
        Ok(incoming.finish(declared_type).await?)
    }
}

/// Without proxies, which would connect where the guard cannot see, and without decompression (whatever
/// features another crate switches on), so that the limit and the hash are of the bytes that are stored.
fn client(config: &FetchConfig) -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .connect_timeout(config.connect_timeout)
        .read_timeout(config.read_timeout)
        .user_agent(&config.user_agent)
}

fn redirect_target(url: &Url, response: &Response) -> Result<Option<Url>, FetchError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let target = location.to_str().ok().and_then(|location| url.join(location).ok());
    target.map(Some).ok_or_else(|| FetchError::InvalidUrl { origin: origin_of(url) })
}

/// Nothing but 200 is the file: the other successes are empty, partial or not ready yet.
fn ensure_ok(url: &Url, response: &Response) -> Result<(), FetchError> {
    let (origin, status) = (origin_of(url), response.status());
    let retry_after = retry_after(response.headers());
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Err(FetchError::RateLimited { origin, retry_after }),
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => {
            Err(FetchError::RateLimited { origin, retry_after })
        }
        _ => Err(FetchError::Status { origin, status }),
    }
}

/// Reads `Retry-After` in seconds or as a time, which is measured against the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = header(headers, RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(value).ok()?;
    let now = DateTime::parse_from_rfc2822(header(headers, DATE)?).ok()?;
    Some((until - now).to_std().unwrap_or_default())
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The part of a URL that is safe to show.
fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests;
