//! What a run did and what the judge says.

use std::fmt::Write;
use std::time::Duration;

use crate::stage::Plan;

pub(crate) struct Report {
    pub(crate) engine: &'static str,
    /// When each fault began, what it was, and how long after its end work went on.
    pub(crate) faults: Vec<(Duration, String, Option<Duration>)>,
    pub(crate) starts: u32,
    pub(crate) deliveries: usize,
    pub(crate) enqueued: u64,
    pub(crate) tasks: usize,
    pub(crate) dead: usize,
    pub(crate) runs: usize,
    pub(crate) overlaps_after_expiry: usize,
    pub(crate) most_at_once: usize,
    pub(crate) cancelled: usize,
    /// From the last fault until everything had ended.
    pub(crate) drained: Duration,
    pub(crate) wrongs: Vec<String>,
}

impl Report {
    pub(crate) fn is_clean(&self) -> bool {
        self.wrongs.is_empty()
    }

    pub(crate) fn verdict(&self) -> String {
        if self.is_clean() {
            format!("clean ({} faults, {} tasks)", self.faults.len(), self.tasks)
        } else {
            let shown = self.wrongs.iter().take(30).map(String::as_str).collect::<Vec<_>>();
            format!("{} WRONGS\n{}", self.wrongs.len(), shown.join("\n"))
        }
    }

    pub(crate) fn markdown(&self, plan: &Plan) -> String {
        let mut kinds = std::collections::BTreeMap::<&str, (usize, Duration)>::new();
        for (_, what, recovered) in &self.faults {
            let kind = what.split(':').next().unwrap_or(what);
            let entry = kinds.entry(kind).or_default();
            entry.0 += 1;
            entry.1 = entry.1.max(recovered.unwrap_or_default());
        }
        let mut text = String::new();
        let minutes = plan.length.as_secs_f64() / 60.0;
        let _ = writeln!(text, "### {}, seed {}, {minutes:.0} minutes\n", self.engine, plan.seed);
        let _ = writeln!(text, "| | |\n| --- | --- |");
        let _ = writeln!(text, "| faults | {} |", self.faults.len());
        let _ = writeln!(text, "| starts of processes | {} |", self.starts);
        let _ = writeln!(text, "| deliveries acknowledged | {} |", self.deliveries);
        let _ = writeln!(text, "| test jobs enqueued | {} |", self.enqueued);
        let _ = writeln!(text, "| tasks, all ended | {} |", self.tasks);
        let _ = writeln!(text, "| dead letters, each after three dead workers | {} |", self.dead);
        let _ = writeln!(text, "| cancelled on purpose | {} |", self.cancelled);
        let _ = writeln!(text, "| test jobs at a time, at most | {} |", self.most_at_once);
        let _ = writeln!(text, "| runs in the execution log | {} |", self.runs);
        let _ = writeln!(
            text,
            "| overlaps, the earlier run without a lease and without effect | {} |",
            self.overlaps_after_expiry
        );
        let _ = writeln!(
            text,
            "| until all had ended after the last fault | {:.1} s |",
            self.drained.as_secs_f64()
        );
        let _ = writeln!(text, "| verdict | {} |\n", if self.is_clean() { "clean" } else { "**not clean**" });
        let _ = writeln!(text, "| fault | times | longest time until work went on |\n| --- | --- | --- |");
        for (kind, (count, longest)) in kinds {
            let _ = writeln!(text, "| {kind} | {count} | {:.1} s |", longest.as_secs_f64());
        }
        if !self.is_clean() {
            let _ = writeln!(text, "\n{}\n", self.verdict());
            for (at, what, recovered) in &self.faults {
                let _ = writeln!(text, "{:.1} s: {what} ({recovered:?})", at.as_secs_f64());
            }
        }
        text
    }
}
