//! Remove what is in the media store and belongs to nothing: files stored by a process that died before it could note
//! them, files half downloaded, uploads in parts that never came to their end.
//!
//! The store is listed page by page. A file goes only if no row names it, nobody was about to name it since
//! `retention.orphans`, and it is that old itself: with a database put back from a copy, that is the time to put back the
//! rest. What makes it safe beside downloads that store the same content at the same moment is told in
//! [`contents`](crate::media::contents).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::retention::before;
use super::run::{Chore, ChoreError, Run};
use crate::media::Sha256Hash;
use crate::media::contents::{abandoned, remove_unnamed, unnamed};

/// Longer than any download.
const TEMPORARY: Duration = Duration::from_secs(60 * 60);
/// Longer than any upload.
const UPLOADING: TimeDelta = TimeDelta::days(1);

/// Removes files of the media store that no row names.
#[derive(Debug)]
pub struct RemoveOrphans;

impl Chore for RemoveOrphans {
    const NAME: &'static str = "media.orphans";
    const ABOUT: &'static str = "Removes files of the media store that no row names.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let mut after = (run.after > 0).then(|| Sha256Hash::at(run.after));
        if after.is_none() && !run.dry_run {
            tidy(run).await?;
        }
        let Some(age) = run.upkeep.retention.orphans else { return Ok(()) };
        let before = before(run.now(), age);
        while !run.is_over() {
            let page = run.upkeep.store.list(after.as_ref(), run.batch() as usize).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.hash);
            let old = page.iter().filter(|object| object.modified < before);
            let old: Vec<(Sha256Hash, u64)> = old.map(|object| (object.hash, object.size)).collect();
            remove(run, &old, before).await?;
        }
        run.freed.next = after.map(|hash| hash.position());
        Ok(())
    }
}

/// Clears away what needs no look at the rows.
async fn tidy(run: &mut Run<'_>) -> Result<(), ChoreError> {
    let (store, now) = (&run.upkeep.store, run.now());
    let temporary = store.sweep_temp(TEMPORARY, now).await?;
    let uploads = store.abort_uploads(now - UPLOADING).await?;
    let begun = abandoned(run.db(), now, run.batch()).await?;
    let ended = remove_unnamed(run.db(), store, &begun, now, now).await?;
    run.freed.rows += (temporary + uploads + ended.contents.len()) as u64;
    run.freed.detail = json!({"temporary_files": temporary, "uploads": uploads});
    ended.error.map_or(Ok(()), |error| Err(error.into()))
}

async fn remove(
    run: &mut Run<'_>,
    old: &[(Sha256Hash, u64)],
    before: DateTime<Utc>,
) -> Result<(), ChoreError> {
    let hashes: Vec<Sha256Hash> = old.iter().map(|(hash, _)| *hash).collect();
    let mut orphans = unnamed(run.db(), &hashes, before).await?;
    let mut error = None;
    if !run.dry_run && !orphans.is_empty() {
        let removed = remove_unnamed(run.db(), &run.upkeep.store, &orphans, before, run.now()).await?;
        (orphans, error) = (removed.contents, removed.error);
    }
    run.freed.rows += orphans.len() as u64;
    run.freed.bytes +=
        old.iter().filter(|(hash, _)| orphans.contains(hash)).map(|(_, size)| size).sum::<u64>();
    error.map_or(Ok(()), |error| Err(error.into()))
}
