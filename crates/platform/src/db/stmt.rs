//! Statements as named constants, so that a test can prepare every one of them on both engines.

use super::open::Engine;
use super::parts::{Part, Parts};
use super::query::{Arg, Query};

/// One SQL statement under a name that errors and slow-query logs can show.
#[derive(Debug)]
pub struct Stmt {
    pub name: &'static str,
    pub text: Text,
}

/// The text of a statement.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "statements are statics")]
pub enum Text {
    /// Both engines run the same text.
    Same(&'static str),
    /// The engines differ by necessity; the statement's comment says why.
    Split { postgres: &'static str, sqlite: &'static str },
    /// Spelled the same, with parts that each engine has its own words for.
    Parts(Parts),
}

impl Text {
    #[doc(hidden)]
    pub const fn parts(parts: &'static [Part]) -> Self {
        Self::Parts(Parts::new(parts))
    }
}

impl Stmt {
    /// The text as an engine gets it; where rows are part of it, for one row.
    pub fn text(&'static self, engine: Engine) -> &'static str {
        match (&self.text, engine) {
            (Text::Same(text), _) => text,
            (Text::Split { postgres, .. }, Engine::Postgres) => postgres,
            (Text::Split { sqlite, .. }, Engine::Sqlite) => sqlite,
            (Text::Parts(parts), Engine::Postgres) => parts.postgres(),
            (Text::Parts(parts), Engine::Sqlite) => parts.sqlite(1),
        }
    }

    /// The columns of the rows that are part of it.
    pub(super) fn columns(&self) -> Option<&'static [(&'static str, &'static str)]> {
        match &self.text {
            Text::Parts(parts) => parts.columns(),
            Text::Same(_) | Text::Split { .. } => None,
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
/// * `(rows "$1" as r (id BIGINT, name TEXT))`, once in a statement, reads a [`Rows`](crate::db::Rows) parameter
///   as a table;
/// * `(any "$1")` is the right-hand side of `IN` for a list of ids.
///
/// And `(sql COLUMNS)` is a constant of the module: words that several statements share, such as the columns of a row.
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
        $crate::db::Text::parts(&[$($crate::statement_part!($part)),*])
    };
}

/// One part of a joined statement; see [`statements!`].
#[doc(hidden)]
#[macro_export]
macro_rules! statement_part {
    ($text:literal) => { $crate::db::Part::Sql($text) };
    ((sql $text:path)) => { $crate::db::Part::Sql($text) };
    ((any $param:literal)) => { $crate::db::Part::Any($param) };
    ((rows $param:literal as $alias:ident ($($col:ident $type:ident),+))) => {
        $crate::db::Part::Rows {
            param: $param,
            alias: stringify!($alias),
            columns: &[$((stringify!($col), stringify!($type))),+],
        }
    };
}
