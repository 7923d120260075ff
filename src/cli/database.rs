//! The database as commands that only look open it: it is neither made nor migrated, and another process may be
//! at work on it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use prometheus::Registry;
use trunkline_jobs::media::MediaStore;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{Db, DbError, Engine, Stmt, Text};
use trunkline_platform::metrics::Metrics;
use trunkline_platform::ring::Ring;
use trunkline_platform::task::Tasks;

use crate::config::{Config, DatabaseConfig};
use crate::schema;

/// Each engine keeps a catalogue of its own.
static HAS_HISTORY: Stmt = Stmt {
    name: "HAS_HISTORY",
    text: Text::Split {
        postgres: "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('_sqlx_migrations')",
        sqlite: "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
    },
};
static APPLIED: Stmt = Stmt {
    name: "APPLIED",
    text: Text::Same("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version"),
};

/// Opens the database for looking.
pub(super) async fn open(config: &Config) -> Result<Db> {
    let database = &config.database;
    if let Some(file) = database.url.file().filter(|file| !file.exists()) {
        bail!("there is no database at {}: run `trunkline migrate`, or set database.url", file.display());
    }
    let opened = Db::open_existing(&database.url, &database.options()).await;
    let db = opened.with_context(|| format!("cannot open {:?}", database.url))?;
    let applied = applied(&db).await?;
    if applied.is_empty() {
        bail!("{:?} has no tables yet: run `trunkline migrate`", database.url);
    }
    // Migrations can be applied out of order, so the newest does not tell.
    let missing: Vec<String> =
        known(db.engine()).filter(|version| !applied.contains(version)).map(|v| v.to_string()).collect();
    if !missing.is_empty() {
        bail!(
            "the schema of {:?} lacks what this program needs, migration {}: run `trunkline migrate`",
            database.url,
            missing.join(", ")
        );
    }
    Ok(db)
}

/// The task table, opened for looking.
pub(super) async fn open_tasks(config: &Config) -> Result<Tasks> {
    Ok(tasks(open(config).await?))
}

/// The store of files that these settings name.
pub(super) async fn media_store(config: &Config) -> Result<MediaStore> {
    let opened = config.media.open_store().await;
    opened.with_context(|| format!("opening the media folder {}", config.media.dir.display()))
}

/// How long a command waits at its end until the bell has rung. Without it the tasks are found by polling.
const BELL_DEADLINE: Duration = Duration::from_millis(500);

/// Opens the task table for an act that workers are told of at once, and stays until they are told.
pub(super) async fn act<T>(config: &Config, act: impl AsyncFnOnce(&Tasks) -> Result<T>) -> Result<T> {
    let tasks = open_to_act(config).await?;
    let acted = act(&tasks).await;
    tasks.ring().flush(BELL_DEADLINE).await;
    acted
}

/// The task table with the bell that workers listen to.
pub(super) async fn open_to_act(config: &Config) -> Result<Tasks> {
    let db = open(config).await?;
    let ring =
        config.redis.ring(&db, Metrics::new(&Registry::new())?).context("setting up Redis (redis.url)")?;
    Ok(Tasks::new(db, ring, Clock::system()))
}

/// Whoever looks neither rings nor listens, so any ring will do.
fn tasks(db: Db) -> Tasks {
    Tasks::new(db, Ring::local(), Clock::system())
}

/// Opens the database as it is; a missing SQLite file is made.
pub(super) async fn connect(database: &DatabaseConfig) -> Result<Db> {
    let opened = Db::open(&database.url, &database.options()).await;
    opened.with_context(|| format!("cannot open {:?}", database.url))
}

/// The newest migration that was applied.
pub(super) async fn version(db: &Db) -> Result<Option<i64>, DbError> {
    Ok(applied(db).await?.last().copied())
}

/// The migrations that were applied.
async fn applied(db: &Db) -> Result<BTreeSet<i64>, DbError> {
    let mut session = db.read().await?;
    let (tables,): (i64,) = HAS_HISTORY.query().one(&mut session).await?;
    if tables == 0 {
        return Ok(BTreeSet::new());
    }
    let versions: Vec<(i64,)> = APPLIED.query().all(&mut session).await?;
    Ok(versions.into_iter().map(|(version,)| version).collect())
}

/// The migrations of this program.
fn known(engine: Engine) -> impl Iterator<Item = i64> {
    let migrator = match engine {
        Engine::Postgres => &schema::POSTGRES,
        Engine::Sqlite => &schema::SQLITE,
    };
    migrator.iter().map(|migration| migration.version)
}

/// A database for tests of commands.
#[cfg(test)]
pub(super) mod testing {
    use tempfile::TempDir;

    use super::*;
    use crate::config::Flags;

    pub(crate) struct Place {
        pub(crate) folder: TempDir,
        pub(crate) config: Config,
    }

    /// A configuration whose database does not exist yet.
    pub(crate) fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mut flags = Flags::default();
        flags.assign("database.url", format!("sqlite://{}/data/trunkline.db", folder.path().display()));
        let config = Config::load(&flags, []).unwrap();
        Place { folder, config }
    }

    impl Place {
        /// Makes the database and opens its task table.
        pub(crate) async fn migrated(&self) -> Tasks {
            let db = connect(&self.config.database).await.unwrap();
            schema::migrate(&db).await.unwrap();
            tasks(db)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::place;
    use super::*;

    #[tokio::test]
    async fn a_missing_database_is_told_by_its_path_and_not_made() {
        let place = place();
        let error = open(&place.config).await.unwrap_err().to_string();
        assert!(error.starts_with("there is no database at "), "{error}");
        assert_eq!(std::fs::read_dir(place.folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_database_without_tables_or_behind_asks_for_a_migration() {
        let place = place();
        connect(&place.config.database).await.unwrap().close().await;
        let error = open(&place.config).await.unwrap_err().to_string();
        assert!(error.ends_with("has no tables yet: run `trunkline migrate`"), "{error}");

        let tasks = place.migrated().await;
        static FORGET: Stmt =
            Stmt { name: "FORGET", text: Text::Same("DELETE FROM _sqlx_migrations WHERE version > 1") };
        FORGET.query().execute(&mut tasks.db().write_one().await.unwrap()).await.unwrap();
        let error = open(&place.config).await.unwrap_err().to_string();
        assert!(error.contains("lacks what this program needs, migration 2, 3, 4"), "{error}");
        assert!(error.ends_with("run `trunkline migrate`"), "{error}");
    }

    #[tokio::test]
    async fn a_migration_left_out_before_the_newest_is_named() {
        let place = place();
        let tasks = place.migrated().await;
        static SKIP: Stmt =
            Stmt { name: "SKIP", text: Text::Same("DELETE FROM _sqlx_migrations WHERE version = 3") };
        SKIP.query().execute(&mut tasks.db().write_one().await.unwrap()).await.unwrap();
        let error = open(&place.config).await.unwrap_err().to_string();
        assert!(error.ends_with("needs, migration 3: run `trunkline migrate`"), "{error}");
    }

    #[tokio::test]
    async fn a_database_that_another_process_is_writing_to_can_be_looked_at() {
        let place = place();
        let tasks = place.migrated().await;
        let writer = tasks.begin().await.unwrap();
        let db = open(&place.config).await.unwrap();
        assert_eq!(version(&db).await.unwrap(), known(Engine::Sqlite).max());
        drop(writer);
    }
}
