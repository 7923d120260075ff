//! The text of a campaign: literal words, and variables that each person fills.
//!
//! `Hi {{first_name|there}}, …` has a default after the bar. What a person's record says is put in as it is and never read
//! as a template itself; a blank counts as missing, and line breaks and control characters become spaces.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::sms::{MAX_CHARS, Segments, segments};

/// Words by which a text says how to stop; one must be in it.
const WAYS_OUT: &[&str] = &["stop", "unsubscribe", "opt out", "opt-out", "optout"];

/// What becomes of a person whose record lacks a variable that has no default.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Gets no text, and the reason is kept.
    #[default]
    Skip,
    /// Gets the text without it.
    Blank,
    /// The campaign is held at that person until somebody has looked.
    Hold,
}

/// A template, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Variable { name: String, default: Option<String> },
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TemplateError {
    #[error("the template is empty")]
    Empty,
    #[error("`{{{{` at character {0} is not closed by `}}}}`")]
    Open(usize),
    #[error("{0:?} is no name of a variable: write letters, digits and underscores, such as first_name")]
    Name(String),
    #[error("the text says nowhere how to stop: add a line such as \"Reply STOP to opt out\"")]
    NoWayOut,
    #[error("the words alone are {0} characters long; the provider takes {MAX_CHARS}")]
    TooLong(usize),
}

/// Why a person gets no text of this template.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum RenderError {
    #[error("the record has no {0}")]
    Missing(String),
    #[error("the text is {0} characters long; the provider takes {MAX_CHARS}")]
    TooLong(usize),
    #[error("nothing is left of the text")]
    Blank,
}

/// A text for one person.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Rendered {
    pub text: String,
    pub segments: Segments,
}

impl Template {
    /// The names it asks for, and of those the ones without a default.
    pub fn variables(&self) -> BTreeSet<&str> {
        let names = self.parts.iter().filter_map(|part| match part {
            Part::Variable { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        });
        names.collect()
    }

    /// That a text of it may be sent to many at all.
    ///
    /// # Errors
    /// When it does not say how to stop, or its words alone are too long.
    pub fn check(&self) -> Result<(), TemplateError> {
        let words: String = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Variable { .. } => " ",
            })
            .collect();
        let chars = words.chars().count();
        if chars > MAX_CHARS {
            return Err(TemplateError::TooLong(chars));
        }
        let words = words.to_lowercase();
        if WAYS_OUT.iter().any(|way| has_word(&words, way)) { Ok(()) } else { Err(TemplateError::NoWayOut) }
    }

    /// The text for one person; `value` looks a variable up.
    ///
    /// # Errors
    /// When the person gets none.
    pub fn render(
        &self,
        missing: Missing,
        value: impl Fn(&str) -> Option<String>,
    ) -> Result<Rendered, RenderError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(words) => text += words,
                Part::Variable { name, default } => {
                    let known = value(name).map(|value| one_line(&value)).filter(|value| !value.is_empty());
                    match known.or_else(|| default.clone()) {
                        Some(value) => text += &value,
                        None if missing == Missing::Blank => {}
                        None => return Err(RenderError::Missing(name.clone())),
                    }
                }
            }
        }
        let segments = segments(&text);
        if segments.chars > MAX_CHARS {
            return Err(RenderError::TooLong(segments.chars));
        }
        if text.trim().is_empty() {
            return Err(RenderError::Blank);
        }
        Ok(Rendered { text, segments })
    }
}

fn one_line(value: &str) -> String {
    let spaced: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.trim().to_owned()
}

/// Whether the word stands there by itself: `stop` is not in `stopwatch`.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text.trim().is_empty() {
            return Err(TemplateError::Empty);
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((words, after)) = rest.split_once("{{") {
            let open = text.len() - after.len() - 2;
            let at = text[..open].chars().count() + 1;
            let (inside, after) = after.split_once("}}").ok_or(TemplateError::Open(at))?;
            let (name, default) = match inside.split_once('|') {
                Some((name, default)) => (name.trim(), Some(one_line(default))),
                None => (inside.trim(), None),
            };
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(TemplateError::Name(name.to_owned()));
            }
            if !words.is_empty() {
                parts.push(Part::Text(words.to_owned()));
            }
            parts.push(Part::Variable { name: name.to_owned(), default });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(words) => f.write_str(words),
            Part::Variable { name, default: None } => write!(f, "{{{{{name}}}}}"),
            Part::Variable { name, default: Some(default) } => write!(f, "{{{{{name}|{default}}}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rendered(template: &str, missing: Missing, name: Option<&str>) -> Result<String, RenderError> {
        let template: Template = template.parse().unwrap();
        let value = |asked: &str| name.filter(|_| asked == "first_name").map(str::to_owned);
        template.render(missing, value).map(|rendered| rendered.text)
    }

    #[test]
    fn a_person_fills_the_variables_and_a_default_stands_in() {
        let text = "Hi {{ first_name |there}}!";
        assert_eq!(rendered(text, Missing::Skip, Some("Ann")).unwrap(), "Hi Ann!");
        for blank in [None, Some(""), Some(" \n ")] {
            assert_eq!(rendered(text, Missing::Skip, blank).unwrap(), "Hi there!");
        }
        assert_eq!(rendered("Hi{{first_name|}}!", Missing::Skip, None).unwrap(), "Hi!");
    }

    #[test]
    fn a_missing_variable_goes_by_the_policy() {
        let missing = Err(RenderError::Missing("first_name".to_owned()));
        assert_eq!(rendered("Hi {{first_name}}", Missing::Skip, None), missing);
        assert_eq!(rendered("Hi {{first_name}}", Missing::Hold, None), missing);
        assert_eq!(rendered("Hi {{first_name}}", Missing::Blank, None).unwrap(), "Hi ");
        assert_eq!(rendered("{{first_name}}", Missing::Blank, None), Err(RenderError::Blank));
    }

    #[test]
    fn what_a_record_says_is_no_template_and_breaks_no_line() {
        assert_eq!(
            rendered("Hi {{first_name}}", Missing::Skip, Some("{{x}}\r\nAnn")).unwrap(),
            "Hi {{x}}  Ann"
        );
    }

    #[test]
    fn mistakes_are_told_by_their_place() {
        assert_eq!("é {{first_name".parse::<Template>(), Err(TemplateError::Open(3)));
        assert_eq!("{{a b}}".parse::<Template>(), Err(TemplateError::Name("a b".to_owned())));
        assert_eq!("{{}}".parse::<Template>(), Err(TemplateError::Name(String::new())));
        assert_eq!(" \n".parse::<Template>(), Err(TemplateError::Empty));
    }

    #[test]
    fn a_text_to_many_says_how_to_stop() {
        for good in
            ["Sale! Reply STOP to end", "Sale (opt out: N)", "sale. unsubscribe any time", "Txt stop."]
        {
            assert_eq!(good.parse::<Template>().unwrap().check(), Ok(()), "{good}");
        }
        for bad in ["Sale!", "A stopwatch for you", "nonstop", "{{stop}}", "Sale {{first_name|stop}}"] {
            assert_eq!(bad.parse::<Template>().unwrap().check(), Err(TemplateError::NoWayOut), "{bad}");
        }
        let long = "stop ".repeat(400);
        assert_eq!(long.parse::<Template>().unwrap().check(), Err(TemplateError::TooLong(2_000)));
    }

    #[test]
    fn a_text_that_grew_too_long_is_not_sent() {
        let error = rendered("{{first_name}} STOP", Missing::Skip, Some(&"x".repeat(1_600))).unwrap_err();
        assert_eq!(error, RenderError::TooLong(1_605));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_takes_it_writes_back(text in "[a-z|{} \n👍_]{0,60}") {
            if let Ok(template) = text.parse::<Template>() {
                let written = template.to_string();
                prop_assert_eq!(written.parse::<Template>().unwrap(), template);
            }
        }

        #[test]
        fn words_without_braces_come_out_as_they_went_in(text in "[^{}]{0,200}[^{}\\s]") {
            let template: Template = text.parse().unwrap();
            prop_assert_eq!(template.render(Missing::Skip, |_| None).unwrap().text, text);
        }
    }
}
