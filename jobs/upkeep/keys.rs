//! Remove unique keys whose period is over. They would be taken over by the next task of the key; those whose key
//! never comes again are what piles up.

use super::run::{Chore, ChoreError, Run};

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
#[derive(Debug)]
pub struct RemoveKeys;

impl Chore for RemoveKeys {
    const NAME: &'static str = "upkeep.keys";
    const ABOUT: &'static str = "Removes unique keys whose period is over.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        run.clear(&SIZE_KEYS, &DELETE_KEYS, run.now()).await
    }
}
