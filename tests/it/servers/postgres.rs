//! A private PostgreSQL server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::process::{Program, Server, version_line};

const MISSING: &str = "PostgreSQL's server programs (postgres, initdb) are not installed. \
     Debian, Ubuntu: apt-get install postgresql. Fedora: dnf install postgresql-server. \
     macOS: brew install postgresql.";

#[derive(Debug)]
pub(crate) struct Postgres {
    server: Server,
}

impl Postgres {
    /// A server for tests. It never waits for the disk. A commit still survives [`Postgres::kill`]: what was
    /// written is with the operating system by then, and only a crash of that would lose it.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&["fsync=off", "full_page_writes=off", "shared_buffers=64MB"])
    }

    /// A server for benches, with the durability of production. `TMPDIR` decides which disk is measured.
    pub(crate) fn start_durable() -> Result<Self> {
        Self::start_with(&["fsync=on", "full_page_writes=on", "shared_buffers=256MB"])
    }

    fn start_with(settings: &[&str]) -> Result<Self> {
        let programs = newest_programs().context(MISSING)?;
        // Without a socket in the file system there is no path to be too long.
        let common = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"];
        let mut arguments = vec!["-D".to_owned(), "data".to_owned()];
        for setting in common.iter().chain(settings) {
            arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
        }
        let program = Program {
            name: "postgres",
            path: programs.join("postgres"),
            arguments,
            port_flag: "-p",
            ready: "database system is ready to accept connections",
            end: "QUIT",
        };
        let mut server = Server::new(program, true)?;
        let initdb =
            ["-D", "data", "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync"];
        server.prepare(&programs.join("initdb"), &initdb)?;
        server.start()?;
        Ok(Self { server })
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port()
    }

    /// Breaks off open transactions, writes a checkpoint and ends: what a planned restart looks like.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.server.stop("INT")
    }

    /// SIGKILL. A statement that is running may still finish, as its own process outlives the parent by a moment.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.server.stop("KILL")
    }

    /// Starts after [`Postgres::stop`] or [`Postgres::kill`], on the same port and data.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.server.start_again()
    }

    /// Closes every connection to this database, as a failover or an impatient administrator would.
    pub(crate) async fn terminate_backends(&self, database: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = $1 AND pid <> pg_backend_pid()",
        )
        .bind(database)
        .execute(&mut connection)
        .await?;
        Ok(connection.close().await?)
    }

    /// Creates a database: empty, or a copy of a template to which nobody is connected.
    pub(crate) async fn create_database(&self, name: &str, template: Option<&str>) -> Result<()> {
        let template = template.unwrap_or("template0");
        self.execute(format!("CREATE DATABASE {} TEMPLATE {}", quoted(name), quoted(template))).await
    }

    /// Drops a database, connected or not.
    pub(crate) async fn drop_database(&self, name: &str) -> Result<()> {
        self.execute(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name))).await
    }

    async fn execute(&self, sql: String) -> Result<()> {
        let mut connection = self.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut connection).await.context(sql)?;
        Ok(connection.close().await?)
    }

    async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url("postgres")).await?)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The folder of the newest server installed. Debian and Homebrew keep the programs off the `PATH`.
fn newest_programs() -> Option<PathBuf> {
    let mut folders = Vec::new();
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders.extend(subfolders("/usr/lib/postgresql", "", "bin"));
    folders.extend(subfolders("/usr", "pgsql-", "bin"));
    for homebrew in ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"] {
        folders.extend(subfolders(homebrew, "postgresql", "bin"));
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    let complete = folders.into_iter().filter(|folder| folder.join("initdb").is_file());
    complete.max_by_key(|folder| version(&folder.join("postgres")))
}

/// Every `parent/{prefix…}/child`.
fn subfolders(parent: &str, prefix: &str, child: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(child))
        .collect()
}

/// `postgres (PostgreSQL) 17.2 (Debian 17.2-1)` is 17.2. A name in place of the minor version counts as 0.
fn version(postgres: &Path) -> Option<(u32, u32)> {
    let line = version_line(postgres)?;
    let number = line.split_whitespace().nth(2)?;
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    Some((digits(major)?, digits(minor).unwrap_or(0)))
}
