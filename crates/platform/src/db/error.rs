//! What can go wrong between us and the database, by what a caller can do about it.

use std::sync::Arc;

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
    /// What went wrong for everybody who shared a transaction.
    #[error(transparent)]
    Shared(#[from] Arc<DbError>),
}

impl DbError {
    pub(crate) fn of(during: &'static str, source: sqlx::Error) -> Self {
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

    pub(crate) fn late(during: &'static str) -> Self {
        let source = sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"));
        Self::Away { during, source }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Shared(error) => error.is_passing(),
            _ => matches!(self, Self::Away { .. } | Self::Busy { .. }),
        }
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
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::InvalidSavePointStatement => Class::Away,
        sqlx::Error::Database(database) => {
            let by_code = database.code().and_then(|code| {
                // A SQLSTATE has five characters; SQLite's extended codes have the primary one in their low byte.
                if code.len() == 5 { postgres_class(&code) } else { sqlite_class(code.parse().ok()?) }
            });
            by_code.unwrap_or_else(|| match database.kind() {
                ErrorKind::Other => Class::Other,
                _ => Class::Constraint,
            })
        }
        _ => Class::Other,
    }
}

fn postgres_class(code: &str) -> Option<Class> {
    match code {
        "40001" | "40P01" | "55P03" => Some(Class::Busy),
        // Read-only: connected to a standby in the middle of a failover.
        "25006" | "25P03" => Some(Class::Away),
        // Connection, resources, operator (shutdown, crash), system.
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Some(Class::Away),
        _ => None,
    }
}

fn sqlite_class(code: u32) -> Option<Class> {
    match code & 0xff {
        // BUSY, LOCKED, PROTOCOL
        5 | 6 | 15 => Some(Class::Busy),
        // NOMEM, IOERR, FULL, CANTOPEN: they pass when the machine's trouble does.
        7 | 10 | 13 | 14 => Some(Class::Away),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_that_passes_is_told_from_mistakes() {
        for (code, away) in
            [("57P01", true), ("53300", true), ("58030", true), ("25006", true), ("42601", false)]
        {
            assert_eq!(matches!(postgres_class(code), Some(Class::Away)), away, "{code}");
        }
        // 778: IOERR_WRITE; 13: FULL; 2067: CONSTRAINT_UNIQUE.
        for (code, away) in [(778, true), (13, true), (266, true), (2067, false)] {
            assert_eq!(matches!(sqlite_class(code), Some(Class::Away)), away, "{code}");
        }
        assert!(matches!(sqlite_class(517), Some(Class::Busy)));
    }
}
