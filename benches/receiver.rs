//! Durable webhooks per second beside two handlers that set the scale, in one run: one that only reads the body, and
//! one that shares a bare write to the disk among all who wait, which nothing durable can beat on this disk. The load
//! comes from a process of its own, as the provider's does, and is signed anew for all. `TMPDIR` decides on the disk.
//!
//! `cargo bench --bench receiver -- [SECONDS] [PLACE]`

mod bench;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::{Place, machine, millis, percentile};
use bytes::Bytes;
use poem::error::InternalServerError;
use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::web::Data;
use poem::{Endpoint, EndpointExt, Route, Server, handler};
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use trunkline::correlation::CorrelationIds;
use trunkline::receiver::{self, ReceiverMetrics, ReceiverSettings};
use trunkline_jobs::events;
use trunkline_jobs::secrets::Keyring;
use trunkline_openphone::event::{EventType, Generation};
use trunkline_openphone::factory::Factory;
use trunkline_openphone::signature::{Key, sign_standard};
use trunkline_platform::clock::Clock;

const CONNECTIONS: usize = 64;
const SECRET: &str = "whsec_YmVuY2htYXJrIHNlY3JldCBvZiAzMiBieXRlcyEh";

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seconds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(10);
    let time = Duration::from_secs(seconds);
    if let Some(at) = words.iter().position(|word| word == "--load") {
        return load(words.get(at + 1).context("--load ADDRESS")?.parse()?, time).await;
    }
    let place = words.iter().find(|word| Place::ALL.contains(&word.as_str()));
    println!("{}; {CONNECTIONS} connections, {seconds} s each", machine());
    println!("| endpoint | requests/s | p50 | p99 | to a commit | beside the bare handler |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let bare = under_load(Route::new().at("/", read_body), time).await?.report("bare handler", None, None);
    let disk = Disk::start()?;
    let figures = under_load(Route::new().at("/", write_body).data(disk.clone()), time).await?;
    figures.report("bare shared write", disk.size(), Some(bare));
    for name in Place::ALL.into_iter().filter(|name| place.is_none_or(|only| only == name)) {
        let place = Place::open(name).await?;
        let settings = ReceiverSettings {
            keyring: Arc::new(Keyring::fixed([SECRET])?),
            rate_per_second: u32::MAX,
            rate_burst: u32::MAX,
            ..ReceiverSettings::default()
        };
        let registry = Registry::new();
        let metrics = ReceiverMetrics::new(&registry)?;
        let ids = CorrelationIds::of_webhooks(1);
        let (endpoint, committer) =
            receiver::start(settings, place.tasks.clone(), Clock::system(), ids, metrics);
        let figures = under_load(endpoint, time).await?;
        committer.finish(Duration::from_secs(10)).await;
        let stored: i64 = events::count(place.tasks.db()).await?.iter().map(|row| row.count).sum();
        ensure!(stored as u64 >= figures.answered, "{stored} stored, {} answered 2xx", figures.answered);
        figures.report(name, commit_size(&registry), Some(bare));
    }
    Ok(())
}

#[handler]
async fn read_body(body: poem::Body) -> poem::Result<StatusCode> {
    body.into_bytes().await?;
    Ok(StatusCode::NO_CONTENT)
}

struct Figures {
    answered: u64,
    rate: f64,
    p50: Duration,
    p99: Duration,
}

impl Figures {
    fn report(&self, name: &str, commit: Option<f64>, bare: Option<f64>) -> f64 {
        let commit = commit.map(|size| format!("{size:.0}")).unwrap_or_default();
        let beside = bare.map(|bare| format!("{:.2}", self.rate / bare)).unwrap_or_default();
        let (p50, p99) = (millis(self.p50), millis(self.p99));
        println!("| {name} | {:.0} | {p50} | {p99} | {commit} | {beside} |", self.rate);
        self.rate
    }
}

/// How many deliveries shared a commit, on average.
fn commit_size(registry: &Registry) -> Option<f64> {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == "trunkline_webhook_commit_deliveries")?;
    let histogram = family.get_metric().first()?.get_histogram();
    Some(histogram.get_sample_sum() / histogram.get_sample_count() as f64)
}

/// A file to which one thread appends what came, with one wait for the disk for all who came meanwhile.
#[derive(Clone)]
struct Disk {
    writer: std::sync::mpsc::Sender<(Bytes, oneshot::Sender<()>)>,
    writes: Arc<AtomicU64>,
    bodies: Arc<AtomicU64>,
}

impl Disk {
    fn start() -> Result<Self> {
        let (writer, inbox) = std::sync::mpsc::channel::<(Bytes, oneshot::Sender<()>)>();
        let disk = Self { writer, writes: Arc::default(), bodies: Arc::default() };
        let (writes, bodies) = (Arc::clone(&disk.writes), Arc::clone(&disk.bodies));
        let mut file = tempfile::tempfile()?;
        std::thread::spawn(move || -> std::io::Result<()> {
            while let Ok(first) = inbox.recv() {
                let (all, callers): (Vec<_>, Vec<_>) = std::iter::once(first).chain(inbox.try_iter()).unzip();
                file.write_all(&all.concat())?;
                file.sync_data()?;
                writes.fetch_add(1, Ordering::Relaxed);
                bodies.fetch_add(all.len() as u64, Ordering::Relaxed);
                for caller in callers {
                    let _ = caller.send(());
                }
            }
            Ok(())
        });
        Ok(disk)
    }

    fn size(&self) -> Option<f64> {
        Some(self.bodies.load(Ordering::Relaxed) as f64 / self.writes.load(Ordering::Relaxed) as f64)
    }
}

#[handler]
async fn write_body(body: poem::Body, disk: Data<&Disk>) -> poem::Result<StatusCode> {
    let (caller, written) = oneshot::channel();
    let body = body.into_bytes().await?;
    disk.writer.send((body, caller)).map_err(InternalServerError)?;
    written.await.map_err(InternalServerError)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Serves the endpoint and has the other process load it.
async fn under_load(endpoint: impl Endpoint + 'static, time: Duration) -> Result<Figures> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = tokio_util::sync::CancellationToken::new();
    let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?).run_with_graceful_shutdown(
        endpoint.map_to_response(),
        stop.clone().cancelled_owned(),
        Some(Duration::from_secs(1)),
    );
    let server = tokio::spawn(server);
    let mut load = std::process::Command::new(std::env::current_exe()?);
    load.args(["--load", &address.to_string(), &time.as_secs().to_string()]);
    let output = tokio::task::spawn_blocking(move || load.output()).await??;
    ensure!(output.status.success(), "the load failed: {}", String::from_utf8_lossy(&output.stderr));
    stop.cancel();
    server.await??;
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut next = || anyhow::Ok(numbers.next().context("a figure")??);
    let (answered, nanos) = (next()?, next()?);
    Ok(Figures {
        answered,
        rate: answered as f64 / (nanos as f64 / 1e9),
        p50: Duration::from_nanos(next()?),
        p99: Duration::from_nanos(next()?),
    })
}

/// Connections that each send one request after the other.
async fn load(address: std::net::SocketAddr, time: Duration) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let next = Arc::clone(&next);
            tokio::spawn(async move { send(TcpStream::connect(address).await?, begun + time, &next).await })
        })
        .collect();
    let mut waits = Vec::new();
    for sender in senders {
        waits.extend(sender.await??);
    }
    let time = begun.elapsed();
    let (p50, p99) = (percentile(&mut waits, 0.5), percentile(&mut waits, 0.99));
    println!("{} {} {} {}", waits.len(), time.as_nanos(), p50.as_nanos(), p99.as_nanos());
    Ok(())
}

async fn send(mut stream: TcpStream, until: Instant, next: &AtomicU64) -> Result<Vec<Duration>> {
    stream.set_nodelay(true)?;
    let key = Key::parse(SECRET)?;
    let now = Clock::system().now();
    let event =
        Factory::new(1).event(EventType::MessageReceived, Generation::Dated, now).context("an event")?;
    let mut waits = Vec::new();
    let mut answer = Vec::with_capacity(1024);
    while Instant::now() < until {
        let id = format!("msg_bench{}", next.fetch_add(1, Ordering::Relaxed));
        let seconds = now.timestamp();
        let signature = sign_standard(&key, &id, seconds, &event.body);
        let mut request = format!(
            "POST / HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             webhook-id: {id}\r\nwebhook-timestamp: {seconds}\r\nwebhook-signature: {signature}\r\n\r\n",
            event.body.len()
        )
        .into_bytes();
        request.extend_from_slice(&event.body);
        let sent = Instant::now();
        stream.write_all(&request).await?;
        answer.clear();
        while !answer.ends_with(b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut answer).await? > 0, "the server closed the connection");
        }
        waits.push(sent.elapsed());
        if !answer.starts_with(b"HTTP/1.1 204") {
            bail!("answered {}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(waits)
}
