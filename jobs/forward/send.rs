//! Sends a delivery to a development endpoint, to an address that may be reached and to no other.
//!
//! The address is judged where the connection is made: the resolver inside the client takes out of every answer what is not
//! admitted, so a name that changes its mind between two looks gains nothing. Redirects are not followed, proxies not used,
//! and of an answer no more is read than it takes to be polite.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tokio::time::timeout;
use url::{Host, Url};

use super::allow::{AllowList, Reach};
use crate::media::guard::{GuardedResolver, Lookup, Refusal, is_public, system_lookup};

/// Of an answer.
const MOST_READ: usize = 64 * 1024;
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct ForwardSettings {
    pub allow: AllowList,
    /// For a request and the beginning of its answer.
    pub timeout: Duration,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{host} cannot be resolved")]
    Unknown { host: String, source: io::Error },
    #[error("{origin} did not answer within {}", trunkline_platform::duration::write(*.within))]
    Timeout { origin: String, within: Duration },
    #[error("cannot connect to {origin}")]
    Connect { origin: String, source: reqwest::Error },
    #[error("{origin} did not answer")]
    Broken { origin: String, source: reqwest::Error },
}

/// Sends deliveries. Keeps its connections, so make one and share it.
#[derive(Clone)]
pub struct Forwarder {
    allow: Arc<AllowList>,
    timeout: Duration,
    networks: Way,
    named: Way,
}

/// A client with the resolver it connects by.
#[derive(Clone)]
struct Way {
    resolver: GuardedResolver,
    client: Client,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder").field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl Way {
    fn new(resolver: GuardedResolver, limit: Duration) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(limit)
            .dns_resolver(resolver.clone())
            .build()?;
        Ok(Self { resolver, client })
    }
}

impl Forwarder {
    /// # Errors
    /// When no client can be made.
    pub fn new(settings: ForwardSettings) -> Result<Self, reqwest::Error> {
        Self::resolving(settings, &system_lookup())
    }

    /// With other answers to who has which address, for tests of names that change theirs.
    pub(crate) fn resolving(settings: ForwardSettings, lookup: &Arc<Lookup>) -> Result<Self, reqwest::Error> {
        let ForwardSettings { allow, timeout } = settings;
        let allow = Arc::new(allow);
        let (one, other) = (Arc::clone(&allow), Arc::clone(&allow));
        let networks = GuardedResolver::new(
            Arc::clone(lookup),
            move |address| one.has_address(address),
            Refusal::NotListed,
        );
        let named = GuardedResolver::new(
            Arc::clone(lookup),
            move |address| is_public(address) || other.has_address(address),
            Refusal::NotListed,
        );
        Ok(Self { allow, timeout, networks: Way::new(networks, timeout)?, named: Way::new(named, timeout)? })
    }

    /// Whether a delivery may be sent there at this moment.
    ///
    /// # Errors
    /// When it may not, or its host cannot be resolved.
    pub async fn admit(&self, url: &Url) -> Result<(), Unreachable> {
        let way = self.way(url)?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        let unknown = |source| Unreachable::Unknown { host: name.to_owned(), source };
        let looked = timeout(RESOLVE_WITHIN, way.resolver.addresses(name)).await;
        looked.map_err(|_| unknown(io::ErrorKind::TimedOut.into()))?.map_err(unknown)??;
        Ok(())
    }

    /// Sends a delivery and tells the status it was answered with.
    ///
    /// # Errors
    /// When there is no answer, or the endpoint may not be reached.
    pub async fn send(&self, url: &Url, headers: HeaderMap, body: String) -> Result<StatusCode, Unreachable> {
        let way = self.way(url)?;
        let request = way.client.post(url.clone()).headers(headers).body(body);
        let mut answer = request.send().await.map_err(|error| self.failure(error, url))?;
        let status = answer.status();
        let mut read = 0;
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            if read > MOST_READ {
                break;
            }
        }
        Ok(status)
    }

    fn way(&self, url: &Url) -> Result<&Way, Refusal> {
        Ok(match self.allow.check(url)? {
            Reach::Address | Reach::Networks => &self.networks,
            Reach::Named => &self.named,
        })
    }

    fn failure(&self, error: reqwest::Error, url: &Url) -> Unreachable {
        if let Some(refusal) = Refusal::behind(&error) {
            return Unreachable::Refused(refusal.clone());
        }
        let (origin, source) = (url.origin().ascii_serialization(), error.without_url());
        if source.is_timeout() {
            Unreachable::Timeout { origin, within: self.timeout }
        } else if source.is_connect() {
            Unreachable::Connect { origin, source }
        } else {
            Unreachable::Broken { origin, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers everybody with 302, and counts them.
    async fn server() -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (address, seen)
    }

    fn forwarder(allow: &[&str], lookup: &Arc<Lookup>) -> Forwarder {
        let allow = AllowList::parse(allow.iter().copied()).unwrap();
        Forwarder::resolving(ForwardSettings { allow, timeout: Duration::from_secs(5) }, lookup).unwrap()
    }

    fn is_refused<T: std::fmt::Debug>(answer: Result<T, Unreachable>) -> bool {
        matches!(answer, Err(Unreachable::Refused(Refusal::NotListed(_))))
    }

    /// The first look at a name finds one address, every later look another.
    fn rebinding(first: SocketAddr, then: SocketAddr) -> Arc<Lookup> {
        let looks = AtomicUsize::new(0);
        Arc::new(move |_| {
            let found = if looks.fetch_add(1, Ordering::SeqCst) == 0 { first } else { then };
            Box::pin(async move { Ok(vec![found]) })
        })
    }

    #[tokio::test]
    async fn a_name_that_is_pointed_at_a_private_address_after_it_was_checked_is_not_connected_to() {
        let (private, seen) = server().await;
        let public = "8.8.8.8:0".parse().unwrap();
        for allow in [&["dev.example.com", "8.8.8.0/24"][..], &["0.0.0.0/0"]] {
            let forwarder = forwarder(allow, &rebinding(public, private));
            let url: Url = format!("https://dev.example.com:{}/", private.port()).parse().unwrap();
            forwarder.admit(&url).await.unwrap();
            assert!(is_refused(forwarder.send(&url, HeaderMap::new(), String::new()).await), "{allow:?}");
            assert!(is_refused(forwarder.admit(&url).await));
        }
        assert_eq!(seen.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_listed_name_with_private_addresses_only_is_refused_unless_their_network_is_listed() {
        let (private, seen) = server().await;
        let lookup: Arc<Lookup> = Arc::new(move |_| Box::pin(async move { Ok(vec![private]) }));
        let url: Url = format!("http://dev.example.com:{}/", private.port()).parse().unwrap();
        let by_name = forwarder(&["dev.example.com"], &lookup);
        assert!(is_refused(by_name.admit(&url).await));
        assert!(is_refused(by_name.send(&url, HeaderMap::new(), String::new()).await));
        assert_eq!(seen.load(Ordering::SeqCst), 0);
        let by_network = forwarder(&["127.0.0.0/8"], &lookup);
        by_network.admit(&url).await.unwrap();
        assert_eq!(by_network.send(&url, HeaderMap::new(), String::new()).await.unwrap(), StatusCode::FOUND);
        assert_eq!(seen.load(Ordering::SeqCst), 1, "the redirect was not followed");
    }

    #[tokio::test]
    async fn whoever_does_not_listen_or_is_not_found_is_told_apart_from_what_is_refused() {
        let nobody: Arc<Lookup> = Arc::new(|_| Box::pin(async { Err(io::ErrorKind::NotFound.into()) }));
        let forwarder = forwarder(&["127.0.0.1", "dev.example.com"], &nobody);
        let url: Url = "https://dev.example.com/".parse().unwrap();
        assert!(matches!(forwarder.admit(&url).await, Err(Unreachable::Unknown { .. })));
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let url: Url = format!("http://{closed}/").parse().unwrap();
        let answer = forwarder.send(&url, HeaderMap::new(), String::new()).await;
        assert!(matches!(answer, Err(Unreachable::Connect { .. })), "{answer:?}");
    }
}
