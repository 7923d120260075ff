//! Remove what is told of ticks and of upkeep long ago.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trunkline_platform::db::{DbError, Stmt};
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};

use super::retention::before;
use super::run::{self, Chore, Run};
use crate::{Services, UPKEEP};

trunkline_platform::statements! {
    COUNT_TICKS = same { "SELECT COUNT(*) AS count FROM schedule_ticks WHERE tick_at < $1" }
    DELETE_TICKS = same {
        "DELETE FROM schedule_ticks WHERE (schedule, tick_at, source) IN
             (SELECT schedule, tick_at, source FROM schedule_ticks WHERE tick_at < $1 ORDER BY tick_at LIMIT $2)"
    }
    COUNT_RUNS = same { "SELECT COUNT(*) AS count FROM upkeep_runs WHERE ended_at < $1" }
    DELETE_RUNS = same {
        "DELETE FROM upkeep_runs WHERE id IN
             (SELECT id FROM upkeep_runs WHERE ended_at < $1 ORDER BY id LIMIT $2)"
    }
}

/// Removes old entries of the histories of schedules and of upkeep.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveHistory {}

#[derive(sqlx::FromRow)]
struct Count {
    count: i64,
}

impl Job for RemoveHistory {
    type Services = Services;
    const NAME: &'static str = "upkeep.history";
    const QUEUE: Queue = UPKEEP;
    const PRIORITY: Priority = Priority::LOW;
    const TIMEOUT: std::time::Duration = run::TIMEOUT;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        run::as_job::<Self>(cx, 0).await
    }
}

impl Chore for RemoveHistory {
    async fn work(run: &mut Run<'_>) -> Result<(), DbError> {
        let tables: [(&str, &'static Stmt, &'static Stmt); 2] =
            [("ticks", &COUNT_TICKS, &DELETE_TICKS), ("upkeep_runs", &COUNT_RUNS, &DELETE_RUNS)];
        let mut counts = serde_json::Map::new();
        for (table, count, delete) in tables {
            let removed = clear(run, count, delete).await?;
            run.freed.rows += removed;
            counts.insert(table.to_owned(), json!(removed));
        }
        run.freed.detail = counts.into();
        Ok(())
    }

    fn rest(_: i64) -> Self {
        Self {}
    }
}

async fn clear(run: &mut Run<'_>, count: &'static Stmt, delete: &'static Stmt) -> Result<u64, DbError> {
    let Some(kept) = run.upkeep.retention.history else { return Ok(0) };
    let newest = before(run.now(), kept);
    if run.dry_run {
        let found: Count = count.bind(newest).one(&mut run.db().read().await?).await?;
        return Ok(found.count.unsigned_abs());
    }
    let mut total = 0;
    loop {
        let query = delete.bind(newest).bind(run.batch());
        let removed = query.execute(&mut run.db().write_one().await?).await?;
        total += removed;
        if removed == 0 || run.is_over() {
            return Ok(total);
        }
    }
}
