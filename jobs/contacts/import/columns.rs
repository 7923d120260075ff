//! What the columns of a file mean: by their names, as far as they are usual ones, or as somebody says.

use std::collections::BTreeMap;
use std::str::FromStr;

use thiserror::Error;

use crate::contacts::people::check::is_field;

/// What a cell becomes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Target {
    Phone,
    FirstName,
    LastName,
    Company,
    Email,
    Tags,
    Flags,
    TimeZone,
    State,
    /// Yes or no: whether the number is closed.
    OptedOut,
    /// The wording of a consent.
    Consent,
    /// More fields, as a JSON object.
    Fields,
    Field(String),
    /// Nothing.
    Ignore,
}

/// Names of targets, and further names that files have for them.
const NAMES: [(&str, Target); 34] = [
    ("phone", Target::Phone),
    ("phone_number", Target::Phone),
    ("number", Target::Phone),
    ("mobile", Target::Phone),
    ("mobile_phone", Target::Phone),
    ("cell", Target::Phone),
    ("cell_phone", Target::Phone),
    ("first_name", Target::FirstName),
    ("firstname", Target::FirstName),
    ("first", Target::FirstName),
    ("given_name", Target::FirstName),
    ("last_name", Target::LastName),
    ("lastname", Target::LastName),
    ("last", Target::LastName),
    ("surname", Target::LastName),
    ("family_name", Target::LastName),
    ("company", Target::Company),
    ("organization", Target::Company),
    ("email", Target::Email),
    ("e_mail", Target::Email),
    ("email_address", Target::Email),
    ("tags", Target::Tags),
    ("flags", Target::Flags),
    ("time_zone", Target::TimeZone),
    ("timezone", Target::TimeZone),
    ("state", Target::State),
    ("province", Target::State),
    ("opted_out", Target::OptedOut),
    ("unsubscribed", Target::OptedOut),
    ("consent", Target::Consent),
    ("fields", Target::Fields),
    ("import_line", Target::Ignore),
    ("import_field", Target::Ignore),
    ("import_reason", Target::Ignore),
];
/// What an export has and an import does not take.
const OURS: [&str; 5] = ["source", "last_reply_at", "created_at", "updated_at", "ignore"];

#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ColumnsError {
    #[error("{0:?} maps nothing: write COLUMN=TARGET, such as \"Handy=phone\", or COLUMN=ignore")]
    Syntax(String),
    #[error(
        "a column cannot become {0:?}: there are phone, first_name, last_name, company, email, tags, flags, time_zone, state, opted_out, consent, fields, field.NAME and ignore"
    )]
    Target(String),
    #[error("there is no column {0:?} in the file, whose columns are {1}")]
    Missing(String, String),
    #[error("no column has the phone numbers: say which with --map COLUMN=phone; there are {0}")]
    NoPhone(String),
    #[error("the columns {first:?} and {second:?} would become the same: say with --map which to ignore")]
    Twice { first: String, second: String },
}

/// `Handy=phone`: what somebody says a column is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapping {
    pub column: String,
    pub target: Target,
}

impl FromStr for Mapping {
    type Err = ColumnsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (column, target) = text.rsplit_once('=').ok_or_else(|| ColumnsError::Syntax(text.to_owned()))?;
        let target = target.trim();
        let field = target.strip_prefix("field.").filter(|name| is_field(name));
        let target = match (field, known(target)) {
            (Some(field), _) => Target::Field(field.to_owned()),
            (None, Some(target)) => target,
            (None, None) => return Err(ColumnsError::Target(target.to_owned())),
        };
        Ok(Self { column: column.trim().to_owned(), target })
    }
}

/// What each column of a file becomes, in order.
pub(super) fn targets(columns: &[String], mappings: &[Mapping]) -> Result<Vec<Target>, ColumnsError> {
    let all = || columns.join(", ");
    for mapping in mappings {
        if !columns.contains(&mapping.column) {
            return Err(ColumnsError::Missing(mapping.column.clone(), all()));
        }
    }
    let said = |column: &String| mappings.iter().find(|mapping| mapping.column == *column);
    let said_phone = mappings.iter().any(|mapping| mapping.target == Target::Phone);
    let target = |column: &String| match said(column) {
        Some(mapping) => mapping.target.clone(),
        None => match guess(column) {
            // The column that somebody named is the one; another with a usual name is not.
            Target::Phone if said_phone => Target::Ignore,
            target => target,
        },
    };
    let targets: Vec<Target> = columns.iter().map(target).collect();
    let mut first_of: BTreeMap<&Target, &String> = BTreeMap::new();
    for (column, target) in columns.iter().zip(&targets).filter(|(_, target)| **target != Target::Ignore) {
        if let Some(first) = first_of.insert(target, column) {
            return Err(ColumnsError::Twice { first: first.clone(), second: column.clone() });
        }
    }
    if targets.contains(&Target::Phone) { Ok(targets) } else { Err(ColumnsError::NoPhone(all())) }
}

/// A name as fields have it: small letters, digits and underscores.
fn folded(column: &str) -> String {
    let words = column.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

fn known(name: &str) -> Option<Target> {
    if name == "ignore" {
        return Some(Target::Ignore);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, target)| target.clone())
}

fn guess(column: &str) -> Target {
    let name = folded(column);
    match known(&name) {
        Some(target) => target,
        None if OURS.contains(&&*name) => Target::Ignore,
        // A file that comes out of an import has the names of fields in front.
        None => match name.strip_prefix("field_").unwrap_or(&name) {
            name if is_field(name) => Target::Field(name.to_owned()),
            _ => Target::Ignore,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(columns: &[&str], mappings: &[&str]) -> Result<Vec<Target>, ColumnsError> {
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        let mappings: Vec<Mapping> = mappings.iter().map(|text| text.parse().unwrap()).collect();
        targets(&columns, &mappings)
    }

    #[test]
    fn usual_names_are_known_and_others_become_fields() {
        assert_eq!(
            of(&["Phone Number", "First Name", "E-Mail", "Favourite Colour", "import_reason", ""], &[]),
            Ok(vec![
                Target::Phone,
                Target::FirstName,
                Target::Email,
                Target::Field("favourite_colour".to_owned()),
                Target::Ignore,
                Target::Ignore,
            ])
        );
    }

    #[test]
    fn what_somebody_says_wins() {
        assert_eq!(
            of(&["Handy", "phone", "Notes", "Plan"], &["Handy=phone", "Notes=ignore", "Plan=field.tariff"]),
            Ok(vec![Target::Phone, Target::Ignore, Target::Ignore, Target::Field("tariff".to_owned())])
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(of(&["a", "b"], &[]), Err(ColumnsError::NoPhone("a, b".to_owned())));
        assert!(matches!(of(&["phone", "mobile"], &[]), Err(ColumnsError::Twice { .. })));
        assert!(matches!(of(&["phone"], &["Handy=phone"]), Err(ColumnsError::Missing(..))));
        assert!(matches!("phone".parse::<Mapping>(), Err(ColumnsError::Syntax(_))));
        assert!(matches!("a=b".parse::<Mapping>(), Err(ColumnsError::Target(_))));
    }
}
