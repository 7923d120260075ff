//! A task that a person enqueues: with its entry in the audit, and only one for a request that is sent again.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Enqueued, NewTask, Tasks};
use crate::audit::{self, Act, Actor};
use crate::db::DbError;

impl Tasks {
    /// Enqueues one task. `request` is the key of the request and how long it is remembered: sent again within that
    /// time it answers with the first one's task and enqueues nothing. The task's own unique key holds beside it.
    pub async fn enqueue_by_hand(
        &self,
        task: &NewTask,
        request: Option<(&str, TimeDelta)>,
        actor: &Actor,
    ) -> Result<Enqueued, DbError> {
        let now = self.clock.now();
        let mut tx = self.begin().await?;
        let enqueued = match request {
            Some((key, period)) => tx.enqueue_once(task, key, period).await?,
            None => tx.enqueue_one(task).await?,
        };
        let act = Act {
            action: "task.enqueue",
            subject: format!("task:{}", enqueued.id()),
            before: None,
            after: Some(entry(task, enqueued, now)),
        };
        audit::record(tx.session(), now, actor, &[act]).await?;
        tx.commit().await?;
        Ok(enqueued)
    }
}

fn entry(task: &NewTask, enqueued: Enqueued, now: DateTime<Utc>) -> Value {
    json!({
        "outcome": enqueued.as_str(), "kind": task.kind, "version": task.version, "queue": task.queue.name(),
        "priority": task.priority.level(), "run_at": task.run_at.unwrap_or(now), "unique_key": task.unique_key,
        "payload": serde_json::from_str::<Value>(&task.payload).unwrap_or_default(),
    })
}
