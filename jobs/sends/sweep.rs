//! Taking up texts that nobody looks after any more: their process ended between the commit and the answer, and its task with it.

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::db::{DbError, Session};
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, TaskMeta};

use super::{Id, SettleSend};
use crate::{SENDS, Services};

/// No request lives so long.
const ORPHANED_AFTER: TimeDelta = TimeDelta::minutes(5);
/// Of one run; the next finds the rest.
const MOST: u32 = 500;

trunkline_platform::statements! {
    DOUBT_ORPHANS = same {
        "UPDATE sends SET state = 'unknown', reason = 'process_ended', state_at = $2
         WHERE id IN (SELECT id FROM sends
                      WHERE state IN ('intended', 'unknown', 'unresolved') AND state = 'intended' AND intended_at < $1
                      ORDER BY intended_at LIMIT $3)
           AND state = 'intended'"
    }
    /// What an earlier attempt, or an earlier pump, of a campaign committed to and told no outcome of.
    DOUBT_EARLIER = same {
        "UPDATE sends SET state = 'unknown', reason = 'process_ended', state_at = $4
         WHERE state = 'intended' AND campaign_id = $1 AND NOT (task_id = $2 AND attempt = $3)
         RETURNING id"
    }
    /// Says what the index says of itself, too: SQLite takes a partial index by its own words only.
    FIND_UNKNOWN = same {
        "SELECT id FROM sends WHERE state IN ('intended', 'unknown', 'unresolved') AND state = 'unknown'
         ORDER BY intended_at LIMIT $1"
    }
}

/// Marks intents without an answer as unknown, and has every unknown text settled.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SweepSends {}

impl Job for SweepSends {
    type Services = Services;
    const NAME: &'static str = "sends.sweep";
    const QUEUE: Queue = SENDS;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let now = cx.now();
        let mut tx = cx.services().db.write().await?;
        DOUBT_ORPHANS.bind(now - ORPHANED_AFTER).bind(now).bind(MOST).execute(&mut tx).await?;
        let unknown: Vec<Id> = FIND_UNKNOWN.bind(MOST).all(&mut tx).await?;
        tx.commit().await?;
        unknown
            .iter()
            .try_fold(Done::new(), |done, row| Ok(done.then(cx.follow_up(&SettleSend { send: row.id })?)))
    }
}

/// Marks as unknown what earlier pumps of a campaign left without an answer, and tells which that is.
pub(crate) async fn doubt_earlier(
    tx: &mut Session,
    campaign: i64,
    task: &TaskMeta,
    now: DateTime<Utc>,
) -> Result<Vec<SettleSend>, DbError> {
    let doubted = DOUBT_EARLIER.bind(campaign).bind(task.id.0).bind(task.token).bind(now);
    let doubted: Vec<Id> = doubted.all(tx).await?;
    Ok(doubted.into_iter().map(|row| SettleSend { send: row.id }).collect())
}
