//! Memory stays bounded however large the files are that stream into a bucket.
//!
//! `MEDIA_FILE_MIB=100` makes the files as large as they may be; by default they are as small as shows the same.

use std::time::Duration;

use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::Path;
use poem::{Body, Response, Route, Server, get, handler};
use serde_json::json;
use trunkline_jobs::media;

use crate::harness::s3::S3Server;
use crate::harness::{Env, Program};
use crate::kept::Keeper;

const FILES: usize = 20;
const LIMIT_KIB: u64 = 200 * 1024;
const CHUNK: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(15 * 60);

fn file_mib() -> usize {
    std::env::var("MEDIA_FILE_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// A file that differs from every other, a piece at a time.
#[handler]
fn serve(Path(number): Path<usize>) -> Response {
    let line = move |at: usize| format!("{number:07} {at:07}\n");
    let chunk = move |at: usize| Ok::<_, std::io::Error>(line(at).repeat(CHUNK / 16).into_bytes());
    let chunks = futures_util::stream::iter((0..file_mib() * (1 << 20) / CHUNK).map(chunk));
    Response::builder().content_type("text/plain").body(Body::from_bytes_stream(chunks))
}

async fn host() -> std::net::SocketAddr {
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
    tokio::spawn(Server::new_with_acceptor(acceptor).run(Route::new().at("/:number", get(serve))));
    address
}

/// The most memory a process has had.
pub(crate) fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_large_files_at_once_stream_into_a_bucket_in_bounded_memory() {
    let (env, server, host) = (Env::sqlite().await, S3Server::start().await, host().await);
    let urls: Vec<_> = (0..FILES).map(|number| json!({"url": format!("http://{host}/{number}")})).collect();
    let event = json!({"id": "EV1", "apiVersion": "2026-03-30", "type": "message.received",
        "createdAt": "2026-03-02T09:00:00Z",
        "data": {"resource": {"id": "AC1", "direction": "incoming", "media": urls}}});
    Keeper::new(&env).await.tell(&[event.to_string()]).await;
    let mut program = server
        .keep_for(Program::new(&env, &["serve"]))
        .allow_host(host)
        .set("TRUNKLINE_WORKERS_QUEUES_MEDIA", FILES.to_string());
    program.start().await.unwrap();
    let (pid, before) = (program.pid().unwrap(), peak_kib(program.pid().unwrap()));
    let all_stored = async {
        while media::count(&env.db).await.unwrap().stored < FILES as i64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_stored).await.expect("all files are stored");
    let peak = peak_kib(pid);
    println!(
        "{FILES} files of {} MiB: {} MiB at the most, {} MiB before",
        file_mib(),
        peak / 1024,
        before / 1024
    );
    assert!(peak < LIMIT_KIB, "{} MiB", peak / 1024);
    assert_eq!(server.objects().len(), FILES);
    program.stop().await.unwrap();
}
