//! What is counted of forwarding.

use prometheus::{IntCounterVec, Opts, Registry};

const OUTCOMES: [&str; 4] = ["delivered", "failed", "refused", "dropped"];

/// The metrics of forwarding. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ForwardMetrics {
    forwards: IntCounterVec,
}

impl ForwardMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let forwards = IntCounterVec::new(
            Opts::new(
                "trunkline_forwards_total",
                "Deliveries to development endpoints, by what came of them",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(forwards.clone()))?;
        for outcome in OUTCOMES {
            let _ = forwards.with_label_values(&[outcome]);
        }
        Ok(Self { forwards })
    }

    pub(super) fn ended(&self, outcome: &str) {
        self.forwards.with_label_values(&[outcome]).inc();
    }
}
