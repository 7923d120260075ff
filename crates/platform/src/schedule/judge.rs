//! Which ticks are to be fired now. A tick is on time when it is fired before the next is due and at most a minute
//! late; whatever is older was missed, by an outage, a pause of the machine or a clock that jumped forward, and the
//! schedule says what becomes of it.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::file::Missed;
use super::when::When;

/// The latest that a tick counts as on time.
pub(super) const ON_TIME: TimeDelta = TimeDelta::seconds(60);
/// Ticks looked at in one go. After a longer outage of a quick schedule the older ones are not even counted.
const MOST_TICKS: usize = 10_000;

/// What to do about the ticks since the last one that was judged.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Due {
    /// The last of those that are not made up for, and how many they are.
    pub(super) skipped: Option<(DateTime<Utc>, i64)>,
    /// Those to fire, in order.
    pub(super) fire: VecDeque<DateTime<Utc>>,
}

/// Judges the ticks after `last` and up to `now`.
pub(super) fn judge(when: &When, missed: Missed, last: DateTime<Utc>, now: DateTime<Utc>) -> Due {
    let mut ticks = ticks(when, last, now);
    let Some(newest) = ticks.back().copied() else { return Due::default() };
    let on_time = usize::from(now - newest <= ON_TIME);
    let kept = match missed {
        Missed::Skip => on_time,
        Missed::Latest => 1,
        Missed::AllUpTo(most) => usize::try_from(most).unwrap_or(usize::MAX).saturating_add(on_time),
    };
    let left_out = ticks.len().saturating_sub(kept);
    let fire = ticks.split_off(left_out);
    let count = i64::try_from(left_out).unwrap_or(i64::MAX);
    Due { skipped: ticks.back().map(|tick| (*tick, count)), fire }
}

/// The ticks after one time and up to another, or only the newest where they are too many.
pub(super) fn ticks(when: &When, after: DateTime<Utc>, to: DateTime<Utc>) -> VecDeque<DateTime<Utc>> {
    let mut from = after;
    loop {
        let ticks: VecDeque<_> =
            when.after(from).take_while(|tick| *tick <= to).take(MOST_TICKS + 1).collect();
        if ticks.len() <= MOST_TICKS {
            return ticks;
        }
        from += (to - from) / 2;
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;

    fn hourly() -> When {
        When::parse("0 * * * *", Tz::UTC).unwrap()
    }

    fn at(hour: u32, minute: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 2, hour, minute, 0).unwrap()
    }

    #[test]
    fn a_tick_on_time_is_fired_whatever_the_policy() {
        for missed in [Missed::Skip, Missed::Latest, Missed::AllUpTo(5)] {
            let due = judge(&hourly(), missed, at(8, 0), at(9, 1));
            assert_eq!(due, Due { skipped: None, fire: [at(9, 0)].into() }, "{missed}");
            assert_eq!(judge(&hourly(), missed, at(9, 0), at(9, 59)), Due::default());
        }
    }

    #[test]
    fn after_an_outage_the_policy_says_which_ticks_are_made_up_for() {
        let judged = |missed, now| judge(&hourly(), missed, at(4, 0), now);
        let late = at(9, 30);
        assert_eq!(judged(Missed::Skip, late), Due { skipped: Some((at(9, 0), 5)), fire: [].into() });
        assert_eq!(
            judged(Missed::Latest, late),
            Due { skipped: Some((at(8, 0), 4)), fire: [at(9, 0)].into() }
        );
        let two = Due { skipped: Some((at(7, 0), 3)), fire: [at(8, 0), at(9, 0)].into() };
        assert_eq!(judged(Missed::AllUpTo(2), late), two);
        // One that is on time comes on top.
        let three = Due { skipped: Some((at(6, 0), 2)), fire: [at(7, 0), at(8, 0), at(9, 0)].into() };
        assert_eq!(judged(Missed::AllUpTo(2), at(9, 0)), three);
        let one = Due { skipped: Some((at(8, 0), 4)), fire: [at(9, 0)].into() };
        assert_eq!(judged(Missed::Skip, at(9, 0)), one);
    }

    #[test]
    fn years_of_seconds_are_judged_in_a_moment() {
        let secondly = When::parse("* * * * * *", Tz::UTC).unwrap();
        let now = at(9, 0);
        let due = judge(&secondly, Missed::AllUpTo(1_000), now - TimeDelta::days(3_000), now);
        assert_eq!(due.fire.len(), 1_001);
        assert_eq!(due.fire.back(), Some(&now));
    }

    proptest! {
        #[test]
        fn every_tick_is_either_fired_or_skipped(minutes in 0..3_000_i64, most in 1..40_u32) {
            let (last, when) = (at(4, 0), hourly());
            let now = last + TimeDelta::minutes(minutes);
            for missed in [Missed::Skip, Missed::Latest, Missed::AllUpTo(most)] {
                let due = judge(&when, missed, last, now);
                let skipped = due.skipped.map_or(0, |(_, count)| count);
                prop_assert_eq!(skipped + due.fire.len() as i64, minutes / 60);
                prop_assert!(due.fire.iter().zip(due.fire.iter().skip(1)).all(|(one, next)| one < next));
                prop_assert!(due.fire.len() <= most as usize + 1);
            }
        }
    }
}
