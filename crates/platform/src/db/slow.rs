//! The log of slow statements: which one it was, how long it took and how many rows came of it. Never its values,
//! which are people's names, numbers and texts.

use std::time::Duration;

use prometheus::IntCounter;

/// Tells and counts what took too long. Cheap to clone; the count is shared.
#[derive(Clone, Debug)]
pub(super) struct SlowLog {
    pub(super) threshold: Option<Duration>,
    pub(super) count: Option<IntCounter>,
}

impl SlowLog {
    /// The same, for statements that are meant to take long.
    pub(super) fn silent(&self) -> Self {
        Self { threshold: None, count: self.count.clone() }
    }

    /// `rows` are those returned or changed; a statement that failed has none.
    pub(super) fn judge(&self, statement: &'static str, took: Duration, rows: Option<u64>) {
        if self.threshold.is_none_or(|threshold| took < threshold) {
            return;
        }
        if let Some(count) = &self.count {
            count.inc();
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match rows {
            Some(rows) => tracing::warn!(statement, took_ms, rows, "a slow statement"),
            None => tracing::warn!(statement, took_ms, "a slow statement, which failed"),
        }
    }
}
