//! Workers: what takes tasks, runs their jobs and writes how they ended.
//!
//! ```text
//!  ring ─┐                ┌────────────── apalis worker of the queue ──────────────┐
//!        ├─ fetch: claim ─▶ bounded channel ─▶ backend ─▶ concurrency ─▶ attempt ──┼─▶ collector: fenced batch
//! table ─┘                └─────────────────────────────────────────────────────────┘
//!                 keeper: heartbeat, take-over of dead workers' tasks, what we hold
//! ```
//!
//! Fetching, running and finishing overlap. Nothing here returns an error to apalis, which would end the
//! worker: trouble is retried inside, with backoff, and shown in [`Readiness`]. A pool that dies all the same
//! is started again by its supervisor.

mod attempt;
mod backend;
mod collector;
mod fetch;
mod hands;
mod isolation;
mod keeper;
mod messenger;
mod pool;
mod tally;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use crate::db::DbError;
use crate::job::{Queue, Registry};
use crate::metrics::Metrics;
use crate::task::Tasks;

pub(crate) use attempt::Runner;
use collector::Collector;
use hands::Hands;
pub use pool::Pulse;
pub use watch::LeaseWatch;

/// How workers behave.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Jobs of one queue at a time, per process, by name of the queue.
    pub concurrency: BTreeMap<String, usize>,
    pub default_concurrency: usize,
    /// The longest time between two looks at the table.
    pub poll_interval: Duration,
    /// A worker that has not been heard of for this long is dead. Three heartbeats fit into it.
    pub lease: Duration,
    /// How long running jobs may go on after a stop was asked for.
    pub grace: Duration,
    /// What attempts are seeded from.
    pub seed: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: BTreeMap::new(),
            default_concurrency: 16,
            poll_interval: Duration::from_secs(1),
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(20),
            seed: 0,
        }
    }
}

impl WorkerConfig {
    fn concurrency_of(&self, queue: Queue) -> usize {
        self.concurrency.get(queue.name()).copied().unwrap_or(self.default_concurrency).max(1)
    }

    fn lease_delta(&self) -> TimeDelta {
        TimeDelta::from_std(self.lease).unwrap_or(TimeDelta::MAX)
    }
}

/// The workers of this process. Dropped without [`stop`](Workers::stop), they end as if the process had died.
#[derive(Debug)]
pub struct Workers {
    stop: DropGuard,
    hands: Hands,
    grace: Duration,
    pools: JoinSet<()>,
    keeper: AbortOnDropHandle<()>,
    messenger: AbortOnDropHandle<()>,
    collector: Collector,
    tally: tally::Tallying,
    tasks: Tasks,
    readiness: Readiness,
}

/// Whether the workers get their work, for a readiness probe. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    pulses: BTreeMap<Queue, Pulse>,
    patience: TimeDelta,
}

/// The least time without a look at the table after which a pool counts as silent.
const PATIENCE: TimeDelta = TimeDelta::seconds(15);

impl Readiness {
    /// The queues whose workers have not looked at the table for too long.
    pub fn silent(&self, now: DateTime<Utc>) -> Vec<Queue> {
        let since = now - self.patience;
        self.pulses.iter().filter(|(_, pulse)| pulse.last() < since).map(|(queue, _)| *queue).collect()
    }
}

impl Workers {
    /// Registers this process and starts a pool for each of `queues`.
    ///
    /// # Errors
    /// When the worker cannot be registered in the database.
    pub async fn start<S: Send + Sync + 'static>(
        tasks: Tasks,
        registry: Arc<Registry<S>>,
        services: Arc<S>,
        queues: &[Queue],
        config: WorkerConfig,
        metrics: Metrics,
    ) -> Result<Self, DbError> {
        let stop = CancellationToken::new();
        let hands = Hands::new(metrics.clone());
        let names: Vec<&str> = queues.iter().map(|queue| queue.name()).collect();
        let lease = keeper::Lease::take(&tasks, &names.join(","), config.lease_delta()).await?;
        hands.set_worker(lease.worker());
        let collector = Collector::start(tasks.clone(), hands.clone(), metrics.clone());
        let runner = Arc::new(Runner {
            registry,
            services,
            clock: tasks.clock().clone(),
            seed: config.seed,
            metrics: metrics.clone(),
        });
        for job in runner.registry.jobs() {
            metrics.prepare(job.name);
        }
        tasks.declare_limits(&runner.registry).await?;
        let jobs = runner.registry.jobs().map(|job| (job.name, job.queue.name()));
        let tally = tally::Tally::start(tasks.clone(), hands.clone(), metrics.clone(), jobs);

        let mut pools = JoinSet::new();
        let mut pulses = BTreeMap::new();
        for &queue in queues {
            let pulse = Pulse::new(tasks.clock().now());
            pulses.insert(queue, pulse.clone());
            let pool = pool::Pool {
                queue,
                concurrency: config.concurrency_of(queue),
                poll_interval: config.poll_interval,
                tasks: tasks.clone(),
                lease: lease.clone(),
                hands: hands.clone(),
                finishes: collector.sender(),
                runner: Arc::clone(&runner),
                metrics: metrics.clone(),
                pulse,
                stop: stop.clone(),
            };
            pools.spawn(pool.supervise());
        }
        let lane = isolation::IsolationLane {
            queues: queues.to_vec(),
            every: config.poll_interval,
            tasks: tasks.clone(),
            lease: lease.clone(),
            hands: hands.clone(),
            finishes: collector.sender(),
            runner,
        };
        pools.spawn(lane.run(stop.clone()));
        let messenger =
            messenger::Messenger { tasks: tasks.clone(), lease: lease.clone(), hands: hands.clone() };
        let messenger = AbortOnDropHandle::new(tokio::spawn(messenger.run()));
        let keeper = keeper::Keeper {
            tasks: tasks.clone(),
            lease,
            hands: hands.clone(),
            every: config.lease / 3,
            metrics,
        };
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper.run()));
        let patience =
            TimeDelta::from_std(config.poll_interval * 3).map_or(TimeDelta::MAX, |three| three.max(PATIENCE));
        let readiness = Readiness { pulses, patience };
        Ok(Self {
            stop: stop.drop_guard(),
            hands,
            grace: config.grace,
            pools,
            keeper,
            messenger,
            collector,
            tally,
            tasks,
            readiness,
        })
    }

    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Stops: takes no more, lets running jobs finish until the grace period ends, tells the rest to stop and
    /// gives it back with its try restored, writes every verdict, and signs off.
    pub async fn stop(self) {
        let Self { stop, hands, grace, mut pools, keeper, messenger, collector, tally, tasks, .. } = self;
        drop(stop);
        if timeout(grace, drained(&mut pools)).await.is_err() {
            tracing::warn!(held = hands.len(), "the grace period is over: giving back what still runs");
            hands.cancel_all();
            let heeding = attempt::HEED_WITHIN + Duration::from_millis(500);
            if timeout(heeding, drained(&mut pools)).await.is_err() {
                // Dropping a running attempt gives its task back.
                pools.abort_all();
                let _ = timeout(heeding, drained(&mut pools)).await;
            }
        }
        collector.stop().await;
        tally.stop().await;
        drop((keeper, messenger));
        let Some(worker) = hands.worker() else { return };
        let signed_off = async {
            if hands.in_doubt() {
                hands.settle_doubt(&tasks, &worker).await?;
            }
            // What could not be written stays ours until the lease runs out.
            if hands.len() == 0 { tasks.resign_worker(&worker).await } else { Ok(()) }
        };
        if let Err(error) = signed_off.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not sign off; the lease will run out"
            );
        }
    }
}

async fn drained(pools: &mut JoinSet<()>) {
    while pools.join_next().await.is_some() {}
}
