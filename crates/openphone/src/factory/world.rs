//! The made-up business whose phone rings, and the people who call.
//!
//! Numbers are in the block reserved for fiction (555-0100 to 555-0199 of any area code). The
//! people's end below 0190, which leaves the rest for numbers with a meaning.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const FIRST: [&str; 20] = [
    "Ada", "Ben", "Chloé", "Dana", "Emeka", "Farah", "Grace", "Hugo", "Inés", "Jonas", "Keiko", "Liam",
    "Mina", "Noor", "Oscar", "Priya", "Quinn", "Rosa", "Søren", "Tara",
];
const LAST: [&str; 16] = [
    "Adler", "Brooks", "Castillo", "Dubois", "Evans", "Fischer", "García", "Hughes", "Ito", "Jensen", "Kaya",
    "Lopez", "Murphy", "Nowak", "O'Brien", "Reyes",
];
const COMPANIES: [&str; 6] =
    ["Northside Bakery", "Reyes Plumbing", "Kaya & Sons", "Blue Door Realty", "Hughes Dental", "Ito Cycles"];
const AREAS: [u16; 20] =
    [201, 206, 212, 213, 303, 305, 312, 404, 415, 503, 512, 602, 617, 702, 713, 718, 801, 813, 916, 919];
const PEOPLE: usize = 200;

/// Somebody who texts and calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// 24 hex digits; webhooks of some generations write `CT` before it.
    pub contact_id: String,
    pub first_name: String,
    pub last_name: String,
    pub company: Option<String>,
    pub email: String,
    /// E.164.
    pub number: String,
}

/// One of the business's own numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: String,
    pub number: String,
    pub name: String,
    pub user_id: String,
}

/// Everybody there is.
#[derive(Debug, Clone)]
pub struct World {
    pub org_id: String,
    pub lines: Vec<Line>,
    pub people: Vec<Person>,
}

/// Where something happens: one of our lines and one person (or something that calls itself one).
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub org_id: String,
    pub line: Line,
    pub other: String,
    pub conversation_id: String,
    pub lookup: Lookup,
}

/// What the provider's search for a contact came to.
#[derive(Debug, Clone)]
pub(crate) enum Lookup {
    Matched(String),
    Nobody,
    Unavailable,
}

impl World {
    /// The same world for everyone: seeds choose what happens in it.
    pub(crate) fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(0);
        let line = |n: u32, name: &str| Line {
            id: format!("PNq1w2e3r{n}"),
            number: format!("+1212555019{}", 9 - n),
            name: name.to_owned(),
            user_id: format!("USz9y8x7w{n}"),
        };
        let people = (0..PEOPLE).map(|n| person(&mut rng, n)).collect();
        Self {
            org_id: "OR1a2b3c4d".to_owned(),
            lines: vec![line(0, "Front desk"), line(1, "Service"), line(2, "Sales")],
            people,
        }
    }

    pub(crate) fn place(&self, rng: &mut StdRng) -> Place {
        let line = rng.random_range(0..self.lines.len());
        let person = &self.people[rng.random_range(0..self.people.len())];
        let lookup = match rng.random_range(0..10) {
            0 => Lookup::Unavailable,
            1 | 2 => Lookup::Nobody,
            _ => Lookup::Matched(person.contact_id.clone()),
        };
        Place { lookup, ..self.place_of(&self.lines[line], &person.number) }
    }

    /// Where `line` and `other` talk.
    pub(crate) fn place_of(&self, line: &Line, other: &str) -> Place {
        let known = self.people.iter().find(|person| person.number == other);
        Place {
            org_id: self.org_id.clone(),
            line: line.clone(),
            other: other.to_owned(),
            conversation_id: conversation_id(&line.number, other),
            lookup: known.map_or(Lookup::Nobody, |person| Lookup::Matched(person.contact_id.clone())),
        }
    }
}

impl Lookup {
    pub(crate) fn contacts(&self) -> Value {
        match self {
            Self::Matched(id) => json!({"ids": [format!("CT{id}")], "lookupStatus": "matched"}),
            Self::Nobody => json!({"ids": [], "lookupStatus": "none"}),
            Self::Unavailable => json!({"ids": [], "lookupStatus": "unavailable"}),
        }
    }

    pub(crate) fn contact_ids(&self) -> Vec<&str> {
        match self {
            Self::Matched(id) => vec![id],
            Self::Nobody | Self::Unavailable => Vec::new(),
        }
    }
}

fn person(rng: &mut StdRng, n: usize) -> Person {
    let pick = |rng: &mut StdRng, names: &[&str]| names.choose(rng).copied().unwrap_or_default().to_owned();
    let (first_name, last_name) = (pick(rng, &FIRST), pick(rng, &LAST));
    Person {
        contact_id: hex(rng, 24),
        company: rng.random_bool(0.3).then(|| pick(rng, &COMPANIES)),
        email: format!("person{n}@example.com"),
        number: format!("+1{}5550{}", AREAS[n % AREAS.len()], 100 + n / AREAS.len()),
        first_name,
        last_name,
    }
}

/// A conversation is our number and everybody else in it.
pub(crate) fn conversation_of(line: &Line, others: &BTreeSet<&str>) -> String {
    conversation_id(&line.number, &others.iter().copied().collect::<Vec<_>>().join(" "))
}

fn conversation_id(ours: &str, other: &str) -> String {
    let digest = Sha256::digest(format!("{ours} {other}"));
    format!("CN{}", digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// That many random hex digits.
pub(crate) fn hex(rng: &mut StdRng, digits: usize) -> String {
    (0..digits).map(|_| char::from(b"0123456789abcdef"[rng.random_range(0..16)])).collect()
}

/// An id as the provider makes them: a prefix and 32 hex digits.
pub(crate) fn id(rng: &mut StdRng, prefix: &str) -> String {
    format!("{prefix}{}", hex(rng, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_are_fictional_and_different() {
        let world = World::new();
        let numbers: BTreeSet<_> = world.people.iter().map(|person| person.number.as_str()).collect();
        assert_eq!(numbers.len(), PEOPLE);
        for number in numbers {
            assert_eq!(number.len(), 12, "{number}");
            assert_eq!(&number[5..9], "5550", "{number}");
            assert!(("100".."190").contains(&&number[9..]), "{number}");
        }
    }
}
