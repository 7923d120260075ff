//! What is counted of requests to the provider.

use chrono::{DateTime, Utc};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::{Grant, RateLimit, Share, Window};

/// The metrics of the shared rate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProviderMetrics {
    taken: IntCounterVec,
    refused: IntCounterVec,
    limited: IntCounter,
    allowed: IntGauge,
}

impl ProviderMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &["share"])?;
            registry.register(Box::new(counters.clone()))?;
            for share in Share::ALL {
                let _ = counters.with_label_values(&[share.name()]);
            }
            Ok::<_, prometheus::Error>(counters)
        };
        let taken =
            counters("trunkline_provider_tokens_total", "Requests to the provider that were allowed")?;
        let refused = counters(
            "trunkline_provider_waits_total",
            "Times nobody could ask because the rate was used up",
        )?;
        let limited =
            IntCounter::new("trunkline_provider_rate_limited_total", "Answers 429 of the provider")?;
        registry.register(Box::new(limited.clone()))?;
        let allowed = IntGauge::new(
            "trunkline_provider_rate",
            "Requests a second allowed when this process last asked",
        )?;
        registry.register(Box::new(allowed.clone()))?;
        Ok(Self { taken, refused, limited, allowed })
    }

    pub(super) fn told(
        &self,
        share: Share,
        window: &Window,
        limit: RateLimit,
        grant: Grant,
        now: DateTime<Utc>,
    ) {
        let counter = if grant.granted > 0 { &self.taken } else { &self.refused };
        counter.with_label_values(&[share.name()]).inc_by(u64::from(grant.granted.max(1)));
        self.allowed.set(i64::from(window.allowed(limit, now)));
    }

    pub(super) fn limited(&self, window: &Window, limit: RateLimit, now: DateTime<Utc>) {
        self.limited.inc();
        self.allowed.set(i64::from(window.allowed(limit, now)));
    }
}
