//! What only shows on a wire: connections that fail at different moments.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::event::{Direction, MessageStatus};

fn client(port: u16) -> Client {
    Client::new(ClientConfig {
        base_url: format!("http://127.0.0.1:{port}/").parse().unwrap(),
        api_key: ApiKey::of(&"key".into()).unwrap(),
        timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_millis(500),
        user_agent: "test".to_owned(),
    })
    .unwrap()
}

fn text() -> SendMessage {
    SendMessage {
        from: "PN1".to_owned(),
        to: vec!["+12125550101".to_owned()],
        content: "Hi".to_owned(),
        user_id: None,
        mark_done: true,
    }
}

/// Answers one request with these bytes and hangs up; returns the request.
async fn answer_once(answer: Vec<u8>) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") && !request.ends_with(b"\r\n\r\n") {
            assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
        }
        socket.write_all(&answer).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (port, serving)
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

#[tokio::test]
async fn a_text_is_sent_with_the_bare_key_and_read_back() {
    let body = r#"{"data":{"id":"AC1","to":["+12125550101"],"from":"+12125550199","text":"Hi",
        "direction":"outgoing","status":"queued","createdAt":"2026-10-09T15:09:41Z"}}"#;
    let (port, serving) = answer_once(http("202 Accepted", body)).await;
    let message = client(port).send_message(&text()).await.unwrap();
    assert_eq!((message.id.as_str(), message.status), ("AC1", MessageStatus::Queued));
    assert_eq!(message.direction, Direction::Outgoing);
    let request = serving.await.unwrap();
    assert!(request.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: key\r\n"), "{request}");
    assert!(
        request.ends_with(r#"{"content":"Hi","from":"PN1","setInboxStatus":"done","to":["+12125550101"]}"#)
    );
}

#[tokio::test]
async fn a_plus_in_a_query_and_a_slash_in_an_id_are_escaped() {
    let status = "200 OK\r\ndate: Thu, 26 Nov 2026 02:15:46 GMT";
    let (port, serving) = answer_once(http(status, r#"{"data":[],"nextPageToken":"t"}"#)).await;
    let page = client(port).list_messages(&MessageQuery::with("PN1", "+12125550101")).await.unwrap();
    assert_eq!(page.next_page_token.as_deref(), Some("t"));
    assert_eq!(page.answered_at.unwrap().to_rfc3339(), "2026-11-26T02:15:46+00:00");
    let request = serving.await.unwrap();
    let line = "GET /v1/messages?phoneNumberId=PN1&participants=%2B12125550101&maxResults=100 ";
    assert!(request.starts_with(line), "{request}");

    let (port, serving) = answer_once(http("404 Not Found", "")).await;
    let error = client(port).get_call("a/../b").await.unwrap_err();
    assert!(matches!(error, ApiError::NotFound(_)));
    assert!(serving.await.unwrap().starts_with("GET /v1/calls/a%2F..%2Fb "));
}

#[tokio::test]
async fn nobody_listening_means_it_never_left() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = client(port).send_message(&text()).await.unwrap_err();
    assert!(matches!(error, ApiError::Connect(_)), "{error:?}");
    assert!(!error.outcome_unknown());
    assert!(!format!("{error:?}").contains("/v1/messages"));
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown() {
    for answer in
        [Vec::new(), b"HTTP/1.1 202".to_vec(), b"HTTP/1.1 202 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()]
    {
        let (port, _serving) = answer_once(answer).await;
        let error = client(port).send_message(&text()).await.unwrap_err();
        assert!(matches!(error, ApiError::Interrupted(_)), "{error:?}");
        assert!(error.outcome_unknown());
    }
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = client(listener.local_addr().unwrap().port()).send_message(&text()).await.unwrap_err();
    assert!(matches!(error, ApiError::Timeout(_)), "{error:?}");
    assert!(error.outcome_unknown());
}

#[tokio::test]
async fn an_accepted_answer_without_sense_is_told_as_such() {
    for body in ["", "<html>", "{}", r#"{"data":{"id":null}}"#] {
        let (port, _serving) = answer_once(http("202 Accepted", body)).await;
        let error = client(port).send_message(&text()).await.unwrap_err();
        assert!(matches!(error, ApiError::Decode(_)), "{error:?}");
        assert!(error.outcome_unknown());
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let body = "x".repeat(MAX_ANSWER + 1);
    let (port, _serving) = answer_once(http("200 OK", &body)).await;
    let mut client = client(port);
    client.http = reqwest::Client::new();
    let error = client.list_phone_numbers().await.unwrap_err();
    assert!(matches!(error, ApiError::Decode(DecodeError::TooLarge)), "{error:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec();
    let (port, _serving) = answer_once(answer).await;
    let error = client(port).list_phone_numbers().await.unwrap_err();
    assert!(matches!(error, ApiError::Unexpected(_)), "{error:?}");
}
