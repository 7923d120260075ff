//! Fetch files that nobody is fetching. A row waits and no task is for it when the tasks were lost with a database
//! that was put back from a copy, or removed by hand. And note on the row why its download died, where the job itself
//! could not: its workers died with it, or somebody discarded it.

use chrono::TimeDelta;
use trunkline_platform::task::NewTask;

use super::run::{Chore, ChoreError, Run};
use crate::media::{DownloadMedia, MediaId};

/// A job that has just told of a file enqueues its download a moment later.
const A_WHILE: TimeDelta = TimeDelta::minutes(15);

/// Dead letters, and files given up, that one run looks at.
const MOST_DEAD: u32 = 10_000;

trunkline_platform::statements! {
    /// Retrying the dead letter still fetches the file.
    END_WITH_THEIR_TASK = same {
        "UPDATE media SET state = 'failed', error = 'the download is a dead letter: ' ||
             COALESCE((SELECT MAX(t.last_error) FROM tasks AS t WHERE t.died_at IS NOT NULL
                 AND t.kind = 'media.download' AND t.unique_key = CAST(media.id AS TEXT)), 'no reason is known')
         WHERE state = 'pending' AND CAST(id AS TEXT) IN (SELECT d.unique_key FROM tasks AS d
             WHERE d.died_at IS NOT NULL AND d.kind = 'media.download' AND d.unique_key IS NOT NULL
             ORDER BY d.id LIMIT $1)
           AND NOT EXISTS (SELECT 1 FROM tasks AS t WHERE t.kind = 'media.download'
               AND t.unique_key = CAST(media.id AS TEXT) AND t.finished_at IS NULL)"
    }
    /// What a person gave up is not taken up again: neither a dead letter that was discarded nor a download that was
    /// cancelled after its first try.
    END_WHAT_WAS_GIVEN_UP = same {
        "UPDATE media SET state = 'failed', error = 'the download was ' ||
             (SELECT t.state FROM tasks AS t WHERE t.id = media.task_id) ||
             ' by a person; trunkline media fetch takes it up again'
         WHERE id IN (SELECT m.id FROM media AS m JOIN tasks AS t ON t.id = m.task_id
             WHERE m.state = 'pending' AND t.state IN ('discarded', 'cancelled')
               AND NOT EXISTS (SELECT 1 FROM tasks AS u WHERE u.kind = 'media.download'
                   AND u.unique_key = CAST(m.id AS TEXT) AND u.finished_at IS NULL)
             ORDER BY m.id LIMIT $1)"
    }
    /// One whose download is a dead letter waits for a person.
    FORGOTTEN = same {
        "SELECT m.id FROM media AS m
         WHERE m.state = 'pending' AND m.id > $1 AND m.created_at < $2 AND m.told_at < $2
           AND NOT EXISTS (SELECT 1 FROM tasks AS t WHERE t.kind = 'media.download'
               AND t.unique_key = CAST(m.id AS TEXT) AND t.finished_at IS NULL)
           AND CAST(m.id AS TEXT) NOT IN (SELECT d.unique_key FROM tasks AS d
               WHERE d.died_at IS NOT NULL AND d.kind = 'media.download' AND d.unique_key IS NOT NULL)
         ORDER BY m.id LIMIT $3"
    }
}

/// Enqueues the download of files that wait and that no task is for.
#[derive(Debug)]
pub struct RequeueMedia;

#[derive(sqlx::FromRow)]
struct Row {
    id: MediaId,
}

impl Chore for RequeueMedia {
    const NAME: &'static str = "upkeep.media";
    const ABOUT: &'static str = "Fetches files that nobody is fetching, and notes why downloads died.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        if !run.dry_run {
            for stmt in [&END_WITH_THEIR_TASK, &END_WHAT_WAS_GIVEN_UP] {
                let query = stmt.bind(MOST_DEAD);
                run.freed.rows += query.execute(&mut run.db().write_one().await?).await?;
            }
        }
        let mut after = run.after;
        while !run.is_over() {
            let query = FORGOTTEN.bind(after).bind(run.now() - A_WHILE).bind(run.batch());
            let rows: Vec<Row> = query.all(&mut run.db().read().await?).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id.0;
            run.freed.rows += rows.len() as u64;
            if !run.dry_run {
                let tasks: Result<Vec<NewTask>, _> =
                    rows.iter().map(|row| NewTask::of(&DownloadMedia { media: row.id })).collect();
                let tasks: Vec<NewTask> = tasks?.into_iter().map(|task| task.cause("upkeep.media")).collect();
                run.upkeep.tasks.enqueue(&tasks).await?;
            }
        }
        run.freed.next = Some(after);
        Ok(())
    }
}
