//! A connection in use, of either engine, with or without a transaction around it.

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};

use super::error::DbError;
use super::open::Engine;

/// A borrowed connection. One from [`Db::write`](super::Db::write) is a transaction: it rolls back when
/// dropped without [`commit`](Session::commit).
#[derive(Debug)]
pub struct Session(Inner);

#[derive(Debug)]
pub(super) enum Inner {
    Postgres(PoolConnection<Postgres>),
    PostgresTx(Transaction<'static, Postgres>),
    Sqlite(PoolConnection<Sqlite>),
    SqliteTx(Transaction<'static, Sqlite>),
}

pub(super) enum Handle<'s> {
    Postgres(&'s mut PgConnection),
    Sqlite(&'s mut SqliteConnection),
}

impl Session {
    pub(super) fn new(inner: Inner) -> Self {
        Self(inner)
    }

    pub fn engine(&self) -> Engine {
        match self.0 {
            Inner::Postgres(_) | Inner::PostgresTx(_) => Engine::Postgres,
            Inner::Sqlite(_) | Inner::SqliteTx(_) => Engine::Sqlite,
        }
    }

    pub(super) fn handle(&mut self) -> Handle<'_> {
        match &mut self.0 {
            Inner::Postgres(conn) => Handle::Postgres(conn),
            Inner::PostgresTx(tx) => Handle::Postgres(tx),
            Inner::Sqlite(conn) => Handle::Sqlite(conn),
            Inner::SqliteTx(tx) => Handle::Sqlite(tx),
        }
    }

    /// Commits the transaction. On a session without one there is nothing to do.
    pub async fn commit(self) -> Result<(), DbError> {
        match self.0 {
            Inner::PostgresTx(tx) => tx.commit().await,
            Inner::SqliteTx(tx) => tx.commit().await,
            Inner::Postgres(_) | Inner::Sqlite(_) => Ok(()),
        }
        .map_err(|source| DbError::of("COMMIT", source))
    }
}
