//! Lengths of time as people say them, and times as people write them.

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_platform::duration;

/// How long ago a time was, or how far ahead it is.
pub fn relative(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let away = now - time;
    if away.num_milliseconds().abs() < 1_000 {
        "now".to_owned()
    } else if away > TimeDelta::zero() {
        format!("{} ago", roughly(away))
    } else {
        format!("in {}", roughly(-away))
    }
}

/// A length of time in its two largest units.
pub fn roughly(length: TimeDelta) -> String {
    let seconds = length.num_seconds();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A place in a call as players tell it: `1:02:03`, or `2:03` where there are no hours.
pub fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A time as RFC 3339 has it.
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// A length of time: `90s`, `2h`.
pub fn delta(text: &str) -> Option<TimeDelta> {
    duration::parse(text).and_then(|length| TimeDelta::from_std(length).ok())
}

/// A time as RFC 3339 has it, or how long ago it was: `2h`. None, too, if no calendar goes back so far.
pub fn past(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    time(text).or_else(|| now.checked_sub_signed(delta(text)?))
}

/// A time by how far ahead it is: `5m`. None, too, if no calendar goes so far.
pub fn ahead(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    now.checked_add_signed(delta(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_no_calendar_has_is_none() {
        let now = time("2026-03-02T09:00:00Z").unwrap();
        assert_eq!(past("2h", now), time("2026-03-02T07:00:00Z"));
        assert_eq!(past("2026-03-01T10:00:00+01:00", now), time("2026-03-01T09:00:00Z"));
        assert_eq!(ahead("5m", now), time("2026-03-02T09:05:00Z"));
        // The first is a length of time still, the second is none.
        assert!(delta("99999999d").is_some());
        for far in ["99999999d", "99999999999999d", "soon", ""] {
            assert_eq!((past(far, now), ahead(far, now)), (None, None), "{far}");
        }
        assert_eq!(ahead("2026-03-02T09:00:00Z", now), None);
    }

    #[test]
    fn times_are_told_by_their_distance() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        for (seconds, told) in
            [(0, "now"), (5, "5s ago"), (-90, "in 1m 30s"), (3_600, "1h 0m ago"), (90_000, "1d 1h ago")]
        {
            assert_eq!(relative(now - TimeDelta::seconds(seconds), now), told);
        }
    }

    #[test]
    fn times_in_a_call_are_told_as_a_player_tells_them() {
        let told: Vec<String> = [-1.0, 3.9, 75.0, 3_723.0].into_iter().map(clock).collect();
        assert_eq!(told, ["0:00", "0:03", "1:15", "1:02:03"]);
    }
}
