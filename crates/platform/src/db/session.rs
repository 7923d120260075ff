//! A connection in use, of either engine, with or without a transaction around it.
//!
//! Transactions are begun and ended here and not by the driver, which loses count of them when a `COMMIT` fails.
//! A connection goes back to its pool only when it is known to be idle: one whose statement was cut off or ran
//! out of time, or whose transaction was not committed, is closed instead.

use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::error::DbError;
use super::open::Engine;
use super::slow::SlowLog;

/// A borrowed connection. One from [`Db::write`](super::Db::write) is a transaction: it is undone when dropped
/// without [`commit`](Session::commit).
#[derive(Debug)]
pub struct Session {
    conn: Conn,
    /// How long one statement may take.
    deadline: Duration,
    in_transaction: bool,
    /// When the statement began that is on its way, or was when its future was dropped.
    in_flight: Option<Instant>,
    slow: SlowLog,
}

#[derive(Debug)]
pub(super) enum Conn {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

pub(super) enum Handle<'s> {
    Postgres(&'s mut PgConnection),
    Sqlite(&'s mut SqliteConnection),
}

impl Session {
    pub(super) fn new(conn: Conn, deadline: Duration, slow: SlowLog) -> Self {
        Self { conn, deadline, in_transaction: false, in_flight: None, slow }
    }

    pub fn engine(&self) -> Engine {
        match self.conn {
            Conn::Postgres(_) => Engine::Postgres,
            Conn::Sqlite(_) => Engine::Sqlite,
        }
    }

    pub(super) fn handle(&mut self) -> Handle<'_> {
        match &mut self.conn {
            Conn::Postgres(conn) => Handle::Postgres(conn),
            Conn::Sqlite(conn) => Handle::Sqlite(conn),
        }
    }

    /// Gives statements more time, and calls none of them slow. On PostgreSQL the connection is not used again.
    pub(super) fn for_upkeep(&mut self, deadline: Duration) {
        self.deadline = deadline;
        self.slow = self.slow.silent();
        if let Conn::Postgres(conn) = &mut self.conn {
            conn.close_on_drop();
        }
    }

    /// Gives statements other time.
    pub(super) fn within(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The connection is not used again.
    pub(super) fn close_after(&mut self) {
        match &mut self.conn {
            Conn::Postgres(conn) => conn.close_on_drop(),
            Conn::Sqlite(conn) => conn.close_on_drop(),
        }
    }

    /// A statement begins; returns how long it may take.
    pub(super) fn begins(&mut self) -> Duration {
        self.in_flight = Some(Instant::now());
        self.deadline
    }

    /// A statement ended, one way or the other. `rows` says how many it returned or changed.
    pub(super) fn ended<T>(
        &mut self,
        during: &'static str,
        outcome: Result<Result<T, sqlx::Error>, Elapsed>,
        rows: impl FnOnce(&T) -> u64,
    ) -> Result<T, DbError> {
        if let Some(began) = self.in_flight {
            let rows = outcome.as_ref().ok().and_then(|answered| answered.as_ref().ok()).map(rows);
            self.slow.judge(during, began.elapsed(), rows);
        }
        let answered = outcome.map_err(|_| DbError::late(during))?;
        self.in_flight = None;
        answered.map_err(|source| DbError::of(during, source))
    }

    pub(super) async fn begin(mut self) -> Result<Self, DbError> {
        // IMMEDIATE, because a transaction that reads and then writes fails at once when another committed
        // in between.
        let text = match self.engine() {
            Engine::Postgres => "BEGIN",
            Engine::Sqlite => "BEGIN IMMEDIATE",
        };
        self.in_transaction = true;
        self.run_raw(text).await?;
        Ok(self)
    }

    /// Commits the transaction. On a session without one there is nothing to do.
    pub async fn commit(mut self) -> Result<(), DbError> {
        if self.in_transaction {
            self.run_raw("COMMIT").await?;
            self.in_transaction = false;
        }
        Ok(())
    }

    async fn run_raw(&mut self, text: &'static str) -> Result<(), DbError> {
        let deadline = self.begins();
        let outcome = match self.handle() {
            Handle::Postgres(conn) => {
                timeout(deadline, sqlx::raw_sql(text).execute(conn)).await.map(|r| r.map(drop))
            }
            Handle::Sqlite(conn) => {
                timeout(deadline, sqlx::raw_sql(text).execute(conn)).await.map(|r| r.map(drop))
            }
        };
        self.ended(text, outcome, |()| 0)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.in_transaction || self.in_flight.is_some() {
            self.close_after();
        }
    }
}
