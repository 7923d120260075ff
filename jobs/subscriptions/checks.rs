//! What the last look came to, for who looks later.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError, sql_text};

use super::expected::Finding;

trunkline_platform::statements! {
    KEEP_CHECK = same {
        "INSERT INTO webhook_checks (id, checked_at, findings) VALUES (1, $1, $2)
         ON CONFLICT (id) DO UPDATE SET checked_at = excluded.checked_at, findings = excluded.findings"
    }
    LAST_CHECK = same { "SELECT checked_at, findings FROM webhook_checks WHERE id = 1" }
}

/// The last look.
#[derive(Clone, Debug, Serialize)]
pub struct CheckRow {
    pub checked_at: DateTime<Utc>,
    pub findings: Vec<Finding>,
}

#[derive(sqlx::FromRow)]
struct Row {
    checked_at: DateTime<Utc>,
    findings: String,
}

pub(super) async fn keep(db: &Db, findings: &[Finding], now: DateTime<Utc>) -> Result<(), DbError> {
    let text = serde_json::to_string(findings)?;
    let query = KEEP_CHECK.bind(now).bind(sql_text(&text).into_owned());
    query.execute(&mut db.write_one().await?).await.map(drop)
}

/// What the last look came to, if there was one.
pub async fn last(db: &Db) -> Result<Option<CheckRow>, DbError> {
    let row: Option<Row> = LAST_CHECK.query().optional(&mut db.read().await?).await?;
    Ok(row.map(|row| CheckRow {
        checked_at: row.checked_at,
        findings: serde_json::from_str(&row.findings).unwrap_or_default(),
    }))
}
