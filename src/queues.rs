//! How each queue stands: what it holds, how fast it is worked off, whether somebody holds it.

use std::collections::BTreeMap;

use serde::Serialize;
use trunkline_platform::job::Jobs;
use trunkline_platform::task::{Backlog, Limit, LimitRow, QueueDepth, QueueRate, Scope};

/// One queue.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QueueNow {
    #[serde(flatten)]
    pub depth: QueueDepth,
    pub paused: bool,
    /// Over the last 1, 5 and 15 minutes.
    #[serde(flatten)]
    pub rate: QueueRate,
}

/// Every queue of which anything is known, in order of name.
pub fn join(backlog: &[Backlog], rates: BTreeMap<String, QueueRate>, limits: &[LimitRow]) -> Vec<QueueNow> {
    let mut queues: BTreeMap<String, QueueNow> = BTreeMap::new();
    fn of<'q>(queues: &'q mut BTreeMap<String, QueueNow>, queue: &str) -> &'q mut QueueNow {
        let fresh = || QueueNow {
            depth: QueueDepth { queue: queue.to_owned(), ..QueueDepth::default() },
            ..QueueNow::default()
        };
        queues.entry(queue.to_owned()).or_insert_with(fresh)
    }
    for (queue, rate) in rates {
        of(&mut queues, &queue).rate = rate;
    }
    for depth in QueueDepth::of(backlog) {
        let queue = depth.queue.clone();
        of(&mut queues, &queue).depth = depth;
    }
    for queue in paused(limits) {
        of(&mut queues, queue).paused = true;
    }
    queues.into_values().collect()
}

/// The queues that somebody holds.
pub fn paused(limits: &[LimitRow]) -> impl Iterator<Item = &str> {
    limits.iter().filter(|row| row.limit.paused).filter_map(|row| row.scope.strip_prefix("queue:"))
}

/// The limit that holds where nobody has set another: what the job declares, and none for a queue. Absent: this release knows no queue
/// and no job of this name.
pub fn declared(jobs: &dyn Jobs, scope: &Scope) -> Option<Limit> {
    match scope {
        Scope::Queue(name) => jobs.queue_names().contains(&name.as_str()).then(Limit::default),
        Scope::Kind(name) => jobs.limit_of(name),
    }
}
