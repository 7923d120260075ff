//! When a failed attempt is tried again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How often a job is tried and how long it waits in between.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    base: Duration,
    cap: Duration,
    attempts: u16,
}

impl Retry {
    /// The upper bound of the wait doubles from `base` with every failure up to `cap`; the wait itself is
    /// drawn evenly from zero to that bound (full jitter), so that a crowd that failed together does not
    /// come back together.
    pub const fn exponential(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempts: 10 }
    }

    /// The attempts in all, the first included. At least one is made.
    pub const fn attempts(self, attempts: u16) -> Self {
        Self { attempts: if attempts == 0 { 1 } else { attempts }, ..self }
    }

    pub const fn max_attempts(self) -> u16 {
        self.attempts
    }

    /// The wait after the `failures`-th failure (from 1). The same seed gives the same wait.
    pub fn delay(self, failures: u32, seed: u64) -> Duration {
        let bound = self.bound(failures);
        StdRng::seed_from_u64(seed).random_range(Duration::ZERO..=bound)
    }

    fn bound(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let retry = Retry::exponential(Duration::from_secs(10), Duration::from_secs(60));
        let bounds: Vec<_> = (1..=5).map(|n| retry.bound(n).as_secs()).collect();
        assert_eq!(bounds, [10, 20, 40, 60, 60]);
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_bound_and_is_repeatable(failures in 0u32..10_000, seed: u64) {
            let retry = Retry::exponential(Duration::from_secs(3), Duration::from_secs(900));
            let wait = retry.delay(failures, seed);
            prop_assert!(wait <= retry.bound(failures));
            prop_assert!(wait <= Duration::from_secs(900));
            prop_assert_eq!(wait, retry.delay(failures, seed));
        }
    }
}
