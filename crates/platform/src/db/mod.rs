//! Two engines, one SQL text.
//!
//! * [`Db`] opens PostgreSQL or SQLite from a URL and hands out [`Session`]s: [`Db::read`] for looking,
//!   [`Db::write`] for a transaction, [`Db::write_one`] for a single statement that is its own transaction.
//! * [`Stmt`] is a named statement: usually one text for both engines, `split` where they must differ.
//! * [`Query`] is a statement with its values bound; rows come back through `derive(sqlx::FromRow)`.
//!
//! Rules: times come in as parameters (never `now()`); casts are written `CAST(… AS …)` because SQLite takes
//! all of `$1::text` as a parameter's name; many rows travel as one parameter ([`Rows`]).

mod error;
mod open;
mod parts;
mod query;
mod rows;
mod session;
mod slow;
mod stmt;

pub use error::DbError;
pub use open::{Db, DbOptions, DbUrl, DbUrlError, Engine, PINNED_SETTINGS};
pub use parts::{Part, Parts};
pub use query::{Arg, Query, Row};
pub use rows::{Rows, sql_text, sql_time};
pub use session::Session;
pub use stmt::{Stmt, Text};

/// Every statement of this module, for the test that prepares them all.
pub(crate) use open::STATEMENTS;
