//! What is counted of schedules.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

use super::file::Schedules;
use super::store::Outcome;

/// The metrics of schedules. Cheap to clone; the values are shared.
#[derive(Clone, Debug)]
pub struct ScheduleMetrics {
    /// Ticks by schedule and outcome.
    pub ticks: IntCounterVec,
    /// From a tick to its firing, in seconds.
    pub late_seconds: Histogram,
}

impl ScheduleMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let ticks = IntCounterVec::new(
            Opts::new("trunkline_schedule_ticks_total", "Ticks of schedules that this process judged"),
            &["schedule", "outcome"],
        )?;
        registry.register(Box::new(ticks.clone()))?;
        let late_seconds = Histogram::with_opts(
            HistogramOpts::new("trunkline_schedule_late_seconds", "From a tick to its firing")
                .buckets(vec![0.05, 0.2, 1.0, 2.0, 5.0, 30.0, 300.0, 3_600.0, 86_400.0]),
        )?;
        registry.register(Box::new(late_seconds.clone()))?;
        Ok(Self { ticks, late_seconds })
    }

    /// Makes the series of every schedule, at zero.
    pub(super) fn prepare(&self, schedules: &Schedules) {
        for schedule in schedules.iter() {
            for outcome in Outcome::ALL {
                let _ = self.ticks.with_label_values(&[schedule.name.as_str(), outcome.as_str()]);
            }
        }
    }
}
