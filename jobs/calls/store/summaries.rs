//! Summaries: the most complete telling, and of two such the newer.

use chrono::{DateTime, Utc};
use serde_json::json;
use trunkline_openphone::event::Summary;
use trunkline_platform::db::{DbError, Session};

use super::super::status;

trunkline_platform::statements! {
    KEEP_SUMMARY = same {
        "INSERT INTO call_summaries AS kept (call_id, status, status_rank, told_at, summary, next_steps, insights)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (call_id) DO UPDATE SET
             status = excluded.status, status_rank = excluded.status_rank, told_at = excluded.told_at,
             summary = excluded.summary, next_steps = excluded.next_steps, insights = excluded.insights
         WHERE (excluded.status_rank, excluded.told_at, excluded.status, excluded.summary, excluded.next_steps,
                excluded.insights)
             > (kept.status_rank, kept.told_at, kept.status, kept.summary, kept.next_steps, kept.insights)"
    }
}

pub(super) async fn keep(tx: &mut Session, summary: &Summary, at: DateTime<Utc>) -> Result<(), DbError> {
    let insights = json!({
        "jobs": summary.jobs,
        "handled_by_ai": summary.handled_by_ai,
        "from_phone_number": summary.from_phone_number,
    });
    KEEP_SUMMARY
        .bind(&summary.call_id)
        .bind(summary.status.as_str())
        .bind(status::completeness(&summary.status))
        .bind(at)
        .bind(json!(summary.summary).to_string())
        .bind(json!(summary.next_steps).to_string())
        .bind(insights.to_string())
        .execute(tx)
        .await
        .map(drop)
}
