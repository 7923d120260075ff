//! Durations and sizes as people write them: `"30s"`, `"25MiB"`. A bare number is refused, because nobody
//! remembers whether it meant seconds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};
use trunkline_platform::duration;

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum UnitError {
    #[error("{0:?} is not a duration: write a whole number and ms, s, m, h or d, such as \"30s\"")]
    Duration(String),
    #[error("{0:?} is not a size: write a whole number and B, KiB, MiB or GiB, such as \"25MiB\"")]
    Size(String),
}

pub(crate) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    duration::parse(text).ok_or_else(|| UnitError::Duration(text.to_owned()))
}

pub(super) fn parse_size(text: &str) -> Result<u64, UnitError> {
    let invalid = || UnitError::Size(text.to_owned());
    let (number, unit) = split(text).ok_or_else(invalid)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(invalid()),
    };
    number.checked_mul(bytes).ok_or_else(invalid)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    Some((number.parse().ok()?, unit))
}

pub(super) fn duration<'de, D: Deserializer<'de>>(de: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(de)?).map_err(D::Error::custom)
}

/// A duration, or `"off"`.
pub(super) fn duration_or_off<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Duration>, D::Error> {
    match String::deserialize(de)?.as_str() {
        "off" => Ok(None),
        text => parse_duration(text).map(Some).map_err(D::Error::custom),
    }
}

pub(super) fn size<'de, D: Deserializer<'de>>(de: D) -> Result<u64, D::Error> {
    parse_size(&String::deserialize(de)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_platform::duration::write as write_duration;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, millis) in
            [("250ms", 250), ("0s", 0), ("30s", 30_000), ("5m", 300_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_and_a_binary_unit() {
        for (text, bytes) in [("1B", 1), ("2KiB", 2_048), ("25MiB", 26_214_400), ("1GiB", 1_073_741_824)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_could_be_misread_is_refused() {
        for text in ["", "30", "s", "1.5s", "-1s", "30 s", "30sec", "1h30m", "99999999999999999999s"] {
            assert_eq!(parse_duration(text), Err(UnitError::Duration(text.to_owned())));
        }
        for text in ["", "30", "25MB", "25mib", "1.5GiB", "99999999999999999GiB"] {
            assert_eq!(parse_size(text), Err(UnitError::Size(text.to_owned())));
        }
    }

    #[test]
    fn a_written_duration_reads_back() {
        for text in ["0ms", "250ms", "1500ms", "90s", "5m", "36h", "2d"] {
            assert_eq!(write_duration(parse_duration(text).unwrap()), text);
        }
    }
}
