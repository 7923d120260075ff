//! What may stand in a person's row, whoever brings it: a file, or somebody at the API.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use thiserror::Error;

use super::NewPerson;
use crate::contacts::place;

/// The longest text of one field, in characters.
const LONGEST: usize = 1_000;
const LONGEST_FIELD_NAME: usize = 64;
/// The most tags and flags of one person that are told at once, and the most fields.
pub(in crate::contacts) const MOST_LABELS: usize = 20;
const MOST_FIELDS: usize = 50;

/// What is wrong with somebody who was to be written.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{field}: {why}")]
pub struct PersonError {
    pub field: String,
    pub why: String,
}

impl NewPerson {
    /// In the spelling that is kept: without blanks around texts, the state in capitals. What is blank is absent.
    ///
    /// # Errors
    /// With the first field that cannot be kept. The number is not looked at.
    pub fn checked(self) -> Result<Self, PersonError> {
        type Check = fn(&str) -> Result<String, String>;
        let named = |field: &str| {
            let field = field.to_owned();
            move |why: String| PersonError { field, why }
        };
        let told = |text: Option<String>, field: &str, check: Check| -> Result<Option<String>, PersonError> {
            let Some(text) = text else { return Ok(None) };
            let text = words(&text).map_err(named(field))?;
            if text.is_empty() { Ok(None) } else { check(text).map(Some).map_err(named(field)) }
        };
        let any = |text: &str| -> Result<String, String> { Ok(text.to_owned()) };
        let mut fields = BTreeMap::new();
        for (name, text) in self.fields {
            field_name(&name).map_err(named("fields"))?;
            let text = words(&text).map_err(named(&name))?.to_owned();
            fields.insert(name, text);
        }
        number_of_fields(&fields).map_err(named("fields"))?;
        if self.labels.len() > MOST_LABELS {
            let why = format!("there are more than {MOST_LABELS} tags and flags");
            return Err(PersonError { field: "tags".to_owned(), why });
        }
        Ok(Self {
            number: self.number,
            first_name: told(self.first_name, "first_name", any)?,
            last_name: told(self.last_name, "last_name", any)?,
            company: told(self.company, "company", any)?,
            email: told(self.email, "email", email)?,
            fields,
            time_zone: told(self.time_zone, "time_zone", zone)?,
            state: told(self.state, "state", state)?,
            labels: self.labels,
        })
    }
}

/// Without what stands around it.
pub(in crate::contacts) fn words(text: &str) -> Result<&str, String> {
    let text = text.trim();
    if text.chars().count() > LONGEST {
        return Err(format!("this is longer than {LONGEST} characters"));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err("there is a character in it that cannot be shown".to_owned());
    }
    Ok(text)
}

pub(in crate::contacts) fn email(text: &str) -> Result<String, String> {
    let looks_right = text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
    });
    if looks_right && !text.contains(char::is_whitespace) && text.matches('@').count() == 1 {
        Ok(text.to_owned())
    } else {
        Err("this is no e-mail address".to_owned())
    }
}

pub(in crate::contacts) fn zone(text: &str) -> Result<String, String> {
    let zone: Result<Tz, _> = text.parse();
    zone.map(|zone| zone.name().to_owned())
        .map_err(|_| "this is no time zone: write one such as America/Chicago".to_owned())
}

pub(in crate::contacts) fn state(text: &str) -> Result<String, String> {
    let state = text.to_ascii_uppercase();
    if place::zones_of_state(&state).is_empty() {
        return Err("this is no state or province: write its two letters, such as TX".to_owned());
    }
    Ok(state)
}

pub(in crate::contacts) fn is_field(name: &str) -> bool {
    (1..=LONGEST_FIELD_NAME).contains(&name.len())
        && name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c))
}

pub(in crate::contacts) fn field_name(name: &str) -> Result<(), String> {
    if is_field(name) {
        return Ok(());
    }
    let name: String = name.chars().take(20).collect();
    Err(format!("{name:?} is no name of a field: it is letters, digits, - and _"))
}

pub(in crate::contacts) fn number_of_fields(fields: &BTreeMap<String, String>) -> Result<(), String> {
    if fields.len() > MOST_FIELDS {
        return Err(format!("there are more than {MOST_FIELDS} fields"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contacts::people::Label;

    #[test]
    fn what_is_kept_has_one_spelling_and_what_is_blank_is_absent() {
        let told = NewPerson {
            first_name: Some(" Ann ".to_owned()),
            company: Some("  ".to_owned()),
            state: Some("tx".to_owned()),
            fields: [("plan".to_owned(), " gold ".to_owned())].into(),
            ..NewPerson::default()
        };
        let kept = told.checked().unwrap();
        assert_eq!(
            (kept.first_name.as_deref(), kept.company, kept.state.as_deref()),
            (Some("Ann"), None, Some("TX"))
        );
        assert_eq!(kept.fields["plan"], "gold");
    }

    #[test]
    fn what_cannot_be_kept_is_told_with_its_field() {
        let text = |text: &str| Some(text.to_owned());
        let field = |name: &str, text: &str| [(name.to_owned(), text.to_owned())].into();
        let nobody = NewPerson::default;
        for (wrong, told) in [
            (NewPerson { email: text("ann.example.com"), ..nobody() }, "email: this is no e-mail address"),
            (NewPerson { time_zone: text("Mars/Base"), ..nobody() }, "time_zone: this is no time zone"),
            (NewPerson { state: text("Texas"), ..nobody() }, "state: this is no state"),
            (NewPerson { company: text(&"x".repeat(1_001)), ..nobody() }, "company: this is longer"),
            (NewPerson { last_name: text("a\u{7}b"), ..nobody() }, "last_name: there is a character"),
            (NewPerson { fields: field("two words", "x"), ..nobody() }, "fields: \"two words\" is no name"),
            (NewPerson { labels: vec![Label::Flag("vip"); 21], ..nobody() }, "tags: there are more than 20"),
        ] {
            let error = wrong.checked().unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }
}
