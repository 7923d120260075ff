//! From a complete download to a file in its place: checked, scanned, shown small, claimed, kept.
//!
//! The order is what makes it safe. Nothing is opened by anybody before the scanner has seen it. The row names its
//! contents before they get their place ([`contents`](super::contents)), so that a crash leaves no file that nobody
//! knows of. And the row says *stored* only after the file is safely there.
//!
//! While the scanner is away, a file is kept and not stored: its row stays *pending* and holds on to the content, so that
//! a link that expires meanwhile costs nothing. Nobody can open what is not *stored*.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use trunkline_platform::db::{Db, DbError};

use super::MediaServices;
use super::check::{CheckError, Checked, check};
use super::fetch::{Fetched, Incoming};
use super::scan::{ScanError, Scanner, Verdict};
use super::sniff::MediaType;
use super::store::{Sha256Hash, StoreError};
use super::table::{self, Claim, Content, MediaRow, Passed, Small};
use super::thumbnail::Thumbnail;

/// What a file came to.
#[derive(Debug)]
pub(super) enum Intake {
    Stored,
    /// Nothing of it is kept.
    Quarantined,
    /// Kept until the scanner can be asked.
    Held(ScanError),
    /// Somebody else is or was at the row.
    Overtaken,
    /// The same content is being deleted at this moment: try again when that is over.
    BeingDeleted,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum IntakeError {
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    TooLargeToScan(ScanError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("cannot read back the stored file")]
    Io(#[from] std::io::Error),
    #[error("the stored file {0} is damaged: its content has another hash. Restore it from a backup")]
    Damaged(Sha256Hash),
}

/// Takes in a file for a row.
pub(super) async fn take_in(
    db: &Db,
    media: &MediaServices,
    row: &MediaRow,
    mut fetched: Fetched,
    now: DateTime<Utc>,
) -> Result<Intake, IntakeError> {
    fetched.declared_type = fetched.declared_type.or_else(|| row.served_type.clone());
    let checked = check(&media.rules, &fetched, row.declared_type.as_deref()).await?;
    let seen = match &media.scanner {
        None => None,
        Some(scanner) => match look(media, scanner, &fetched).await {
            Ok(Verdict::Clean) => Some(now),
            Ok(Verdict::Found(signature)) => {
                return quarantine(db, row, &fetched, checked.media_type, signature, now).await;
            }
            Err(error) if error.is_about_size() => return Err(IntakeError::TooLargeToScan(error)),
            Err(away) => return hold(db, media, row, fetched, checked, now, away).await,
        },
    };
    let thumbnail = media.thumbnails.make(&fetched, checked.media_type, media.store.temp_dir()).await;
    if let Some(made) = &thumbnail {
        media.metrics.thumbnail(made.is_ok());
    }
    let (thumbnail, thumbnail_error) = match thumbnail {
        None => (None, None),
        Some(Ok(thumbnail)) => (Some(thumbnail), None),
        Some(Err(error)) => (None, Some(error.to_string())),
    };
    let passed = passed(&fetched, checked, thumbnail.as_ref(), thumbnail_error);
    match table::claim(db, row, &passed, now).await? {
        Claim::Made => {}
        Claim::Overtaken => return Ok(Intake::Overtaken),
        Claim::BeingDeleted => return Ok(Intake::BeingDeleted),
    }
    if let Some(Thumbnail { file, media_type }) = thumbnail {
        media.store.keep(file.file, &file.sha256, media_type).await?;
    }
    let path = media.store.keep(fetched.file, &fetched.sha256, checked.media_type.mime).await?;
    let stored = table::mark_stored(db, row.id, &fetched.sha256, &path, seen, now).await?;
    Ok(if stored { Intake::Stored } else { Intake::Overtaken })
}

/// Shows a file to the scanner.
pub(super) async fn look(
    media: &MediaServices,
    scanner: &Scanner,
    fetched: &Fetched,
) -> Result<Verdict, ScanError> {
    let began = Instant::now();
    let verdict = scanner.scan(fetched.file.path(), fetched.size).await;
    let result = match &verdict {
        Ok(Verdict::Clean) => "clean",
        Ok(Verdict::Found(_)) => "found",
        Err(error) if error.is_about_size() => "too_large",
        Err(_) => "away",
    };
    media.metrics.scan(result, began.elapsed());
    verdict
}

async fn quarantine(
    db: &Db,
    row: &MediaRow,
    fetched: &Fetched,
    media_type: MediaType,
    signature: String,
    now: DateTime<Utc>,
) -> Result<Intake, IntakeError> {
    let content = Content { sha256: fetched.sha256, size: fetched.size, media_type: media_type.mime };
    if !table::mark_quarantined(db, row, content, &signature, now).await? {
        return Ok(Intake::Overtaken);
    }
    tracing::warn!(media = %row.id, signature, "the virus scanner found something: the file is in quarantine");
    Ok(Intake::Quarantined)
}

async fn hold(
    db: &Db,
    media: &MediaServices,
    row: &MediaRow,
    fetched: Fetched,
    checked: Checked,
    now: DateTime<Utc>,
    away: ScanError,
) -> Result<Intake, IntakeError> {
    match table::claim(db, row, &passed(&fetched, checked, None, None), now).await? {
        Claim::Made => {}
        Claim::Overtaken => return Ok(Intake::Overtaken),
        Claim::BeingDeleted => return Ok(Intake::BeingDeleted),
    }
    media.store.keep(fetched.file, &fetched.sha256, checked.media_type.mime).await?;
    Ok(Intake::Held(away))
}

fn passed(
    fetched: &Fetched,
    checked: Checked,
    thumbnail: Option<&Thumbnail>,
    thumbnail_error: Option<String>,
) -> Passed {
    let small = |small: &Thumbnail| Small {
        sha256: small.file.sha256,
        size: small.file.size,
        media_type: small.media_type,
    };
    Passed {
        sha256: fetched.sha256,
        size: fetched.size,
        served_type: fetched.declared_type.clone(),
        checked,
        thumbnail: thumbnail.map(small),
        thumbnail_error,
    }
}

/// A stored file as if it had just been downloaded.
pub(super) async fn from_store(media: &MediaServices, sha256: &Sha256Hash) -> Result<Fetched, IntakeError> {
    let opened = media.store.open(sha256, None).await?;
    let fetched = Incoming::receive(media.store.temp_dir(), opened.body).await?;
    if fetched.sha256 != *sha256 {
        return Err(IntakeError::Damaged(*sha256));
    }
    Ok(fetched)
}

/// How long to wait for the scanner, a little different for each, so that a crowd does not come back at once.
pub(super) fn wait_for_scanner(seed: u64) -> Duration {
    Duration::from_secs(60 + seed % 60)
}
