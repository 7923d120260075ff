//! What older and present webhooks told, side by side, for who moves from one to the other. An event has one id in both.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError};

trunkline_platform::statements! {
    /// Looks at everything of that time; whoever asks is a person in the middle of a move.
    COMPARE_TOLD = same {
        "SELECT event_type, COUNT(*) AS older, CAST(SUM(1 - present) AS BIGINT) AS missing FROM
             (SELECT MIN(event_type) AS event_type,
                     MAX(CASE WHEN scheme = 'legacy' THEN 1 ELSE 0 END) AS older,
                     MAX(CASE WHEN scheme = 'standard' THEN 1 ELSE 0 END) AS present,
                     MIN(received_at) AS first_at
              FROM events WHERE received_at >= $1 AND scheme IN ('legacy', 'standard') GROUP BY event_id) AS told
         WHERE older = 1 AND first_at < $2
         GROUP BY event_type ORDER BY event_type LIMIT 100"
    }
}

/// Events of a type that older webhooks told.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ToldRow {
    pub event_type: String,
    pub older: i64,
    /// Of those: what no present webhook told.
    pub missing: i64,
}

/// What older webhooks told in a time, and how much of it no present one did.
pub async fn compare(db: &Db, since: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<ToldRow>, DbError> {
    COMPARE_TOLD.bind(since).bind(until).all(&mut db.read().await?).await
}
