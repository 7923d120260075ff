//! The ring inside one process: bounded queues behind a lock, one lane per queue of tasks.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Bell, CAPACITY};
use crate::job::Priority;

#[derive(Clone, Debug, Default)]
pub struct LocalRing(Arc<Mutex<HashMap<String, Lane>>>);

/// The bells of one queue, a list for each priority.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    levels: Arc<Mutex<[VecDeque<i64>; Priority::ALL.len()]>>,
    rung: Arc<Notify>,
}

impl LocalRing {
    pub(super) fn lane(&self, queue: &str) -> Lane {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(queue) {
            return lane.clone();
        }
        lanes.entry(queue.to_owned()).or_default().clone()
    }

    pub(super) fn push(&self, bells: &[Bell]) {
        for bells in bells.chunk_by(|a, b| a.queue == b.queue) {
            if let Some(first) = bells.first() {
                self.lane(&first.queue).push(bells);
            }
        }
    }
}

impl Lane {
    fn levels(&self) -> MutexGuard<'_, [VecDeque<i64>; Priority::ALL.len()]> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, bells: &[Bell]) {
        let mut levels = self.levels();
        for bell in bells {
            if let Some(level) = levels.get_mut(usize::from(bell.priority.level()))
                && level.len() < CAPACITY
            {
                level.push_back(bell.id.0);
            }
        }
        drop(levels);
        self.rung.notify_one();
    }

    pub(super) async fn pop(&self, max: usize, wait: Duration) -> Vec<i64> {
        // Who takes none would be woken for ever by what is left.
        let max = max.max(1);
        let first_ids = async {
            loop {
                let rung = self.rung.notified();
                let ids = self.take(max);
                if !ids.is_empty() {
                    return ids;
                }
                rung.await;
            }
        };
        tokio::time::timeout(wait, first_ids).await.unwrap_or_default()
    }

    fn take(&self, max: usize) -> Vec<i64> {
        let mut levels = self.levels();
        let mut ids = Vec::new();
        for level in levels.iter_mut() {
            let room = max - ids.len();
            ids.extend(level.drain(..room.min(level.len())));
        }
        let left = levels.iter().any(|level| !level.is_empty());
        drop(levels);
        if left {
            self.rung.notify_one();
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskId;

    fn bell(id: i64, priority: Priority) -> Bell {
        Bell { queue: "q".to_owned(), priority, id: TaskId(id) }
    }

    #[tokio::test]
    async fn the_most_urgent_are_popped_first_and_in_order() {
        let ring = LocalRing::default();
        ring.push(&[bell(1, Priority::LOW), bell(2, Priority::URGENT), bell(3, Priority::LOW)]);
        let lane = ring.lane("q");
        assert_eq!(lane.pop(2, Duration::ZERO).await, [2, 1]);
        assert_eq!(lane.pop(2, Duration::ZERO).await, [3]);
    }

    #[tokio::test]
    async fn a_full_ring_drops_the_newest() {
        let ring = LocalRing::default();
        let bells: Vec<_> = (0..=CAPACITY as i64).map(|id| bell(id, Priority::NORMAL)).collect();
        ring.push(&bells);
        let ids = ring.lane("q").pop(usize::MAX, Duration::ZERO).await;
        assert_eq!((ids.len(), ids.last()), (CAPACITY, Some(&(CAPACITY as i64 - 1))));
    }

    #[tokio::test]
    async fn a_pop_for_none_ends() {
        let ring = LocalRing::default();
        ring.push(&[bell(1, Priority::LOW), bell(2, Priority::LOW)]);
        assert_eq!(ring.lane("q").pop(0, Duration::ZERO).await, [1]);
    }

    #[tokio::test]
    async fn a_waiting_pop_is_woken_by_a_push() {
        let ring = LocalRing::default();
        let lane = ring.lane("q");
        let waiting = tokio::spawn(async move { lane.pop(10, Duration::from_secs(30)).await });
        tokio::task::yield_now().await;
        ring.push(&[bell(7, Priority::NORMAL)]);
        assert_eq!(waiting.await.unwrap(), [7]);
    }
}
