//! Remove what the book of people's acts says of long ago, if it is not kept for ever.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::DbError;
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};

use super::retention::before;
use super::run::{self, Chore, Run};
use crate::{Services, UPKEEP};

trunkline_platform::statements! {
    SIZE_AUDIT = same {
        "SELECT COUNT(*) AS count, CAST(COALESCE(SUM(OCTET_LENGTH(COALESCE(before, ''))
             + OCTET_LENGTH(COALESCE(after, ''))), 0) AS BIGINT) AS bytes
         FROM audit WHERE at < $1"
    }
    DELETE_AUDIT = same {
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 ORDER BY at, id LIMIT $2)
         RETURNING CAST(OCTET_LENGTH(COALESCE(before, '')) + OCTET_LENGTH(COALESCE(after, '')) AS BIGINT) AS bytes"
    }
}

/// Removes old entries of the audit.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveAudit {}

impl Job for RemoveAudit {
    type Services = Services;
    const NAME: &'static str = "upkeep.audit";
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

impl Chore for RemoveAudit {
    async fn work(run: &mut Run<'_>) -> Result<(), DbError> {
        let Some(kept) = run.upkeep.retention.audit else { return Ok(()) };
        run.clear(&SIZE_AUDIT, &DELETE_AUDIT, before(run.now(), kept)).await
    }

    fn rest(_: i64) -> Self {
        Self {}
    }
}
