//! Hosts that mean harm: bodies without an end, lengths that are lies, bytes that come one by one, and silence. Whatever they do
//! costs bounded memory and bounded time, leaves no file behind, and the row or the attempt says why.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Env, Program, both_engines, until};
use crate::kept::Keeper;
use crate::media_memory::peak_kib;

/// Files of each kind of host, all at once.
const EACH: usize = 6;
const MAX_BYTES: &str = "4MiB";
/// The longest that one download may take. What is scanned and noted after it comes on top, on a machine that others use, too.
const TIMEOUT: Duration = Duration::from_secs(8);
const SLACK: Duration = Duration::from_secs(12);
/// As much more memory as all of them together may cost: less than what the endless ones sent.
const MOST_KIB: u64 = 40 * 1024;

const ENDLESS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
const HUGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n";
const SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nonly this";
const MODEST: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello";

/// What a host does, by the first part of the path, and how the error begins that it ends in; none for a file that is kept.
const KINDS: [(&str, Option<&str>); 8] = [
    ("endless", Some("the file is larger than 4194304 bytes")),
    ("chunked", Some("the file is larger than 4194304 bytes")),
    ("huge", Some("the file is larger than 4194304 bytes")),
    ("short", Some("the download from ")),
    // What comes after the length that was told is not read.
    ("modest", None),
    ("drip", Some("http://127.0.0.1:")),
    ("slow_head", Some("http://127.0.0.1:")),
    ("silent", Some("http://127.0.0.1:")),
];

/// Answers one request as its path says.
async fn answer(mut peer: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 1024];
    let length = peer.read(&mut request).await?;
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let text = "text without an end ".repeat(3_000);
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    match request.split('/').nth(1).unwrap_or_default() {
        "endless" => pour(&mut peer, ENDLESS, &text).await,
        "chunked" => pour(&mut peer, CHUNKED, &chunk).await,
        "huge" => pour(&mut peer, HUGE, &text).await,
        "modest" => pour(&mut peer, MODEST, &text).await,
        "short" => peer.write_all(SHORT.as_bytes()).await,
        "drip" => drip(&mut peer, ENDLESS).await,
        "slow_head" => drip(&mut peer, "HTTP/1.1 200 OK\r\nx-padding: ").await,
        _ => peer.read(&mut [0; 1]).await.map(drop),
    }
}

/// Sends the same over and over until the other side has enough.
async fn pour(peer: &mut TcpStream, head: &str, over_and_over: &str) -> std::io::Result<()> {
    peer.write_all(head.as_bytes()).await?;
    loop {
        peer.write_all(over_and_over.as_bytes()).await?;
    }
}

/// A byte now and then, so that the other side is never waiting for long.
async fn drip(peer: &mut TcpStream, head: &str) -> std::io::Result<()> {
    peer.write_all(head.as_bytes()).await?;
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        peer.write_all(b"x").await?;
    }
}

async fn host() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((peer, _)) = listener.accept().await {
            tokio::spawn(answer(peer));
        }
    });
    address
}

both_engines! {
    async fn hosts_that_mean_harm_cost_little_memory_and_little_time_and_leave_nothing(env: Env) {
        let (keeper, host) = (Keeper::new(&env).await, host().await);
        let kinds = KINDS.iter().flat_map(|kind| (0..EACH).map(move |number| (kind.0, number)));
        let urls: Vec<_> =
            kinds.map(|(kind, number)| json!({"url": format!("http://{host}/{kind}/{number}")})).collect();
        let event = json!({"id": "EV1", "apiVersion": "2026-03-30", "type": "message.received",
            "createdAt": "2026-03-02T09:00:00Z",
            "data": {"resource": {"id": "AC1", "direction": "incoming", "media": urls}}});
        keeper.tell(&[event.to_string()]).await;
        let mut program = Program::new(&env, &["serve"])
            .allow_host(host)
            .set("TRUNKLINE_MEDIA_MAX_BYTES", MAX_BYTES)
            .set("TRUNKLINE_MEDIA_TIMEOUT", format!("{}s", TIMEOUT.as_secs()))
            .set("TRUNKLINE_WORKERS_QUEUES_MEDIA", (KINDS.len() * EACH).to_string());
        program.start().await.unwrap();
        let (pid, before) = (program.pid().unwrap(), peak_kib(program.pid().unwrap()));
        until("every download's first try has ended", async || {
            let told = keeper.rows("media", "id").await;
            let tried = "tasks WHERE kind = 'media.download' AND (attempt > 1 OR attempt = 1 AND state <> 'running')";
            told.len() == KINDS.len() * EACH && keeper.rows(tried, "id").await.len() == told.len()
        })
        .await;
        let peak = peak_kib(pid);
        println!("{} KiB before, {peak} KiB at the most", before);
        program.stop().await.unwrap();
        assert!(peak < before + MOST_KIB, "{before} KiB before, {peak} KiB at the most");

        let attempts = "media AS m JOIN tasks AS t ON t.unique_key = CAST(m.id AS TEXT) AND t.kind = 'media.download'
            LEFT JOIN task_attempts AS a ON a.task_id = t.id AND a.attempt = 1";
        let tried = keeper.rows(attempts, "m.url m.state COALESCE(a.duration_ms,0) a.error").await;
        assert_eq!(tried.len(), KINDS.len() * EACH, "{tried:#?}");
        for line in &tried {
            let words: Vec<&str> = line.splitn(5, ' ').collect();
            let (kind, error) = KINDS.iter().find(|kind| words[1].contains(kind.0)).unwrap();
            let took = Duration::from_millis(words[3].parse().unwrap());
            assert!(took < TIMEOUT + SLACK, "{line}");
            match error {
                None => assert_eq!(words[2], "stored", "{line}"),
                Some(begins) => assert!(words[4].starts_with(begins), "{kind}: {line}"),
            }
            let for_good = error.is_some_and(|error| error.starts_with("the file is larger"));
            assert_eq!(words[2] == "failed", for_good, "what a host can mend is tried again: {line}");
        }
        let store = &keeper.services.media.store;
        assert_eq!(store.list(None, 100).await.unwrap().len(), 1, "of all modest ones, which are alike");
        assert_eq!(std::fs::read_dir(store.temp_dir()).unwrap().count(), 0);
    }
}
