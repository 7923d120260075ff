//! When a failed attempt is tried again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How often a job is tried and how long it waits in between.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    backoff: Backoff,
    attempts: u16,
}

#[derive(Clone, Copy, Debug)]
enum Backoff {
    Exponential { base: Duration, cap: Duration },
    Fixed(Duration),
    Custom(fn(u32) -> Duration),
}

impl Retry {
    /// The upper bound of the wait doubles from `base` with every failure up to `cap`; the wait itself is
    /// drawn evenly from zero to that bound (full jitter), so that a crowd that failed together does not
    /// come back together.
    pub const fn exponential(base: Duration, cap: Duration) -> Self {
        Self::by(Backoff::Exponential { base, cap })
    }

    /// The same wait after every failure, exactly: for what is known to take that long.
    pub const fn fixed(wait: Duration) -> Self {
        Self::by(Backoff::Fixed(wait))
    }

    /// The wait after the n-th failure (from 1) as the job says, exactly.
    pub const fn custom(wait: fn(failures: u32) -> Duration) -> Self {
        Self::by(Backoff::Custom(wait))
    }

    const fn by(backoff: Backoff) -> Self {
        Self { backoff, attempts: 10 }
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
        match self.backoff {
            Backoff::Exponential { base, cap } => {
                StdRng::seed_from_u64(seed).random_range(Duration::ZERO..=bound(base, cap, failures))
            }
            Backoff::Fixed(wait) => wait,
            Backoff::Custom(wait) => wait(failures),
        }
    }
}

fn bound(base: Duration, cap: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    base.saturating_mul(1 << doublings).min(cap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let bounds: Vec<_> =
            (1..=5).map(|n| bound(Duration::from_secs(10), Duration::from_secs(60), n).as_secs()).collect();
        assert_eq!(bounds, [10, 20, 40, 60, 60]);
    }

    #[test]
    fn fixed_and_custom_waits_are_exact() {
        let fixed = Retry::fixed(Duration::from_secs(7)).attempts(3);
        assert_eq!((fixed.delay(1, 5), fixed.delay(9, 6)), (Duration::from_secs(7), Duration::from_secs(7)));
        let custom = Retry::custom(|failures| Duration::from_secs(u64::from(failures) * 60));
        assert_eq!((custom.delay(1, 5).as_secs(), custom.delay(3, 5).as_secs()), (60, 180));
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_bound_and_is_repeatable(failures in 0u32..10_000, seed: u64) {
            let (base, cap) = (Duration::from_secs(3), Duration::from_secs(900));
            let retry = Retry::exponential(base, cap);
            let wait = retry.delay(failures, seed);
            prop_assert!(wait <= bound(base, cap, failures));
            prop_assert_eq!(wait, retry.delay(failures, seed));
        }
    }
}
