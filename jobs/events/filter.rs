//! Which events are meant: by what they are, when they came, of whom and of what they tell, and what became of them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use trunkline_platform::task::TaskState;

use crate::contacts::number::{Country, Number, NumberError};

/// The longest type and text that are looked for.
const LONGEST: usize = 255;

/// Which events; all that is said must hold. It is stored with a replay, so its words stay readable.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct EventFilter {
    /// The type as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Received at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Received before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// In E.164: whoever it tells of, on either side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Part of anything it tells: words, names, ids. Capitals or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<EventState>,
}

/// What became of an event: how its newest task stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    Pending,
    Running,
    Done,
    Dead,
    Cancelled,
    Discarded,
    /// No job knew its type.
    Unknown,
    /// It had a task, which is no longer stored.
    Gone,
}

/// A word that is no state.
#[derive(Debug, Error)]
#[error(
    "{0:?} is no state of an event; the states are pending, running, done, dead, cancelled, discarded, unknown, gone"
)]
pub struct UnknownEventState(String);

/// Why no event can be as described.
#[derive(Debug, Error)]
pub enum FilterError {
    #[error("the number cannot be read")]
    Number(#[source] NumberError),
    #[error("the {0} is longer than {LONGEST} characters")]
    TooLong(&'static str),
    #[error("since is not before until")]
    Backwards,
}

impl EventState {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
        Self::Discarded,
        Self::Unknown,
        Self::Gone,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
            Self::Unknown => "unknown",
            Self::Gone => "gone",
        }
    }
}

impl From<TaskState> for EventState {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::Pending => Self::Pending,
            TaskState::Running => Self::Running,
            TaskState::Done => Self::Done,
            TaskState::Dead => Self::Dead,
            TaskState::Cancelled => Self::Cancelled,
            TaskState::Discarded => Self::Discarded,
        }
    }
}

impl fmt::Display for EventState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventState {
    type Err = UnknownEventState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| UnknownEventState(word.chars().take(LONGEST).collect()))
    }
}

impl EventFilter {
    /// The same with the number in E.164 and without what is blank, if it can be meant.
    ///
    /// # Errors
    /// When no event can be as described.
    pub fn checked(mut self) -> Result<Self, FilterError> {
        for text in [&mut self.event_type, &mut self.number, &mut self.text] {
            *text = text.take().filter(|text| !text.trim().is_empty());
        }
        for (what, text) in [("type", &self.event_type), ("text", &self.text)] {
            if text.as_deref().is_some_and(|text| text.chars().count() > LONGEST) {
                return Err(FilterError::TooLong(what));
            }
        }
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(FilterError::Backwards);
        }
        if let Some(number) = &self.number {
            let number = Number::parse(number, Country::default()).map_err(FilterError::Number)?;
            self.number = Some(number.as_str().to_owned());
        }
        Ok(self)
    }

    /// Whether it takes every event there is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What has to be looked for in bodies, if anything.
    pub(super) fn words(&self) -> Option<Words<'_>> {
        let text = self.text.as_deref().map(str::to_lowercase);
        let number = self.number.as_deref();
        (number.is_some() || text.is_some()).then_some(Words { number, text })
    }
}

/// What an event must tell.
pub(super) struct Words<'f> {
    number: Option<&'f str>,
    /// In lower case.
    text: Option<String>,
}

impl Words<'_> {
    /// Whether a body tells it. What the provider escapes in JSON is compared unescaped.
    pub(super) fn are_in(&self, body: &str) -> bool {
        let Ok(body) = serde_json::from_str::<Value>(body) else { return false };
        // Some deliveries carry the whole event once more inside `object`.
        let told = body.get("data").or_else(|| body.pointer("/object/data")).unwrap_or(&body);
        let number = self.number.is_none_or(|number| any(told, &mut |said| said == number));
        let text = || {
            self.text.as_deref().is_none_or(|text| any(told, &mut |said| said.to_lowercase().contains(text)))
        };
        number && text()
    }
}

/// Whether any string is so, names of kinds (`"object": "message"`) left out.
fn any(value: &Value, is: &mut impl FnMut(&str) -> bool) -> bool {
    match value {
        Value::String(said) => is(said),
        Value::Array(items) => items.iter().any(|item| any(item, is)),
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let names_a_kind = value.is_string() && matches!(name.as_str(), "object" | "type");
            !names_a_kind && any(value, is)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"id":"EV1","type":"message.received","data":{"object":{"id":"AC1","object":"message",
        "from":"+12125550101","to":["+12125550102"],"body":"Gr\u00fc\u00dfe, \"Ana\"","media":[]}}}"#;

    fn tells(number: Option<&str>, text: Option<&str>) -> bool {
        let filter = EventFilter {
            number: number.map(str::to_owned),
            text: text.map(str::to_owned),
            ..EventFilter::default()
        };
        filter.words().unwrap().are_in(BODY)
    }

    #[test]
    fn a_number_is_found_on_either_side_and_only_whole() {
        assert!(tells(Some("+12125550101"), None) && tells(Some("+12125550102"), None));
        assert!(!tells(Some("+1212555010"), None));
    }

    #[test]
    fn a_text_is_found_in_whatever_is_told_however_it_was_escaped() {
        for text in ["grüße, \"ana", "GRÜSSE".to_lowercase().replace("ss", "ß").as_str(), "ac1", "5550102"]
        {
            assert!(tells(None, Some(text)), "{text}");
        }
        assert!(!tells(None, Some("message")), "the names of kinds are no words of anybody");
        assert!(!tells(Some("+12125550199"), Some("ana")), "both must hold");
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        let at = DateTime::UNIX_EPOCH;
        let filter = EventFilter::default();
        let typed = EventFilter { number: Some("(212) 555-0101".to_owned()), ..filter.clone() };
        assert_eq!(typed.checked().unwrap().number.as_deref(), Some("+12125550101"));
        for bad in [
            EventFilter { number: Some("ana".to_owned()), ..filter.clone() },
            EventFilter { text: Some("x".repeat(256)), ..filter.clone() },
            EventFilter { since: Some(at), until: Some(at), ..filter.clone() },
        ] {
            assert!(bad.checked().is_err());
        }
        let blank = EventFilter { text: Some(" ".to_owned()), number: Some(String::new()), ..filter.clone() };
        assert!(blank.checked().unwrap().is_empty());
        assert!(filter.checked().unwrap().is_empty());
    }

    #[test]
    fn a_stored_filter_is_read_again() {
        let filter = EventFilter {
            event_type: Some("call.ringing".to_owned()),
            since: Some(DateTime::UNIX_EPOCH),
            state: Some(EventState::Dead),
            ..EventFilter::default()
        };
        let stored = serde_json::to_string(&filter).unwrap();
        assert_eq!(stored, r#"{"event_type":"call.ringing","since":"1970-01-01T00:00:00Z","state":"dead"}"#);
        assert_eq!(serde_json::from_str::<EventFilter>(&stored).unwrap(), filter);
        assert!(
            EventState::ALL.into_iter().all(|state| state.as_str().parse::<EventState>().unwrap() == state)
        );
    }
}
