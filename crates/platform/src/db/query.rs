//! A statement with its values: `STMT.bind(a).bind(b).all::<Row>(&mut session)`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::Arguments;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, Postgres, Sqlite};
use tokio::time::timeout;

use super::error::DbError;
use super::open::Engine;
use super::parts::{MOST_ROWS, Parts, Slot};
use super::rows::Rows;
use super::session::{Handle, Session};
use super::stmt::{Stmt, Text};

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
    /// A batch for a statement's `(rows "$1" as …)` part.
    Rows(Rows),
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

impl From<Rows> for Arg {
    fn from(rows: Rows) -> Self {
        Self::Rows(rows)
    }
}

impl From<Vec<i64>> for Arg {
    fn from(ids: Vec<i64>) -> Self {
        Self::Ids(ids)
    }
}

/// A row type of either engine; implemented by whatever derives `sqlx::FromRow`.
pub trait Row: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}
impl<T> Row for T where T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

/// A row of which only that it is there matters.
struct There;

impl<'r, R: sqlx::Row> FromRow<'r, R> for There {
    fn from_row(_: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self)
    }
}

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
            Handle::Postgres(conn) => {
                let run = async {
                    let (text, args) = self.for_postgres()?;
                    sqlx::query_as_with(text, args).fetch_all(conn).await
                };
                timeout(deadline, run).await
            }
            Handle::Sqlite(conn) => {
                let run = async {
                    let mut all = Vec::new();
                    for (text, args) in self.for_sqlite()? {
                        all.extend(sqlx::query_as_with(text, args).fetch_all(&mut *conn).await?);
                    }
                    Ok(all)
                };
                timeout(deadline, run).await
            }
        };
        session.ended(name, outcome, |rows: &Vec<T>| rows.len() as u64)
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
            Handle::Postgres(conn) => {
                let run = async {
                    let (text, args) = self.for_postgres()?;
                    sqlx::query_as_with(text, args).fetch_optional(conn).await
                };
                timeout(deadline, run).await
            }
            Handle::Sqlite(conn) => {
                let run = async {
                    let mut first = None;
                    for (text, args) in self.for_sqlite()? {
                        let row = sqlx::query_as_with(text, args).fetch_optional(&mut *conn).await?;
                        first = first.or(row);
                    }
                    Ok(first)
                };
                timeout(deadline, run).await
            }
        };
        session.ended(name, outcome, |row: &Option<T>| u64::from(row.is_some()))
    }

    /// Whether there is a row.
    pub async fn exists(self, session: &mut Session) -> Result<bool, DbError> {
        Ok(self.optional::<There>(session).await?.is_some())
    }

    /// Runs the statement and tells how many rows it changed.
    pub async fn execute(self, session: &mut Session) -> Result<u64, DbError> {
        let (name, deadline) = (self.stmt.name, session.begins());
        let outcome = match session.handle() {
            Handle::Postgres(conn) => {
                let run = async {
                    let (text, args) = self.for_postgres()?;
                    Ok(sqlx::query_with::<Postgres, _>(text, args).execute(conn).await?.rows_affected())
                };
                timeout(deadline, run).await
            }
            Handle::Sqlite(conn) => {
                let run = async {
                    let mut changed = 0;
                    for (text, args) in self.for_sqlite()? {
                        let done = sqlx::query_with::<Sqlite, _>(text, args).execute(&mut *conn).await?;
                        changed += done.rows_affected();
                    }
                    Ok(changed)
                };
                timeout(deadline, run).await
            }
        };
        session.ended(name, outcome, |changed| *changed)
    }

    fn for_postgres(self) -> Result<(&'static str, PgArguments), sqlx::Error> {
        let columns = self.stmt.columns().unwrap_or_default();
        let mut args = PgArguments::default();
        let mut other_columns = Vec::new();
        for arg in self.args {
            match arg {
                Arg::Int(value) => args.add(value),
                Arg::Float(value) => args.add(value),
                Arg::Bool(value) => args.add(value),
                Arg::Text(value) => args.add(value),
                Arg::Time(value) => args.add(value),
                Arg::Ids(value) => args.add(value),
                Arg::Rows(rows) if columns.is_empty() => args.add(rows.json()),
                Arg::Rows(rows) => {
                    let mut arrays = rows.into_columns(columns).into_iter().zip(columns);
                    let first = arrays.next();
                    other_columns.extend(arrays);
                    first.map_or(Ok(()), |(cells, (_, sql_type))| array(cells, sql_type, &mut args))
                }
            }
            .map_err(sqlx::Error::Encode)?;
        }
        for (cells, (_, sql_type)) in other_columns {
            array(cells, sql_type, &mut args).map_err(sqlx::Error::Encode)?;
        }
        Ok((self.stmt.text(Engine::Postgres), args))
    }

    /// One text with its values; more where a batch has more rows than one text can take.
    fn for_sqlite(self) -> Result<Vec<(&'static str, SqliteArguments)>, sqlx::Error> {
        let Text::Parts(parts) = &self.stmt.text else {
            return Ok(vec![(self.stmt.text(Engine::Sqlite), sqlite_args(&self.args)?)]);
        };
        let Some(columns) = parts.columns() else {
            return Ok(vec![(parts.sqlite(1), sqlite_args(&self.args)?)]);
        };
        let (mut rows, mut others) = (None, Vec::new());
        for arg in self.args {
            match arg {
                Arg::Rows(batch) => {
                    rows = Some(batch);
                    others.push(Arg::Int(None));
                }
                arg => others.push(arg),
            }
        }
        let mut turns = Vec::new();
        let mut left = rows;
        while let Some(mut batch) = left.take() {
            if batch.len() > MOST_ROWS {
                left = Some(batch.split_off(MOST_ROWS));
            }
            let count = batch.len();
            let mut args = SqliteArguments::default();
            let mut cells = Some(batch);
            for slot in parts.slots() {
                match slot {
                    Slot::Param(number) => {
                        let arg = number.checked_sub(1).and_then(|at| others.get(at));
                        add_sqlite(arg.unwrap_or(&Arg::Int(None)), &mut args)?;
                    }
                    Slot::Rows => {
                        let batch = cells.take().unwrap_or_default();
                        for cell in batch.into_cells(columns) {
                            add_cell(cell, &mut args)?;
                        }
                        for _ in count * columns.len()..Parts::size(count) * columns.len() {
                            add_sqlite(&Arg::Int(None), &mut args)?;
                        }
                        add_sqlite(&Arg::Int(i64::try_from(count).ok()), &mut args)?;
                    }
                }
            }
            turns.push((parts.sqlite(count), args));
        }
        Ok(turns)
    }
}

/// Adds one column of a batch.
fn array(cells: Vec<Value>, sql_type: &str, args: &mut PgArguments) -> Result<(), BoxDynError> {
    fn each<T>(
        cells: Vec<Value>,
        read: impl Fn(Value) -> Result<T, BoxDynError>,
    ) -> Result<Vec<Option<T>>, BoxDynError> {
        cells.into_iter().map(|cell| if cell.is_null() { Ok(None) } else { read(cell).map(Some) }).collect()
    }
    fn number(cell: &Value) -> Result<i64, BoxDynError> {
        cell.as_i64().ok_or_else(|| "a cell of a batch is no whole number".into())
    }
    match sql_type {
        "BIGINT" => args.add(each(cells, |cell| number(&cell))?),
        "INTEGER" => args.add(each(cells, |cell| Ok(i32::try_from(number(&cell)?)?))?),
        "BOOLEAN" => args.add(each(cells, |cell| cell.as_bool().ok_or_else(|| "no truth value".into()))?),
        "TIMESTAMPTZ" => args.add(each(cells, |cell| {
            let text = cell.as_str().unwrap_or_default();
            Ok(DateTime::parse_from_rfc3339(text)?.with_timezone(&Utc))
        })?),
        // The statement casts.
        _ => args.add(each(cells, |cell| Ok(cell_text(cell)))?),
    }
}

fn cell_text(cell: Value) -> String {
    match cell {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn add_cell(cell: Value, args: &mut SqliteArguments) -> Result<(), sqlx::Error> {
    match cell {
        Value::Null => args.add(None::<i64>),
        Value::Bool(value) => args.add(value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => args.add(whole),
            None => args.add(number.as_f64()),
        },
        other => args.add(cell_text(other)),
    }
    .map_err(sqlx::Error::Encode)
}

fn sqlite_args(values: &[Arg]) -> Result<SqliteArguments, sqlx::Error> {
    let mut args = SqliteArguments::default();
    for value in values {
        add_sqlite(value, &mut args)?;
    }
    Ok(args)
}

fn add_sqlite(value: &Arg, args: &mut SqliteArguments) -> Result<(), sqlx::Error> {
    match value {
        Arg::Int(value) => args.add(*value),
        Arg::Float(value) => args.add(*value),
        Arg::Bool(value) => args.add(*value),
        Arg::Text(value) => args.add(value.clone()),
        Arg::Time(value) => args.add(*value),
        Arg::Ids(value) => {
            args.add(serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))?)
        }
        Arg::Rows(rows) => args.add(rows.json()),
    }
    .map_err(sqlx::Error::Encode)
}
