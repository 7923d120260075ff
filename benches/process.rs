//! The program as a process: how long from its start until it is ready on an existing database, and the memory
//! it takes with all roles, idle and with a backlog of a million tasks before it.
//!
//! `cargo bench --bench process -- [TASKS] [PLACE]`

mod bench;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::{Place, machine, percentile};
use trunkline_jobs::contacts::ContactUpdated;
use trunkline_jobs::events::{Accepted, Delivery, Source, accept};
use trunkline_openphone::event::{Envelope, EventType, Generation};
use trunkline_openphone::factory::Factory;
use trunkline_openphone::signature::Scheme;
use trunkline_platform::clock::Clock;
use trunkline_platform::task::NewTask;

const STARTS: usize = 7;
const IDLE: Duration = Duration::from_secs(5);
const BACKLOG: Duration = Duration::from_secs(20);
const BATCH: usize = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let tasks = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let only = words.iter().find(|word| Place::ALL.contains(&word.as_str()));
    println!("{}; a backlog of {tasks} tasks", machine());
    println!("| engines | start to ready | idle | at most, with the backlog |");
    println!("| --- | ---: | ---: | ---: |");
    for name in Place::ALL.into_iter().filter(|name| only.is_none_or(|only| only == name)) {
        let place = Place::open(name).await?;
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            starts.push(Program::start(&place)?.ready);
        }
        let program = Program::start(&place)?;
        sleep(IDLE);
        let idle = program.memory("VmRSS")?;
        drop(program);
        fill(&place, tasks).await?;
        let program = Program::start(&place)?;
        sleep(BACKLOG);
        let most = program.memory("VmHWM")?;
        let ready = percentile(&mut starts, 0.5).as_millis();
        println!("| {name} | {ready} ms | {idle} MB | {most} MB |");
    }
    Ok(())
}

/// A backlog of real work: an event, and tasks that read it.
async fn fill(place: &Place, tasks: usize) -> Result<()> {
    let now = Clock::system().now();
    let event =
        Factory::new(1).event(EventType::ContactUpdated, Generation::Dated, now).context("an event")?;
    let delivery = Delivery {
        envelope: Envelope::parse(&event.body)?,
        source: Source::Webhook(Scheme::Standard),
        delivery_id: Some("msg_bench".to_owned()),
        received_at: now,
        headers: "{}".to_owned(),
        body: String::from_utf8(event.body.to_vec())?,
        correlation_id: "wh_bench".to_owned(),
        trace_context: None,
    };
    let mut tx = place.tasks.begin().await?;
    let accepted = accept(&mut tx, &[delivery]).await?;
    tx.commit().await?;
    let Some(Accepted::New { event, .. }) = accepted.first() else { anyhow::bail!("not accepted") };
    let batch = vec![NewTask::of(&ContactUpdated { event: *event })?; BATCH];
    for _ in 0..tasks / BATCH {
        place.tasks.enqueue(&batch).await?;
    }
    Ok(())
}

/// `trunkline serve`, killed when dropped.
struct Program {
    child: Child,
    ready: Duration,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(place: &Place) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command
            .arg("serve")
            .env("TRUNKLINE_DATABASE_URL", &place.database_url)
            .env("TRUNKLINE_REDIS_URL", place.redis_url.as_deref().unwrap_or_default())
            .env("TRUNKLINE_HTTP_LISTEN", format!("127.0.0.1:{port}"))
            .env("TRUNKLINE_MEDIA_DIR", folder.path())
            .env("TRUNKLINE_OPENPHONE_WEBHOOK_SECRETS", "whsec_YmVuY2htYXJrIHNlY3JldCBvZiAzMiBieXRlcyEh")
            .env("TRUNKLINE_LOG_LEVEL", "warn")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn()?;
        let mut program = Self { child, ready: Duration::ZERO, _folder: folder };
        while !is_ready(port) {
            ensure!(begun.elapsed() < Duration::from_secs(30), "not ready after 30 s");
            ensure!(program.child.try_wait()?.is_none(), "the program ended");
            sleep(Duration::from_millis(1));
        }
        program.ready = begun.elapsed();
        Ok(program)
    }

    /// A line of the kernel's account of it, in megabytes.
    fn memory(&self, line: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kilobytes = status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().nth(1));
        Ok(kilobytes.context("no such line")?.parse::<u64>()? / 1024)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}
