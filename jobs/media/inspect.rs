//! Looking at media: what there is of them and what became of each. Links are not among it: whoever has one has the file.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError};

use super::store::Sha256Hash;
use super::table::MediaId;

const COLUMNS: &str = "m.id, m.owner_type, m.owner_id, m.position, m.state, m.declared_type, m.served_type, m.media_type,
             m.type_mismatch, m.size, m.sha256, m.thumbnail_sha256, m.thumbnail_type, m.thumbnail_error, m.error,
             m.signature, m.scanned_at, m.legal_hold, m.told_at, m.created_at, m.stored_at, m.purged_at, m.asked_at,
             m.former_sha256, CASE WHEN m.url LIKE 'http%' THEN m.url ELSE '' END AS url";

trunkline_platform::statements! {
    LIST_MEDIA = parts {
        "SELECT " (sql COLUMNS)
        " FROM media AS m
         WHERE (CAST($1 AS TEXT) IS NULL OR m.state = $1) AND (CAST($2 AS TEXT) IS NULL OR m.owner_type = $2)
           AND (CAST($3 AS TEXT) IS NULL OR m.owner_id = $3) AND (CAST($4 AS BOOLEAN) IS NULL OR m.legal_hold = $4)
           AND (CAST($5 AS BIGINT) IS NULL OR m.id < $5)
         ORDER BY m.id DESC LIMIT $6"
    }
    SHOW_MEDIA = parts { "SELECT " (sql COLUMNS) " FROM media AS m WHERE m.id = $1" }
    RECORDINGS_OF_CALL = parts {
        "SELECT " (sql COLUMNS)
        " FROM call_recordings AS r
         JOIN media AS m ON m.owner_type = 'recording' AND m.owner_id = r.call_id || '/' || r.recording
         WHERE r.call_id = $1
         ORDER BY r.started_at IS NULL, r.started_at, r.recording, m.position LIMIT 1000"
    }
    VOICEMAIL_OF_CALL = parts {
        "SELECT " (sql COLUMNS)
        " FROM voicemails AS v
         JOIN media AS m ON m.owner_type = 'voicemail' AND m.owner_id = v.id
         WHERE v.call_id = $1
         ORDER BY m.position LIMIT 1000"
    }
}

/// Which files to list, the newest first.
#[derive(Clone, Debug, Default)]
pub struct MediaFilter {
    pub state: Option<String>,
    /// `message`, `recording` or `voicemail`.
    pub owner_type: Option<String>,
    pub owner_id: Option<String>,
    pub legal_hold: Option<bool>,
    /// Only files older than this one: the last of the page before.
    pub before: Option<i64>,
    pub limit: u32,
}

/// A file as it stands.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct MediaDetail {
    pub id: i64,
    pub owner_type: String,
    pub owner_id: String,
    pub position: i32,
    pub state: String,
    /// What the provider called it.
    pub declared_type: Option<String>,
    /// What its host called it.
    pub served_type: Option<String>,
    /// What it is.
    pub media_type: Option<String>,
    pub type_mismatch: bool,
    pub size: Option<i64>,
    pub sha256: Option<String>,
    pub thumbnail_sha256: Option<String>,
    pub thumbnail_type: Option<String>,
    pub thumbnail_error: Option<String>,
    pub error: Option<String>,
    /// What the virus scanner found.
    pub signature: Option<String>,
    pub scanned_at: Option<DateTime<Utc>>,
    pub legal_hold: bool,
    pub told_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub stored_at: Option<DateTime<Utc>>,
    pub purged_at: Option<DateTime<Utc>>,
    /// When the provider was last asked for a fresh link.
    pub asked_at: Option<DateTime<Utc>>,
    pub former_sha256: Option<String>,
    #[serde(skip)]
    url: String,
}

impl MediaDetail {
    /// Where its link leads, without what makes it one.
    pub fn host(&self) -> Option<String> {
        let url = url::Url::parse(&self.url).ok()?;
        Some(url.origin().ascii_serialization())
    }

    /// The content that may be handed out.
    pub fn servable(&self) -> Option<Sha256Hash> {
        self.sha256.as_deref().filter(|_| self.state == "stored")?.parse().ok()
    }

    /// The thumbnail that may be handed out.
    pub fn servable_thumbnail(&self) -> Option<Sha256Hash> {
        self.thumbnail_sha256.as_deref().filter(|_| self.state == "stored")?.parse().ok()
    }
}

/// Lists files, the newest first.
pub async fn list(db: &Db, filter: &MediaFilter) -> Result<Vec<MediaDetail>, DbError> {
    let query = LIST_MEDIA
        .bind(filter.state.as_deref())
        .bind(filter.owner_type.as_deref())
        .bind(filter.owner_id.as_deref())
        .bind(filter.legal_hold)
        .bind(filter.before)
        .bind(filter.limit.clamp(1, 1_000));
    query.all(&mut db.read().await?).await
}

/// One file.
pub async fn show(db: &Db, id: MediaId) -> Result<Option<MediaDetail>, DbError> {
    SHOW_MEDIA.bind(id.0).optional(&mut db.read().await?).await
}

/// The files of a call's recordings, the first recording first.
pub async fn recordings(db: &Db, call_id: &str) -> Result<Vec<MediaDetail>, DbError> {
    RECORDINGS_OF_CALL.bind(call_id).all(&mut db.read().await?).await
}

/// The file of a call's voicemail. More than one where the provider told of it under more than one link.
pub async fn voicemail(db: &Db, call_id: &str) -> Result<Vec<MediaDetail>, DbError> {
    VOICEMAIL_OF_CALL.bind(call_id).all(&mut db.read().await?).await
}
