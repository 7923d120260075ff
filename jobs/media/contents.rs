//! What keeps storing a content and removing it apart.
//!
//! A store and a database cannot be changed in one act, and the same content may be stored for one row while it is
//! removed for want of another. So each content has a row of its own here, and whoever stores or removes goes by it:
//!
//! * Storing: [`hold`] in the transaction in which a row comes to name the content, and only then does the file go into
//!   the store. It is refused while the content is being removed, and then the job does it all again.
//! * Removing, by [`remove_unnamed`]: one transaction marks the contents that nobody claimed of late, then asks which of
//!   them a row names and spares those. Only then is anything removed from the store, and last go the marks.
//!
//! Why that is safe at any speed: claims and marks both write the content's row, so the database puts them in an order. A
//! claim before the mark is seen, with the row that names the content, when the named ones are spared, since that
//! statement begins when the mark holds the content's row. A claim after it waits until the file is gone, and then stores it
//! anew. A process that dies while it removes leaves its marks; after an hour the next run takes them over. Requests to S3 are refused
//! fifteen minutes after they were signed, so one that was on its way when its process froze does no harm later.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError, Rows, Session};

use super::store::{MediaStore, Sha256Hash, StoreError};

/// After this long whoever marked a content for removal counts as dead.
const TAKE_OVER: TimeDelta = TimeDelta::hours(1);
/// How long the removals of one call may take; well below [`TAKE_OVER`].
const LONGEST: Duration = Duration::from_secs(120);
/// Removals on their way at once.
const AT_ONCE: usize = 8;

trunkline_platform::statements! {
    CLAIM_CONTENT = same {
        "INSERT INTO media_contents AS c (sha256, claimed_at) VALUES ($1, $2)
         ON CONFLICT (sha256) DO UPDATE SET claimed_at = excluded.claimed_at WHERE c.removing_at IS NULL"
    }
    MARK_CONTENTS = parts {
        "INSERT INTO media_contents AS c (sha256, claimed_at, removing_at)
         SELECT r.sha256, $3, $3 FROM " (rows "$1" as r (sha256 TEXT)) " WHERE true ORDER BY r.sha256
         ON CONFLICT (sha256) DO UPDATE SET removing_at = excluded.removing_at
         WHERE c.claimed_at < $2 AND (c.removing_at IS NULL OR c.removing_at < $4)
         RETURNING sha256"
    }
    /// Every column of `media` that names a content must stand here; a test compares them with the schema.
    SPARE_CONTENTS = parts {
        "UPDATE media_contents SET removing_at = NULL
         WHERE sha256 IN (SELECT r.sha256 FROM " (rows "$1" as r (sha256 TEXT)) ")
           AND (EXISTS (SELECT 1 FROM media AS m WHERE m.sha256 = media_contents.sha256)
                OR EXISTS (SELECT 1 FROM media AS m WHERE m.thumbnail_sha256 = media_contents.sha256))
         RETURNING sha256"
    }
    FORGET_CONTENTS = parts {
        "DELETE FROM media_contents
         WHERE removing_at = $2 AND sha256 IN (SELECT r.sha256 FROM " (rows "$1" as r (sha256 TEXT)) ")"
    }
    /// Left by whoever died while removing.
    ABANDONED_CONTENTS = same {
        "SELECT sha256 FROM media_contents WHERE removing_at IS NOT NULL AND removing_at < $1
         ORDER BY removing_at LIMIT $2"
    }
    NAMED_CONTENTS = parts {
        "SELECT r.sha256 FROM " (rows "$1" as r (sha256 TEXT)) "
         WHERE EXISTS (SELECT 1 FROM media AS m WHERE m.sha256 = r.sha256)
            OR EXISTS (SELECT 1 FROM media AS m WHERE m.thumbnail_sha256 = r.sha256)
            OR EXISTS (SELECT 1 FROM media_contents AS c WHERE c.sha256 = r.sha256 AND c.claimed_at >= $2)"
    }
}

#[derive(sqlx::FromRow)]
struct Content {
    sha256: String,
}

#[derive(Serialize)]
struct Line {
    sha256: String,
}

/// Claims contents in the transaction in which a row comes to name them, before they go into the store; there is nothing to
/// confirm then. In the order of the hashes, so that two transactions wait for each other in one direction only.
/// False: one is being removed right now.
pub async fn hold(tx: &mut Session, hashes: &[Sha256Hash], now: DateTime<Utc>) -> Result<bool, DbError> {
    for hash in hashes {
        if CLAIM_CONTENT.bind(hash.to_string()).bind(now).execute(tx).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Of these contents, those that can be removed as far as a look can tell.
pub(crate) async fn unnamed(
    db: &Db,
    hashes: &[Sha256Hash],
    unclaimed_since: DateTime<Utc>,
) -> Result<Vec<Sha256Hash>, DbError> {
    let query = NAMED_CONTENTS.bind(Rows::of(&lines(hashes))?).bind(unclaimed_since);
    let named = parsed(query.all(&mut db.read().await?).await?);
    Ok(hashes.iter().filter(|hash| !named.contains(hash)).copied().collect())
}

/// Contents whose removal was begun and, by now, will not be ended by whoever began it.
pub(crate) async fn abandoned(db: &Db, now: DateTime<Utc>, limit: u32) -> Result<Vec<Sha256Hash>, DbError> {
    let query = ABANDONED_CONTENTS.bind(now - TAKE_OVER).bind(limit);
    Ok(parsed(query.all(&mut db.read().await?).await?))
}

/// What became of contents that were to be removed.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) contents: Vec<Sha256Hash>,
    /// The first of what went wrong. The next run takes over what was not removed.
    pub(crate) error: Option<StoreError>,
}

/// Removes those of these contents that no row names and that nobody claimed since that time.
pub(crate) async fn remove_unnamed(
    db: &Db,
    store: &MediaStore,
    hashes: &[Sha256Hash],
    unclaimed_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Removed, DbError> {
    let marked = mark(db, hashes, unclaimed_since, now).await?;
    let mut removed = Removed::default();
    let mut removals = stream::iter(marked)
        .map(|hash| async move { (hash, store.delete(&hash).await) })
        .buffer_unordered(AT_ONCE);
    let all = async {
        while let Some((hash, outcome)) = removals.next().await {
            match outcome {
                Ok(()) => removed.contents.push(hash),
                Err(error) => drop(removed.error.get_or_insert(error)),
            }
        }
    };
    // What time does not suffice for stays marked, as what fails does.
    let _ = tokio::time::timeout(LONGEST, all).await;
    drop(removals);
    if !removed.contents.is_empty() {
        let query = FORGET_CONTENTS.bind(Rows::of(&lines(&removed.contents))?).bind(now);
        query.execute(&mut db.write_one().await?).await?;
    }
    Ok(removed)
}

async fn mark(
    db: &Db,
    hashes: &[Sha256Hash],
    unclaimed_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Sha256Hash>, DbError> {
    let mut tx = db.write().await?;
    let query = MARK_CONTENTS.bind(Rows::of(&lines(hashes))?).bind(unclaimed_since);
    let mut marked = parsed(query.bind(now).bind(now - TAKE_OVER).all(&mut tx).await?);
    let spared = parsed(SPARE_CONTENTS.bind(Rows::of(&lines(&marked))?).all(&mut tx).await?);
    tx.commit().await?;
    marked.retain(|hash| !spared.contains(hash));
    Ok(marked)
}

fn lines(hashes: &[Sha256Hash]) -> Vec<Line> {
    hashes.iter().map(|hash| Line { sha256: hash.to_string() }).collect()
}

fn parsed(rows: Vec<Content>) -> Vec<Sha256Hash> {
    rows.into_iter().filter_map(|row| row.sha256.parse().ok()).collect()
}
