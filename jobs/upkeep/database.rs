//! Keep the database's own house: on PostgreSQL space for new rows and fresh statistics of the tables that churn,
//! on SQLite a short log, fresh statistics, and free pages back to the disk. Each step is short or yields, so that
//! nobody waits for it.

use serde_json::{Map, json};
use trunkline_platform::db::{DbError, Engine, Stmt};

use super::run::{Chore, ChoreError, Run};

/// The most steps of giving pages back in one run: 1 GiB of pages of 4 KiB.
const MOST_STEPS: usize = 1_024;

trunkline_platform::statements! {
    /// Differs by necessity, as do those after it: each engine has its own house. The other's text does nothing.
    VACUUM_TASKS = split { postgres: "VACUUM (ANALYZE) tasks", sqlite: "SELECT 1" }
    VACUUM_ATTEMPTS = split { postgres: "VACUUM (ANALYZE) task_attempts", sqlite: "SELECT 1" }
    VACUUM_EVENTS = split { postgres: "VACUUM (ANALYZE) events", sqlite: "SELECT 1" }
    VACUUM_MEDIA = split { postgres: "VACUUM (ANALYZE) media", sqlite: "SELECT 1" }
    /// Few rows, but each is written again and again.
    VACUUM_SMALL = split {
        postgres:
        "VACUUM (ANALYZE) workers, task_slots, limits, rates, task_progress, task_rates, task_totals, unique_periods,
             schedules, schedule_ticks",
        sqlite: "SELECT 1",
    }
    SIZE = split {
        postgres: "SELECT pg_database_size(current_database()) AS bytes, CAST(0 AS BIGINT) AS free",
        sqlite:
        "SELECT p.page_count * s.page_size AS bytes, f.freelist_count AS free
         FROM pragma_page_count AS p, pragma_page_size AS s, pragma_freelist_count AS f",
    }
    OPTIMIZE = split { postgres: "SELECT 1", sqlite: "PRAGMA optimize" }
    /// 256 pages: about a millisecond under the write lock.
    GIVE_BACK = split { postgres: "SELECT 1", sqlite: "PRAGMA incremental_vacuum(256)" }
}

const VACUUM: [&Stmt; 5] = [&VACUUM_TASKS, &VACUUM_ATTEMPTS, &VACUUM_EVENTS, &VACUUM_MEDIA, &VACUUM_SMALL];

/// Keeps the database's own house.
#[derive(Debug)]
pub struct TidyDatabase;

#[derive(sqlx::FromRow)]
struct Size {
    bytes: i64,
    /// Free pages in the file.
    free: i64,
}

impl Chore for TidyDatabase {
    const NAME: &'static str = "upkeep.database";
    const ABOUT: &'static str = "Tidies the database: space and statistics on PostgreSQL, a short log and free pages given back on SQLite.";
    const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60 * 60);

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let before = size(run).await?;
        let mut detail = Map::from_iter([("bytes_before".to_owned(), json!(before.bytes))]);
        if run.dry_run {
            detail.insert("free_pages".to_owned(), json!(before.free));
            run.freed.detail = detail.into();
            return Ok(());
        }
        match run.db().engine() {
            Engine::Postgres => {
                for stmt in VACUUM {
                    if run.is_over() {
                        break;
                    }
                    stmt.query().execute(&mut run.db().upkeep().await?).await?;
                }
            }
            Engine::Sqlite => tidy_sqlite(run).await?,
        }
        let after = size(run).await?;
        run.freed.bytes = (before.bytes - after.bytes).max(0).unsigned_abs();
        detail.insert("bytes_after".to_owned(), json!(after.bytes));
        run.freed.detail = detail.into();
        Ok(())
    }
}

/// Gives the writer up between steps.
async fn tidy_sqlite(run: &Run<'_>) -> Result<(), DbError> {
    OPTIMIZE.query().execute(&mut run.db().upkeep().await?).await?;
    for _ in 0..MOST_STEPS {
        if size(run).await?.free == 0 || run.is_over() {
            break;
        }
        GIVE_BACK.query().execute(&mut run.db().upkeep().await?).await?;
        tokio::task::yield_now().await;
    }
    run.db().checkpoint().await
}

async fn size(run: &Run<'_>) -> Result<Size, DbError> {
    SIZE.query().one(&mut run.db().read().await?).await
}
