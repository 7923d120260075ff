//! Those whom campaigns can text: one row a number, with what templates and segments need to know of them.
//!
//! They are not the provider's contacts. Those are told by events and change under us, one of them can have many
//! numbers and one number many of them; a campaign needs one row a number that only people and imports change
//! (decision 0023). What the provider knows stays in its own tables.

mod act;
pub(super) mod check;
mod label;
mod put;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use act::{ActedOn, PeopleAct, Whom, act};
pub use check::PersonError;
pub(crate) use label::left_out;
pub use label::{LABEL_BATCH, Labelling, keep, label, remove};
pub use put::{NewPerson, OnDuplicate, Put, put};
pub(super) use table::nth;
pub use table::{PAGE, Page, find, page};

use super::place::{self, Place};

pub(super) static STATEMENTS: &[&[&trunkline_platform::db::Stmt]] =
    &[label::STATEMENTS, put::STATEMENTS, table::STATEMENTS];

/// The longest tag, in characters.
const LONGEST_TAG: usize = 50;

/// Flags, the words that the program knows. Campaigns leave out whoever is blocked, invalid or complained.
pub const FLAGS: [&str; 5] = ["blocked", "complained", "invalid", "test", "vip"];
const KEPT_OUT: [&str; 3] = ["blocked", "complained", "invalid"];

/// One of those whom campaigns can text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Person {
    /// E.164.
    pub number: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    pub email: Option<String>,
    /// What else templates can name.
    pub fields: BTreeMap<String, String>,
    pub time_zone: Option<String>,
    pub state: Option<String>,
    pub source: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub tags: BTreeSet<String>,
    pub flags: BTreeSet<String>,
    /// When a text of theirs came last.
    pub last_reply_at: Option<DateTime<Utc>>,
    /// As of now. Before a text is sent, [`optout::closed`](super::optout::closed) tells.
    pub opted_out: bool,
}

impl Person {
    /// Where they may be, for the hours at which they may be texted.
    pub fn place(&self) -> Place {
        place::of_person(&self.number, self.time_zone.as_deref(), self.state.as_deref())
    }

    /// What a template can ask for.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let own = [&self.first_name, &self.last_name, &self.company, &self.email];
        variables(self.fields.clone(), own)
    }

    /// The flag by which campaigns leave this person out, if there is one.
    pub fn kept_out(&self) -> Option<&'static str> {
        KEPT_OUT.into_iter().find(|flag| self.flags.contains(*flag))
    }
}

/// What a template can ask for, by the name of the variable: what else is known, and first and last name, company and address.
pub(crate) fn variables(
    mut known: BTreeMap<String, String>,
    own: [&Option<String>; 4],
) -> BTreeMap<String, String> {
    let own = ["first_name", "last_name", "company", "email"].into_iter().zip(own);
    known.extend(own.filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
    known
}

/// The flag of this name, if campaigns leave out whoever has it.
pub(crate) fn kept_out(flag: &str) -> Option<&'static str> {
    KEPT_OUT.into_iter().find(|known| *known == flag)
}

/// What stands beside a number: anybody's word, or one the program knows.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Label {
    Tag(String),
    Flag(&'static str),
}

/// Why a word is no tag or flag.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LabelError {
    #[error("{0:?} is no tag: it is letters, digits and - _ . / up to {LONGEST_TAG} characters")]
    Tag(String),
    #[error("{0:?} is no flag: there are {flags}", flags = FLAGS.join(", "))]
    Flag(String),
}

impl Label {
    /// A tag, in lower case.
    ///
    /// # Errors
    /// When there are other characters in it than tags have, or too many.
    pub fn tag(text: &str) -> Result<Self, LabelError> {
        let tag = text.trim().to_lowercase();
        let fits = (1..=LONGEST_TAG).contains(&tag.chars().count());
        if fits && tag.chars().all(|c| c.is_alphanumeric() || "-_./".contains(c)) && !tag.starts_with('-') {
            Ok(Self::Tag(tag))
        } else {
            Err(LabelError::Tag(text.chars().take(LONGEST_TAG).collect()))
        }
    }

    /// # Errors
    /// When the program does not know the word.
    pub fn flag(text: &str) -> Result<Self, LabelError> {
        let word = text.trim().to_lowercase();
        let known = FLAGS.into_iter().find(|flag| *flag == word).map(Self::Flag);
        known.ok_or_else(|| LabelError::Flag(text.chars().take(LONGEST_TAG).collect()))
    }

    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tag(_) => "tag",
            Self::Flag(_) => "flag",
        }
    }

    pub fn word(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Flag(flag) => flag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_word_and_a_flag_one_of_few() {
        assert_eq!(Label::tag(" VIP-2026 "), Ok(Label::Tag("vip-2026".to_owned())));
        for wrong in ["", "two words", "a:b", "a,b", "-a", &"x".repeat(51), "a\"b"] {
            assert!(Label::tag(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Label::flag("Blocked"), Ok(Label::Flag("blocked")));
        let refusal = Label::flag("bad").unwrap_err().to_string();
        assert!(refusal.contains("blocked, complained, invalid, test, vip"), "{refusal}");
    }
}
