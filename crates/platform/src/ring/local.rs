//! The ring inside one process: bounded queues behind a lock, one lane per queue of tasks.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Bell, CAPACITY, Heard};
use crate::job::Priority;

/// Only queues that somebody in this process has listened to have a lane; the bells of others are dropped.
#[derive(Clone, Debug, Default)]
pub struct LocalRing(Arc<Mutex<HashMap<String, Lane>>>);

/// The bells of one queue.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    bells: Arc<Mutex<Bells>>,
    rung: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Bells {
    levels: [VecDeque<i64>; Priority::ALL.len()],
    /// There is more than these lists tell.
    look: bool,
}

impl LocalRing {
    fn lanes(&self) -> MutexGuard<'_, HashMap<String, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lane(&self, queue: &str) -> Lane {
        self.lanes().entry(queue.to_owned()).or_default().clone()
    }

    pub(super) fn push(&self, bells: &[Bell]) {
        let lanes = self.lanes();
        for bells in bells.chunk_by(|a, b| a.queue == b.queue) {
            if let Some(lane) = bells.first().and_then(|first| lanes.get(&first.queue)) {
                lane.push(bells);
            }
        }
    }

    /// How many ids there are for listeners of a queue.
    pub(super) fn len(&self, queue: &str, priority: Priority) -> usize {
        self.lanes().get(queue).map_or(0, |lane| lane.len(priority))
    }

    /// Takes from the front of one list, without waiting.
    pub(super) fn take(&self, queue: &str, priority: Priority, max: usize) -> Vec<i64> {
        self.lanes().get(queue).map(|lane| lane.take_of(priority, max)).unwrap_or_default()
    }

    /// Has the listeners of these queues look at the table.
    pub(super) fn look<'q>(&self, queues: impl Iterator<Item = &'q str>) {
        let lanes = self.lanes();
        for lane in queues.filter_map(|queue| lanes.get(queue)) {
            lane.look();
        }
    }

    pub(super) fn look_everywhere(&self) {
        for lane in self.lanes().values() {
            lane.look();
        }
    }
}

impl Lane {
    fn bells(&self) -> MutexGuard<'_, Bells> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, new: &[Bell]) {
        let mut bells = self.bells();
        for bell in new {
            if let Some(level) = bells.levels.get_mut(usize::from(bell.priority.level()))
                && level.len() < CAPACITY
            {
                level.push_back(bell.id.0);
            }
        }
        drop(bells);
        self.rung.notify_one();
    }

    fn look(&self) {
        self.bells().look = true;
        self.rung.notify_one();
    }

    fn len(&self, priority: Priority) -> usize {
        self.bells().levels.get(usize::from(priority.level())).map_or(0, VecDeque::len)
    }

    fn take_of(&self, priority: Priority, max: usize) -> Vec<i64> {
        let mut bells = self.bells();
        let Some(level) = bells.levels.get_mut(usize::from(priority.level())) else { return Vec::new() };
        level.drain(..max.min(level.len())).collect()
    }

    pub(super) async fn pop(&self, max: usize, wait: Duration) -> Heard {
        // Who takes none would be woken for ever by what is left.
        let max = max.max(1);
        let first = async {
            loop {
                let rung = self.rung.notified();
                if let Some(heard) = self.take(max) {
                    return heard;
                }
                rung.await;
            }
        };
        tokio::time::timeout(wait, first).await.unwrap_or(Heard::Tasks(Vec::new()))
    }

    /// Ids first: claiming by id is cheaper than looking.
    fn take(&self, max: usize) -> Option<Heard> {
        let mut bells = self.bells();
        let mut ids = Vec::new();
        for level in &mut bells.levels {
            let room = max - ids.len();
            ids.extend(level.drain(..room.min(level.len())));
        }
        if ids.is_empty() {
            return std::mem::take(&mut bells.look).then_some(Heard::Look);
        }
        if bells.look || bells.levels.iter().any(|level| !level.is_empty()) {
            self.rung.notify_one();
        }
        Some(Heard::Tasks(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskId;

    fn bell(id: i64, priority: Priority) -> Bell {
        Bell { queue: "q".to_owned(), priority, id: TaskId(id) }
    }

    fn tasks(ids: impl IntoIterator<Item = i64>) -> Heard {
        Heard::Tasks(ids.into_iter().collect())
    }

    #[tokio::test]
    async fn the_most_urgent_are_popped_first_and_in_order() {
        let ring = LocalRing::default();
        let lane = ring.lane("q");
        ring.push(&[bell(1, Priority::LOW), bell(2, Priority::URGENT), bell(3, Priority::LOW)]);
        assert_eq!(lane.pop(2, Duration::ZERO).await, tasks([2, 1]));
        assert_eq!(lane.pop(2, Duration::ZERO).await, tasks([3]));
    }

    #[tokio::test]
    async fn a_full_ring_drops_the_newest() {
        let ring = LocalRing::default();
        let lane = ring.lane("q");
        let bells: Vec<_> = (0..=CAPACITY as i64).map(|id| bell(id, Priority::NORMAL)).collect();
        ring.push(&bells);
        assert_eq!(lane.pop(usize::MAX, Duration::ZERO).await, tasks(0..CAPACITY as i64));
    }

    #[tokio::test]
    async fn bells_nobody_listens_to_are_not_kept() {
        let ring = LocalRing::default();
        ring.push(&[bell(1, Priority::LOW)]);
        assert_eq!(ring.lane("q").pop(1, Duration::ZERO).await, tasks([]));
    }

    #[tokio::test]
    async fn a_pop_for_none_ends() {
        let ring = LocalRing::default();
        let lane = ring.lane("q");
        ring.push(&[bell(1, Priority::LOW), bell(2, Priority::LOW)]);
        assert_eq!(lane.pop(0, Duration::ZERO).await, tasks([1]));
    }

    #[tokio::test]
    async fn a_sign_to_look_comes_once_and_after_the_ids() {
        let ring = LocalRing::default();
        let (lane, other) = (ring.lane("q"), ring.lane("other"));
        ring.look(["q", "unknown"].into_iter());
        ring.push(&[bell(1, Priority::LOW)]);
        assert_eq!(lane.pop(9, Duration::ZERO).await, tasks([1]));
        assert_eq!(lane.pop(9, Duration::ZERO).await, Heard::Look);
        assert_eq!(lane.pop(9, Duration::ZERO).await, tasks([]));
        assert_eq!(other.pop(9, Duration::ZERO).await, tasks([]));
    }

    #[tokio::test]
    async fn a_waiting_pop_is_woken_by_a_push() {
        let ring = LocalRing::default();
        let lane = ring.lane("q");
        let waiting = tokio::spawn(async move { lane.pop(10, Duration::from_secs(30)).await });
        tokio::task::yield_now().await;
        ring.push(&[bell(7, Priority::NORMAL)]);
        assert_eq!(waiting.await.unwrap(), tasks([7]));
    }
}
