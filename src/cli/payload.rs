//! Payloads and times as people write them on the command line.

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_platform::duration;

/// A time as RFC 3339 has it.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// A length of time: `90s`, `2h`.
pub(super) fn delta(text: &str) -> Option<TimeDelta> {
    duration::parse(text).and_then(|length| TimeDelta::from_std(length).ok())
}
