//! Remove unique keys whose period is over. They would be taken over by the next task of the key; those whose key
//! never comes again are what piles up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::DbError;
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};

use super::run::{self, Chore, Run};
use crate::{Services, UPKEEP};

trunkline_platform::statements! {
    SIZE_KEYS = same {
        "SELECT COUNT(*) AS count, CAST(0 AS BIGINT) AS bytes FROM unique_periods WHERE until < $1"
    }
    /// Differs by necessity: PostgreSQL passes over keys that are being taken over at this moment, or two
    /// transactions could wait for each other; SQLite has one writer.
    DELETE_KEYS = split {
        postgres:
        "DELETE FROM unique_periods WHERE (kind, unique_key) IN
             (SELECT kind, unique_key FROM unique_periods WHERE until < $1 ORDER BY until LIMIT $2
              FOR UPDATE SKIP LOCKED)
         AND until < $1 RETURNING CAST(0 AS BIGINT) AS bytes",
        sqlite:
        "DELETE FROM unique_periods WHERE (kind, unique_key) IN
             (SELECT kind, unique_key FROM unique_periods WHERE until < $1 ORDER BY until LIMIT $2)
         AND until < $1 RETURNING CAST(0 AS BIGINT) AS bytes",
    }
}

/// Removes unique keys whose period is over.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveKeys {}

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
        run.clear(&SIZE_KEYS, &DELETE_KEYS, run.now()).await
    }

    fn rest(_: i64) -> Self {
        Self {}
    }
}
