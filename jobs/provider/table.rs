//! The row of the rate. Whoever reads it holds it until the end of the transaction.

use chrono::{DateTime, Utc};
use trunkline_platform::db::{DbError, Session};

use super::Window;

trunkline_platform::statements! {
    /// Reads the row, makes it where it is missing, and locks it: an update that changes nothing, so that both
    /// engines lock by one text.
    LOCK_PROVIDER_RATE = same {
        "INSERT INTO provider_rates (api_key, taken) VALUES ($1, '[]')
         ON CONFLICT (api_key) DO UPDATE SET api_key = excluded.api_key
         RETURNING taken, reduced_to, reduced_at, not_before, turn_at"
    }
    KEEP_PROVIDER_RATE = same {
        "UPDATE provider_rates SET taken = $2, reduced_to = $3, reduced_at = $4, not_before = $5, turn_at = $6
         WHERE api_key = $1"
    }
}

#[derive(sqlx::FromRow)]
struct RateRow {
    taken: String,
    reduced_to: Option<i32>,
    reduced_at: Option<DateTime<Utc>>,
    not_before: Option<DateTime<Utc>>,
    turn_at: Option<DateTime<Utc>>,
}

pub(super) async fn lock(tx: &mut Session, key: &str) -> Result<Window, DbError> {
    let row: RateRow = LOCK_PROVIDER_RATE.bind(key).one(tx).await?;
    // What cannot be read is a row that somebody wrote by hand; the window starts anew.
    let micros: Vec<i64> = serde_json::from_str(&row.taken).unwrap_or_default();
    let reduced_to = row.reduced_to.and_then(|left| u32::try_from(left).ok());
    Ok(Window {
        taken: micros.into_iter().filter_map(DateTime::from_timestamp_micros).collect(),
        reduced: reduced_to.zip(row.reduced_at),
        not_before: row.not_before,
        turn_at: row.turn_at,
    })
}

pub(super) async fn keep(tx: &mut Session, key: &str, window: &Window) -> Result<(), DbError> {
    let micros: Vec<i64> = window.taken.iter().map(DateTime::timestamp_micros).collect();
    KEEP_PROVIDER_RATE
        .bind(key)
        .bind(serde_json::to_string(&micros)?)
        .bind(window.reduced.map(|(left, _)| left))
        .bind(window.reduced.map(|(_, since)| since))
        .bind(window.not_before)
        .bind(window.turn_at)
        .execute(tx)
        .await
        .map(drop)
}
