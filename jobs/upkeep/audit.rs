//! Remove what the book of people's acts says of long ago, if it is not kept for ever.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::DbError;
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};

use super::retention::before;
use super::run::{self, Bytes, Chore, Run};
use crate::{Services, UPKEEP};

trunkline_platform::statements! {
    SIZE_AUDIT = same {
        "SELECT CAST(OCTET_LENGTH(COALESCE(before, '')) + OCTET_LENGTH(COALESCE(after, '')) AS BIGINT) AS bytes
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
        let newest = before(run.now(), kept);
        if run.dry_run {
            let sizes: Vec<Bytes> = SIZE_AUDIT.bind(newest).all(&mut run.db().read().await?).await?;
            run.removed(&sizes);
            return Ok(());
        }
        loop {
            let query = DELETE_AUDIT.bind(newest).bind(run.batch());
            let removed: Vec<Bytes> = query.all(&mut run.db().write_one().await?).await?;
            run.removed(&removed);
            if removed.is_empty() {
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
