//! The table of media: which link belongs to what, and what became of it.
//!
//! Links are secrets (whoever has one has the file), so nothing here that holds one can be printed.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::{Db, DbError, Rows, Session, sql_text};
use trunkline_platform::job::{Context, Done, Failure};
use trunkline_platform::task::TaskId;

use super::check::Checked;
use super::contents;
use super::download::DownloadMedia;
use super::store::{Sha256Hash, StoredPath};
use crate::Services;

trunkline_platform::statements! {
    /// The newest link stays. One that failed gets another chance by another link.
    KEEP_LINKS = parts {
        "INSERT INTO media AS kept (owner_type, owner_id, position, url, declared_type, told_at, state, created_at)
         SELECT r.owner_type, r.owner_id, r.position, r.url, r.declared_type, $2, 'pending', $3
         FROM " (rows "$1" as r (owner_type TEXT, owner_id TEXT, position INTEGER, url TEXT, declared_type TEXT))
        " WHERE true ORDER BY r.owner_type, r.owner_id, r.position
         ON CONFLICT (owner_type, owner_id, position) DO UPDATE SET
             url = excluded.url, declared_type = excluded.declared_type, told_at = excluded.told_at,
             state = CASE WHEN kept.state = 'failed' AND excluded.url <> kept.url
                 THEN 'pending' ELSE kept.state END,
             error = CASE WHEN excluded.url <> kept.url THEN NULL ELSE kept.error END,
             asked_at = CASE WHEN excluded.url <> kept.url THEN NULL ELSE kept.asked_at END
         WHERE (excluded.told_at, excluded.url, COALESCE(excluded.declared_type, ''))
             > (kept.told_at, kept.url, COALESCE(kept.declared_type, ''))"
    }
    WAITING = parts {
        "SELECT id FROM media
         WHERE (owner_type, owner_id) IN (SELECT r.owner_type, r.owner_id
             FROM " (rows "$1" as r (owner_type TEXT, owner_id TEXT)) ")
             AND state = 'pending'
         ORDER BY id LIMIT 1000"
    }
    LOAD = same {
        "SELECT id, owner_type, owner_id, position, url, declared_type, state, sha256, thumbnail_sha256,
             media_type, served_type, asked_at, task_id
         FROM media WHERE id = $1"
    }
    NOTE_TASK = same { "UPDATE media SET task_id = $2 WHERE id = $1" }
    /// The row takes hold of the contents that are about to get their place. Only if it is as it was read.
    CLAIM = same {
        "UPDATE media SET sha256 = $5, size = $6, media_type = $7, served_type = $8, type_mismatch = $9,
             thumbnail_sha256 = $10, thumbnail_type = $11, thumbnail_size = $12, thumbnail_error = $13,
             former_sha256 = CASE WHEN sha256 <> $5 THEN sha256 ELSE former_sha256 END
         WHERE id = $1 AND url = $2 AND state = $3 AND COALESCE(sha256, '') = $4"
    }
    /// Only if it still holds on to that content.
    MARK_STORED = same {
        "UPDATE media SET state = 'stored', error = NULL, path = $3, scanned_at = $4, stored_at = $5
         WHERE id = $1 AND sha256 = $2 AND state IN ('pending', 'failed', 'stored')"
    }
    /// What is under legal hold keeps its content, though nobody can open it.
    MARK_QUARANTINED = same {
        "UPDATE media SET state = 'quarantined', error = NULL, signature = $5, scanned_at = $6,
             former_sha256 = $7, size = $8, media_type = $9, path = NULL,
             sha256 = CASE WHEN legal_hold THEN sha256 END, thumbnail_sha256 = NULL, thumbnail_type = NULL
         WHERE id = $1 AND url = $2 AND state = $3 AND COALESCE(sha256, '') = $4"
    }
    FRESH_LINK = same {
        "UPDATE media SET url = $3, told_at = $4, asked_at = $4 WHERE id = $1 AND url = $2 AND state <> 'purged'"
    }
    COUNT_MEDIA = same {
        "SELECT COUNT(*) FILTER (WHERE state = 'pending') AS pending,
                COUNT(*) FILTER (WHERE state = 'stored') AS stored,
                COUNT(*) FILTER (WHERE state = 'failed') AS failed,
                COUNT(*) FILTER (WHERE state = 'quarantined') AS quarantined,
                COUNT(*) FILTER (WHERE state = 'purged') AS purged,
                COUNT(DISTINCT sha256) FILTER (WHERE state = 'stored') AS files,
                CAST(COALESCE(SUM(size) FILTER (WHERE state = 'stored'), 0) AS BIGINT) AS bytes
         FROM media"
    }
    /// Only if no newer link came meanwhile.
    MARK_FAILED = same {
        "UPDATE media SET state = 'failed', error = $3, former_sha256 = COALESCE(sha256, former_sha256),
             sha256 = NULL, thumbnail_sha256 = NULL
         WHERE id = $1 AND url = $2 AND state IN ('pending', 'failed') AND COALESCE(sha256, '') = $4"
    }
}

/// The number of a file's row.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct MediaId(pub i64);

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How the media stand.
#[derive(Clone, Debug, Deserialize, Serialize, sqlx::FromRow)]
pub struct MediaCount {
    /// Links not fetched yet.
    pub pending: i64,
    pub stored: i64,
    pub failed: i64,
    pub quarantined: i64,
    pub purged: i64,
    /// Different files among the stored.
    pub files: i64,
    /// The sizes of the stored added up, a file that came twice counted twice.
    pub bytes: i64,
}

pub async fn count(db: &Db) -> Result<MediaCount, DbError> {
    count_in(&mut db.read().await?).await
}

/// Reads all of them.
pub(crate) async fn count_in(session: &mut Session) -> Result<MediaCount, DbError> {
    COUNT_MEDIA.query().one(session).await
}

/// What a file belongs to, by its id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'l> {
    Message(&'l str),
    Recording(&'l str),
    Voicemail(&'l str),
}

impl<'l> Owner<'l> {
    fn parts(self) -> (&'static str, &'l str) {
        match self {
            Self::Message(id) => ("message", id),
            Self::Recording(id) => ("recording", id),
            Self::Voicemail(id) => ("voicemail", id),
        }
    }
}

/// Where a file was said to be.
pub(crate) struct Link<'l> {
    pub(crate) owner: Owner<'l>,
    /// Tells the files of one owner apart.
    pub(crate) position: usize,
    pub(crate) url: &'l str,
    pub(crate) declared_type: Option<&'l str>,
}

#[derive(Serialize)]
struct LinkLine<'l> {
    owner_type: &'static str,
    owner_id: &'l str,
    position: usize,
    url: &'l str,
    declared_type: Option<&'l str>,
}

impl<'l> From<&Link<'l>> for LinkLine<'l> {
    fn from(link: &Link<'l>) -> Self {
        let (owner_type, owner_id) = link.owner.parts();
        Self {
            owner_type,
            owner_id,
            position: link.position,
            url: link.url,
            declared_type: link.declared_type,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Waiting {
    id: MediaId,
}

/// Keeps links told at that time, and answers which files of their owners are still to be fetched. Those of
/// earlier tellings are among them, so that a job cut short after its commit loses none when it runs again.
pub(crate) async fn keep_links(
    tx: &mut Session,
    links: &[Link<'_>],
    told_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<MediaId>, DbError> {
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<LinkLine<'_>> = links.iter().map(LinkLine::from).collect();
    KEEP_LINKS.bind(Rows::of(&lines)?).bind(told_at).bind(now).execute(tx).await?;
    let waiting: Vec<Waiting> = WAITING.bind(Rows::of(&lines)?).all(tx).await?;
    Ok(waiting.into_iter().map(|row| row.id).collect())
}

/// The end of a job that leaves these files to be fetched.
pub(crate) fn fetch_waiting(cx: &Context<Services>, waiting: &[MediaId]) -> Result<Done, Failure> {
    let mut done = Done::new();
    for &media in waiting {
        done = done.then(cx.follow_up(&DownloadMedia { media })?);
    }
    Ok(done)
}

/// A file's row, as far as a download needs it.
#[derive(sqlx::FromRow)]
pub(super) struct MediaRow {
    pub(super) id: MediaId,
    pub(super) owner_type: String,
    pub(super) owner_id: String,
    pub(super) position: i32,
    pub(super) url: String,
    pub(super) declared_type: Option<String>,
    pub(super) state: String,
    sha256: Option<String>,
    thumbnail_sha256: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) served_type: Option<String>,
    pub(super) asked_at: Option<DateTime<Utc>>,
    /// The task that last tried to fetch it again.
    pub(super) task_id: Option<i64>,
}

impl MediaRow {
    /// The content it holds on to, whether scanned or not.
    pub(super) fn held(&self) -> Option<Sha256Hash> {
        self.sha256.as_deref()?.parse().ok()
    }

    /// The same, once it is stored.
    pub(super) fn stored(&self) -> Option<Sha256Hash> {
        self.held().filter(|_| self.state == "stored")
    }

    /// Whether nothing can be fetched for it any more.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state.as_str(), "quarantined" | "purged")
    }

    /// The contents that it holds on to, its thumbnail's included.
    pub(super) fn contents(&self) -> Vec<Sha256Hash> {
        let hashes = [&self.sha256, &self.thumbnail_sha256].into_iter().flatten();
        hashes.filter_map(|hash| hash.parse().ok()).collect()
    }
}

/// A file that passed the checks, with its thumbnail or why there is none.
pub(super) struct Passed {
    pub(super) sha256: Sha256Hash,
    pub(super) size: u64,
    pub(super) served_type: Option<String>,
    pub(super) checked: Checked,
    pub(super) thumbnail: Option<Small>,
    pub(super) thumbnail_error: Option<String>,
}

/// A thumbnail that is about to get its place.
pub(super) struct Small {
    pub(super) sha256: Sha256Hash,
    pub(super) size: u64,
    pub(super) media_type: &'static str,
}

/// A content and what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'c> {
    pub(super) sha256: Sha256Hash,
    pub(super) size: u64,
    pub(super) media_type: &'c str,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Claim {
    Made,
    /// The row is not as it was read: somebody else is or was at it.
    Overtaken,
    /// One of the contents is being deleted at this moment.
    BeingDeleted,
}

pub(super) async fn load(db: &Db, id: MediaId) -> Result<Option<MediaRow>, DbError> {
    LOAD.bind(id.0).optional(&mut db.read().await?).await
}

/// Notes which task tries again, so that upkeep can tell a file that somebody gave up from one that was forgotten.
pub(super) async fn note_task(db: &Db, row: &MediaRow, task: TaskId) -> Result<(), DbError> {
    if row.task_id != Some(task.0) {
        NOTE_TASK.bind(row.id.0).bind(task.0).execute(&mut db.write_one().await?).await?;
    }
    Ok(())
}

/// Takes hold of the contents of a file that is about to get its place: from here on the row names them.
pub(super) async fn claim(
    db: &Db,
    row: &MediaRow,
    file: &Passed,
    now: DateTime<Utc>,
) -> Result<Claim, DbError> {
    let thumbnail = file.thumbnail.as_ref();
    let mut contents: Vec<Sha256Hash> =
        [file.sha256].into_iter().chain(thumbnail.map(|small| small.sha256)).collect();
    contents.sort_unstable();
    let mut tx = db.write().await?;
    if !contents::hold(&mut tx, &contents, now).await? {
        return Ok(Claim::BeingDeleted);
    }
    let query = CLAIM
        .bind(row.id.0)
        .bind(&row.url)
        .bind(&row.state)
        .bind(row.sha256.as_deref().unwrap_or_default())
        .bind(file.sha256.to_string())
        .bind(i64::try_from(file.size).unwrap_or(i64::MAX))
        .bind(file.checked.media_type.mime)
        .bind(file.served_type.as_deref())
        .bind(file.checked.mismatch)
        .bind(thumbnail.map(|small| small.sha256.to_string()))
        .bind(thumbnail.map(|small| small.media_type))
        .bind(thumbnail.map(|small| i64::try_from(small.size).unwrap_or(i64::MAX)))
        .bind(file.thumbnail_error.as_deref().map(sql_text).as_deref());
    if query.execute(&mut tx).await? == 0 {
        return Ok(Claim::Overtaken);
    }
    tx.commit().await?;
    Ok(Claim::Made)
}

/// The file is in its place. False if the row let go of it meanwhile.
pub(super) async fn mark_stored(
    db: &Db,
    id: MediaId,
    sha256: &Sha256Hash,
    path: &StoredPath,
    scanned_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let query =
        MARK_STORED.bind(id.0).bind(sha256.to_string()).bind(path.as_str()).bind(scanned_at).bind(now);
    Ok(query.execute(&mut db.write_one().await?).await? > 0)
}

/// The scanner found something. The row lets go of its contents, unless it is under legal hold. False if it is not as
/// it was read.
pub(super) async fn mark_quarantined(
    db: &Db,
    row: &MediaRow,
    file: Content<'_>,
    signature: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let query = MARK_QUARANTINED
        .bind(row.id.0)
        .bind(&row.url)
        .bind(&row.state)
        .bind(row.sha256.as_deref().unwrap_or_default())
        .bind(sql_text(signature).as_ref())
        .bind(now)
        .bind(file.sha256.to_string())
        .bind(i64::try_from(file.size).unwrap_or(i64::MAX))
        .bind(file.media_type);
    Ok(query.execute(&mut db.write_one().await?).await? > 0)
}

/// Puts a fresh link in the place of this one. False if the row has another one by now.
pub(super) async fn renew_link(
    db: &Db,
    row: &MediaRow,
    fresh: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let query = FRESH_LINK.bind(row.id.0).bind(&row.url).bind(fresh).bind(now);
    Ok(query.execute(&mut db.write_one().await?).await? > 0)
}

/// Notes that this link leads nowhere. False if the row is not as it was read.
pub(super) async fn mark_failed(db: &Db, row: &MediaRow, reason: &str) -> Result<bool, DbError> {
    let query = MARK_FAILED
        .bind(row.id.0)
        .bind(&row.url)
        .bind(sql_text(reason).as_ref())
        .bind(row.sha256.as_deref().unwrap_or_default());
    Ok(query.execute(&mut db.write_one().await?).await? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str, sha256: Option<&str>) -> MediaRow {
        MediaRow {
            id: MediaId(1),
            owner_type: "message".to_owned(),
            owner_id: "AC1".to_owned(),
            position: 0,
            url: String::new(),
            declared_type: None,
            state: state.to_owned(),
            sha256: sha256.map(str::to_owned),
            thumbnail_sha256: None,
            media_type: None,
            served_type: None,
            asked_at: None,
            task_id: None,
        }
    }

    #[test]
    fn only_a_stored_row_vouches_for_a_file() {
        let hash = "ab".repeat(32);
        assert_eq!(row("stored", Some(&hash)).stored().map(|hash| hash.to_string()), Some(hash.clone()));
        assert_eq!(row("failed", Some(&hash)).stored(), None);
        assert_eq!(row("stored", None).stored(), None);
        assert_eq!(row("stored", Some("no hash")).stored(), None);
    }
}
