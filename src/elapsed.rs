//! Lengths of time as people say them.

use chrono::{DateTime, TimeDelta, Utc};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_their_distance() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        for (seconds, told) in
            [(0, "now"), (5, "5s ago"), (-90, "in 1m 30s"), (3_600, "1h 0m ago"), (90_000, "1d 1h ago")]
        {
            assert_eq!(relative(now - TimeDelta::seconds(seconds), now), told);
        }
    }
}
