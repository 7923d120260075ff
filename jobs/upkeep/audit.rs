//! Remove what the book of people's acts says of long ago, if it is not kept for ever.

use super::retention::before;
use super::run::{Chore, ChoreError, Run};

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
#[derive(Debug)]
pub struct RemoveAudit;

impl Chore for RemoveAudit {
    const NAME: &'static str = "upkeep.audit";
    const ABOUT: &'static str = "Removes old entries of the audit.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let Some(kept) = run.upkeep.retention.audit else { return Ok(()) };
        run.clear(&SIZE_AUDIT, &DELETE_AUDIT, before(run.now(), kept)).await
    }
}
