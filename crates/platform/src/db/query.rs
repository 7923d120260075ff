//! A statement with its values: `STMT.bind(a).bind(b).all::<Row>(&mut session)`.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, PgConnection, Postgres, Sqlite, SqliteConnection};
use tokio::time::timeout;

use super::error::DbError;
use super::open::Engine;
use super::session::{Handle, Session};
use super::stmt::Stmt;

/// A value both engines can take.
#[derive(Clone, Debug)]
pub enum Arg {
    Int(Option<i64>),
    Float(Option<f64>),
    Bool(Option<bool>),
    Text(Option<String>),
    Time(Option<DateTime<Utc>>),
    /// A list of ids for a statement's `(any "$1")` part.
    Ids(Vec<i64>),
}

macro_rules! arg_from {
    ($($type:ty => $variant:ident($convert:expr)),* $(,)?) => { $(
        impl From<$type> for Arg {
            fn from(value: $type) -> Self { Self::$variant(Some($convert(value))) }
        }
        impl From<Option<$type>> for Arg {
            fn from(value: Option<$type>) -> Self { Self::$variant(value.map($convert)) }
        }
    )* };
}

arg_from! {
    i64 => Int(std::convert::identity),
    i32 => Int(i64::from),
    u32 => Int(i64::from),
    u16 => Int(i64::from),
    u8 => Int(i64::from),
    f64 => Float(std::convert::identity),
    bool => Bool(std::convert::identity),
    String => Text(std::convert::identity),
    &str => Text(str::to_owned),
    &String => Text(String::clone),
    DateTime<Utc> => Time(std::convert::identity),
}

impl From<Vec<i64>> for Arg {
    fn from(ids: Vec<i64>) -> Self {
        Self::Ids(ids)
    }
}

/// A row type of either engine; implemented by whatever derives `sqlx::FromRow`.
pub trait Row: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}
impl<T> Row for T where T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

/// A statement and the values of its parameters, ready to run.
#[derive(Debug)]
pub struct Query {
    stmt: &'static Stmt,
    args: Vec<Arg>,
}

impl Query {
    pub(super) fn new(stmt: &'static Stmt) -> Self {
        Self { stmt, args: Vec::new() }
    }

    /// Binds the next parameter.
    pub fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.args.push(value.into());
        self
    }

    /// All rows. The statement itself bounds how many (`LIMIT`).
    pub async fn all<T: Row>(self, session: &mut Session) -> Result<Vec<T>, DbError> {
        let (name, deadline) = (self.stmt.name, session.begins());
        let outcome = match session.handle() {
            Handle::Postgres(conn) => timeout(deadline, self.postgres_as::<T>()?.fetch_all(conn)).await,
            Handle::Sqlite(conn) => timeout(deadline, self.sqlite_as::<T>()?.fetch_all(conn)).await,
        };
        session.ended(name, outcome)
    }

    /// The one row, or an error when there is none.
    pub async fn one<T: Row>(self, session: &mut Session) -> Result<T, DbError> {
        let name = self.stmt.name;
        self.optional(session).await?.ok_or_else(|| DbError::of(name, sqlx::Error::RowNotFound))
    }

    /// The row, if there is one.
    pub async fn optional<T: Row>(self, session: &mut Session) -> Result<Option<T>, DbError> {
        let (name, deadline) = (self.stmt.name, session.begins());
        let outcome = match session.handle() {
            Handle::Postgres(conn) => timeout(deadline, self.postgres_as::<T>()?.fetch_optional(conn)).await,
            Handle::Sqlite(conn) => timeout(deadline, self.sqlite_as::<T>()?.fetch_optional(conn)).await,
        };
        session.ended(name, outcome)
    }

    /// Runs the statement and tells how many rows it changed.
    pub async fn execute(self, session: &mut Session) -> Result<u64, DbError> {
        let (name, deadline) = (self.stmt.name, session.begins());
        let outcome = match session.handle() {
            Handle::Postgres(conn) => timeout(deadline, self.run_postgres(conn)).await,
            Handle::Sqlite(conn) => timeout(deadline, self.run_sqlite(conn)).await,
        };
        session.ended(name, outcome)
    }

    async fn run_postgres(self, conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let text = self.stmt.text(Engine::Postgres);
        let args = postgres_args(self.args)?;
        Ok(sqlx::query_with::<Postgres, _>(text, args).execute(conn).await?.rows_affected())
    }

    async fn run_sqlite(self, conn: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
        let text = self.stmt.text(Engine::Sqlite);
        let args = sqlite_args(self.args)?;
        Ok(sqlx::query_with::<Sqlite, _>(text, args).execute(conn).await?.rows_affected())
    }

    fn postgres_as<T: Row>(self) -> Result<sqlx::query::QueryAs<'static, Postgres, T, PgArguments>, DbError> {
        let args = postgres_args(self.args).map_err(|source| DbError::of(self.stmt.name, source))?;
        Ok(sqlx::query_as_with(self.stmt.text(Engine::Postgres), args))
    }

    fn sqlite_as<T: Row>(self) -> Result<sqlx::query::QueryAs<'static, Sqlite, T, SqliteArguments>, DbError> {
        let args = sqlite_args(self.args).map_err(|source| DbError::of(self.stmt.name, source))?;
        Ok(sqlx::query_as_with(self.stmt.text(Engine::Sqlite), args))
    }
}

fn postgres_args(values: Vec<Arg>) -> Result<PgArguments, sqlx::Error> {
    use sqlx::Arguments;
    let mut args = PgArguments::default();
    for value in values {
        match value {
            Arg::Int(value) => args.add(value),
            Arg::Float(value) => args.add(value),
            Arg::Bool(value) => args.add(value),
            Arg::Text(value) => args.add(value),
            Arg::Time(value) => args.add(value),
            Arg::Ids(value) => args.add(value),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(args)
}

fn sqlite_args(values: Vec<Arg>) -> Result<SqliteArguments, sqlx::Error> {
    use sqlx::Arguments;
    let mut args = SqliteArguments::default();
    for value in values {
        match value {
            Arg::Int(value) => args.add(value),
            Arg::Float(value) => args.add(value),
            Arg::Bool(value) => args.add(value),
            Arg::Text(value) => args.add(value),
            Arg::Time(value) => args.add(value),
            Arg::Ids(value) => {
                args.add(serde_json::to_string(&value).map_err(|e| sqlx::Error::Encode(e.into()))?)
            }
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(args)
}
