//! What is counted of upkeep.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::run::CHORES;

/// The metrics of upkeep. Cheap to clone; the values are shared.
#[derive(Clone, Debug)]
pub struct UpkeepMetrics {
    /// Rows removed, or put right, by job.
    pub rows: IntCounterVec,
    pub bytes: IntCounterVec,
    /// When a job last came to its end, in seconds since 1970.
    pub last_end: IntGaugeVec,
}

impl UpkeepMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &["job"])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let rows = counters("trunkline_upkeep_rows_total", "Rows that upkeep removed or put right")?;
        let bytes = counters("trunkline_upkeep_freed_bytes_total", "Bytes that upkeep freed")?;
        let last_end = IntGaugeVec::new(
            Opts::new("trunkline_upkeep_last_end_seconds", "When an upkeep job last ended in this process"),
            &["job"],
        )?;
        registry.register(Box::new(last_end.clone()))?;
        for job in CHORES {
            let _ = (rows.with_label_values(&[job]), bytes.with_label_values(&[job]));
            last_end.with_label_values(&[job]).set(0);
        }
        Ok(Self { rows, bytes, last_end })
    }
}
