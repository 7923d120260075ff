//! The schema's history, embedded in the program: the same numbers and names for both engines.

use sqlx::migrate::Migrator;
use trunkline_platform::db::{Db, DbError};

pub static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
pub static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// Brings the database up to date.
pub async fn migrate(db: &Db) -> Result<(), DbError> {
    db.migrate(&POSTGRES, &SQLITE).await
}
