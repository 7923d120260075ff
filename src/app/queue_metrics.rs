//! `GET /metrics`: everything counted in this process, and how the queues stand, read from the database when
//! asked, but not more often than every few seconds.

use std::sync::Arc;
use std::time::Duration;

use poem::web::Data;
use poem::{Response, handler};
use prometheus::{Encoder, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use tokio::sync::Mutex;
use tokio::time::Instant;
use trunkline_jobs::Services;
use trunkline_jobs::reconcile::{self, ReconcileMetrics, Status};
use trunkline_jobs::secrets::{SecretMetrics, Standing, Vault};
use trunkline_jobs::subscriptions::{self, CheckRow, WebhookMetrics};
use trunkline_platform::db::DbError;
use trunkline_platform::job::Registry as Jobs;
use trunkline_platform::task::dead::DeadCount;
use trunkline_platform::task::{Backlog, LimitRow, Tasks};

use crate::queues;

const FRESH_FOR: Duration = Duration::from_secs(10);
/// Measuring a large backlog takes a while: at most one part in so many of the time goes into it.
const SHARE: u32 = 20;
const DEADLINE: Duration = Duration::from_secs(3);

/// What a scrape reads.
#[derive(Clone)]
pub(super) struct Scrape {
    registry: Registry,
    tasks: Tasks,
    vault: Vault,
    depth: IntGaugeVec,
    oldest: IntGaugeVec,
    paused: IntGaugeVec,
    newer: IntGauge,
    dead: IntGaugeVec,
    oldest_dead: IntGauge,
    reconcile: ReconcileMetrics,
    secrets: SecretMetrics,
    webhooks: WebhookMetrics,
    /// Those this release knows: their series are there although they are empty.
    jobs: Arc<Jobs<Services>>,
    /// The figures are fresh until then.
    fresh_until: Arc<Mutex<Option<Instant>>>,
}

/// What was read from the database.
struct Read {
    backlog: Vec<Backlog>,
    dead: Vec<DeadCount>,
    limits: Vec<LimitRow>,
    reconcile: Status,
    secrets: Vec<Standing>,
    webhooks: Option<CheckRow>,
}

impl Scrape {
    pub(super) fn new(
        registry: Registry,
        tasks: Tasks,
        vault: Vault,
        jobs: Arc<Jobs<Services>>,
    ) -> prometheus::Result<Self> {
        let depth = IntGaugeVec::new(
            Opts::new("trunkline_queue_tasks", "Backlog tasks, by queue and state"),
            &["queue", "state"],
        )?;
        let oldest = IntGaugeVec::new(
            Opts::new("trunkline_queue_oldest_seconds", "How long the longest-waiting due task has waited"),
            &["queue"],
        )?;
        let paused = IntGaugeVec::new(
            Opts::new("trunkline_queue_paused", "1 while somebody holds the queue"),
            &["queue"],
        )?;
        let newer = IntGauge::new(
            "trunkline_tasks_waiting_for_release",
            "Tasks whose job or payload version this release does not know",
        )?;
        let dead =
            IntGaugeVec::new(Opts::new("trunkline_dead_letters", "Dead letters in the table"), &["kind"])?;
        let oldest_dead = IntGauge::new(
            "trunkline_dead_letters_oldest_seconds",
            "How long ago the oldest dead letter died",
        )?;
        for gauges in [&depth, &oldest, &paused, &dead] {
            registry.register(Box::new(gauges.clone()))?;
        }
        for gauge in [&newer, &oldest_dead] {
            registry.register(Box::new(gauge.clone()))?;
        }
        let reconcile = ReconcileMetrics::new(&registry)?;
        let secrets = SecretMetrics::new(&registry)?;
        let webhooks = WebhookMetrics::new(&registry)?;
        let fresh_until = Arc::default();
        let scrape = Self {
            registry,
            tasks,
            vault,
            depth,
            oldest,
            paused,
            newer,
            dead,
            oldest_dead,
            reconcile,
            secrets,
            webhooks,
            jobs,
            fresh_until,
        };
        scrape.clear();
        Ok(scrape)
    }

    fn clear(&self) {
        self.depth.reset();
        self.oldest.reset();
        self.paused.reset();
        self.dead.reset();
        for queue in self.jobs.queues() {
            for state in ["due", "delayed", "running", "blocked"] {
                self.depth.with_label_values(&[queue.name(), state]).set(0);
            }
            self.oldest.with_label_values(&[queue.name()]).set(0);
            self.paused.with_label_values(&[queue.name()]).set(0);
        }
        for job in self.jobs.jobs() {
            self.dead.with_label_values(&[job.name]).set(0);
        }
        self.newer.set(0);
        self.oldest_dead.set(0);
    }

    /// Reads the queues, unless that was done a moment ago. While the database is away the last figures stay.
    async fn refresh(&self) {
        let mut fresh_until = self.fresh_until.lock().await;
        let begun = Instant::now();
        if fresh_until.is_some_and(|until| begun < until) {
            return;
        }
        match tokio::time::timeout(DEADLINE, self.read()).await {
            Ok(Ok(read)) => {
                self.show(&read.backlog, &read.dead, &read.limits);
                self.reconcile.show(&read.reconcile);
                self.secrets.show(&read.secrets);
                self.webhooks.show(read.webhooks.as_ref());
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the queues could not be measured");
            }
            Err(_) => tracing::warn!("the queues could not be measured in time"),
        }
        *fresh_until = Some(Instant::now() + FRESH_FOR.max(begun.elapsed() * SHARE));
    }

    async fn read(&self) -> Result<Read, DbError> {
        Ok(Read {
            backlog: self.tasks.backlog().await?,
            dead: self.tasks.count_dead().await?,
            limits: self.tasks.limits().await?,
            reconcile: reconcile::status(self.tasks.db()).await?,
            secrets: self.vault.standing(self.tasks.clock().now()).await?,
            webhooks: subscriptions::last(self.tasks.db()).await?,
        })
    }

    fn show(&self, backlog: &[Backlog], dead: &[DeadCount], limits: &[LimitRow]) {
        self.clear();
        let now = self.tasks.clock().now();
        for row in backlog {
            let queue = row.queue.as_str();
            self.depth.with_label_values(&[queue, "due"]).add(row.due);
            self.depth.with_label_values(&[queue, "delayed"]).add(row.delayed);
            self.depth.with_label_values(&[queue, "running"]).add(row.running);
            self.depth.with_label_values(&[queue, "blocked"]).add(row.blocked);
            let age = row.oldest_due.map_or(0, |since| (now - since).num_seconds());
            let oldest = self.oldest.with_label_values(&[queue]);
            oldest.set(oldest.get().max(age));
            if !self.jobs.knows(&row.kind, row.version) {
                self.newer.add(row.due + row.delayed + row.blocked);
            }
        }
        for queue in queues::paused(limits) {
            self.paused.with_label_values(&[queue]).set(1);
        }
        for row in dead {
            self.dead.with_label_values(&[row.kind.as_str()]).set(row.count);
            self.oldest_dead.set(self.oldest_dead.get().max((now - row.oldest).num_seconds()));
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
