//! What can go wrong between us and the database, by what a caller can do about it.

use thiserror::Error;

/// A database failure. The statement's name is in the message; values never are.
#[derive(Debug, Error)]
pub enum DbError {
    /// The database cannot be reached, is shutting down, or has no connection to give: try again later.
    #[error("the database is away ({during})")]
    Away { during: &'static str, source: sqlx::Error },
    /// Another transaction was in the way (serialisation, deadlock, busy): the whole transaction can be run again.
    #[error("another transaction was in the way ({during})")]
    Busy { during: &'static str, source: sqlx::Error },
    /// The statement broke a rule of the schema.
    #[error("the database refused {during}: constraint {constraint:?}")]
    Constraint { during: &'static str, constraint: Option<String>, source: sqlx::Error },
    /// Anything else: a mistake of ours or a damaged database.
    #[error("the database could not run {during}")]
    Failed { during: &'static str, source: sqlx::Error },
    /// The migrations could not be applied.
    #[error("the schema could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A batch could not be written as JSON.
    #[error("a batch could not be encoded")]
    Encode(#[from] serde_json::Error),
}

impl DbError {
    pub(super) fn of(during: &'static str, source: sqlx::Error) -> Self {
        match class(&source) {
            Class::Away => Self::Away { during, source },
            Class::Busy => Self::Busy { during, source },
            Class::Constraint => {
                let constraint = source.as_database_error().and_then(|e| e.constraint()).map(str::to_owned);
                Self::Constraint { during, constraint, source }
            }
            Class::Other => Self::Failed { during, source },
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Busy { .. })
    }
}

enum Class {
    Away,
    Busy,
    Constraint,
    Other,
}

fn class(error: &sqlx::Error) -> Class {
    use sqlx::error::ErrorKind;
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Class::Away,
        sqlx::Error::Database(database) => {
            let code = database.code();
            match code.as_deref() {
                // PostgreSQL: connection exceptions, operator intervention (shutdown, crash), resources.
                Some(code) if code.len() == 5 && ["08", "57", "53"].contains(&&code[..2]) => Class::Away,
                Some("40001" | "40P01" | "55P03") => Class::Busy,
                // SQLite: SQLITE_BUSY and SQLITE_LOCKED with their extended forms; FULL and IOERR pass when
                // the disk does.
                Some("5" | "6" | "261" | "262" | "517" | "518") => Class::Busy,
                Some("13" | "10" | "14") => Class::Away,
                _ => match database.kind() {
                    ErrorKind::Other => Class::Other,
                    _ => Class::Constraint,
                },
            }
        }
        _ => Class::Other,
    }
}
