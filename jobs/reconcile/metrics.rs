//! How far we are behind the provider, as gauges. They are read from the database, so every process shows the same.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use super::kind::Kind;
use super::read::Status;

/// The metrics of reconciliation. Cheap to clone; the values are shared.
#[derive(Clone, Debug)]
pub struct ReconcileMetrics {
    gap: IntGaugeVec,
    unrepaired: IntGaugeVec,
    requests: IntGauge,
    last_complete: IntGauge,
    running_since: IntGauge,
}

impl ReconcileMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let by_kind = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["kind"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let one = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let metrics = Self {
            gap: by_kind("trunkline_reconcile_gap", "What the provider had and we had not, at the last run")?,
            unrepaired: by_kind(
                "trunkline_reconcile_unrepaired",
                "Of the gap, what had been told before and is missing all the same",
            )?,
            requests: one("trunkline_reconcile_requests", "Requests to the provider of the last run")?,
            last_complete: one(
                "trunkline_reconcile_last_complete_seconds",
                "When a run that looked at everything last ended, in seconds since 1970",
            )?,
            running_since: one(
                "trunkline_reconcile_running_since_seconds",
                "When the run under way began, in seconds since 1970",
            )?,
        };
        metrics.clear();
        Ok(metrics)
    }

    fn clear(&self) {
        for kind in Kind::KEPT {
            self.gap.with_label_values(&[kind.name()]).set(0);
            self.unrepaired.with_label_values(&[kind.name()]).set(0);
        }
        self.requests.set(0);
        self.last_complete.set(0);
        self.running_since.set(0);
    }

    pub fn show(&self, status: &Status) {
        self.clear();
        if let Some(last) = &status.last {
            for kind in Kind::KEPT {
                if let Some(row) = last.counts.iter().find(|row| row.kind == kind.name()) {
                    self.gap.with_label_values(&[kind.name()]).set(row.missing);
                    self.unrepaired.with_label_values(&[kind.name()]).set(row.missing - row.repaired);
                }
            }
            self.requests.set(last.sum(|row| row.requests));
            self.last_complete.set(last.run.ended_at.map_or(0, |ended| ended.timestamp()));
        }
        if let Some(running) = &status.running {
            self.running_since.set(running.run.started_at.timestamp());
        }
    }
}
