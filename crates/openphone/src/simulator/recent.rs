//! A map that forgets its oldest entries.

use std::collections::{HashMap, VecDeque};

/// A map of at most so many entries; a new one too many drops the oldest.
#[derive(Debug)]
pub(super) struct Recent<T> {
    entries: HashMap<String, T>,
    order: VecDeque<String>,
    capacity: usize,
}

impl<T> Recent<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), capacity }
    }

    /// Whether the key is new.
    pub(super) fn insert(&mut self, key: &str, value: T) -> bool {
        let new = self.entries.insert(key.to_owned(), value).is_none();
        if new {
            self.order.push_back(key.to_owned());
            if self.order.len() > self.capacity {
                self.order.pop_front().map(|oldest| self.entries.remove(&oldest));
            }
        }
        new
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        self.entries.get_mut(key)
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.order.iter().filter_map(|key| self.entries.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_are_forgotten() {
        let mut recent = Recent::new(2);
        assert!(recent.insert("a", 1));
        assert!(!recent.insert("a", 2));
        assert!(recent.insert("b", 3));
        assert!(recent.insert("c", 4));
        assert_eq!((recent.get("a"), recent.get("c")), (None, Some(&4)));
        assert_eq!(recent.iter().copied().collect::<Vec<_>>(), [3, 4]);
    }
}
