//! The provider's rate limit: so many calls in each second of the calendar, whoever makes them.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::simulator::lock;

const SECOND: Duration = Duration::from_secs(1);

/// The second that runs, and how many calls it has seen. It is real time that is limited, even
/// where a test moves its clock by hand.
pub(super) struct Window {
    calls: u32,
    second: Mutex<Option<(Instant, u32)>>,
}

impl Window {
    /// Admits so many calls a second.
    pub(super) fn new(calls: u32) -> Self {
        Self { calls, second: Mutex::default() }
    }

    /// Whether one more call is within the limit.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut window = lock(&self.second);
        let (start, seen) = window.get_or_insert((now, 0));
        let age = now.saturating_duration_since(*start);
        if age >= SECOND {
            *start += SECOND * u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
            *seen = 0;
        }
        *seen += 1;
        *seen <= self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_calls_a_second_are_admitted() {
        let (window, start) = (Window::new(10), Instant::now());
        let admitted = |at: Duration| (0..15).filter(|_| window.admits(start + at)).count();
        assert_eq!(admitted(Duration::ZERO), 10);
        assert_eq!(admitted(Duration::from_millis(999)), 0);
        assert_eq!(admitted(Duration::from_millis(1000)), 10);
        assert_eq!(admitted(Duration::from_millis(3500)), 10);
        assert_eq!(admitted(Duration::from_millis(4000)), 10);
    }
}
