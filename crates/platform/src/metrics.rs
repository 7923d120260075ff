//! What the platform counts. Every series exists from the start at zero where its labels are known, so that
//! a dashboard never has to tell "none yet" from "not there".

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// The platform's metrics. Cheap to clone; the values are shared.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Verdicts by kind: `done`, `failed`, `dead`, `snoozed`, …
    pub finished: IntCounterVec,
    /// Tasks that became dead letters, by kind.
    pub dead: IntCounterVec,
    /// Running tasks that ended because somebody cancelled them.
    pub cancelled: IntCounter,
    /// How long an attempt ran, in seconds, by kind.
    pub run_seconds: HistogramVec,
    /// From the time a task could have run to its start, in seconds.
    pub pickup_seconds: Histogram,
    /// Tasks taken at a time.
    pub claim_size: Histogram,
    /// Verdicts that came too late to count.
    pub lost_leases: IntCounter,
    /// Tasks taken over from workers that died.
    pub taken_over: IntCounter,
    /// Pools that died and were started again, by queue.
    pub pool_restarts: IntCounterVec,
    /// Bells that could not be rung; the table poll finds those tasks.
    pub ring_dropped: IntCounter,
    /// Calls to the ring that failed or took too long.
    pub ring_errors: IntCounter,
    /// Tasks this process has taken and not finished.
    pub held: IntGauge,
    /// Statements that took longer than a person wants to wait.
    pub slow_statements: IntCounter,
}

/// How an attempt can end.
const VERDICTS: [&str; 9] = [
    "done",
    "failed",
    "timed_out",
    "panicked",
    "permanent",
    "discarded",
    "snoozed",
    "unknown_kind",
    "cut_short",
];

impl Metrics {
    /// Makes the series of a job, at zero.
    pub(crate) fn prepare(&self, kind: &str) {
        for verdict in VERDICTS {
            let _ = self.finished.with_label_values(&[kind, verdict]);
        }
        let _ = self.dead.with_label_values(&[kind]);
        let _ = self.run_seconds.with_label_values(&[kind]);
    }

    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let run_seconds = HistogramVec::new(
            HistogramOpts::new("trunkline_task_run_seconds", "How long an attempt ran")
                .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0]),
            &["kind"],
        )?;
        registry.register(Box::new(run_seconds.clone()))?;
        let held = IntGauge::new("trunkline_tasks_held", "Tasks this process has taken and not finished")?;
        registry.register(Box::new(held.clone()))?;
        Ok(Self {
            finished: counters(
                "trunkline_tasks_finished_total",
                "Attempts that ended, by kind and verdict",
                &["kind", "verdict"],
            )?,
            dead: counters("trunkline_dead_letters_total", "Tasks that became dead letters", &["kind"])?,
            cancelled: counter(
                "trunkline_tasks_cancelled_total",
                "Running tasks that ended because somebody cancelled them",
            )?,
            run_seconds,
            pickup_seconds: histogram(
                "trunkline_task_pickup_seconds",
                "From when a task could have run to its start",
                vec![0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0, 5.0, 30.0, 300.0],
            )?,
            claim_size: histogram(
                "trunkline_claim_tasks",
                "Tasks taken by one claim",
                vec![1.0, 5.0, 20.0, 100.0, 500.0],
            )?,
            lost_leases: counter(
                "trunkline_lost_leases_total",
                "Verdicts dropped because the task was no longer this worker's",
            )?,
            taken_over: counter("trunkline_tasks_taken_over_total", "Tasks taken over from dead workers")?,
            pool_restarts: counters(
                "trunkline_pool_restarts_total",
                "Worker pools that died and were started again",
                &["queue"],
            )?,
            ring_dropped: counter(
                "trunkline_ring_dropped_total",
                "Bells not rung because the ring was away or busy; the table poll finds those tasks",
            )?,
            ring_errors: counter(
                "trunkline_ring_errors_total",
                "Calls to the ring that failed or took too long",
            )?,
            held,
            slow_statements: counter(
                "trunkline_db_slow_statements_total",
                "Statements that took as long as database.slow_query, or longer",
            )?,
        })
    }
}
