//! What is counted of campaigns.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::breaker::Cause;

/// Outcomes of tries.
const OUTCOMES: [&str; 5] = ["accepted", "refused", "not_sent", "stopped", "unknown"];
/// What the gate says of a recipient.
const VERDICTS: [&str; 3] = ["send", "hold", "refuse"];

/// The metrics of campaigns. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CampaignMetrics {
    pub(super) verdicts: IntCounterVec,
    pub(super) outcomes: IntCounterVec,
    pub(super) held: IntCounter,
    pub(super) promoted: IntCounter,
    trips: IntCounterVec,
}

impl CampaignMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, label: &str, values: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            for value in values {
                let _ = counters.with_label_values(&[*value]);
            }
            Ok::<_, prometheus::Error>(counters)
        };
        let verdicts =
            counters("trunkline_campaign_verdicts_total", "Decisions about texts", "verdict", &VERDICTS)?;
        let outcomes = counters(
            "trunkline_campaign_texts_total",
            "Texts the provider was asked to send",
            "outcome",
            &OUTCOMES,
        )?;
        let held =
            IntCounter::new("trunkline_campaigns_held_total", "Campaigns that the program paused by itself")?;
        registry.register(Box::new(held.clone()))?;
        let promoted =
            IntCounter::new("trunkline_campaign_winners_total", "Texts that the program promoted by itself")?;
        registry.register(Box::new(promoted.clone()))?;
        let causes = Cause::ALL.map(Cause::as_str);
        let trips = counters(
            "trunkline_breaker_trips_total",
            "Times the breaker stopped a campaign or a number",
            "cause",
            &causes,
        )?;
        Ok(Self { verdicts, outcomes, held, promoted, trips })
    }

    /// The breaker tripped; `paused`: over a campaign, not over a number.
    pub(super) fn trip(&self, cause: Cause, paused: bool) {
        self.trips.with_label_values(&[cause.as_str()]).inc();
        if paused {
            self.held.inc();
        }
    }

    pub(super) fn verdict(&self, verdict: &str, count: usize) {
        self.verdicts.with_label_values(&[verdict]).inc_by(count as u64);
    }
}
