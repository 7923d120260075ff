//! Time as a value: everything that asks what time it is holds a [`Clock`], so that tests advance hours in
//! an instant and the two database engines store the same digits.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Duration, SubsecRound, Utc};

/// Tells the time in UTC, cut to microseconds: PostgreSQL keeps six digits, SQLite would keep nine.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until it is advanced. Clones share the same hands.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(start.trunc_subsecs(6)))))
    }

    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => system_now(),
            Source::Manual(hands) => *hands.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Waits until a time. A manual clock moves for nobody who waits: returns false at once.
    pub async fn sleep_until(&self, time: DateTime<Utc>) -> bool {
        match &self.0 {
            Source::System => {
                tokio::time::sleep((time - self.now()).to_std().unwrap_or_default()).await;
                true
            }
            Source::Manual(_) => false,
        }
    }

    /// Moves a manual clock by `by`, which may be negative. The machine's clock cannot be moved: returns false.
    pub fn advance(&self, by: Duration) -> bool {
        match &self.0 {
            Source::System => false,
            Source::Manual(hands) => {
                let mut hands = hands.lock().unwrap_or_else(PoisonError::into_inner);
                *hands += by;
                true
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn system_now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6) + Duration::microseconds(crate::ahead::microseconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_it_is_advanced_and_clones_share_its_hands() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let other = clock.clone();
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH);
        assert!(other.advance(Duration::hours(3)));
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH + Duration::hours(3));
    }

    #[test]
    fn the_system_clock_is_cut_to_microseconds_and_cannot_be_moved() {
        let clock = Clock::system();
        assert_eq!(clock.now().timestamp_subsec_nanos() % 1_000, 0);
        assert!(!clock.advance(Duration::hours(1)));
    }
}
