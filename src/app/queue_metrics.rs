//! `GET /metrics`: everything counted in this process, and how the queues stand, read from the database when
//! asked, but not more often than every few seconds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use poem::web::Data;
use poem::{Response, handler};
use prometheus::{Encoder, IntGaugeVec, Opts, Registry, TextEncoder};
use tokio::sync::Mutex;
use tokio::time::Instant;
use trunkline_platform::job::Queue;
use trunkline_platform::task::Tasks;

const FRESH_FOR: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(3);

/// What a scrape reads.
#[derive(Clone)]
pub(super) struct Scrape {
    registry: Registry,
    tasks: Tasks,
    depth: IntGaugeVec,
    oldest: IntGaugeVec,
    /// Those this release knows: they have series although they are empty.
    queues: Arc<BTreeSet<Queue>>,
    read_at: Arc<Mutex<Option<Instant>>>,
}

impl Scrape {
    pub(super) fn new(registry: Registry, tasks: Tasks, queues: BTreeSet<Queue>) -> prometheus::Result<Self> {
        let depth = IntGaugeVec::new(
            Opts::new("trunkline_queue_tasks", "Unfinished tasks, by queue and state"),
            &["queue", "state"],
        )?;
        let oldest = IntGaugeVec::new(
            Opts::new("trunkline_queue_oldest_seconds", "How long the longest-waiting due task has waited"),
            &["queue"],
        )?;
        registry.register(Box::new(depth.clone()))?;
        registry.register(Box::new(oldest.clone()))?;
        let scrape =
            Self { registry, tasks, depth, oldest, queues: Arc::new(queues), read_at: Arc::default() };
        scrape.clear();
        Ok(scrape)
    }

    fn clear(&self) {
        self.depth.reset();
        self.oldest.reset();
        for queue in self.queues.iter() {
            for state in ["due", "delayed", "running"] {
                self.depth.with_label_values(&[queue.name(), state]).set(0);
            }
            self.oldest.with_label_values(&[queue.name()]).set(0);
        }
    }

    /// Reads the queues, unless that was done a moment ago. While the database is away the last figures stay.
    async fn refresh(&self) {
        let mut read_at = self.read_at.lock().await;
        if read_at.is_some_and(|at| at.elapsed() < FRESH_FOR) {
            return;
        }
        *read_at = Some(Instant::now());
        match tokio::time::timeout(DEADLINE, self.tasks.queue_depths()).await {
            Ok(Ok(depths)) => {
                self.clear();
                let now = self.tasks.clock().now();
                for depth in depths {
                    let queue = depth.queue.as_str();
                    self.depth.with_label_values(&[queue, "due"]).set(depth.due);
                    self.depth.with_label_values(&[queue, "delayed"]).set(depth.delayed);
                    self.depth.with_label_values(&[queue, "running"]).set(depth.running);
                    let age = depth.oldest_due.map_or(0, |since| (now - since).num_seconds());
                    self.oldest.with_label_values(&[queue]).set(age);
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the queues could not be measured");
            }
            Err(_) => tracing::warn!("the queues could not be measured in time"),
        }
    }
}

#[handler]
pub(super) async fn metrics(Data(scrape): Data<&Scrape>) -> poem::Result<Response> {
    scrape.refresh().await;
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    encoder.encode(&scrape.registry.gather(), &mut text).map_err(poem::error::InternalServerError)?;
    Ok(Response::builder().content_type(encoder.format_type()).body(text))
}
