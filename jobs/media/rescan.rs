//! Have stored files scanned again: signatures of today know what those of last month did not.
//!
//! A content is looked at once, however many rows name it. One task does a few files and leaves the rest to the next, at
//! low priority, so that a scan of everything never stands before what customers wait for.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use trunkline_platform::db::{Db, DbError};
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue};

use super::intake;
use super::purge;
use super::scan::Verdict;
use super::store::{Sha256Hash, StoreError};
use super::table::{self, Content, MediaId};
use crate::{MEDIA, Services};

/// Files of one task, if there is time for all of them.
const BATCH: u32 = 50;
const LONGEST_RUN: Duration = Duration::from_secs(120);

trunkline_platform::statements! {
    TO_RESCAN = same {
        "SELECT id, sha256 FROM media
         WHERE id > $1 AND id <= $2 AND state = 'stored' AND sha256 IS NOT NULL
           AND (scanned_at IS NULL OR scanned_at < $3)
         ORDER BY id LIMIT $4"
    }
    MARK_SCANNED = same { "UPDATE media SET scanned_at = $2 WHERE sha256 = $1 AND state = 'stored'" }
    ROWS_OF_CONTENT = same {
        "SELECT id FROM media WHERE sha256 = $1 AND state = 'stored' ORDER BY id LIMIT 1000"
    }
}

/// Scans stored files again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RescanMedia {
    /// Files with higher numbers …
    pub after: i64,
    /// … up to this one …
    pub through: i64,
    /// … that were not scanned since.
    #[schemars(with = "String")]
    pub since: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: MediaId,
    sha256: String,
}

#[derive(sqlx::FromRow)]
struct Id {
    id: MediaId,
}

impl Job for RescanMedia {
    type Services = Services;
    const NAME: &'static str = "media.rescan";
    const QUEUE: Queue = MEDIA;
    const PRIORITY: Priority = Priority::LOW;
    const TIMEOUT: Duration = Duration::from_secs(15 * 60);

    fn unique_key(&self) -> Option<String> {
        Some(format!("{}-{}", self.after, self.through))
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let Services { db, media, .. } = cx.services();
        let Some(scanner) = &media.scanner else {
            return Err(Failure::discard("nothing is scanned here (media.scan is off)"));
        };
        let began = Instant::now();
        let query = TO_RESCAN.bind(self.after).bind(self.through).bind(self.since).bind(BATCH);
        let rows: Vec<Row> = query.all(&mut db.read().await?).await?;
        let (mut after, mut seen) = (None, HashSet::new());
        for row in &rows {
            if began.elapsed() > LONGEST_RUN || cx.cancelled().is_cancelled() {
                break;
            }
            let Ok(sha256) = row.sha256.parse::<Sha256Hash>() else { continue };
            if !seen.insert(sha256) {
                after = Some(row.id.0);
                continue;
            }
            let fetched = match intake::from_store(media, &sha256).await {
                Ok(fetched) => fetched,
                Err(intake::IntakeError::Store(StoreError::Missing(_))) => {
                    tracing::warn!(media = %row.id, "a stored file is missing: fetch it with `trunkline media fetch`");
                    after = Some(row.id.0);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match intake::look(media, scanner, &fetched).await {
                Ok(Verdict::Clean) => mark_scanned(db, &sha256, cx.now()).await?,
                Ok(Verdict::Found(signature)) => {
                    quarantine_all(cx, sha256, fetched.size, &signature).await?;
                }
                Err(error) if error.is_about_size() => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(media = %row.id, error, "the file is not scanned again");
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(media = %row.id, error, "scanning again waits for the virus scanner");
                    let wait = TimeDelta::from_std(intake::wait_for_scanner(cx.seed()));
                    let until = cx.now() + wait.unwrap_or(TimeDelta::minutes(1));
                    return Err(Failure::snooze_until(until, "the virus scanner is away"));
                }
            }
            after = Some(row.id.0);
        }
        match after.filter(|after| *after < self.through) {
            Some(after) => Ok(Done::new().then(cx.follow_up(&Self { after, ..*self })?)),
            None => Ok(Done::new()),
        }
    }
}

async fn mark_scanned(db: &Db, sha256: &Sha256Hash, now: DateTime<Utc>) -> Result<(), DbError> {
    let query = MARK_SCANNED.bind(sha256.to_string()).bind(now);
    query.execute(&mut db.write_one().await?).await.map(drop)
}

/// Every row that names the content goes into quarantine, and with the last of them the content.
async fn quarantine_all(
    cx: &Context<Services>,
    sha256: Sha256Hash,
    size: u64,
    signature: &str,
) -> Result<(), Failure> {
    let (db, now) = (&cx.services().db, cx.now());
    loop {
        let rows: Vec<Id> = ROWS_OF_CONTENT.bind(sha256.to_string()).all(&mut db.read().await?).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for Id { id } in rows {
            let Some(row) = table::load(db, id).await? else { continue };
            if row.stored() != Some(sha256) {
                continue;
            }
            let media_type = row.media_type.as_deref().unwrap_or_default();
            let content = Content { sha256, size, media_type };
            table::mark_quarantined(db, &row, content, signature, now).await?;
            purge::remove(db, &cx.services().media.store, &row.contents(), now).await?;
            tracing::warn!(media = %id, signature, "the virus scanner found something: the file is in quarantine");
        }
    }
}
