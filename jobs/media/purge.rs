//! Purging files: their rows let go of the contents, and contents that no row names any more are removed.
//!
//! The row comes first, in a transaction that looks at it once more: a file under legal hold is never purged, whoever asks.
//! It keeps what was known of the file, and says when it was purged; its link is forgotten, since whoever has it has
//! the file. Then the contents are removed as [`contents`](super::contents) says, so that a download of the same content
//! at the same moment loses nothing. If that fails, or the process dies before it, they are contents that nobody names,
//! and `media.orphans` goes on.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{Db, DbError, Rows};

use super::contents;
use super::store::{MediaStore, Sha256Hash};
use super::table::MediaId;

/// Rows of one transaction.
pub const BATCH: usize = 500;

trunkline_platform::statements! {
    EXPIRED = same {
        "SELECT id, state, sha256, thumbnail_sha256, size, thumbnail_size FROM media
         WHERE owner_type = $1 AND state = 'stored' AND NOT legal_hold AND stored_at < $2
         ORDER BY stored_at, id LIMIT $3"
    }
    COUNT_EXPIRED = same {
        "SELECT COUNT(*) AS count,
                CAST(COALESCE(SUM(size + COALESCE(thumbnail_size, 0)), 0) AS BIGINT) AS bytes
         FROM media WHERE owner_type = $1 AND state = 'stored' AND NOT legal_hold AND stored_at < $2"
    }
    CHOSEN = parts {
        "SELECT id, state, sha256, thumbnail_sha256, size, thumbnail_size FROM media
         WHERE id IN " (any "$1") " ORDER BY id LIMIT 1000"
    }
    /// Only rows as they were read, or what they name might not be what is removed.
    MARK_PURGED = parts {
        "UPDATE media SET state = 'purged', purged_at = $2, error = NULL, url = '', path = NULL,
             former_sha256 = COALESCE(sha256, former_sha256), sha256 = NULL,
             thumbnail_sha256 = NULL, thumbnail_type = NULL, thumbnail_size = NULL
         WHERE NOT legal_hold AND state <> 'purged' AND EXISTS
             (SELECT 1 FROM " (rows "$1" as r (id BIGINT, sha256 TEXT, thumbnail TEXT)) "
              WHERE r.id = media.id AND r.sha256 = COALESCE(media.sha256, '')
                AND r.thumbnail = COALESCE(media.thumbnail_sha256, ''))
         RETURNING id"
    }
}

/// A file that may be purged.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Candidate {
    pub(crate) id: MediaId,
    state: String,
    sha256: Option<String>,
    thumbnail_sha256: Option<String>,
    size: Option<i64>,
    thumbnail_size: Option<i64>,
}

#[derive(Serialize)]
struct Line<'c> {
    id: i64,
    sha256: &'c str,
    thumbnail: &'c str,
}

#[derive(sqlx::FromRow)]
struct Id {
    id: MediaId,
}

#[derive(sqlx::FromRow)]
pub(crate) struct Expired {
    pub(crate) count: i64,
    pub(crate) bytes: i64,
}

/// What a purge did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Purged {
    /// Rows that are purged now.
    pub files: Vec<MediaId>,
    /// Contents that are gone, thumbnails among them; fewer than files where others still name them.
    pub contents: usize,
    /// How large the purged files were, thumbnails included.
    pub bytes: u64,
    /// Contents that could not be removed; `media.orphans` goes on with them.
    pub left: usize,
}

/// The oldest files of one kind of owner that were stored before that time.
pub(crate) async fn expired(
    db: &Db,
    owner_type: &str,
    before: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Candidate>, DbError> {
    EXPIRED.bind(owner_type).bind(before).bind(limit).all(&mut db.read().await?).await
}

pub(crate) async fn count_expired(
    db: &Db,
    owner_type: &str,
    before: DateTime<Utc>,
) -> Result<Expired, DbError> {
    COUNT_EXPIRED.bind(owner_type).bind(before).one(&mut db.read().await?).await
}

/// Purges files by their numbers at somebody's word, whatever their age. Those under legal hold stay.
///
/// # Errors
/// When the database cannot be written to.
pub async fn purge_chosen(
    db: &Db,
    store: &MediaStore,
    ids: &[MediaId],
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Purged, DbError> {
    let mut all = Purged::default();
    for batch in ids.chunks(BATCH) {
        let ids: Vec<i64> = batch.iter().map(|id| id.0).collect();
        let candidates: Vec<Candidate> = CHOSEN.bind(ids).all(&mut db.read().await?).await?;
        let Purged { files, contents, bytes, left } = purge(db, store, &candidates, Some(actor), now).await?;
        all.files.extend(files);
        (all.contents, all.bytes, all.left) = (all.contents + contents, all.bytes + bytes, all.left + left);
    }
    Ok(all)
}

/// Purges these files, in one transaction, and removes what nobody names any more.
pub(crate) async fn purge(
    db: &Db,
    store: &MediaStore,
    candidates: &[Candidate],
    actor: Option<&Actor>,
    now: DateTime<Utc>,
) -> Result<Purged, DbError> {
    if candidates.is_empty() {
        return Ok(Purged::default());
    }
    let lines: Vec<Line<'_>> = candidates
        .iter()
        .map(|row| Line {
            id: row.id.0,
            sha256: row.sha256.as_deref().unwrap_or_default(),
            thumbnail: row.thumbnail_sha256.as_deref().unwrap_or_default(),
        })
        .collect();
    let mut tx = db.write().await?;
    let marked: Vec<Id> = MARK_PURGED.bind(Rows::of(&lines)?).bind(now).all(&mut tx).await?;
    let files: Vec<MediaId> = marked.into_iter().map(|row| row.id).collect();
    let purged: Vec<&Candidate> = candidates.iter().filter(|row| files.contains(&row.id)).collect();
    if let Some(actor) = actor {
        let act = |row: &&Candidate| Act {
            action: "media.purge",
            subject: format!("media:{}", row.id),
            before: Some(json!({"state": row.state, "sha256": row.sha256, "size": row.size})),
            after: Some(json!({"state": "purged"})),
        };
        let acts: Vec<Act> = purged.iter().map(act).collect();
        audit::record(&mut tx, now, actor, &acts).await?;
    }
    tx.commit().await?;

    let sizes = purged.iter().flat_map(|row| [row.size, row.thumbnail_size]).flatten();
    let bytes = sizes.map(i64::unsigned_abs).sum();
    let hashes = purged.iter().flat_map(|row| [&row.sha256, &row.thumbnail_sha256]).flatten();
    let mut hashes: Vec<Sha256Hash> = hashes.filter_map(|hash| hash.parse().ok()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let (contents, left) = remove(db, store, &hashes, now).await?;
    Ok(Purged { files, contents, bytes, left })
}

/// Removes contents that no row names any more. Returns how many are gone and how many could not be removed.
pub(super) async fn remove(
    db: &Db,
    store: &MediaStore,
    hashes: &[Sha256Hash],
    now: DateTime<Utc>,
) -> Result<(usize, usize), DbError> {
    if hashes.is_empty() {
        return Ok((0, 0));
    }
    // Whoever claims a content names it in the same transaction: even a claim of this moment need not be waited for.
    let unclaimed_since = now + TimeDelta::from_std(Duration::from_secs(1)).unwrap_or_default();
    let removed = contents::remove_unnamed(db, store, hashes, unclaimed_since, now).await?;
    let failed = usize::from(removed.error.is_some());
    if let Some(error) = &removed.error {
        let error = trunkline_platform::chain(error);
        tracing::warn!(error, "contents could not be removed; media.orphans tries again in an hour or two");
    }
    Ok((removed.contents.len(), failed))
}
