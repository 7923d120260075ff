//! Rates: so many per period, and so many at once after a rest (GCRA). One time is all the state there is: the
//! *tat* (theoretical arrival time), when the next token would be due if none were saved up. It lies no further
//! ahead than the burst, and one that is past means a full burst.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use crate::duration;

/// How many may start in a period. Written `10/s`, `100/m`, `5000/h`, `1000/d` or `3/90s`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    count: u32,
    period: Duration,
    burst: u32,
}

/// The longest period. Beyond it lie dates that a database cannot hold.
const LONGEST_PERIOD: Duration = Duration::from_secs(366 * 86_400);

#[derive(Debug, Error, Eq, PartialEq)]
#[error(
    "{0:?} is no rate: write how many per second, minute, hour or day (10/s, 100/m), or in a period (3/90s)"
)]
pub struct RateError(String);

impl Rate {
    /// `count` in `period`, both at least one (of a millisecond), saved up to `count` at once.
    pub const fn per(count: u32, period: Duration) -> Self {
        let count = if count == 0 { 1 } else { count };
        let period = if period.as_millis() == 0 { Duration::from_millis(1) } else { period };
        let period = if period.as_secs() > LONGEST_PERIOD.as_secs() { LONGEST_PERIOD } else { period };
        Self { count, period, burst: count }
    }

    pub const fn per_second(count: u32) -> Self {
        Self::per(count, Duration::from_secs(1))
    }

    /// How many may start at once after a rest, at least one.
    pub const fn burst(self, burst: u32) -> Self {
        Self { burst: if burst == 0 { 1 } else { burst }, ..self }
    }

    pub const fn count(self) -> u32 {
        self.count
    }

    pub const fn period(self) -> Duration {
        self.period
    }

    pub const fn saved_up(self) -> u32 {
        self.burst
    }

    /// The time that `tokens` are worth, rounded up to the microsecond: nobody gets more than the rate.
    fn worth(self, tokens: u64) -> TimeDelta {
        let micros = (self.period.as_micros() * u128::from(tokens)).div_ceil(u128::from(self.count));
        TimeDelta::microseconds(i64::try_from(micros).unwrap_or(i64::MAX / 4))
    }

    /// The time between two when none are saved up.
    pub fn spacing(self) -> TimeDelta {
        self.worth(1)
    }

    /// A stored tat as this clock may believe it: one that lies further ahead than a burst was written by a clock that
    /// runs ahead of ours, and would hold everybody up until then.
    pub fn believed(self, tat: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        tat.min(now + self.worth(u64::from(self.burst)))
    }

    /// Tokens to be had now.
    pub fn available(self, tat: DateTime<Utc>, now: DateTime<Utc>) -> u32 {
        let saved = now + self.worth(u64::from(self.burst)) - tat.max(now);
        let micros = u128::try_from(saved.num_microseconds().unwrap_or(0)).unwrap_or(0);
        let tokens = micros * u128::from(self.count) / self.period.as_micros();
        u32::try_from(tokens).unwrap_or(u32::MAX).min(self.burst)
    }

    /// The tat after `tokens` were taken.
    pub fn take(self, tat: DateTime<Utc>, tokens: u32, now: DateTime<Utc>) -> DateTime<Utc> {
        tat.max(now) + self.worth(u64::from(tokens))
    }

    /// When the `nth` token from now on (from 1) is to be had, if nobody else takes one.
    pub fn due(self, tat: DateTime<Utc>, nth: u32, now: DateTime<Utc>) -> DateTime<Utc> {
        let due = tat.max(now) + self.worth(u64::from(nth)) - self.worth(u64::from(self.burst));
        due.max(now)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count;
        let period = duration::write(self.period);
        // `10/s`, not `10/1s`.
        let unit = period.strip_prefix('1').filter(|unit| !unit.starts_with(|c: char| c.is_ascii_digit()));
        write!(f, "{count}/{}", unit.unwrap_or(&period))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || RateError(text.to_owned());
        let (count, period) = text.trim().split_once('/').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
        let period = period.trim();
        let number = if period.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "1" };
        let period = duration::parse(&format!("{number}{period}")).ok_or_else(wrong)?;
        if period.is_zero() || period > LONGEST_PERIOD {
            return Err(wrong());
        }
        Ok(Self::per(count, period))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    #[test]
    fn a_rest_saves_up_a_burst_and_no_more() {
        let rate = Rate::per_second(10).burst(3);
        let now = start();
        assert_eq!(rate.available(now - TimeDelta::days(1), now), 3);
        let tat = rate.take(now, 3, now);
        assert_eq!(rate.available(tat, now), 0);
        assert_eq!(rate.due(tat, 1, now), now + TimeDelta::milliseconds(100));
        assert_eq!(rate.due(tat, 2, now), now + TimeDelta::milliseconds(200));
        assert_eq!(rate.available(tat, now + TimeDelta::milliseconds(99)), 0);
        assert_eq!(rate.available(tat, now + TimeDelta::milliseconds(200)), 2);
    }

    #[test]
    fn rates_are_written_as_they_are_read() {
        for text in ["10/s", "100/m", "5000/h", "1000/d", "3/90s", "7/250ms"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for bad in ["", "10", "0/s", "10/", "10/w", "-1/s", "1/0s", "1/99999999999999999999s", "1/400d"] {
            assert_eq!(bad.parse::<Rate>(), Err(RateError(bad.to_owned())), "{bad}");
        }
    }

    proptest! {
        /// Whoever asks at whatever times never gets more than the burst and what the time in between is worth.
        #[test]
        fn no_window_holds_more_than_the_rate_allows(
            count in 1u32..50, period_ms in 1u64..100_000, burst in 1u32..50,
            asks in prop::collection::vec((0i64..5_000, 1u32..40), 1..60),
        ) {
            let rate = Rate::per(count, Duration::from_millis(period_ms)).burst(burst);
            let (mut now, mut tat) = (start(), start());
            let mut taken: Vec<(DateTime<Utc>, u32)> = Vec::new();
            for (wait, wanted) in asks {
                now += TimeDelta::milliseconds(wait);
                let got = rate.available(tat, now).min(wanted);
                tat = rate.take(tat, got, now);
                prop_assert!(rate.due(tat, 1, now) >= now);
                taken.push((now, got));
            }
            for (first, (from, _)) in taken.iter().enumerate() {
                let mut sum = 0u64;
                for (at, got) in &taken[first..] {
                    sum += u64::from(*got);
                    let micros = (*at - *from).num_microseconds().unwrap() as f64;
                    let worth = micros * f64::from(count) / (period_ms as f64 * 1_000.0);
                    prop_assert!(sum as f64 <= worth + f64::from(burst) + 0.06, "{sum} in {micros} us");
                }
            }
        }

        #[test]
        fn a_token_is_to_be_had_when_it_is_due(count in 1u32..1_000, period_ms in 1u64..100_000, burst in 1u32..50) {
            let rate = Rate::per(count, Duration::from_millis(period_ms)).burst(burst);
            let now = start();
            let tat = rate.take(now, rate.available(now, now), now);
            let due = rate.due(tat, 1, now);
            prop_assert!(rate.available(tat, due) >= 1);
        }
    }
}
