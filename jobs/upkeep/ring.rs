//! Clear the ring of tasks that do not wait any more. Workers drop such ids when they meet them; where no worker
//! listens to a queue, they would fill the ring and keep new ones out.

use trunkline_platform::db::DbError;
use trunkline_platform::job::{Priority, Queue};
use trunkline_platform::ring::Bell;
use trunkline_platform::task::TaskId;

use super::run::{Chore, ChoreError, Run};

/// Ids looked at in one go.
const AT_ONCE: usize = 1_000;

trunkline_platform::statements! {
    STILL_WAITING = parts {
        "SELECT id FROM tasks WHERE id IN " (any "$1") " AND state || '' = 'pending'"
    }
}

/// Takes ids of tasks that do not wait any more out of the ring.
#[derive(Debug)]
pub struct TrimRing;

#[derive(sqlx::FromRow)]
struct Row {
    id: TaskId,
}

impl Chore for TrimRing {
    const NAME: &'static str = "upkeep.ring";
    const ABOUT: &'static str = "Removes tasks from the ring that do not wait any more.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        let queues = crate::registry().map(|jobs| jobs.queues()).unwrap_or_default();
        let first = usize::try_from(run.after).unwrap_or_default();
        let lists = queues.into_iter().flat_map(|queue| Priority::ALL.map(|priority| (queue, priority)));
        for (at, (queue, priority)) in (0..).zip(lists).skip(first) {
            if !trim(run, queue, priority).await? {
                run.freed.next = Some(at);
                break;
            }
        }
        Ok(())
    }
}

/// Once round the list: from its front, and what still waits back to its end. Workers may take from it meanwhile. A
/// crash in between loses bells, which the look at the table makes good. False: the run was over before the list was.
async fn trim(run: &mut Run<'_>, queue: Queue, priority: Priority) -> Result<bool, DbError> {
    let upkeep = run.upkeep;
    let ring = upkeep.tasks.ring();
    let mut left = ring.len(queue, priority).await;
    while left > 0 {
        if run.is_over() {
            return Ok(false);
        }
        let ids = ring.take(queue, priority, left.min(AT_ONCE)).await;
        if ids.is_empty() {
            return Ok(true);
        }
        left = left.saturating_sub(ids.len());
        let query = STILL_WAITING.bind(ids.clone());
        let rows: Vec<Row> = query.all(&mut run.db().read().await?).await?;
        let waiting: std::collections::HashSet<i64> = rows.into_iter().map(|row| row.id.0).collect();
        let stale = ids.iter().filter(|id| !waiting.contains(id)).count() as u64;
        run.freed.rows += stale;
        let back = ids.into_iter().filter(|id| run.dry_run || waiting.contains(id));
        let bells = back.map(|id| Bell { queue: queue.name().to_owned(), priority, id: TaskId(id) });
        ring.push(bells.collect());
    }
    Ok(true)
}
