//! Statements as named constants, so that a test can prepare every one of them on both engines.

use super::open::Engine;
use super::query::{Arg, Query};

/// One SQL statement under a name that errors and slow-query logs can show.
#[derive(Debug)]
pub struct Stmt {
    pub name: &'static str,
    pub text: Text,
}

/// The text of a statement.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// Both engines run the same text.
    Same(&'static str),
    /// The engines differ by necessity; the statement's comment says why.
    Split { postgres: &'static str, sqlite: &'static str },
}

impl Stmt {
    pub fn text(&self, engine: Engine) -> &'static str {
        match (self.text, engine) {
            (Text::Same(text), _) => text,
            (Text::Split { postgres, .. }, Engine::Postgres) => postgres,
            (Text::Split { sqlite, .. }, Engine::Sqlite) => sqlite,
        }
    }

    /// Starts a query with its first parameter (`$1`).
    pub fn bind(&'static self, value: impl Into<Arg>) -> Query {
        Query::new(self).bind(value)
    }

    /// A query without parameters.
    pub fn query(&'static self) -> Query {
        Query::new(self)
    }
}

/// Declares the statements of a module and the list `STATEMENTS` of all of them.
///
/// A text is either one literal for both engines, or `split { postgres: …, sqlite: … }`. Two things are
/// spelled the same and differ underneath:
/// * `(rows "$1" as r (id BIGINT, name TEXT))` reads a [`Rows`](crate::db::Rows) parameter as a table;
/// * `(any "$1")` is the right-hand side of `IN` for a list of ids.
///
/// The parts of such a text are joined.
#[macro_export]
macro_rules! statements {
    ($( $(#[$doc:meta])* $vis:vis $name:ident = $kind:ident { $($body:tt)* } )*) => {
        $( $(#[$doc])* $vis static $name: $crate::db::Stmt = $crate::db::Stmt {
            name: stringify!($name),
            text: $crate::statement_text!($kind { $($body)* }),
        }; )*
        /// Every statement of this module, for the test that prepares them.
        pub(crate) static STATEMENTS: &[&$crate::db::Stmt] = &[$(&$name),*];
    };
}

/// The body of one statement; see [`statements!`].
#[doc(hidden)]
#[macro_export]
macro_rules! statement_text {
    (same { $text:literal }) => { $crate::db::Text::Same($text) };
    (split { postgres: $postgres:literal, sqlite: $sqlite:literal $(,)? }) => {
        $crate::db::Text::Split { postgres: $postgres, sqlite: $sqlite }
    };
    (parts { $($part:tt)* }) => {
        $crate::db::Text::Split {
            postgres: concat!($($crate::statement_part!(postgres $part)),*),
            sqlite: concat!($($crate::statement_part!(sqlite $part)),*),
        }
    };
}

/// One part of a joined statement; see [`statements!`].
#[doc(hidden)]
#[macro_export]
macro_rules! statement_part {
    ($engine:ident $text:literal) => { $text };
    (postgres (any $param:literal)) => { concat!("(SELECT unnest(CAST(", $param, " AS BIGINT[])))") };
    (sqlite (any $param:literal)) => { concat!("(SELECT value FROM json_each(", $param, "))") };
    (postgres (rows $param:literal as $alias:ident ($first:ident $first_type:ident $(, $col:ident $type:ident)*))) => {
        concat!("json_to_recordset(CAST(", $param, " AS json)) AS ", stringify!($alias), "(",
            stringify!($first), " ", stringify!($first_type), $(", ", stringify!($col), " ", stringify!($type),)* ")")
    };
    (sqlite (rows $param:literal as $alias:ident ($first:ident $first_type:ident $(, $col:ident $type:ident)*))) => {
        concat!("(SELECT value ->> '$.", stringify!($first), "' AS ", stringify!($first),
            $(", value ->> '$.", stringify!($col), "' AS ", stringify!($col),)*
            " FROM json_each(", $param, ")) AS ", stringify!($alias))
    };
}
