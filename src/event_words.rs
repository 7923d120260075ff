//! Filters of events in words, as the command line and the pages tell them. A page's address has the same names and words, so
//! that it can be read back.

use chrono::SecondsFormat;
use trunkline_jobs::events::EventFilter;

use crate::mask::View;

/// What a filter says, name by name. Nothing: it takes every event.
pub fn of(filter: &EventFilter, view: View) -> Vec<(&'static str, String)> {
    let EventFilter { event_type, since, until, number, text, state } = filter;
    let time = |time: &chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let words = [
        ("type", event_type.clone()),
        ("since", since.as_ref().map(time)),
        ("until", until.as_ref().map(time)),
        ("number", number.as_deref().map(|number| view.number(number))),
        ("text", text.as_deref().map(|text| view.said(text))),
        ("state", state.map(|state| state.to_string())),
    ];
    words.into_iter().filter_map(|(name, word)| Some((name, word?))).collect()
}

/// The same on one line.
pub fn line(filter: &EventFilter, view: View) -> String {
    let words: Vec<String> =
        of(filter, view).into_iter().map(|(name, word)| format!("{name} {word}")).collect();
    if words.is_empty() { "all of them".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_told_without_whom_and_what_it_looks_for() {
        let filter = EventFilter {
            event_type: Some("message.received".to_owned()),
            number: Some("+12125550101".to_owned()),
            text: Some("divorce".to_owned()),
            ..EventFilter::default()
        };
        assert_eq!(
            line(&filter, View::of(false)),
            "type message.received, number +*******0101, text [7 chars]"
        );
        assert_eq!(line(&EventFilter::default(), View::of(false)), "all of them");
    }
}
