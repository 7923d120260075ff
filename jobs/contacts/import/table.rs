//! The table of imports.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError, Session};

use super::reader::Place;

trunkline_platform::statements! {
    FIND_RUNNING = same {
        "SELECT id, file, bytes, state, error, next_byte, next_line, report_bytes, added, updated, skipped, bad, actor,
                started_at, moved_at
         FROM imports WHERE fingerprint = $1 AND state = 'running'"
    }
    START_IMPORT = same {
        "INSERT INTO imports (fingerprint, file, bytes, state, next_byte, next_line, report_bytes, added, updated,
                              skipped, bad, actor, started_at, moved_at)
         VALUES ($1, $2, $3, 'running', $4, $5, $6, 0, 0, 0, 0, $7, $8, $8)
         RETURNING id, file, bytes, state, error, next_byte, next_line, report_bytes, added, updated, skipped, bad,
                   actor, started_at, moved_at"
    }
    /// Only from where this run read: of two that are at it one stops.
    MOVE_IMPORT = same {
        "UPDATE imports SET next_byte = $3, next_line = $4, report_bytes = $5, added = $6, updated = $7, skipped = $8,
             bad = $9, moved_at = $10
         WHERE id = $1 AND state = 'running' AND next_byte = $2"
    }
    END_IMPORT = same {
        "UPDATE imports SET state = $2, error = $3, moved_at = $4 WHERE id = $1 AND state = 'running'"
    }
    LIST_IMPORTS = same {
        "SELECT id, file, bytes, state, error, next_byte, next_line, report_bytes, added, updated, skipped, bad, actor,
                started_at, moved_at
         FROM imports WHERE CAST($1 AS BIGINT) IS NULL OR id < $1 ORDER BY id DESC LIMIT $2"
    }
}

/// An import, as far as it has come.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct ImportRow {
    pub id: i64,
    pub file: String,
    pub bytes: i64,
    pub state: String,
    pub error: Option<String>,
    pub next_byte: i64,
    pub next_line: i64,
    pub report_bytes: i64,
    pub added: i64,
    pub updated: i64,
    pub skipped: i64,
    pub bad: i64,
    pub actor: String,
    pub started_at: DateTime<Utc>,
    pub moved_at: DateTime<Utc>,
}

impl ImportRow {
    pub(super) fn place(&self) -> Place {
        let at = |number: i64| u64::try_from(number).unwrap_or_default();
        Place { byte: at(self.next_byte), line: at(self.next_line) }
    }

    pub(super) fn moved_to(&mut self, place: Place, report_bytes: u64) {
        let at = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.next_byte = at(place.byte);
        self.next_line = at(place.line);
        self.report_bytes = at(report_bytes);
    }
}

pub(super) async fn find_running(tx: &mut Session, fingerprint: &str) -> Result<Option<ImportRow>, DbError> {
    FIND_RUNNING.bind(fingerprint).optional(tx).await
}

pub(super) async fn start(
    tx: &mut Session,
    fingerprint: &str,
    new: &ImportRow,
) -> Result<ImportRow, DbError> {
    START_IMPORT
        .bind(fingerprint)
        .bind(&new.file)
        .bind(new.bytes)
        .bind(new.next_byte)
        .bind(new.next_line)
        .bind(new.report_bytes)
        .bind(&new.actor)
        .bind(new.started_at)
        .one(tx)
        .await
}

/// False: somebody else moved it on.
pub(super) async fn moved(
    tx: &mut Session,
    row: &ImportRow,
    from_byte: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let moved = MOVE_IMPORT
        .bind(row.id)
        .bind(from_byte)
        .bind(row.next_byte)
        .bind(row.next_line)
        .bind(row.report_bytes)
        .bind(row.added)
        .bind(row.updated)
        .bind(row.skipped)
        .bind(row.bad)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(moved > 0)
}

pub(super) async fn end(
    tx: &mut Session,
    id: i64,
    error: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let state = if error.is_some() { "failed" } else { "done" };
    Ok(END_IMPORT.bind(id).bind(state).bind(error).bind(now).execute(tx).await? > 0)
}

/// Imports, the newest first, before one.
pub async fn list(db: &Db, before: Option<i64>, limit: u32) -> Result<Vec<ImportRow>, DbError> {
    LIST_IMPORTS.bind(before).bind(limit.clamp(1, 1_000)).all(&mut db.read().await?).await
}
