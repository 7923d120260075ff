//! Purge files whose time is over: the file and its thumbnail go, the row stays and says when. What is under legal hold
//! stays, and so does a content that another row still names.

use serde_json::json;

use super::retention::before;
use super::run::{Chore, ChoreError, Run};
use crate::media::purge;

/// Purges files whose time is over.
#[derive(Debug)]
pub struct PurgeMedia;

impl Chore for PurgeMedia {
    const NAME: &'static str = "media.purge";
    const ABOUT: &'static str = "Purges files whose time is over.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let kept = run.upkeep.retention.media;
        let kinds =
            [("message", kept.attachments), ("recording", kept.recordings), ("voicemail", kept.voicemails)];
        let (mut contents, mut left) = (0, 0);
        for (owner_type, kept) in kinds {
            let Some(kept) = kept else { continue };
            let than = before(run.now(), kept);
            if run.dry_run {
                let size = purge::count_expired(run.db(), owner_type, than).await?;
                run.freed.rows += size.count.unsigned_abs();
                run.freed.bytes += size.bytes.unsigned_abs();
                continue;
            }
            loop {
                if run.is_over() {
                    run.freed.next = Some(0);
                    break;
                }
                let candidates = purge::expired(run.db(), owner_type, than, run.batch()).await?;
                if candidates.is_empty() {
                    break;
                }
                let purged = purge::purge(run.db(), &run.upkeep.store, &candidates, None, run.now()).await?;
                if purged.files.is_empty() {
                    // All of them changed while they were looked at; the next run sees what they are now.
                    break;
                }
                run.freed.rows += purged.files.len() as u64;
                run.freed.bytes += purged.bytes;
                (contents, left) = (contents + purged.contents, left + purged.left);
            }
        }
        if !run.dry_run {
            run.freed.detail = json!({"contents_removed": contents, "contents_left": left});
        }
        Ok(())
    }
}
