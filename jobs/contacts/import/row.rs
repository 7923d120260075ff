//! From a record to a person, or to what is wrong with it.

use std::collections::BTreeMap;

use csv::ByteRecord;

use super::columns::Target;
use crate::contacts::number::{Country, Number};
use crate::contacts::people::check::{MOST_LABELS, email, field_name, number_of_fields, state, words, zone};
use crate::contacts::people::{Label, NewPerson};

/// Somebody as the file has them.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) person: NewPerson,
    pub(super) opted_out: bool,
    /// The wording of a consent.
    pub(super) consent: Option<String>,
}

impl Row {
    /// Takes on what a later row tells of the same number.
    pub(super) fn take_on(&mut self, later: Self) {
        fn told(text: &mut Option<String>, later: Option<String>) {
            *text = later.or_else(|| text.take());
        }
        let NewPerson { number: _, first_name, last_name, company, email, fields, time_zone, state, labels } =
            later.person;
        let person = &mut self.person;
        told(&mut person.first_name, first_name);
        told(&mut person.last_name, last_name);
        told(&mut person.company, company);
        told(&mut person.email, email);
        told(&mut person.time_zone, time_zone);
        told(&mut person.state, state);
        person.fields.extend(fields);
        person.labels.extend(labels);
        told(&mut self.consent, later.consent);
        self.opted_out |= later.opted_out;
    }
}

/// What is wrong with a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    /// The column it is in; empty when it is the record as a whole.
    pub(super) column: String,
    pub(super) reason: String,
}

/// How records are read.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) columns: Vec<String>,
    pub(super) targets: Vec<Target>,
    pub(super) country: Country,
    /// What everybody of the file gets.
    pub(super) labels: Vec<Label>,
}

impl Shape {
    /// Reads a record.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(super) fn row(&self, record: &ByteRecord) -> Result<Row, Fault> {
        if record.len() != self.columns.len() {
            let reason =
                format!("this line has {} cells and the first one {}", record.len(), self.columns.len());
            return Err(Fault { column: String::new(), reason });
        }
        let person = NewPerson { labels: self.labels.clone(), ..NewPerson::default() };
        let mut row = Row { person, opted_out: false, consent: None };
        for ((cell, target), column) in record.iter().zip(&self.targets).zip(&self.columns) {
            if *target != Target::Ignore {
                self.cell(&mut row, cell, target)
                    .map_err(|reason| Fault { column: column.clone(), reason })?;
            }
        }
        Ok(row)
    }

    fn cell(&self, row: &mut Row, cell: &[u8], target: &Target) -> Result<(), String> {
        let text = text(cell)?;
        let person = &mut row.person;
        if *target == Target::Phone {
            let number = Number::parse(text, self.country).map_err(|error| error.to_string())?;
            person.number = number.to_string();
            return Ok(());
        }
        if text.is_empty() {
            return Ok(());
        }
        match target {
            Target::FirstName => person.first_name = Some(text.to_owned()),
            Target::LastName => person.last_name = Some(text.to_owned()),
            Target::Company => person.company = Some(text.to_owned()),
            Target::Email => person.email = Some(email(text)?),
            Target::Tags => labels(&mut person.labels, text, Label::tag)?,
            Target::Flags => labels(&mut person.labels, text, Label::flag)?,
            Target::TimeZone => person.time_zone = Some(zone(text)?),
            Target::State => person.state = Some(state(text)?),
            Target::OptedOut => row.opted_out = yes_or_no(text)?,
            Target::Consent => row.consent = Some(text.to_owned()),
            Target::Fields => add_fields(&mut person.fields, text)?,
            Target::Field(name) => {
                person.fields.insert(name.clone(), text.to_owned());
            }
            Target::Phone | Target::Ignore => {}
        }
        number_of_fields(&person.fields)
    }
}

/// A cell as text. An export puts a sign before what a spreadsheet would run; here it comes off again.
fn text(cell: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(cell)
        .map_err(|_| "this is not UTF-8: save the file as CSV in UTF-8".to_owned())?;
    words(text).map(plain)
}

/// What stands for a cell that a spreadsheet would take for a formula.
pub fn harmless(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let number = text.strip_prefix('+').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    if formula && !number { format!("'{text}") } else { text.to_owned() }
}

/// The opposite of [`harmless`].
fn plain(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '\t', '\r']) => rest,
        _ => text,
    }
}

fn labels<E: ToString>(
    labels: &mut Vec<Label>,
    text: &str,
    read: impl Fn(&str) -> Result<Label, E>,
) -> Result<(), String> {
    for word in text.split([',', ';', '|']).map(str::trim).filter(|word| !word.is_empty()) {
        let label = read(word).map_err(|error| error.to_string())?;
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    if labels.len() > MOST_LABELS {
        Err(format!("there are more than {MOST_LABELS} tags and flags"))
    } else {
        Ok(())
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "yes" | "y" | "true" | "1" | "x" => Ok(true),
        "no" | "n" | "false" | "0" => Ok(false),
        _ => Err("this is neither yes nor no".to_owned()),
    }
}

fn add_fields(fields: &mut BTreeMap<String, String>, text: &str) -> Result<(), String> {
    let more: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|_| "this is no JSON object of texts".to_owned())?;
    more.keys().try_for_each(|name| field_name(name))?;
    fields.extend(more);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::columns::targets;
    use super::*;

    fn shape(columns: &[&str]) -> Shape {
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        let targets = targets(&columns, &[]).unwrap();
        let labels = vec![Label::Tag("spring".to_owned())];
        Shape { columns, targets, country: Country::default(), labels }
    }

    fn row(columns: &[&str], cells: &[&str]) -> Result<Row, Fault> {
        shape(columns).row(&ByteRecord::from(cells.to_vec()))
    }

    #[test]
    fn a_record_becomes_a_person() {
        let columns = ["Phone", "First Name", "Tags", "Opted out", "Consent", "Plan", "state"];
        let cells = ["(212) 555-0101", " Ann ", "VIP; new", "yes", "web form", "'=gold", "tx"];
        let Row { person, opted_out, consent } = row(&columns, &cells).unwrap();
        assert_eq!((person.number.as_str(), person.first_name.as_deref()), ("+12125550101", Some("Ann")));
        let labels: Vec<_> = person.labels.iter().map(Label::word).collect();
        assert_eq!(labels, ["spring", "vip", "new"]);
        assert_eq!((opted_out, consent.as_deref()), (true, Some("web form")));
        assert_eq!(person.fields["plan"], "=gold");
        assert_eq!(person.state.as_deref(), Some("TX"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_column() {
        let columns = ["phone", "email", "time zone", "state", "flags", "opted_out", "fields", "note"];
        for (at, cell, told) in [
            (0, "112-555-0101", "no such number"),
            (1, "ann.example.com", "no e-mail address"),
            (2, "Mars/Base", "no time zone"),
            (3, "Texas", "two letters"),
            (4, "evil", "no flag"),
            (5, "perhaps", "neither yes nor no"),
            (6, "[1]", "no JSON object"),
            (7, "a\u{7}b", "cannot be shown"),
        ] {
            let mut cells = ["+12125550101", "", "", "", "", "", "", ""];
            cells[at] = cell;
            let fault = row(&columns, &cells).unwrap_err();
            assert_eq!(fault.column, columns[at]);
            assert!(fault.reason.contains(told), "{fault:?}");
        }
        let fault = row(&["phone", "note"], &["+12125550101"]).unwrap_err();
        assert_eq!(
            (fault.column.as_str(), fault.reason.as_str()),
            ("", "this line has 1 cells and the first one 2")
        );
        let broken = shape(&["phone", "note"]).row(&ByteRecord::from(vec![&b"+12125550101"[..], b"caf\xe9"]));
        assert!(broken.unwrap_err().reason.contains("not UTF-8"));
    }

    proptest! {
        #[test]
        fn no_cell_is_a_formula_and_every_cell_comes_back(text in "[=+@a-z0-9 '-]{0,12}") {
            let cell = harmless(text.trim());
            let number = cell.strip_prefix('+').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
            prop_assert!(number || !cell.starts_with(['=', '+', '-', '@']));
            prop_assert_eq!(plain(&cell), plain(text.trim()));
        }
    }
}
