//! Against hosts on this machine: what arrives, what is refused, what is tried again.

use std::fs;

use futures_util::{Stream, stream};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::{Path as Param, Redirect};
use poem::{Body, IntoResponse, Request, Response as Answer, Route, Server, get, handler};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::incoming::HEAD_BYTES;
use super::*;

const LIMIT: usize = 1_000_000;
const CHUNK: usize = 100_000;
const MINUTE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

fn config(rule: &str) -> FetchConfig {
    FetchConfig {
        max_bytes: LIMIT as u64,
        timeout: MINUTE,
        connect_timeout: MINUTE,
        read_timeout: MINUTE,
        max_redirects: 5,
        policy: AddressPolicy { allow_hosts: vec![rule.parse().unwrap()], allow_http: true },
        user_agent: "trunkline-test".into(),
        credentials: None,
    }
}

async fn fetch(url: &str, config: FetchConfig) -> (TempDir, Result<Fetched, FetchError>) {
    let folder = tempfile::tempdir().unwrap();
    let result = Fetcher::new(config).unwrap().fetch(&url.parse().unwrap(), folder.path()).await;
    (folder, result)
}

async fn content_at(url: &str) -> Vec<u8> {
    let (_folder, result) = fetch(url, config("127.0.0.1")).await;
    fs::read(result.unwrap().file.path()).unwrap()
}

/// The error of a fetch that must fail, leave no file and keep the URL's secrets.
async fn failure_with(url: &str, config: FetchConfig) -> FetchError {
    let (folder, result) = fetch(url, config).await;
    let error = result.unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a temporary file is left");
    let shown = format!("{error:?} {error}");
    assert!(!shown.contains("secret"), "{shown}");
    error
}

async fn failure(url: &str) -> FetchError {
    failure_with(url, config("127.0.0.1")).await
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

fn chunks(count: usize) -> impl Stream<Item = io::Result<Vec<u8>>> {
    stream::iter((0..count).map(|_| Ok(content(CHUNK))))
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap()
}

#[handler]
fn serve_fixed(Param(length): Param<usize>) -> Answer {
    Answer::builder().content_type("image/png").body(content(length))
}

#[handler]
fn serve_chunked(Param(count): Param<usize>) -> Body {
    Body::from_bytes_stream(chunks(count))
}

#[handler]
fn serve_and_stall() -> Body {
    Body::from_bytes_stream(chunks(1).chain(stream::once(std::future::pending())))
}

#[handler]
fn answer_status(Param(status): Param<u16>) -> Answer {
    Answer::builder().status(code(status)).finish()
}

#[handler]
fn answer_busy(Param((status, retry_after)): Param<(u16, String)>) -> Answer {
    Answer::builder()
        .status(code(status))
        .header(DATE, "Tue, 03 Mar 2026 10:00:00 GMT")
        .header(RETRY_AFTER, retry_after)
        .finish()
}

#[handler]
fn redirect_to_query(request: &Request) -> Redirect {
    Redirect::temporary(request.uri().query().unwrap_or("/redirect"))
}

#[handler]
fn redirect_until_zero(Param(left): Param<usize>) -> Answer {
    match left.checked_sub(1) {
        Some(left) => Redirect::see_other(format!("{left}?secret")).into_response(),
        None => "arrived".into_response(),
    }
}

#[handler]
fn echo_header_names(request: &Request) -> String {
    let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names.join(" ")
}

/// A media host on this machine, as `127.0.0.1:port`.
async fn host() -> String {
    let routes = Route::new()
        .at("/fixed/:length", get(serve_fixed))
        .at("/chunked/:count", get(serve_chunked))
        .at("/stalled", get(serve_and_stall))
        .at("/status/:status", get(answer_status))
        .at("/busy/:status/:retry_after", get(answer_busy))
        .at("/redirect", get(redirect_to_query))
        .at("/countdown/:left", get(redirect_until_zero))
        .at("/headers", get(echo_header_names));
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = acceptor.local_addr()[0].as_socket_addr().unwrap().to_string();
    tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
    address
}

/// A host that gives one request exactly this answer and hangs up.
async fn host_that_says(answer: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        assert_ne!(peer.read(&mut [0; 4096]).await.unwrap(), 0);
        peer.write_all(answer.as_bytes()).await.unwrap();
    });
    address
}

#[tokio::test]
async fn a_file_arrives_byte_for_byte() {
    let sent = content(LIMIT);
    let (_folder, result) =
        fetch(&format!("http://{}/fixed/{LIMIT}", host().await), config("127.0.0.1")).await;
    let fetched = result.unwrap();
    assert_eq!(fs::read(fetched.file.path()).unwrap(), sent);
    assert_eq!(fetched.size, LIMIT as u64);
    assert_eq!(fetched.sha256, Sha256Hash::from(<[u8; 32]>::from(Sha256::digest(&sent))));
    assert_eq!(fetched.declared_type.as_deref(), Some("image/png"));
    assert_eq!(fetched.head, sent[..HEAD_BYTES]);
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    assert_eq!(content_at(&format!("http://{}/fixed/0", host().await)).await, b"");
}

#[tokio::test]
async fn the_limit_holds_with_and_without_a_content_length() {
    let host = host().await;
    let full = LIMIT / CHUNK;
    assert_eq!(content_at(&format!("http://{host}/chunked/{full}")).await.len(), LIMIT);
    for path in [format!("fixed/{}", LIMIT + 1), format!("chunked/{}", full + 1)] {
        let error = failure(&format!("http://{host}/{path}")).await;
        assert!(matches!(error, FetchError::TooLarge { limit } if limit == LIMIT as u64), "{error:?}");
        assert!(error.is_permanent());
    }
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_the_body() {
    let host = host_that_says("HTTP/1.1 200 OK\r\ncontent-length: 1000001\r\n\r\n").await;
    let error = failure(&format!("http://{host}/?secret")).await;
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_held_to_the_same_rules_as_the_first_url() {
    let host = host().await;
    let port = host.rsplit_once(':').unwrap().1;
    for target in [
        "http://127.0.0.1:1/secret",
        "https://169.254.169.254/secret",
        "https://[::ffff:10.0.0.1]/secret",
        "https://2130706433/secret",
        "//10.0.0.1/secret",
        "file:///secret",
        &format!("http://localhost:{port}/fixed/1?secret"),
        &format!("http://user:secret@{host}/fixed/1"),
    ] {
        let error = failure_with(&format!("http://{host}/redirect?{target}"), config(&host)).await;
        assert!(matches!(error, FetchError::Refused(_)), "{target}: {error:?}");
        assert!(error.is_permanent());
    }
    let error = failure(&format!("http://{host}/redirect?http://[secret")).await;
    assert!(matches!(error, FetchError::InvalidUrl { .. }), "{error:?}");
}

#[tokio::test]
async fn redirects_are_followed_up_to_their_limit() {
    let host = host().await;
    assert_eq!(content_at(&format!("http://{host}/countdown/5")).await, b"arrived");
    for path in ["countdown/6", "redirect"] {
        let error = failure(&format!("http://{host}/{path}")).await;
        assert!(matches!(error, FetchError::TooManyRedirects { limit: 5 }), "{error:?}");
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_is_refused_unless_listed() {
    let host = host().await;
    let url = format!("http://localhost:{}/fixed/1", host.rsplit_once(':').unwrap().1);
    let error = failure_with(&url, config("127.0.0.1")).await;
    assert!(matches!(error, FetchError::Refused(Refusal::NotPublic(_))), "{error:?}");
    let (_folder, listed) = fetch(&url, config("localhost")).await;
    assert_eq!(listed.unwrap().size, 1);
}

#[tokio::test]
async fn a_body_cut_short_is_interrupted_and_leaves_no_file() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ncont",
    ] {
        let error = failure(&format!("http://{}/?secret", host_that_says(answer).await)).await;
        assert!(matches!(error, FetchError::Interrupted { .. }), "{error:?}");
        assert!(!error.is_permanent());
    }
}

#[tokio::test]
async fn a_compressed_answer_is_stored_as_it_was_sent() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nzip!";
    assert_eq!(content_at(&format!("http://{}/", host_that_says(answer).await)).await, b"zip!");
}

#[tokio::test]
async fn a_status_says_whether_to_try_again() {
    let host = host().await;
    for (status, gone, permanent) in [
        (403, true, true),
        (404, true, true),
        (410, true, true),
        (400, false, true),
        (408, false, false),
        (500, false, false),
        (503, false, false),
        (204, false, false),
        (206, false, false),
        (302, false, false),
    ] {
        let error = failure(&format!("http://{host}/status/{status}?secret")).await;
        assert!(
            matches!(&error, FetchError::Status { status: got, .. } if *got == code(status)),
            "{error:?}"
        );
        assert_eq!((error.is_gone(), error.is_permanent()), (gone, permanent), "{status}");
    }
}

#[tokio::test]
async fn a_busy_host_says_how_long_to_wait() {
    let host = host().await;
    for (path, expected) in [
        ("status/429", None),
        ("busy/429/soon", None),
        ("busy/429/30", Some(30)),
        ("busy/503/30", Some(30)),
        ("busy/429/Tue, 03 Mar 2026 10:02:00 GMT", Some(120)),
        ("busy/429/Tue, 03 Mar 2026 09:00:00 GMT", Some(0)),
    ] {
        let error = failure(&format!("http://{host}/{path}")).await;
        let FetchError::RateLimited { retry_after, .. } = &error else { panic!("{path}: {error:?}") };
        assert_eq!(*retry_after, expected.map(Duration::from_secs), "{path}");
        assert!(!error.is_permanent());
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let url = format!("http://{}/stalled?secret", host().await);
    for impatient in [
        FetchConfig { timeout: SHORT, ..config("127.0.0.1") },
        FetchConfig { read_timeout: SHORT, ..config("127.0.0.1") },
    ] {
        let error = failure_with(&url, impatient).await;
        assert!(matches!(error, FetchError::Timeout { .. }), "{error:?}");
        assert!(!error.is_permanent());
    }
}

#[tokio::test]
async fn a_closed_port_is_a_failure_to_connect() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = failure(&format!("http://{address}/?secret")).await;
    assert!(matches!(error, FetchError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_request_tells_nothing_about_us() {
    let url = format!("http://{}/redirect?/headers", host().await);
    assert_eq!(content_at(&url).await, b"accept accept-encoding host user-agent");
}

/// A name that is public when it is first looked up, and this machine ever after.
#[tokio::test]
async fn a_name_that_changes_its_address_is_judged_by_the_one_that_is_connected_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let looks = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = std::sync::Arc::clone(&looks);
    let resolver = GuardedResolver::answering(move |_| {
        let look = seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let public = std::net::SocketAddr::from(([93, 184, 215, 14], 0));
        let address = if look == 0 { public } else { std::net::SocketAddr::from(([127, 0, 0, 1], 0)) };
        Box::pin(async move { Ok(vec![address]) })
    });
    // Nobody answers at the public address within this time, on a machine with or without a way there.
    let config = FetchConfig { connect_timeout: SHORT, ..config("listed.example") };
    let fetcher = Fetcher::resolving(config, resolver).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://rebinding.example:{port}/secret").parse().unwrap();
    let _ = fetcher.fetch(&url, folder.path()).await.unwrap_err();
    let second = fetcher.fetch(&url, folder.path()).await.unwrap_err();
    assert!(matches!(second, FetchError::Refused(Refusal::NotPublic(_))), "{second:?}");
    assert_eq!(looks.load(std::sync::atomic::Ordering::Relaxed), 2);
    let connected = tokio::time::timeout(SHORT, listener.accept()).await;
    assert!(connected.is_err(), "somebody connected to this machine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[handler]
fn echo_authorization(request: &Request) -> String {
    request.header("authorization").unwrap_or("none").to_owned()
}

#[tokio::test]
async fn the_api_key_goes_to_the_hosts_that_were_named_and_no_further() {
    let route = || Route::new().at("/key", get(echo_authorization)).at("/redirect", get(redirect_to_query));
    let mut hosts = Vec::new();
    for _ in 0..2 {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        hosts.push(acceptor.local_addr()[0].as_socket_addr().unwrap().to_string());
        tokio::spawn(Server::new_with_acceptor(acceptor).run(route()));
    }
    let (named, other) = (&hosts[0], &hosts[1]);
    let credentials =
        Credentials { api_key: ApiKey::of(&"the-key".into()).unwrap(), hosts: vec![named.parse().unwrap()] };
    let config = FetchConfig { credentials: Some(credentials), ..config("127.0.0.1") };
    assert!(!format!("{config:?}").contains("the-key"));
    for (url, expected) in [
        (format!("http://{named}/key"), "the-key"),
        (format!("http://{other}/key"), "none"),
        (format!("http://{named}/redirect?http://{other}/key"), "none"),
    ] {
        let (_folder, result) = fetch(&url, config.clone()).await;
        assert_eq!(fs::read_to_string(result.unwrap().file.path()).unwrap(), expected, "{url}");
    }
}
