//! Which bytes of a file are asked for, and whether the asker has them already (RFC 9110, sections 13 and 14).

use std::ops::Range;

use chrono::{DateTime, SubsecRound, Utc};
use poem::http::{HeaderMap, HeaderName, header};

const HTTP_TIME: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// What tells one content from another.
pub(super) struct Validators {
    pub(super) etag: String,
    pub(super) modified: DateTime<Utc>,
}

/// What to answer with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// The asker has it.
    NotModified,
    /// No byte of what is asked for is there.
    Unsatisfiable,
}

/// Several ranges in one request are more than anybody needs of a recording: they get the whole, as is allowed.
pub(super) fn wanted(headers: &HeaderMap, size: u64, validators: &Validators) -> Wanted {
    if not_modified(headers, validators) {
        return Wanted::NotModified;
    }
    let Some(range) = text(headers, &header::RANGE) else { return Wanted::Whole };
    if let Some(condition) = text(headers, &header::IF_RANGE)
        && condition != validators.etag
        && !same_time(condition, validators.modified)
    {
        return Wanted::Whole;
    }
    part(range, size)
}

pub(super) fn http_time(time: DateTime<Utc>) -> String {
    time.format(HTTP_TIME).to_string()
}

fn not_modified(headers: &HeaderMap, validators: &Validators) -> bool {
    let mut tags = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
    if tags.peek().is_some() {
        let tags = tags.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        return tags.map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == validators.etag);
    }
    let since = text(headers, &header::IF_MODIFIED_SINCE).and_then(time);
    since.is_some_and(|since| validators.modified.trunc_subsecs(0) <= since)
}

fn same_time(condition: &str, modified: DateTime<Utc>) -> bool {
    time(condition) == Some(modified.trunc_subsecs(0))
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    chrono::NaiveDateTime::parse_from_str(text, HTTP_TIME).ok().map(|time| time.and_utc())
}

/// A range that cannot be read counts as none.
fn part(range: &str, size: u64) -> Wanted {
    let Some(spec) = range.trim().strip_prefix("bytes=") else { return Wanted::Whole };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Wanted::Whole,
        (Some(first), _) if first >= size && (last.is_empty() || number(last).is_some()) => {
            Wanted::Unsatisfiable
        }
        (Some(first), Some(last)) => Wanted::Part(first..last.saturating_add(1).min(size)),
        (Some(first), None) if last.is_empty() => Wanted::Part(first..size),
        (None, Some(0)) if first.is_empty() => Wanted::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && size == 0 => Wanted::Unsatisfiable,
        (None, Some(length)) if first.is_empty() => Wanted::Part(size.saturating_sub(length)..size),
        _ => Wanted::Whole,
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = 1_000;

    fn validators() -> Validators {
        let modified = DateTime::parse_from_rfc3339("2026-03-02T09:00:00.5Z").unwrap().to_utc();
        Validators { etag: "\"abc\"".to_owned(), modified }
    }

    fn asked(headers: &[(HeaderName, &str)]) -> Wanted {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        wanted(&headers.collect(), SIZE, &validators())
    }

    #[test]
    fn one_range_is_answered_and_anything_else_is_the_whole() {
        for (range, answer) in [
            ("bytes=0-", Wanted::Part(0..1_000)),
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=10-19", Wanted::Part(10..20)),
            ("bytes=990-5000", Wanted::Part(990..1_000)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..1_000)),
            ("bytes=-100", Wanted::Part(900..1_000)),
            ("bytes=-5000", Wanted::Part(0..1_000)),
            ("bytes=1000-", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1000-x", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
        ] {
            assert_eq!(asked(&[(header::RANGE, range)]), answer, "{range}");
        }
        assert_eq!(asked(&[]), Wanted::Whole);
    }

    #[test]
    fn a_range_of_another_content_is_the_whole() {
        let range = (header::RANGE, "bytes=0-9");
        for (condition, answer) in [
            ("\"abc\"", Wanted::Part(0..10)),
            ("W/\"abc\"", Wanted::Whole),
            ("\"other\"", Wanted::Whole),
            ("Mon, 02 Mar 2026 09:00:00 GMT", Wanted::Part(0..10)),
            ("Mon, 02 Mar 2026 09:00:01 GMT", Wanted::Whole),
            ("soon", Wanted::Whole),
        ] {
            assert_eq!(asked(&[range.clone(), (header::IF_RANGE, condition)]), answer, "{condition}");
        }
    }

    #[test]
    fn who_has_the_content_is_told_so_and_the_tag_counts_more_than_the_time() {
        let since = header::IF_MODIFIED_SINCE;
        for (headers, has_it) in [
            (vec![(header::IF_NONE_MATCH, "\"abc\"")], true),
            (vec![(header::IF_NONE_MATCH, "\"x\", W/\"abc\"")], true),
            (vec![(header::IF_NONE_MATCH, "*")], true),
            (vec![(header::IF_NONE_MATCH, "\"x\"")], false),
            (vec![(since.clone(), "Mon, 02 Mar 2026 09:00:00 GMT")], true),
            (vec![(since.clone(), "Mon, 02 Mar 2026 08:59:59 GMT")], false),
            (vec![(since.clone(), "yesterday")], false),
            (vec![(header::IF_NONE_MATCH, "\"x\""), (since, "Mon, 02 Mar 2026 09:00:00 GMT")], false),
        ] {
            assert_eq!(asked(&headers) == Wanted::NotModified, has_it, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_range_reaches_beyond_the_file(range in "bytes=[0-9]{0,22}-[0-9]{0,22}|[ -~]{0,40}", size: u64) {
            if let Wanted::Part(part) = part(&range, size) {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }
    }
}
