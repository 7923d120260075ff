//! Which events a page is about, as its address says it.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};
use trunkline_jobs::events::EventFilter;
use trunkline_platform::duration;

use crate::dashboard::form::Fields;
use crate::event_words;
use crate::mask::View;

/// The fields of an address or a form that tell a filter.
pub(super) type Named = [(&'static str, Option<String>); 6];

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
    let ago = || now.checked_sub_signed(TimeDelta::from_std(duration::parse(text)?).ok()?);
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()).or_else(ago);
    time.ok_or_else(|| {
        format!(
            "{text:?} is no time: write one such as 2026-03-02T09:00:00Z, or how long ago it was, such as 2h."
        )
    })
}

/// A filter as the fields of an address.
pub(super) fn fields(filter: &EventFilter) -> Named {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    [
        ("type", filter.event_type.clone()),
        ("since", filter.since.map(time)),
        ("until", filter.until.map(time)),
        ("number", filter.number.clone()),
        ("text", filter.text.clone()),
        ("state", filter.state.map(|state| state.to_string())),
    ]
}

/// The same, as others take them, with more at the end.
pub(super) fn borrowed<'n>(
    named: &'n Named,
    more: &[(&'n str, Option<&'n str>)],
) -> Vec<(&'n str, Option<&'n str>)> {
    named.iter().map(|(name, value)| (*name, value.as_deref())).chain(more.iter().copied()).collect()
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
