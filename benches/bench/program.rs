//! The program as a child process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Place;

/// `trunkline serve`, killed when dropped.
pub struct Program {
    child: Child,
    port: u16,
    pub ready: Duration,
    _folder: tempfile::TempDir,
}

impl Program {
    /// Starts it on the place's database, with further settings, and waits until it is ready.
    pub fn start(place: &Place, settings: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let begun = Instant::now();
        let child = command(place, settings)
            .arg("serve")
            .env("TRUNKLINE_HTTP_LISTEN", format!("127.0.0.1:{port}"))
            .env("TRUNKLINE_MEDIA_DIR", folder.path())
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()?;
        let mut program = Self { child, port, ready: Duration::ZERO, _folder: folder };
        while !is_ready(port) {
            ensure!(begun.elapsed() < Duration::from_secs(30), "not ready after 30 s");
            ensure!(program.child.try_wait()?.is_none(), "the program ended");
            sleep(Duration::from_millis(1));
        }
        program.ready = begun.elapsed();
        Ok(program)
    }

    /// What a metric without labels says now.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let text = get(self.port, "/metrics", None)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.with_context(|| format!("there is no metric {name}"))
    }

    /// The answer to a request with a key.
    pub fn get(&self, path: &str, key: &str) -> std::io::Result<String> {
        get(self.port, path, Some(key))
    }

    /// A request whose answer goes on: it is read until what is returned is shut down.
    pub fn follow(&self, path: &str, key: &str) -> Result<TcpStream> {
        let stream = ask(self.port, path, Some(key))?;
        let mut answer = stream.try_clone()?;
        std::thread::spawn(move || std::io::copy(&mut answer, &mut std::io::sink()));
        Ok(stream)
    }

    /// What it has taken of the processors since its start.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("no such line")?;
        let ticks =
            fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        // The kernel counts in hundredths of a second, whatever it does inside.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// A line of the kernel's account of it, in megabytes.
    pub fn memory(&self, line: &str) -> Result<u64> {
        memory(self.child.id(), line)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command printed, and the most memory it took, in megabytes.
pub fn run(place: &Place, settings: &[(&str, &str)], words: &[&str]) -> Result<(String, u64)> {
    let mut output = tempfile::tempfile()?;
    let mut child = command(place, settings).args(words).stdout(output.try_clone()?).spawn()?;
    let mut most = 0;
    let status = loop {
        // The last look before its end: what it takes while it ends is not seen.
        most = memory(child.id(), "VmHWM").unwrap_or_default().max(most);
        match child.try_wait()? {
            Some(status) => break status,
            None => sleep(Duration::from_millis(2)),
        }
    };
    ensure!(status.success(), "`trunkline {}` failed: {status}", words.join(" "));
    let mut text = String::new();
    std::io::Seek::rewind(&mut output)?;
    output.read_to_string(&mut text)?;
    Ok((text, most))
}

fn command(place: &Place, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .env("TRUNKLINE_DATABASE_URL", &place.database_url)
        .env("TRUNKLINE_REDIS_URL", place.redis_url.as_deref().unwrap_or_default())
        .env("TRUNKLINE_OPENPHONE_WEBHOOK_SECRETS", "whsec_YmVuY2htYXJrIHNlY3JldCBvZiAzMiBieXRlcyEh")
        .env("TRUNKLINE_LOG_LEVEL", "warn")
        .envs(settings.iter().copied())
        .stdin(Stdio::null());
    command
}

fn memory(process: u32, line: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kilobytes = status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().nth(1));
    Ok(kilobytes.context("no such line")?.parse::<u64>()? / 1024)
}

fn is_ready(port: u16) -> bool {
    get(port, "/readyz", None).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn get(port: u16, path: &str, key: Option<&str>) -> std::io::Result<String> {
    let mut answer = String::new();
    ask(port, path, key)?.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask(port: u16, path: &str, key: Option<&str>) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\n{key}connection: close\r\n\r\n")?;
    Ok(stream)
}
