//! The table of media: which link belongs to what, and what became of it.
//!
//! Links are secrets (whoever has one has the file), so nothing here that holds one can be printed.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::{Db, DbError, Rows, Session};
use trunkline_platform::job::{Context, Done, Failure};

use super::download::DownloadMedia;
use super::sniff::MediaType;
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
             error = CASE WHEN excluded.url <> kept.url THEN NULL ELSE kept.error END
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
    LOAD = same { "SELECT url, state, sha256 FROM media WHERE id = $1" }
    MARK_STORED = same {
        "UPDATE media SET state = 'stored', error = NULL, sha256 = $2, size = $3, media_type = $4, path = $5,
             stored_at = $6
         WHERE id = $1"
    }
    COUNT_MEDIA = same {
        "SELECT COUNT(*) FILTER (WHERE state = 'pending') AS pending,
                COUNT(*) FILTER (WHERE state = 'stored') AS stored,
                COUNT(*) FILTER (WHERE state = 'failed') AS failed,
                COUNT(DISTINCT sha256) AS files,
                CAST(COALESCE(SUM(size), 0) AS BIGINT) AS bytes
         FROM media"
    }
    /// Only if no newer link came meanwhile.
    MARK_FAILED = same {
        "UPDATE media SET state = 'failed', error = $3 WHERE id = $1 AND url = $2 AND state <> 'stored'"
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
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct MediaCount {
    /// Links not fetched yet.
    pub pending: i64,
    pub stored: i64,
    pub failed: i64,
    /// Different files among the stored.
    pub files: i64,
    /// The sizes of the stored added up, a file that came twice counted twice.
    pub bytes: i64,
}

pub async fn count(db: &Db) -> Result<MediaCount, DbError> {
    COUNT_MEDIA.query().one(&mut db.read().await?).await
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
    pub(super) url: String,
    state: String,
    sha256: Option<String>,
}

impl MediaRow {
    /// The content's hash, once it is stored.
    pub(super) fn stored(&self) -> Option<Sha256Hash> {
        let hash = self.sha256.as_deref().filter(|_| self.state == "stored")?;
        hash.parse().ok()
    }
}

/// A file that has reached its place.
#[derive(Debug)]
pub(super) struct StoredFile {
    pub(super) sha256: Sha256Hash,
    pub(super) size: u64,
    pub(super) media_type: MediaType,
    pub(super) path: StoredPath,
}

pub(super) async fn load(db: &Db, id: MediaId) -> Result<Option<MediaRow>, DbError> {
    LOAD.bind(id.0).optional(&mut db.read().await?).await
}

pub(super) async fn mark_stored(
    db: &Db,
    id: MediaId,
    file: &StoredFile,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    MARK_STORED
        .bind(id.0)
        .bind(file.sha256.to_string())
        .bind(i64::try_from(file.size).unwrap_or(i64::MAX))
        .bind(file.media_type.mime)
        .bind(file.path.as_str())
        .bind(now)
        .execute(&mut db.write_one().await?)
        .await
        .map(drop)
}

/// Notes that this link leads nowhere. False if the row has another one by now.
pub(super) async fn mark_failed(db: &Db, id: MediaId, url: &str, reason: &str) -> Result<bool, DbError> {
    let changed = MARK_FAILED.bind(id.0).bind(url).bind(reason).execute(&mut db.write_one().await?).await?;
    Ok(changed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str, sha256: Option<&str>) -> MediaRow {
        MediaRow { url: String::new(), state: state.to_owned(), sha256: sha256.map(str::to_owned) }
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
