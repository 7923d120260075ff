//! Remove stored webhooks that are old enough. One stays while a task that followed from it has not ended or is a
//! dead letter, which could not be tried again without it.

use chrono::{DateTime, Utc};

use super::retention::{KEEP_EVENTS_AT_LEAST, before};
use super::run::{Bytes, Chore, ChoreError, Run};

trunkline_platform::statements! {
    READ_EVENTS = same { "SELECT id, received_at FROM events WHERE id > $1 ORDER BY id LIMIT $2" }
    SIZE_EVENTS = parts {
        "SELECT CAST(OCTET_LENGTH(body) + OCTET_LENGTH(headers) AS BIGINT) AS bytes FROM events
         WHERE id IN " (any "$1") " AND NOT EXISTS (SELECT 1 FROM tasks AS t
             WHERE t.correlation_id = events.correlation_id AND (t.finished_at IS NULL OR t.died_at IS NOT NULL))"
    }
    /// All that followed from a webhook has its correlation, and that is indexed.
    DELETE_EVENTS = parts {
        "DELETE FROM events WHERE id IN " (any "$1") " AND NOT EXISTS (SELECT 1 FROM tasks AS t
             WHERE t.correlation_id = events.correlation_id AND (t.finished_at IS NULL OR t.died_at IS NOT NULL))
         RETURNING CAST(OCTET_LENGTH(body) + OCTET_LENGTH(headers) AS BIGINT) AS bytes"
    }
}

/// Removes stored webhooks that are old enough.
#[derive(Debug)]
pub struct RemoveEvents;

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    received_at: DateTime<Utc>,
}

impl Chore for RemoveEvents {
    const NAME: &'static str = "upkeep.events";
    const ABOUT: &'static str = "Removes stored webhooks that are old enough and that no task needs.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let Some(kept) = run.upkeep.retention.events else { return Ok(()) };
        let newest = before(run.now(), kept.max(KEEP_EVENTS_AT_LEAST));
        let mut after = run.after;
        loop {
            let query = READ_EVENTS.bind(after).bind(run.batch());
            let rows: Vec<Row> = query.all(&mut run.db().read().await?).await?;
            let Some(last) = rows.last().map(|row| row.id) else { return Ok(()) };
            let old: Vec<i64> =
                rows.iter().filter(|row| row.received_at < newest).map(|row| row.id).collect();
            if old.is_empty() {
                return Ok(());
            }
            let sizes: Vec<Bytes> = if run.dry_run {
                SIZE_EVENTS.bind(old).all(&mut run.db().read().await?).await?
            } else {
                DELETE_EVENTS.bind(old).all(&mut run.db().write_one().await?).await?
            };
            run.removed(&sizes);
            after = last;
            if run.is_over() {
                run.freed.next = Some(after);
                return Ok(());
            }
        }
    }
}
