//! Which events a page is about, as its address says it.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use trunkline_jobs::events::EventFilter;

use crate::dashboard::form::Fields;
use crate::mask::View;
use crate::{elapsed, event_words};

/// Reads a filter, or says why it cannot be meant.
pub(super) fn read(fields: &Fields, now: DateTime<Utc>) -> Result<EventFilter, String> {
    let filter = EventFilter {
        event_type: fields.owned("type"),
        since: fields.get("since").map(|text| time(text, now)).transpose()?,
        until: fields.get("until").map(|text| time(text, now)).transpose()?,
        number: fields.owned("number"),
        text: fields.owned("text"),
        state: fields.get("state").map(str::parse).transpose().map_err(|error| format!("{error}"))?,
    };
    filter.checked().map_err(|error| trunkline_platform::chain(&error))
}

/// A time, or how long ago it was.
fn time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    elapsed::past(text, now).ok_or_else(|| {
        format!(
            "{text:?} is no time: write one such as 2026-03-02T09:00:00Z, or how long ago it was, such as 2h."
        )
    })
}

/// A filter as the fields of an address or a form.
pub(super) fn fields(filter: &EventFilter) -> Vec<(&'static str, String)> {
    event_words::of(filter, View::of(true))
}

/// The same, as others take them, with more at the end.
pub(super) fn borrowed<'n>(
    named: &'n [(&'static str, String)],
    more: &[(&'n str, Option<&'n str>)],
) -> Vec<(&'n str, Option<&'n str>)> {
    named.iter().map(|(name, value)| (*name, Some(value.as_str()))).chain(more.iter().copied()).collect()
}

/// A filter in words, without whom and what it looks for unless they may be seen.
pub(super) fn told(filter: &EventFilter, view: View) -> Markup {
    let words = event_words::of(filter, view);
    html! {
        @if words.is_empty() { "all of them" }
        @for (name, word) in &words { span.chip { (name) " " code { (word) } } " " }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_back_from_its_own_address() {
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        let typed =
            Fields::read("type=call.ringing&since=2h&number=(212)+555-0101&text=a%26b&state=dead&until=");
        let filter = read(&typed, now).unwrap();
        assert_eq!(filter.since, "2026-03-02T07:00:00Z".parse().ok());
        let named = fields(&filter);
        let address = crate::dashboard::form::address("/events", &borrowed(&named, &[]));
        let again = Fields::read(address.split_once('?').unwrap().1);
        assert_eq!(read(&again, now).unwrap(), filter);
        for bad in ["since=soon", "state=asleep", "number=ana", "since=1h&until=2h"] {
            assert!(read(&Fields::read(bad), now).is_err(), "{bad}");
        }
    }
}
