//! Which calls a page is about, as its address says it.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};
use trunkline_jobs::calls::stats::Counts;
use trunkline_jobs::calls::{CallFilter, CallLine};
use trunkline_jobs::contacts::number::{Country, Number};

use crate::dashboard::form::Fields;
use crate::elapsed;

/// The fields of an address that narrow the list.
pub(super) const NAMES: [&str; 7] = ["number", "user", "direction", "outcome", "status", "since", "until"];
pub(super) const DIRECTIONS: [&str; 2] = ["incoming", "outgoing"];

/// Reads a filter, or says why it cannot be meant.
pub(super) fn read(fields: &Fields, now: DateTime<Utc>) -> Result<CallFilter, String> {
    Ok(CallFilter {
        number: fields.get("number").map(number),
        user: fields.owned("user"),
        direction: fields.owned("direction"),
        outcome: fields.owned("outcome"),
        status: fields.owned("status"),
        since: fields.get("since").map(|text| time(text, now)).transpose()?,
        until: fields.get("until").map(|text| time(text, now)).transpose()?,
        before: fields.get("before").map(place).transpose()?,
        limit: 0,
    })
}

/// A number in the spelling it is kept in; what is no number of a subscriber, a short code perhaps, as it was typed.
pub(super) fn number(text: &str) -> String {
    Number::parse(text, Country::default()).map_or_else(|_| text.to_owned(), |number| number.to_string())
}

/// A time, or how long ago it was.
pub(super) fn time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    elapsed::past(text, now).ok_or_else(|| {
        format!(
            "{text:?} is no time: write one such as 2026-03-02T09:00:00Z, or how long ago it was, such as 2h."
        )
    })
}

/// Where the page after a call begins.
pub(super) fn next(line: &CallLine) -> String {
    format!("{},{}", line.at.to_rfc3339_opts(SecondsFormat::Micros, true), line.id)
}

fn place(text: &str) -> Result<(DateTime<Utc>, String), String> {
    let read = || {
        let (at, id) = text.split_once(',')?;
        Some((elapsed::time(at)?, id.to_owned()))
    };
    read().ok_or_else(|| "This is no place in the list: follow the link to the next page.".to_owned())
}

/// What calls can come to.
pub(super) fn outcomes() -> [&'static str; 9] {
    Counts::default().outcomes().map(|(name, _)| name)
}

/// A field of a search.
pub(super) fn field(fields: &Fields, name: &str, label: &str, example: &str) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            input id=(name) name=(name) value=[fields.get(name)] placeholder=(example) maxlength="255" autocomplete="off";
        }
    }
}

/// One of several, or any.
pub(super) fn choice(fields: &Fields, name: &str, label: &str, of: &[&str]) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { "any" }
                @for one in of { option value=(one) selected[fields.get(name) == Some(*one)] { (one.replace('_', " ")) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_and_what_is_none_is_told() {
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        let typed =
            "number=(212)+555-0101&outcome=missed&since=2h&before=2026-03-02T08:00:00.123456Z%2CAC1,2";
        let filter = read(&Fields::read(typed), now).unwrap();
        assert_eq!(
            (filter.number.as_deref(), filter.outcome.as_deref()),
            (Some("+12125550101"), Some("missed"))
        );
        assert_eq!(filter.since, "2026-03-02T07:00:00Z".parse().ok());
        assert_eq!(filter.before, Some(("2026-03-02T08:00:00.123456Z".parse().unwrap(), "AC1,2".to_owned())));
        assert_eq!(number("22000"), "22000");
        for bad in ["since=soon", "until=99999999d", "before=AC1", "before=soon,AC1"] {
            assert!(read(&Fields::read(bad), now).is_err(), "{bad}");
        }
    }
}
