//! Remove unique keys whose period is over. They would be taken over by the next task of the key; those whose key
//! never comes again are what piles up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::DbError;
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};

use super::run::{self, Chore, Run};
use crate::{Services, UPKEEP};

trunkline_platform::statements! {
    COUNT_KEYS = same { "SELECT COUNT(*) AS count FROM unique_periods WHERE until < $1" }
    /// Differs by necessity: PostgreSQL passes over keys that are being taken over at this moment, or two
    /// transactions could wait for each other; SQLite has one writer.
    DELETE_KEYS = split {
        postgres:
        "DELETE FROM unique_periods WHERE (kind, unique_key) IN
             (SELECT kind, unique_key FROM unique_periods WHERE until < $1 ORDER BY until LIMIT $2
              FOR UPDATE SKIP LOCKED)
         AND until < $1",
        sqlite:
        "DELETE FROM unique_periods WHERE (kind, unique_key) IN
             (SELECT kind, unique_key FROM unique_periods WHERE until < $1 ORDER BY until LIMIT $2)
         AND until < $1",
    }
}

/// Removes unique keys whose period is over.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveKeys {}

#[derive(sqlx::FromRow)]
struct Count {
    count: i64,
}

impl Job for RemoveKeys {
    type Services = Services;
    const NAME: &'static str = "upkeep.keys";
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

impl Chore for RemoveKeys {
    async fn work(run: &mut Run<'_>) -> Result<(), DbError> {
        let now = run.now();
        if run.dry_run {
            let found: Count = COUNT_KEYS.bind(now).one(&mut run.db().read().await?).await?;
            run.freed.rows = found.count.unsigned_abs();
            return Ok(());
        }
        loop {
            let query = DELETE_KEYS.bind(now).bind(run.batch());
            let removed = query.execute(&mut run.db().write_one().await?).await?;
            run.freed.rows += removed;
            if removed == 0 {
                return Ok(());
            }
            if run.is_over() {
                run.freed.next = Some(0);
                return Ok(());
            }
        }
    }

    fn rest(_: i64) -> Self {
        Self {}
    }
}
