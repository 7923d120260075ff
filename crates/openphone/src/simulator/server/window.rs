//! The provider's rate limit: so many calls in each second of the calendar, whoever makes them. Beside it every second
//! is counted, wherever it begins, for who wants to know how near somebody came.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use crate::simulator::lock;

const SECOND: Duration = Duration::from_secs(1);

/// When a call is made.
#[derive(Clone, Copy)]
pub(super) enum Moment {
    /// Now, by the machine: it is real time that is limited, even where a test moves its clock by hand.
    Machine,
    /// By the simulator's own clock.
    Own(DateTime<Utc>),
}

/// What becomes of a call.
pub(super) struct Counted {
    /// Whether it is within the limit.
    pub(super) admitted: bool,
    /// How many calls there were in the second that ends with it.
    pub(super) in_second: usize,
}

/// The second that runs, and how many calls it has seen.
pub(super) struct Window {
    calls: u32,
    started: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    second: Option<(Duration, u32)>,
    /// The calls of the last second.
    last: VecDeque<Duration>,
}

impl Window {
    /// Admits so many calls a second.
    pub(super) fn new(calls: u32) -> Self {
        Self { calls, started: Instant::now(), seen: Mutex::default() }
    }

    /// Counts one more call.
    pub(super) fn admits(&self, at: Moment) -> Counted {
        self.count(match at {
            Moment::Machine => self.started.elapsed(),
            Moment::Own(time) => {
                time.signed_duration_since(DateTime::UNIX_EPOCH).to_std().unwrap_or_default()
            }
        })
    }

    fn count(&self, now: Duration) -> Counted {
        let mut seen = lock(&self.seen);
        while seen.last.front().is_some_and(|at| now.saturating_sub(*at) >= SECOND) {
            seen.last.pop_front();
        }
        seen.last.push_back(now);
        let in_second = seen.last.len();
        let (start, count) = seen.second.get_or_insert((now, 0));
        let age = now.saturating_sub(*start);
        if age >= SECOND {
            *start += SECOND * u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
            *count = 0;
        }
        *count += 1;
        Counted { admitted: *count <= self.calls, in_second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_calls_a_second_are_admitted() {
        let (window, start) = (Window::new(10), Duration::from_secs(77));
        let admitted = |at: Duration| (0..15).filter(|_| window.count(start + at).admitted).count();
        assert_eq!(admitted(Duration::ZERO), 10);
        assert_eq!(admitted(Duration::from_millis(999)), 0);
        assert_eq!(admitted(Duration::from_millis(1000)), 10);
        assert_eq!(admitted(Duration::from_millis(3500)), 10);
        assert_eq!(admitted(Duration::from_millis(4000)), 10);
    }

    #[test]
    fn a_second_is_counted_wherever_it_begins() {
        let window = Window::new(10);
        let count = |millis| window.count(Duration::from_millis(millis)).in_second;
        assert_eq!([600, 900, 1_500, 1_599, 1_600, 9_000].map(count), [1, 2, 3, 4, 4, 1]);
    }
}
