use chrono::{Duration, NaiveDate, Timelike};
use chrono_tz::{America, Australia, Europe, Pacific};
use proptest::prelude::*;

use super::*;

fn when(expression: &str, zone: Tz) -> When {
    When::parse(expression, zone).unwrap()
}

/// The ticks of these days (of the zone), as the wall clock with its offset.
fn ticks(expression: &str, zone: Tz, (year, month, day): (i32, u32, u32), days: i64) -> Vec<String> {
    let midnight = |plus| {
        let date = NaiveDate::from_ymd_opt(year, month, day).unwrap() + Duration::days(plus);
        zone.from_local_datetime(&date.and_hms_opt(0, 0, 0).unwrap()).earliest().unwrap().to_utc()
    };
    let (from, to) = (midnight(0) - Duration::seconds(1), midnight(days));
    when(expression, zone)
        .after(from)
        .take_while(|tick| *tick < to)
        .map(|tick| tick.with_timezone(&zone).format("%d %H:%M %z").to_string())
        .collect()
}

const NEW_YORK: Tz = America::New_York;
const BERLIN: Tz = Europe::Berlin;
const LORD_HOWE: Tz = Australia::Lord_Howe;

#[test]
fn a_time_in_the_gap_happens_at_the_first_moment_after_it() {
    assert_eq!(
        ticks("30 2 * * *", NEW_YORK, (2026, 3, 7), 3),
        ["07 02:30 -0500", "08 03:00 -0400", "09 02:30 -0400"]
    );
    assert_eq!(
        ticks("30 2 * * *", BERLIN, (2026, 3, 28), 3),
        ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]
    );
    // Half an hour is missing: 02:00 to 02:30.
    assert_eq!(
        ticks("15 2 * * *", LORD_HOWE, (2026, 10, 3), 3),
        ["03 02:15 +1030", "04 02:30 +1100", "05 02:15 +1100"]
    );
}

#[test]
fn times_that_meet_after_the_gap_are_one_tick() {
    assert_eq!(
        ticks("*/20 2-3 * * *", NEW_YORK, (2026, 3, 8), 1),
        ["08 03:00 -0400", "08 03:20 -0400", "08 03:40 -0400"]
    );
}

#[test]
fn a_time_that_a_fold_has_twice_happens_the_first_time() {
    assert_eq!(
        ticks("30 1 * * *", NEW_YORK, (2026, 10, 31), 3),
        ["31 01:30 -0400", "01 01:30 -0400", "02 01:30 -0500"]
    );
    assert_eq!(
        ticks("30 2 * * *", BERLIN, (2026, 10, 24), 3),
        ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]
    );
    // 01:30 to 02:00 comes twice.
    assert_eq!(
        ticks("45 1 * * *", LORD_HOWE, (2026, 4, 4), 3),
        ["04 01:45 +1100", "05 01:45 +1100", "06 01:45 +1030"]
    );
}

#[test]
fn a_pace_goes_on_through_a_fold_and_a_gap() {
    let hourly = ticks("0 * * * *", NEW_YORK, (2026, 11, 1), 1);
    assert_eq!(hourly.len(), 25);
    assert_eq!(hourly[1..4], ["01 01:00 -0400", "01 01:00 -0500", "01 02:00 -0500"]);
    let hourly = ticks("0 * * * *", BERLIN, (2026, 3, 29), 1);
    assert_eq!(hourly.len(), 23);
    assert_eq!(hourly[1..3], ["29 01:00 +0100", "29 03:00 +0200"]);
    for (zone, day) in [
        (NEW_YORK, (2026, 3, 8)),
        (NEW_YORK, (2026, 11, 1)),
        (BERLIN, (2026, 10, 25)),
        (BERLIN, (2026, 3, 29)),
    ] {
        let (year, month, day) = day;
        let from = Utc.with_ymd_and_hms(year, month, day, 0, 0, 0).unwrap();
        let all: Vec<_> = when("*/15 * * * *", zone).after(from).take(96).collect();
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] == Duration::minutes(15)), "{zone}");
    }
}

#[test]
fn where_clocks_jump_by_half_an_hour_a_pace_of_half_hours_goes_on() {
    for from in [(2026, 4, 4), (2026, 10, 3)] {
        let from = Utc.with_ymd_and_hms(from.0, from.1, from.2, 0, 0, 0).unwrap();
        let all: Vec<_> = when("*/30 * * * *", LORD_HOWE).after(from).take(96).collect();
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] == Duration::minutes(30)));
    }
    assert_eq!(ticks("0 * * * *", LORD_HOWE, (2026, 4, 5), 1)[1..3], ["05 01:00 +1100", "05 02:00 +1030"]);
    assert_eq!(ticks("0 * * * *", LORD_HOWE, (2026, 10, 4), 1)[1..3], ["04 01:00 +1030", "04 03:00 +1100"]);
}

#[test]
fn a_day_that_never_was_happens_at_its_end() {
    // Samoa went from 29 to 31 December 2011.
    assert_eq!(
        ticks("0 12 * * *", Pacific::Apia, (2011, 12, 29), 3),
        ["29 12:00 -1000", "31 00:00 +1400", "31 12:00 +1400"]
    );
}

#[test]
fn rare_ticks_are_found_however_far_away() {
    let from = Utc.with_ymd_and_hms(2026, 3, 1, 0, 0, 0).unwrap();
    let leap = when("0 * 29 2 *", NEW_YORK);
    let first = leap.next(from).unwrap();
    assert_eq!(first, Utc.with_ymd_and_hms(2028, 2, 29, 5, 0, 0).unwrap());
    assert_eq!(
        leap.after(from).take(25).last().unwrap(),
        Utc.with_ymd_and_hms(2032, 2, 29, 5, 0, 0).unwrap()
    );
}

#[test]
fn an_expression_that_could_be_misread_is_refused_with_the_reason() {
    let refused = |text: &str| When::parse(text, Tz::UTC).unwrap_err();
    assert_eq!(refused("* * * *"), WhenError::Fields(4));
    assert_eq!(refused("0 9 * * 1-5"), WhenError::WeekdayNumber);
    assert_eq!(refused("0 0 30 2 *"), WhenError::Never);
    assert!(matches!(refused("61 * * * *"), WhenError::Syntax(_)));
    assert!(matches!(refused("@often"), WhenError::Syntax(_)));
    for good in ["0 9 * * MON-FRI", "@daily", "30 0 9 * * *", "0 9 * * */2", "0 9 1,15 JAN *"] {
        assert!(When::parse(good, Tz::UTC).is_ok(), "{good}");
    }
}

const ZONES: [Tz; 7] = [
    NEW_YORK,
    BERLIN,
    LORD_HOWE,
    Pacific::Apia,
    chrono_tz::Africa::Casablanca,
    chrono_tz::Asia::Tehran,
    Tz::UTC,
];

fn expression() -> impl Strategy<Value = String> {
    let minute = prop_oneof![
        Just("*".to_owned()),
        (1..60_u32).prop_map(|step| format!("*/{step}")),
        (0..60_u32).prop_map(|minute| minute.to_string()),
        (0..30_u32, 30..60_u32).prop_map(|(one, other)| format!("{one},{other}")),
    ];
    let hour = prop_oneof![
        Just("*".to_owned()),
        (0..5_u32).prop_map(|hour| hour.to_string()),
        Just("1-3".to_owned()),
        Just("*/2".to_owned()),
    ];
    let rest = prop_oneof![Just("* * *"), Just("* * SUN"), Just("1-7 * *"), Just("* 3,4,10,11,12 *")];
    (minute, hour, rest).prop_map(|(minute, hour, rest)| format!("{minute} {hour} {rest}"))
}

/// The rule, applied to every minute there is.
fn by_hand(when: &When, from: DateTime<Utc>, minutes: i64) -> Vec<DateTime<Utc>> {
    let to = from + Duration::minutes(minutes);
    let matches = |shown: NaiveDateTime| shown.second() == 0 && when.cron.includes(shown.and_utc());
    let mut all: Vec<DateTime<Utc>> = if when.is_pace {
        (1..=minutes)
            .map(|minute| from + Duration::minutes(minute))
            .filter(|moment| matches(when.shown(*moment)))
            .collect()
    } else {
        let first = when.shown(from) - Duration::days(2);
        let readings = (0..minutes + 4 * 24 * 60).map(|minute| first + Duration::minutes(minute));
        readings.filter(|shown| matches(*shown)).map(|shown| when.moment(shown)).collect()
    };
    all.retain(|tick| *tick > from && *tick <= to);
    all.sort();
    all.dedup();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn ticks_only_go_forward_and_each_is_the_rule_s(
        expression in expression(),
        zone in prop::sample::select(ZONES.to_vec()),
        year in prop::sample::select(vec![2011, 2025, 2026]),
        day in 0..366_i64,
    ) {
        let when = when(&expression, zone);
        let from = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap() + Duration::days(day);
        let minutes = 3 * 24 * 60;
        let to = from + Duration::minutes(minutes);
        let found: Vec<_> = when.after(from).take_while(|tick| *tick <= to).collect();
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(found, by_hand(&when, from, minutes), "{} from {}", when, from);
    }

    #[test]
    fn the_next_tick_is_the_same_wherever_one_stands_before_it(
        expression in expression(),
        zone in prop::sample::select(ZONES.to_vec()),
        second in 0..(366_i64 * 86_400),
        back in 0..7_200_i64,
    ) {
        let when = when(&expression, zone);
        let from = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap() + Duration::seconds(second);
        let next = when.next(from).unwrap();
        let closer = (next - Duration::seconds(back)).max(from);
        if closer < next {
            prop_assert_eq!(when.next(closer), Some(next));
        }
        prop_assert_eq!(when.next(from + Duration::microseconds(1)).unwrap() , if next > from + Duration::microseconds(1) { next } else { when.next(next).unwrap() });
    }

    #[test]
    fn a_time_of_day_ticks_once_for_each_day_it_names(
        minute in 0..60_u32,
        hour in 0..24_u32,
        zone in prop::sample::select(vec![NEW_YORK, BERLIN, LORD_HOWE, chrono_tz::Africa::Casablanca]),
    ) {
        let when = when(&format!("{minute} {hour} * * *"), zone);
        let from = zone.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap().to_utc() - Duration::seconds(1);
        let to = zone.with_ymd_and_hms(2027, 1, 1, 0, 0, 0).unwrap().to_utc();
        prop_assert_eq!(when.after(from).take_while(|tick| *tick < to).count(), 365);
    }
}
