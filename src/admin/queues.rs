//! Queues: how they stand, and holding them back.

use chrono::{DateTime, Utc};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::granted::{Granted, Operate, Read};
use super::problem::Problem;
use super::{Answer, Desk, Tag};
use crate::queues::{self, QueueNow};

pub(super) struct QueuesApi(pub(super) Desk);

/// A queue
#[derive(Debug, Object)]
struct Queue {
    name: String,
    /// Nothing of it starts
    paused: bool,
    due: i64,
    /// Pending for later
    delayed: i64,
    running: i64,
    /// Behind another in the line of their ordering key
    blocked: i64,
    /// Since when the longest-waiting due task could have run
    oldest_due: Option<DateTime<Utc>>,
    /// Attempts, over the last 1, 5 and 15 minutes
    done_per_minute: Vec<f64>,
    failed_per_minute: Vec<f64>,
}

/// Why it is done
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct QueueAct {
    /// For the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

#[OpenApi(tag = "Tag::Queues")]
impl QueuesApi {
    /// List queues
    #[oai(path = "/queues", method = "get", operation_id = "list_queues")]
    async fn list(&self, _by: Granted<Read>) -> Answer<Vec<Queue>> {
        Ok(Json(self.all().await?))
    }

    /// Pause a queue
    ///
    /// Nothing of it starts until it is resumed, in any process; what runs goes on.
    #[oai(path = "/queues/:id/pause", method = "post", operation_id = "pause_queue")]
    async fn pause(&self, by: Granted<Operate>, id: Path<String>, body: Json<QueueAct>) -> Answer<Queue> {
        self.set(&by, id.0, body.0.reason, true).await
    }

    /// Resume a queue
    #[oai(path = "/queues/:id/resume", method = "post", operation_id = "resume_queue")]
    async fn resume(&self, by: Granted<Operate>, id: Path<String>, body: Json<QueueAct>) -> Answer<Queue> {
        self.set(&by, id.0, body.0.reason, false).await
    }
}

impl QueuesApi {
    async fn all(&self) -> Result<Vec<Queue>, Problem> {
        let tasks = &self.0.tasks;
        let (backlog, limits) = (tasks.backlog().await?, tasks.limits().await?);
        let mut standing = queues::join(&backlog, tasks.rates().await?, &limits);
        for name in self.0.jobs.queue_names() {
            if !standing.iter().any(|queue| queue.depth.queue == name) {
                let mut idle = QueueNow::default();
                idle.depth.queue = name.to_owned();
                standing.push(idle);
            }
        }
        standing.sort_by(|a, b| a.depth.queue.cmp(&b.depth.queue));
        Ok(standing.into_iter().map(Queue::of).collect())
    }

    async fn set(
        &self,
        by: &Granted<Operate>,
        name: String,
        reason: Option<String>,
        paused: bool,
    ) -> Answer<Queue> {
        if !self.0.jobs.queue_names().contains(&name.as_str()) {
            return Err(Problem::not_found(format!("queue {name:?}; see list_queues")));
        }
        self.0.tasks.pause_queue(&name, paused, &by.actor(reason)).await?;
        let found = self.all().await?.into_iter().find(|queue| queue.name == name);
        Ok(Json(found.ok_or_else(|| Problem::not_found(format!("queue {name:?}")))?))
    }
}

impl Queue {
    fn of(now: QueueNow) -> Self {
        let QueueNow { depth, paused, rate } = now;
        Self {
            name: depth.queue,
            paused,
            due: depth.due,
            delayed: depth.delayed,
            running: depth.running,
            blocked: depth.blocked,
            oldest_due: depth.oldest_due,
            done_per_minute: rate.done_per_minute.to_vec(),
            failed_per_minute: rate.failed_per_minute.to_vec(),
        }
    }
}
