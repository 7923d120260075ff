//! What is counted at the door.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::denied::Denied;

/// Cheap to clone; the values are shared.
#[derive(Clone, Debug)]
pub struct AccessMetrics {
    granted: IntCounter,
    refused: IntCounterVec,
}

impl AccessMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let granted = IntCounter::new("trunkline_access_granted_total", "Requests with a key that was good")?;
        let refused = IntCounterVec::new(
            Opts::new("trunkline_access_refused_total", "Requests refused at the door, by reason"),
            &["reason"],
        )?;
        registry.register(Box::new(granted.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        for reason in Denied::REASONS {
            refused.with_label_values(&[reason]).reset();
        }
        Ok(Self { granted, refused })
    }

    pub(super) fn granted(&self) {
        self.granted.inc();
    }

    pub(super) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}
