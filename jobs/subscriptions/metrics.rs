//! How the provider's webhooks stood at the last look, as gauges. They are read from the database, so every process shows
//! the same.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use super::checks::CheckRow;
use super::expected::Problem;

/// The metrics of the provider's webhooks. Cheap to clone; the values are shared.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    problems: IntGaugeVec,
    checked: IntGauge,
}

impl WebhookMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let problems = IntGaugeVec::new(
            Opts::new(
                "trunkline_webhook_problems",
                "What was wrong with the provider's webhooks at the last look",
            ),
            &["problem"],
        )?;
        let checked = IntGauge::new(
            "trunkline_webhooks_checked_seconds",
            "When the provider's webhooks were last looked at, in seconds since 1970; 0: never",
        )?;
        registry.register(Box::new(problems.clone()))?;
        registry.register(Box::new(checked.clone()))?;
        let metrics = Self { problems, checked };
        metrics.show(None);
        Ok(metrics)
    }

    pub fn show(&self, last: Option<&CheckRow>) {
        let findings = last.map(|last| last.findings.as_slice()).unwrap_or_default();
        for problem in Problem::ALL {
            let count = findings.iter().filter(|finding| finding.problem == problem).count();
            self.problems
                .with_label_values(&[problem.as_str()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.checked.set(last.map_or(0, |last| last.checked_at.timestamp()));
    }
}
