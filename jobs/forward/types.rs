//! Which types of events somebody wants.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use trunkline_openphone::event::EventType;

const MOST: usize = 50;
const LONGEST: usize = 100;

/// Types by their names, or `message.*` for all that begin so. None: all there are.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct EventTypes(Vec<String>);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidEventTypes {
    #[error("{0:?} is no type of events: write one such as message.received, or message.* for all of a kind")]
    Word(String),
    #[error("more than {MOST} types of events")]
    TooMany,
}

impl EventTypes {
    /// # Errors
    /// When a name cannot be one, or there are too many.
    pub fn new(names: Vec<String>) -> Result<Self, InvalidEventTypes> {
        if names.len() > MOST {
            return Err(InvalidEventTypes::TooMany);
        }
        match names.iter().find(|name| !is_name(name)) {
            Some(name) => Err(InvalidEventTypes::Word(name.chars().take(LONGEST).collect())),
            None => Ok(Self(names)),
        }
    }

    /// Whether a type is among them, in any spelling the provider has for it.
    pub fn want(&self, event_type: &str) -> bool {
        let usual = EventType::from_name(event_type).map_or(event_type, |known| known.as_str());
        let names = |name: &String| match name.strip_suffix('*') {
            Some(beginning) => event_type.starts_with(beginning) || usual.starts_with(beginning),
            None => name == event_type || name == usual,
        };
        self.0.is_empty() || self.0.iter().any(names)
    }

    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// As it is stored.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What was stored; of what cannot be read, nothing is wanted.
    pub fn of_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self(vec![String::new()]))
    }
}

impl FromStr for EventTypes {
    type Err = InvalidEventTypes;

    /// Separated by commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(
            text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect(),
        )
    }
}

fn is_name(name: &str) -> bool {
    let plain = match name.strip_suffix('*') {
        Some(beginning) => beginning.strip_suffix('.').unwrap_or_default(),
        None => name,
    };
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    !plain.is_empty() && name.len() <= LONGEST && plain.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_wanted_by_name_by_kind_and_in_every_spelling() {
        let types: EventTypes = "message.*, call.summary.completed".parse().unwrap();
        for wanted in ["message.received", "message.new", "call.summary.completed", "callSummary"] {
            assert!(types.want(wanted), "{wanted}");
        }
        for other in ["messages.received", "call.completed", ""] {
            assert!(!types.want(other), "{other}");
        }
        assert!(EventTypes::default().want("moon.rose"));
    }

    #[test]
    fn what_can_be_no_type_is_refused() {
        for bad in ["*", ".*", "message*", "a b", "message.received\n", &"x".repeat(101)] {
            assert!(EventTypes::new(vec![bad.to_owned()]).is_err(), "{bad:?}");
        }
        assert_eq!(EventTypes::new(vec!["a".to_owned(); 51]), Err(InvalidEventTypes::TooMany));
        assert!("".parse::<EventTypes>().unwrap().names().is_empty());
    }

    #[test]
    fn what_was_stored_is_read_back_and_what_is_broken_wants_nothing() {
        let types: EventTypes = "message.*,call.missed".parse().unwrap();
        assert_eq!(EventTypes::of_json(&types.to_json()), types);
        assert!(!EventTypes::of_json("{").want("message.received"));
    }
}
