//! What the receiver counts.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

/// Every code a refusal can have, so that its counter exists before the first one.
const REFUSALS: [&str; 21] = [
    "body_too_large",
    "body_too_slow",
    "body_incomplete",
    "content_type",
    "rate_limited",
    "malformed",
    "busy",
    "no_secret",
    "secret_awaited",
    "secrets_stale",
    "storage_unavailable",
    "signature_missing",
    "signature_invalid",
    "signature_malformed",
    "header_missing",
    "header_duplicated",
    "header_malformed",
    "timestamp_malformed",
    "timestamp_unit",
    "timestamp_stale",
    "secret_not_configured",
];

/// The receiver's metrics. Cheap to clone; the values are shared.
#[derive(Clone, Debug)]
pub struct ReceiverMetrics {
    accepted: IntCounter,
    seen: IntCounter,
    unknown_type: IntCounter,
    refused: IntCounterVec,
    pub(super) answer_seconds: Histogram,
    pub(super) batch_size: Histogram,
}

impl ReceiverMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let deliveries = IntCounterVec::new(
            Opts::new("trunkline_webhooks_accepted_total", "Webhooks answered 2xx, by whether they were new"),
            &["outcome"],
        )?;
        let unknown_type = IntCounter::new(
            "trunkline_webhooks_unknown_type_total",
            "Webhooks kept whose event type no job knows",
        )?;
        let refused = IntCounterVec::new(
            Opts::new("trunkline_webhooks_refused_total", "Webhooks refused, by reason"),
            &["code"],
        )?;
        let answer_seconds = Histogram::with_opts(
            HistogramOpts::new("trunkline_webhook_answer_seconds", "From request to answer")
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0]),
        )?;
        let batch_size = Histogram::with_opts(
            HistogramOpts::new("trunkline_webhook_commit_deliveries", "Deliveries that shared one commit")
                .buckets(vec![1.0, 2.0, 5.0, 20.0, 100.0, 500.0]),
        )?;
        registry.register(Box::new(deliveries.clone()))?;
        registry.register(Box::new(unknown_type.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(answer_seconds.clone()))?;
        registry.register(Box::new(batch_size.clone()))?;
        for code in REFUSALS {
            refused.with_label_values(&[code]).reset();
        }
        Ok(Self {
            accepted: deliveries.with_label_values(&["new"]),
            seen: deliveries.with_label_values(&["seen"]),
            unknown_type,
            refused,
            answer_seconds,
            batch_size,
        })
    }

    pub(super) fn accepted(&self) {
        self.accepted.inc();
    }

    pub(super) fn seen(&self) {
        self.seen.inc();
    }

    pub(super) fn unknown_type(&self) {
        self.unknown_type.inc();
    }

    pub(super) fn refused(&self, code: &str) {
        self.refused.with_label_values(&[code]).inc();
    }
}
