//! Private PostgreSQL, Redis and clamd servers, from the programs installed on this machine.
//!
//! Each has a temporary folder and a loopback port of its own, so nothing that already runs here is touched,
//! and both vanish with the test process, even when that is killed. Where a program is missing, starting fails
//! and says what to install: a test that needs a server never skips.
//!
//! Most tests take the shared server of their binary ([`postgres`], [`redis`]) and a database of their own in
//! it. A test that stops, kills, freezes or flushes a server starts a private one; the methods that do so take
//! `&mut self`, so the shared one cannot be stopped by mistake.
//!
//! Starting and stopping block the calling thread. SQL and Redis commands are async and open a connection per
//! call, because every `#[tokio::test]` has a runtime of its own and a pool must not outlive it.

#![allow(dead_code, reason = "tests and benches include this module, and each uses a part of it")]

pub(crate) mod clamd;
mod postgres;
mod process;
mod redis;

use std::sync::OnceLock;

use anyhow::{Result, anyhow};

pub(crate) use clamd::Clamd;
pub(crate) use postgres::Postgres;
pub(crate) use redis::Redis;

/// The PostgreSQL server that the tests of this binary share, started by the first that asks.
pub(crate) fn postgres() -> Result<&'static Postgres> {
    static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
    shared(&SHARED, Postgres::start)
}

/// The Redis server that the tests of this binary share, started by the first that asks.
pub(crate) fn redis() -> Result<&'static Redis> {
    static SHARED: OnceLock<Result<Redis, String>> = OnceLock::new();
    shared(&SHARED, Redis::start)
}

/// The virus scanner that the tests of this binary share, started by the first that asks.
pub(crate) fn clamd() -> Result<&'static Clamd> {
    static SHARED: OnceLock<Result<Clamd, String>> = OnceLock::new();
    shared(&SHARED, Clamd::start)
}

/// A failed start is remembered too: the other tests report it at once instead of waiting for it again.
fn shared<T>(
    cell: &'static OnceLock<Result<T, String>>,
    start: impl FnOnce() -> Result<T>,
) -> Result<&'static T> {
    let outcome = cell.get_or_init(|| start().map_err(|error| format!("{error:#}")));
    outcome.as_ref().map_err(|error| anyhow!("{error}"))
}
