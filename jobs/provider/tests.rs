//! The rate as values: never above, hardly below.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::window::GUARD;
use super::{RateLimit, Share, Window};

const LIMIT: RateLimit = RateLimit { per_second: 10, reserved: 2 };

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn micros(n: i64) -> TimeDelta {
    TimeDelta::microseconds(n)
}

/// The most tokens in any second.
fn fullest_second(taken: &[DateTime<Utc>]) -> usize {
    let second = TimeDelta::seconds(1);
    let ends = |first: usize| taken[first..].partition_point(|at| *at < taken[first] + second);
    (0..taken.len()).map(ends).max().unwrap_or(0)
}

#[test]
fn who_comes_in_vain_learns_when_there_is_a_token() {
    let mut window = Window::default();
    let now = start();
    assert_eq!(window.take(LIMIT, Share::Repair, 100, now).granted, 9);
    let later = now + micros(300_000);
    let refused = window.take(LIMIT, Share::Repair, 1, later);
    assert_eq!((refused.granted, refused.next), (0, now + TimeDelta::seconds(1)));
    assert_eq!(window.take(LIMIT, Share::Reply, 5, later).granted, 1, "the reserved one");
    let refused = window.take(LIMIT, Share::Campaign, 1, later);
    assert_eq!((refused.granted, refused.next), (0, now + TimeDelta::seconds(1) + GUARD));
    assert_eq!(window.take(LIMIT, Share::Campaign, 1, refused.next).granted, 1);
}

/// Times are kept to the microsecond. Whoever came again at one that was cut off would be sent to that very moment for ever.
#[test]
fn at_the_time_that_was_told_there_is_a_token() {
    for per_second in 3..=60 {
        let limit = RateLimit { per_second, reserved: 2 };
        let (mut window, mut comes) = (Window::default(), start());
        for _ in 0..100 {
            assert_ne!(window.take(limit, Share::Campaign, 1, comes).granted, 0, "{per_second} a second");
            let next = window.take(limit, Share::Campaign, 0, comes).next;
            comes = DateTime::from_timestamp_micros(next.timestamp_micros()).unwrap();
        }
    }
}

#[test]
fn campaigns_go_evenly_and_may_make_up_for_a_little_lateness() {
    let (mut window, now) = (Window::default(), start());
    let mut comes = now;
    for n in 0..40 {
        let grant = window.take(LIMIT, Share::Campaign, 100, comes);
        assert_eq!(grant.granted, 1, "text {n}");
        assert!(grant.next - comes >= micros(75_000), "text {n}: {}", grant.next - comes);
        comes = grant.next;
    }
    // At the end of the third second the 24th was taken, or the 25th.
    assert!((comes - now - micros(5_000_000)).abs() <= micros(125_000), "{}", comes - now);
    let after_a_pause = comes + TimeDelta::seconds(60);
    assert_eq!(
        window.take(LIMIT, Share::Campaign, 100, after_a_pause).granted,
        1,
        "a pause saves nothing up"
    );
}

#[test]
fn a_high_rate_is_not_taken_one_by_one() {
    let limit = RateLimit { per_second: 1_000, reserved: 0 };
    let granted = Window::default().take(limit, Share::Campaign, 1_000, start()).granted;
    assert!((40..=60).contains(&granted), "{granted}");
}

#[test]
fn those_who_wait_get_a_time_each() {
    let (mut window, now) = (Window::default(), start());
    let next = window.take(LIMIT, Share::Reply, 10, now).next;
    let turns: Vec<_> = (0..20).map(|_| window.turn(LIMIT, next, now)).collect();
    assert_eq!(turns[0], next);
    assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == micros(100_000)), "{turns:?}");
    for _ in 0..100_000 {
        assert!(window.turn(LIMIT, next, now) <= now + TimeDelta::hours(1));
    }
}

#[test]
fn a_429_halves_the_rate_once_for_all_that_were_under_way_and_it_grows_back() {
    let (mut window, now) = (Window::default(), start());
    window.take(LIMIT, Share::Reply, 10, now);
    let (answered, until) = (now + micros(50_000), now + TimeDelta::seconds(7));
    for _ in 0..10 {
        window.slow_down(LIMIT, now, until, answered);
    }
    assert_eq!(window.allowed(LIMIT, answered), 5);
    let before = window.take(LIMIT, Share::Reply, 1, until - micros(1));
    assert_eq!((before.granted, before.next), (0, until));
    assert_eq!(window.take(LIMIT, Share::Reply, 10, until).granted, 5);
    window.slow_down(LIMIT, until, until, until + micros(1));
    assert_eq!(window.allowed(LIMIT, until + micros(1)), 2, "another one halves it again");
    assert_eq!(window.allowed(LIMIT, until + TimeDelta::seconds(31)), 5);
    assert_eq!(window.allowed(LIMIT, until + TimeDelta::days(1)), 10, "never above the limit");
    for _ in 0..10 {
        window.slow_down(LIMIT, until + TimeDelta::days(1), until, until + TimeDelta::days(1));
    }
    assert!(window.allowed(LIMIT, until + TimeDelta::days(1)) >= 1, "never none at all");
}

#[test]
fn a_clock_that_ran_ahead_holds_nobody_up_for_long() {
    let (mut window, now) = (Window::default(), start());
    window.take(LIMIT, Share::Reply, 10, now + TimeDelta::hours(5));
    assert_eq!(window.take(LIMIT, Share::Reply, 1, now).granted, 0);
    let later = now + TimeDelta::seconds(1) + GUARD;
    assert_eq!(window.take(LIMIT, Share::Reply, 1, later).granted, 1);
    window.not_before = Some(now + TimeDelta::days(400));
    assert_eq!(window.take(LIMIT, Share::Reply, 1, later).granted, 1);
}

/// The most in any of the provider's own seconds, which begin when they like.
fn fullest_fixed_second(arrivals: &[DateTime<Utc>], offset: TimeDelta) -> usize {
    let mut seconds = std::collections::BTreeMap::new();
    for at in arrivals {
        *seconds.entry((*at + offset).timestamp()).or_insert(0) += 1;
    }
    seconds.into_values().max().unwrap_or(0)
}

/// Three processes, each late by up to 25 ms at every turn, over a simulated day. Requests are on their way for up to
/// the guard longer, some of them.
#[test]
fn over_a_day_three_late_processes_use_nearly_all_of_it_and_never_more() {
    for (share, per_second) in [(Share::Reply, 10), (Share::Campaign, 8)] {
        let mut random = StdRng::seed_from_u64(7);
        let (mut window, end) = (Window::default(), start() + TimeDelta::days(1));
        let mut comes = [start(); 3];
        let mut taken = Vec::new();
        while let Some(process) = (0..3).min_by_key(|at| comes[*at]).filter(|at| comes[*at] < end) {
            let now = comes[process];
            let grant = window.take(LIMIT, share, 10, now);
            taken.extend(std::iter::repeat_n(now, grant.granted as usize));
            comes[process] = grant.next.max(now) + micros(random.random_range(1..25_000));
        }
        assert!(fullest_second(&taken) <= per_second, "{}", share.name());
        let on_its_way = |at: &DateTime<Utc>| *at + micros(random.random_range(0..10_000));
        let arrivals: Vec<_> = taken.iter().map(on_its_way).collect();
        for offset in [0, 137_000, 500_000, 993_000] {
            let fullest = fullest_fixed_second(&arrivals, micros(offset));
            assert!(fullest <= 10, "{}: {fullest}", share.name());
        }
        let used = taken.len() as f64 / (86_400 * per_second) as f64;
        assert!(used >= 0.98, "{}: only {used}", share.name());
    }
}

fn shares() -> impl Strategy<Value = Share> {
    prop::sample::select(Share::ALL.to_vec())
}

proptest! {
    #[test]
    fn no_second_holds_more_than_the_limit_nor_gives_campaigns_the_reserved_part(
        per_second in 2u32..40, reserved in 0u32..8,
        asks in prop::collection::vec((0i64..400_000, 1u32..30, shares()), 1..200),
    ) {
        let limit = RateLimit { per_second, reserved: reserved.min(per_second - 1) };
        let (mut window, mut now) = (Window::default(), start());
        let (mut taken, mut by_campaigns) = (Vec::new(), Vec::new());
        for (wait, wanted, share) in asks {
            now += micros(wait);
            let grant = window.take(limit, share, wanted, now);
            prop_assert!(grant.granted <= wanted);
            prop_assert!(grant.granted == wanted || grant.next > now, "sent away without a time");
            taken.extend(std::iter::repeat_n(now, grant.granted as usize));
            if share == Share::Campaign {
                by_campaigns.extend(std::iter::repeat_n(now, grant.granted as usize));
            }
        }
        prop_assert!(fullest_second(&taken) <= per_second as usize);
        prop_assert!(fullest_second(&by_campaigns) <= (per_second - limit.reserved) as usize);
        prop_assert!(window.taken.len() <= per_second as usize);
    }

    #[test]
    fn a_token_is_there_at_the_time_that_was_told(
        takes in prop::collection::vec((0i64..400_000, 1u32..12, shares()), 1..50), share in shares(),
    ) {
        let (mut window, mut now) = (Window::default(), start());
        for (wait, wanted, share) in takes {
            now += micros(wait);
            window.take(LIMIT, share, wanted, now);
        }
        let grant = window.take(LIMIT, share, 20, now);
        prop_assert!(window.take(LIMIT, share, 1, grant.next).granted == 1);
    }
}
