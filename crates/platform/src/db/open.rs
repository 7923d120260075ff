//! Opening a database from its URL, with the settings each engine needs to keep its promises.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use prometheus::IntCounter;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Executor, PgConnection, PgPool, SqlSafeStr, SqlStr, SqlitePool};
use thiserror::Error;

use super::error::DbError;
use super::session::{Conn, Session};
use super::slow::SlowLog;
use super::stmt::Stmt;

/// Which database is underneath.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Engine {
    Postgres,
    Sqlite,
}

/// Where the database is: `sqlite://path/to/file.db` or `postgres://…`. Its `Debug` shows no password.
#[derive(Clone)]
pub enum DbUrl {
    Postgres(Box<PgConnectOptions>),
    Sqlite(PathBuf),
}

#[derive(Debug, Error)]
pub enum DbUrlError {
    #[error("a database URL starts with sqlite:// or postgres://")]
    Scheme,
    #[error("the sqlite URL names no file; write sqlite://path/to/file.db")]
    NoFile,
    #[error("the postgres URL cannot be read")]
    Postgres(#[source] sqlx::Error),
}

impl FromStr for DbUrl {
    type Err = DbUrlError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(DbUrlError::Postgres)?;
            return Ok(Self::Postgres(Box::new(options)));
        }
        let path = url.strip_prefix("sqlite://").ok_or(DbUrlError::Scheme)?;
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            return Err(DbUrlError::NoFile);
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

impl std::fmt::Debug for DbUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Postgres(options) => write!(
                f,
                "postgres://{}:{}/{}",
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_default()
            ),
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
        }
    }
}

impl DbUrl {
    pub fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// The database file, on SQLite.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Postgres(_) => None,
            Self::Sqlite(path) => Some(path),
        }
    }
}

/// Pool sizes and time limits.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// Connections for everything but the workers' hot path (SQLite: readers).
    pub connections: u32,
    /// PostgreSQL connections of the workers' hot path (claim and finish), whose plans are pinned.
    pub worker_connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How long one statement may take; a connection that does not answer by then is given up.
    pub statement_timeout: Duration,
    /// How long one statement waits for what another transaction has locked (SQLite: for the write lock of
    /// another process).
    pub lock_timeout: Duration,
    /// How long a transaction may be left without a statement before PostgreSQL ends it and lets go of its locks.
    pub idle_in_transaction_timeout: Duration,
    /// What takes this long is told in the log and counted. Absent: nothing is.
    pub slow_query: Option<Duration>,
    /// Counts them.
    pub slow_statements: Option<IntCounter>,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            connections: 10,
            worker_connections: 6,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_secs(30),
            slow_query: Some(Duration::from_secs(1)),
            slow_statements: None,
        }
    }
}

/// An open database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    pools: Pools,
    statement_timeout: Duration,
    slow: SlowLog,
}

#[derive(Clone, Debug)]
enum Pools {
    Postgres {
        general: PgPool,
        /// Claims and completions, under [`PINNED_SETTINGS`].
        pinned: PgPool,
    },
    Sqlite {
        readers: SqlitePool,
        /// SQLite has one writer; so has this pool, and its transactions begin `IMMEDIATE`.
        writer: SqlitePool,
    },
}

impl Db {
    /// Connects. A missing SQLite file is created together with its folder.
    ///
    /// # Errors
    /// [`DbError::Away`] when the server cannot be reached or the file cannot be opened.
    pub async fn open(url: &DbUrl, options: &DbOptions) -> Result<Self, DbError> {
        match url {
            DbUrl::Postgres(connect) => open_postgres(connect, options).await,
            DbUrl::Sqlite(path) => open_sqlite(path, options).await,
        }
        .map(|pools| Self::of(pools, options))
        .map_err(|source| DbError::of("CONNECT", source))
    }

    /// Connects for looking: nothing is made, and a writer at work in another process is not waited for.
    ///
    /// # Errors
    /// [`DbError::Away`] when the server cannot be reached or the file is not there.
    pub async fn open_existing(url: &DbUrl, options: &DbOptions) -> Result<Self, DbError> {
        match url {
            DbUrl::Postgres(connect) => open_postgres(connect, options).await,
            DbUrl::Sqlite(path) => {
                let connect = sqlite_options(path, options);
                let writer = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(connect.clone());
                sqlite_readers(connect, options).await.map(|readers| Pools::Sqlite { readers, writer })
            }
        }
        .map(|pools| Self::of(pools, options))
        .map_err(|source| DbError::of("CONNECT", source))
    }

    fn of(pools: Pools, options: &DbOptions) -> Self {
        let slow = SlowLog { threshold: options.slow_query, count: options.slow_statements.clone() };
        Self { pools, statement_timeout: options.statement_timeout, slow }
    }

    pub fn engine(&self) -> Engine {
        match self.pools {
            Pools::Postgres { .. } => Engine::Postgres,
            Pools::Sqlite { .. } => Engine::Sqlite,
        }
    }

    /// Brings the schema up to date; safe to call from several processes at once.
    pub async fn migrate(&self, postgres: &Migrator, sqlite: &Migrator) -> Result<(), DbError> {
        match &self.pools {
            Pools::Postgres { general, .. } => {
                // Changing a large table takes as long as it takes, and so does waiting for another process that
                // is at it; the connection is not used again.
                let conn = general.acquire().await.map_err(|source| DbError::of("ACQUIRE", source))?;
                let mut conn = conn.detach();
                let unlimited = NO_LIMITS.text(Engine::Postgres).into_sql_str();
                sqlx::raw_sql(unlimited)
                    .execute(&mut conn)
                    .await
                    .map_err(|source| DbError::of("NO_LIMITS", source))?;
                postgres.run(&mut conn).await
            }
            Pools::Sqlite { writer, .. } => sqlite.run(writer).await,
        }?;
        Ok(())
    }

    /// A connection for looking. Each statement sees its own snapshot.
    pub async fn read(&self) -> Result<Session, DbError> {
        match &self.pools {
            Pools::Postgres { general, .. } => self.session(general.acquire().await.map(Conn::Postgres)),
            Pools::Sqlite { readers, .. } => self.session(readers.acquire().await.map(Conn::Sqlite)),
        }
    }

    /// A connection for queries that people make up: no statement may take longer than `limit`, and each is planned for
    /// the values it has. End it by [`commit`](Session::commit), or it is not used again.
    pub async fn look(&self, limit: Duration) -> Result<Session, DbError> {
        let mut session = self.read().await?;
        if session.engine() == Engine::Postgres {
            session = session.begin().await?;
            let millis = format!("{}ms", limit.as_millis().max(1));
            FOR_LOOKING.bind(millis).execute(&mut session).await?;
        }
        session.within(limit);
        Ok(session)
    }

    /// [`read`](Self::read) for a statement that reads so much that it may take long.
    pub async fn patient_read(&self) -> Result<Session, DbError> {
        let mut session = self.read().await?;
        if session.engine() == Engine::Postgres {
            NO_LIMIT.query().execute(&mut session).await?;
        }
        session.for_upkeep(UPKEEP_DEADLINE);
        Ok(session)
    }

    /// A transaction. Keep it short and do no I/O inside.
    pub async fn write(&self) -> Result<Session, DbError> {
        self.write_one().await?.begin().await
    }

    /// A connection for one writing statement that is its own transaction.
    pub async fn write_one(&self) -> Result<Session, DbError> {
        match &self.pools {
            Pools::Postgres { general, .. } => self.session(general.acquire().await.map(Conn::Postgres)),
            Pools::Sqlite { writer, .. } => self.session(writer.acquire().await.map(Conn::Sqlite)),
        }
    }

    /// A connection for one statement that keeps the database's house and may take long (on SQLite the writer). It
    /// is closed afterwards.
    pub async fn upkeep(&self) -> Result<Session, DbError> {
        let mut session = self.write_one().await?;
        if session.engine() == Engine::Postgres {
            NO_LIMIT.query().execute(&mut session).await?;
        }
        session.for_upkeep(UPKEEP_DEADLINE);
        Ok(session)
    }

    /// Copies SQLite's log into the file, and cuts it short unless a reader still needs it. The copying is done
    /// beside the writer; the writer then has what came meanwhile to copy, and waits for nobody. PostgreSQL keeps
    /// its own log.
    pub async fn checkpoint(&self) -> Result<(), DbError> {
        if self.engine() == Engine::Postgres {
            return Ok(());
        }
        let mut reader = self.read().await?;
        reader.for_upkeep(UPKEEP_DEADLINE);
        CHECKPOINT.query().execute(&mut reader).await?;
        drop(reader);
        let mut writer = self.upkeep().await?;
        // Closed, so that whatever happens the next one waits again.
        writer.close_after();
        NO_WAITING.query().execute(&mut writer).await?;
        CUT_LOG.query().execute(&mut writer).await.map(drop)
    }

    /// [`read`](Self::read) on a connection of the workers' hot path.
    pub(crate) async fn read_pinned(&self) -> Result<Session, DbError> {
        match &self.pools {
            Pools::Postgres { pinned, .. } => self.session(pinned.acquire().await.map(Conn::Postgres)),
            Pools::Sqlite { .. } => self.read().await,
        }
    }

    /// [`write`](Self::write) on a connection of the workers' hot path.
    pub(crate) async fn write_pinned(&self) -> Result<Session, DbError> {
        self.write_one_pinned().await?.begin().await
    }

    /// [`write_one`](Self::write_one) on a connection of the workers' hot path.
    pub(crate) async fn write_one_pinned(&self) -> Result<Session, DbError> {
        match &self.pools {
            Pools::Postgres { pinned, .. } => self.session(pinned.acquire().await.map(Conn::Postgres)),
            Pools::Sqlite { .. } => self.write_one().await,
        }
    }

    /// How to reach PostgreSQL for a connection that listens.
    pub(crate) fn listen_options(&self) -> Option<PgConnectOptions> {
        match &self.pools {
            Pools::Postgres { general, .. } => Some((*general.connect_options()).clone()),
            Pools::Sqlite { .. } => None,
        }
    }

    fn session(&self, conn: Result<Conn, sqlx::Error>) -> Result<Session, DbError> {
        conn.map(|conn| Session::new(conn, self.statement_timeout, self.slow.clone()))
            .map_err(|source| DbError::of("ACQUIRE", source))
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        let mut session = self.read().await?;
        PING.query().execute(&mut session).await.map(drop)
    }

    /// Has the engine parse and plan a statement without running it, on a connection that is closed afterwards:
    /// a statement prepared without its values may have other parameter types than the same one with them.
    pub async fn prepare(&self, stmt: &'static Stmt) -> Result<(), DbError> {
        let text = stmt.text(self.engine()).into_sql_str();
        let prepared = match &self.pools {
            Pools::Postgres { general, .. } => prepare_on(general, text).await,
            Pools::Sqlite { readers, .. } => prepare_on(readers, text).await,
        };
        prepared.map_err(|source| DbError::of(stmt.name, source))
    }

    /// Closes every connection and waits for them.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Postgres { general, pinned } => {
                pinned.close().await;
                general.close().await;
            }
            Pools::Sqlite { readers, writer } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

async fn prepare_on<D: sqlx::Database>(pool: &sqlx::Pool<D>, text: SqlStr) -> Result<(), sqlx::Error>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    let mut conn = pool.acquire().await?.detach();
    let prepared = (&mut conn).prepare(text).await.map(drop);
    conn.close().await?;
    prepared
}

/// Pages that the writing connection of SQLite keeps, in KiB.
const WRITER_CACHE: &str = "-65536";
/// Of each of the many that only read; what they miss the operating system has, for all of them together.
const READER_CACHE: &str = "-8192";
/// How long a statement of upkeep may take.
const UPKEEP_DEADLINE: Duration = Duration::from_secs(30 * 60);

crate::statements! {
    PING = same { "SELECT 1" }
    /// PostgreSQL's own; SQLite's statements have our deadline alone.
    NO_LIMIT = split { postgres: "SET statement_timeout = 0", sqlite: "SELECT 1" }
    /// For the transaction only. A plan for any value would have to guess how much fits, compiling it takes longer than
    /// running it, and where much fits PostgreSQL believes that reading everything is quick: it does not count that a
    /// long term vector lies elsewhere and has to be fetched.
    FOR_LOOKING = split {
        postgres:
        "SELECT set_config('statement_timeout', CAST($1 AS TEXT), true), set_config('transaction_read_only', 'on', true),
                set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),
                set_config('enable_seqscan', 'off', true)",
        sqlite: "SELECT $1",
    }
    NO_LIMITS = split {
        postgres: "SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)",
        sqlite: "SELECT 1",
    }
    /// These are SQLite's own.
    CHECKPOINT = split { postgres: "SELECT 1", sqlite: "PRAGMA wal_checkpoint(PASSIVE)" }
    NO_WAITING = split { postgres: "SELECT 1", sqlite: "PRAGMA busy_timeout = 0" }
    CUT_LOG = split { postgres: "SELECT 1", sqlite: "PRAGMA wal_checkpoint(TRUNCATE)" }
}

/// What the connections of the workers' hot path are told. The planner may not flip to a plan that scans when
/// its statistics lag behind the churn of a queue table.
pub const PINNED_SETTINGS: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// How long a connection may lie idle before it is tried when somebody takes it.
const TRIED_AFTER: Duration = Duration::from_millis(500);

async fn open_postgres(connect: &PgConnectOptions, options: &DbOptions) -> Result<Pools, sqlx::Error> {
    // Should we vanish in the middle of a transaction, the server lets go of its locks by itself.
    let limit = |limit: Duration| format!("{}ms", limit.as_millis().max(1));
    let connect = connect.clone().application_name("trunkline").options([
        ("idle_in_transaction_session_timeout", limit(options.idle_in_transaction_timeout)),
        ("lock_timeout", limit(options.lock_timeout)),
        ("statement_timeout", limit(options.statement_timeout)),
    ]);
    let pinned = connect.clone().options(PINNED_SETTINGS);
    let pool = |size| {
        PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|conn, meta| Box::pin(try_if_idle(conn, meta)))
    };
    let general = pool(options.connections).connect_with(connect).await?;
    let pinned = pool(options.worker_connections).connect_lazy_with(pinned);
    Ok(Pools::Postgres { general, pinned })
}

/// A connection that was in use a moment ago need not be tried: that would cost every statement a second round trip.
async fn try_if_idle(conn: &mut PgConnection, meta: PoolConnectionMetadata) -> Result<bool, sqlx::Error> {
    if meta.idle_for >= TRIED_AFTER {
        conn.ping().await?;
    }
    Ok(true)
}

async fn open_sqlite(path: &Path, options: &DbOptions) -> Result<Pools, sqlx::Error> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let connect = sqlite_options(path, options);
    // These two settle the file's format, under a write lock: the writer's business alone.
    let making = connect
        .clone()
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .acquire_timeout(options.acquire_timeout.max(options.lock_timeout))
        .connect_with(making)
        .await?;
    let readers = sqlite_readers(connect, options).await?;
    Ok(Pools::Sqlite { readers, writer })
}

fn sqlite_options(path: &Path, options: &DbOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // A batch has a text for each power of two of rows.
        .statement_cache_capacity(300)
        // A whole claim: its rows need not wait for one another on their way between two threads.
        .row_buffer_size(1_024)
        .busy_timeout(options.lock_timeout)
        .pragma("cache_size", WRITER_CACHE)
        .pragma("temp_store", "memory")
}

async fn sqlite_readers(
    connect: SqliteConnectOptions,
    options: &DbOptions,
) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(options.connections)
        .test_before_acquire(false)
        .acquire_timeout(options.acquire_timeout)
        .connect_with(connect.pragma("query_only", "on").pragma("cache_size", READER_CACHE))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_known_scheme_or_a_file_is_refused() {
        for bad in ["", "mysql://x/y", "trunkline.db", "sqlite://", "sqlite://:memory:", "sqlite:x.db"] {
            assert!(bad.parse::<DbUrl>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn a_url_shown_in_a_log_has_no_password() {
        let url: DbUrl = "postgres://me:hunter2@db.example:5433/app".parse().unwrap();
        assert_eq!(format!("{url:?}"), "postgres://db.example:5433/app");
    }
}
