//! A private Redis server. For tests it keeps nothing on disk: stopping it empties it.

use anyhow::{Context, Result, ensure};

use super::process::{Program, Server, on_path, version_line};

const MISSING: &str = "redis-server 7.0 or later is needed (BLMPOP). \
     Debian, Ubuntu: apt-get install redis-server. Fedora: dnf install valkey. macOS: brew install redis.";

/// How many numbered databases a server has, so that each test can have its own.
const DATABASES: u32 = 1000;

const SETTINGS: [&str; 6] = ["--bind", "127.0.0.1", "--save", "", "--dir", "."];

#[derive(Debug)]
pub(crate) struct Redis {
    server: Server,
}

impl Redis {
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&["--appendonly", "no"])
    }

    /// A server for benches of those who keep their jobs in it: every change is on the disk before it is answered.
    pub(crate) fn start_durable() -> Result<Self> {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    fn start_with(settings: &[&str]) -> Result<Self> {
        let path = on_path(&["redis-server", "valkey-server"]).context(MISSING)?;
        let version = version_line(&path).unwrap_or_default();
        ensure!(major(&version).is_some_and(|major| major >= 7), "{MISSING} Found: {}", version.trim());
        let mut arguments = vec!["--databases".to_owned(), DATABASES.to_string()];
        arguments.extend(SETTINGS.iter().chain(settings).map(|&word| word.to_owned()));
        let program = Program {
            name: "redis",
            path,
            arguments,
            port_flag: "--port",
            ready: "Ready to accept connections",
            end: "KILL",
        };
        let mut server = Server::new(program, false)?;
        server.start()?;
        Ok(Self { server })
    }

    pub(crate) fn url(&self) -> String {
        self.url_of(0)
    }

    /// The URL of one of the numbered databases, 0 to 999.
    pub(crate) fn url_of(&self, database: u32) -> String {
        assert!(database < DATABASES, "there are {DATABASES} databases, from 0 on");
        format!("redis://127.0.0.1:{}/{database}", self.server.port())
    }

    /// Ends the server. Until [`Redis::start_again`], connections are refused.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.server.stop("KILL") // It has nothing to save, and this ends a frozen server too.
    }

    /// Starts after [`Redis::stop`], empty, on the same port.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.server.start_again()
    }

    /// Stops the process in its tracks: connections are accepted and nothing is answered.
    pub(crate) fn freeze(&mut self) -> Result<()> {
        self.server.signal("STOP")
    }

    /// Lets a frozen server go on where it was.
    pub(crate) fn thaw(&mut self) -> Result<()> {
        self.server.signal("CONT")
    }

    /// Empties every numbered database.
    pub(crate) async fn flush_all(&mut self) -> Result<()> {
        let mut connection = ::redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        Ok(::redis::cmd("FLUSHALL").exec_async(&mut connection).await?)
    }
}

/// `Redis server v=7.0.15 sha=…` is 7.
fn major(version: &str) -> Option<u32> {
    version.split("v=").nth(1)?.split('.').next()?.parse().ok()
}
