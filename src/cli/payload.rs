//! Payloads and times as people write them on the command line.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

pub(super) use crate::elapsed::delta;
use crate::{elapsed, mask};

/// The largest payload that is read from a file: more is a mistake.
const LARGEST: u64 = 4 << 20;
/// The longest secret, in bytes.
const LONGEST_SECRET: u64 = 4_096;

/// A payload given as JSON, as `@FILE`, or as `-` for standard input.
pub(super) fn read(source: &str) -> Result<Value> {
    let text = match source.strip_prefix('@') {
        Some(file) => {
            let file_of = std::fs::File::open(file).with_context(|| format!("cannot open {file}"))?;
            all(file_of, LARGEST).with_context(|| format!("cannot read {file}"))?
        }
        None if source == "-" => all(std::io::stdin(), LARGEST).context("cannot read standard input")?,
        None => source.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| {
        anyhow!("the payload is no JSON: {error}. Give JSON, @FILE, or - for standard input")
    })
}

/// A secret from a file or from standard input. What is around it, as files and terminals leave it, is dropped.
pub(super) fn secret(file: Option<&Path>) -> Result<SecretString> {
    let (text, place) = match file {
        Some(path) => {
            let place = path.display().to_string();
            let opened = std::fs::File::open(path).with_context(|| format!("cannot open {place}"))?;
            (all(opened, LONGEST_SECRET), place)
        }
        None => (all(std::io::stdin(), LONGEST_SECRET), "standard input".to_owned()),
    };
    let text = SecretString::from(text.with_context(|| format!("cannot read the secret in {place}"))?);
    match text.expose_secret().trim() {
        "" => Err(anyhow!("there is no secret in {place}: it is empty")),
        secret => Ok(SecretString::from(secret)),
    }
}

/// The whole of it. What is longer is refused, and not cut.
fn all(source: impl std::io::Read, most: u64) -> Result<String> {
    let mut text = String::new();
    source.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(anyhow!("it is longer than {most} bytes"));
    }
    Ok(text)
}

/// `/json/pointer=value`; a value that is no JSON is a text.
pub(super) fn assignment(text: &str) -> Result<(String, Value)> {
    let (pointer, value) = text
        .split_once('=')
        .filter(|(pointer, _)| pointer.starts_with('/'))
        .ok_or_else(|| anyhow!("{text:?} sets nothing: write /place/in/payload=VALUE"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((pointer.to_owned(), value))
}

/// A time as RFC 3339 has it, or how long ago it was: `2h`.
pub(super) fn past(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    elapsed::past(text, now).ok_or_else(|| {
        anyhow!(
            "{text:?} is no time: write one such as 2026-03-02T09:00:00Z, or how long ago it was, such as 2h"
        )
    })
}

/// A stored payload as JSON, without people in it unless they are asked for.
pub(super) fn shown(text: &str, unmask: bool) -> Value {
    if unmask {
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
    } else {
        mask::json(text)
    }
}

/// Not before when: `--at` as RFC 3339 has it, or `--in` from now.
pub(super) fn not_before(
    at: Option<&str>,
    within: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    match (at, within) {
        (Some(at), _) => {
            let time = elapsed::time(at);
            time.map(Some)
                .with_context(|| format!("{at:?} is no time: write one such as 2026-03-02T09:00:00Z"))
        }
        (None, Some(within)) => elapsed::ahead(within, now).map(Some).with_context(|| {
            format!("{within:?} is no length of time: write a whole number and ms, s, m, h or d, such as 5m")
        }),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::elapsed::time;

    #[test]
    fn a_payload_is_json_or_a_file_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("payload.json");
        std::fs::write(&file, r#"{"event": 7}"#).unwrap();
        assert_eq!(read(&format!("@{}", file.display())).unwrap(), json!({"event": 7}));
        assert_eq!(read("{}").unwrap(), json!({}));
        assert!(read("event 7").unwrap_err().to_string().contains("@FILE"));
        assert!(read("@/nowhere/x").unwrap_err().to_string().starts_with("cannot open /nowhere/x"));
    }

    #[test]
    fn what_is_set_is_json_where_it_can_be_and_text_elsewhere() {
        for (text, value) in
            [("/a=7", json!(7)), ("/a=x=y", json!("x=y")), ("/a=\"7\"", json!("7")), ("/a=", json!(""))]
        {
            assert_eq!(assignment(text).unwrap(), ("/a".to_owned(), value));
        }
        for bad in ["a=7", "/a"] {
            assert!(assignment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_told_whole_or_by_how_long_ago_it_was() {
        let now = time("2026-03-02T09:00:00Z").unwrap();
        assert_eq!(past("2h", now).unwrap(), time("2026-03-02T07:00:00Z").unwrap());
        assert_eq!(past("2026-03-01T10:00:00+01:00", now).unwrap(), time("2026-03-01T09:00:00Z").unwrap());
        for bad in ["yesterday", "99999999d"] {
            assert!(past(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_to_wait_waits_for_a_time_that_comes() {
        let now = time("2026-03-02T09:00:00Z").unwrap();
        assert_eq!(not_before(None, None, now).unwrap(), None);
        assert_eq!(not_before(None, Some("5m"), now).unwrap(), time("2026-03-02T09:05:00Z"));
        let at = "2026-03-02T10:00:00Z";
        assert_eq!(not_before(Some(at), None, now).unwrap(), time(at));
        for (at, within) in [(Some("5m"), None), (None, Some(at)), (None, Some("99999999d"))] {
            assert!(not_before(at, within, now).is_err(), "{at:?} {within:?}");
        }
    }

    #[test]
    fn a_secret_is_trimmed_and_refused_when_there_is_none_or_more_than_one_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "tlk_abc\n").unwrap();
        assert_eq!(secret(Some(&file)).unwrap().expose_secret(), "tlk_abc");
        for bad in ["\n".to_owned(), "k".repeat(4_097)] {
            std::fs::write(&file, bad).unwrap();
            let error = format!("{:#}", secret(Some(&file)).unwrap_err());
            assert!(error.contains("empty") || error.contains("longer than 4096 bytes"), "{error}");
        }
        assert!(secret(Some(&folder.path().join("none"))).is_err());
    }
}
