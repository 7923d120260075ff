//! Reading a filter as people write it:
//!
//! ```text
//! filter = all { "or" all }                 one of them holds
//! all    = term { term }                    all of them hold
//! term   = [ "-" ] ( "(" filter ")" | test )
//! test   = name ( ":" | "~" | "<" | ">" ) value
//! value  = a word, or "anything in quotes, \" and \\ escaped"
//! ```
//!
//! What the names are and what they mean stands in the runbook on contacts. Nothing at all takes everybody.

use std::str::FromStr;

use chrono_tz::Tz;
use thiserror::Error;

use super::tree::{Age, Filter, How, MOMENTS, STANDINGS, TEXTS, THINGS, Test, Than, Thing, UNITS, What};
use crate::contacts::people::{Label, LabelError};
use crate::contacts::place;

const LONGEST: usize = 2_000;
const DEEPEST: usize = 16;

/// Why a filter cannot be read, and where.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{problem}, at character {at}")]
pub struct FilterError {
    /// From 1.
    pub at: usize,
    pub problem: Problem,
}

#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Problem {
    #[error("a filter has at most {LONGEST} characters")]
    TooLong,
    #[error("brackets and signs are nested more than {DEEPEST} deep")]
    TooDeep,
    #[error("something to look for is missing here, such as tag:vip")]
    Missing,
    #[error("a closing bracket is missing")]
    Open,
    #[error("there is no bracket to close")]
    Closed,
    #[error("a closing quote is missing")]
    Quote,
    #[error("{0:?} is no test: write name:value, such as state:TX")]
    NoTest(String),
    #[error(
        "nothing is called {0:?}: there are tag, flag, state, zone, area, name, first_name, last_name, company, email, number, source, field.NAME, last_reply, added, changed, has and is"
    )]
    Name(String),
    #[error("{name} goes with {signs}, not with {sign}")]
    Sign { name: String, signs: &'static str, sign: char },
    #[error("{name} has no {value:?}: {expected}")]
    Value { name: String, value: String, expected: &'static str },
    #[error(transparent)]
    Label(#[from] LabelError),
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().count() > LONGEST {
            return Err(FilterError { at: LONGEST, problem: Problem::TooLong });
        }
        let mut parser = Parser { text, at: 0 };
        parser.space();
        if parser.rest().is_empty() {
            return Ok(Self::All(Vec::new()));
        }
        let filter = parser.filter(0)?;
        if parser.rest().is_empty() { Ok(filter) } else { Err(parser.fault(parser.at, Problem::Closed)) }
    }
}

struct Parser<'t> {
    text: &'t str,
    /// In bytes.
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn fault(&self, at: usize, problem: Problem) -> FilterError {
        FilterError { at: self.text.get(..at).unwrap_or_default().chars().count() + 1, problem }
    }

    fn filter(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut any = vec![self.all(depth)?];
        while self.takes_or() {
            any.push(self.all(depth)?);
        }
        Ok(alone_or(any, Filter::Any))
    }

    fn takes_or(&mut self) -> bool {
        let rest = self.rest();
        let word = rest.split(|c: char| c.is_whitespace() || c == '(' || c == ')').next().unwrap_or_default();
        let is_or = word.eq_ignore_ascii_case("or");
        if is_or {
            self.at += word.len();
            self.space();
        }
        is_or
    }

    fn all(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut all = Vec::new();
        loop {
            let start = self.at;
            let ends = self.rest().is_empty() || self.rest().starts_with(')') || {
                let is_or = self.takes_or();
                self.at = start;
                is_or
            };
            if ends {
                break;
            }
            all.push(self.term(depth)?);
            self.space();
        }
        if all.is_empty() {
            Err(self.fault(self.at, Problem::Missing))
        } else {
            Ok(alone_or(all, Filter::All))
        }
    }

    fn term(&mut self, depth: usize) -> Result<Filter, FilterError> {
        if depth >= DEEPEST {
            return Err(self.fault(self.at, Problem::TooDeep));
        }
        let start = self.at;
        if self.rest().starts_with('-') {
            self.at += 1;
            return Ok(Filter::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.rest().starts_with('(') {
            self.at += 1;
            self.space();
            let filter = self.filter(depth + 1)?;
            if !self.rest().starts_with(')') {
                return Err(self.fault(start, Problem::Open));
            }
            self.at += 1;
            return Ok(filter);
        }
        self.test().map(Filter::Test)
    }

    fn test(&mut self) -> Result<Test, FilterError> {
        let start = self.at;
        let rest = self.rest();
        let ends = |c: char| c.is_whitespace() || "()\"".contains(c);
        let end = rest.find(|c: char| ":~<>".contains(c) || ends(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(sign) = after.chars().next().filter(|sign| ":~<>".contains(*sign)) else {
            let word = rest.split(ends).next().unwrap_or_default().to_owned();
            let problem = if word.is_empty() { Problem::Missing } else { Problem::NoTest(word) };
            return Err(self.fault(start, problem));
        };
        self.at += end + 1;
        let value = self.value()?;
        test(name, sign, value).map_err(|problem| self.fault(start, problem))
    }

    fn value(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        let rest = self.rest();
        let Some(quoted) = rest.strip_prefix('"') else {
            let end = rest.find(|c: char| c.is_whitespace() || "()\"".contains(c)).unwrap_or(rest.len());
            self.at += end;
            return Ok(rest[..end].to_owned());
        };
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += 1 + at + 1;
                    return Ok(value);
                }
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                c => value.push(c),
            }
        }
        Err(self.fault(start, Problem::Quote))
    }
}

fn alone_or(mut filters: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match filters.len() {
        1 => filters.remove(0),
        _ => many(filters),
    }
}

fn find<T: Clone>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}

/// A text by its name; a field by any name.
fn what(name: &str) -> Option<What> {
    let field = |field: &str| (!field.is_empty()).then(|| What::Field(field.to_owned()));
    find(&TEXTS, name).or_else(|| name.strip_prefix("field.").and_then(field))
}

fn test(name: &str, sign: char, value: String) -> Result<Test, Problem> {
    let wrong_sign = |signs| Problem::Sign { name: name.to_owned(), signs, sign };
    let wrong =
        |value: &str, expected| Problem::Value { name: name.to_owned(), value: value.to_owned(), expected };
    if let Some(since) = find(&MOMENTS, name) {
        let than = match sign {
            '<' => Than::Younger,
            '>' => Than::Older,
            _ => return Err(wrong_sign("< and >")),
        };
        let age = age(&value).ok_or_else(|| wrong(&value, "write a number and h, d or w, such as 30d"))?;
        return Ok(Test::Age { since, than, age });
    }
    if let Some(what) = what(name) {
        let how = match sign {
            ':' => How::Equals,
            '~' => How::Contains,
            _ => return Err(wrong_sign(": and ~")),
        };
        if value.is_empty() {
            return Err(wrong(&value, "write what to look for; whoever has none is found by -has:NAME"));
        }
        return Ok(Test::Text { what, how, value });
    }
    if !["tag", "flag", "state", "zone", "area", "has", "is"].contains(&name) {
        return Err(Problem::Name(name.to_owned()));
    }
    if sign != ':' {
        return Err(wrong_sign(":"));
    }
    match name {
        "tag" => Ok(Test::Label(Label::tag(&value)?)),
        "flag" => Ok(Test::Label(Label::flag(&value)?)),
        "state" => {
            let state = value.to_ascii_uppercase();
            let known = !place::zones_of_state(&state).is_empty();
            if known {
                Ok(Test::State(state))
            } else {
                Err(wrong(&value, "write its two letters, such as TX"))
            }
        }
        "zone" => match value.parse::<Tz>() {
            Ok(zone) => Ok(Test::Zone(zone.name().to_owned())),
            Err(_) => Err(wrong(&value, "write a zone such as America/Chicago")),
        },
        "area" => {
            let digits = value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_digit());
            if digits { Ok(Test::Area(value)) } else { Err(wrong(&value, "write three digits, such as 212")) }
        }
        "has" => find(&THINGS, &value)
            .or_else(|| what(&value).map(Thing::Text))
            .map(Test::Has)
            .ok_or_else(|| wrong(&value, "there are name, email, field.NAME, reply, tag, state, zone …")),
        _ => find(&STANDINGS, &value)
            .map(Test::Is)
            .ok_or_else(|| wrong(&value, "there are opted_out and textable")),
    }
}

fn age(text: &str) -> Option<Age> {
    let unit = text.chars().last()?;
    let unit = UNITS.iter().find(|(letter, _)| *letter == unit).map(|(_, unit)| *unit)?;
    let digits = &text[..text.len() - 1];
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.parse().ok().filter(|_| plain)?;
    Some(Age { count, unit })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tree::{Moment, Standing, Unit};
    use super::*;

    fn parse(text: &str) -> Filter {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refusal(text: &str) -> String {
        text.parse::<Filter>().unwrap_err().to_string()
    }

    #[test]
    fn words_beside_one_another_must_all_hold_and_or_binds_less() {
        let filter = parse(r#"tag:VIP state:tx -flag:blocked or last_reply<30d name~"ann \"q\"""#);
        assert_eq!(
            filter.to_string(),
            r#"(tag:vip state:TX -flag:blocked) or (last_reply<30d name~"ann \"q\"")"#
        );
        assert_eq!(parse("  "), Filter::All(Vec::new()));
        assert_eq!(parse("(((tag:a)))"), parse("tag:a"));
        assert_eq!(parse("-(tag:a OR tag:b)").to_string(), "-(tag:a or tag:b)");
        assert_eq!(
            parse("field.Plan:gold has:field.Plan is:textable").to_string(),
            "field.Plan:gold has:field.Plan is:textable"
        );
    }

    #[test]
    fn a_label_everybody_must_have_is_found() {
        assert_eq!(parse("state:TX (name~a tag:vip)").label(), Some(&Label::Tag("vip".to_owned())));
        assert_eq!(parse("tag:a or tag:b").label(), None);
        assert_eq!(parse("-tag:a").label(), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        for (text, told) in [
            ("vip", "\"vip\" is no test: write name:value, such as state:TX, at character 1"),
            ("tag:a colour:red", "nothing is called \"colour\": there are tag, flag"),
            ("tag~a", "tag goes with :, not with ~, at character 1"),
            ("last_reply:30d", "last_reply goes with < and >, not with :"),
            ("last_reply<30", "last_reply has no \"30\": write a number and h, d or w"),
            ("last_reply<+3d", "last_reply has no \"+3d\""),
            ("state:XX", "state has no \"XX\": write its two letters"),
            ("zone:Mars", "zone has no \"Mars\""),
            ("area:21", "area has no \"21\""),
            ("flag:odd", "\"odd\" is no flag"),
            ("name:", "name has no \"\""),
            ("(tag:a", "a closing bracket is missing, at character 1"),
            ("tag:a)", "there is no bracket to close, at character 6"),
            ("tag:a or", "something to look for is missing here, such as tag:vip, at character 9"),
            ("or tag:a", "something to look for is missing here"),
            ("()", "something to look for is missing here"),
            ("é \"x\"", "\"é\" is no test"),
            ("name:\"ann", "a closing quote is missing, at character 6"),
            (&"-".repeat(40), "nested more than 16 deep"),
            (&"x".repeat(3_000), "at most 2000 characters"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(told), "{text}: {refusal}");
        }
    }

    fn text() -> impl Strategy<Value = What> {
        let known = TEXTS.map(|(_, what)| what).to_vec();
        prop_oneof![prop::sample::select(known), "[a-zA-Z_][a-zA-Z0-9_.-]{0,8}".prop_map(What::Field)]
    }

    fn test_of_any_kind() -> impl Strategy<Value = Test> {
        let how = prop::sample::select(vec![How::Equals, How::Contains]);
        let age = (any::<u16>(), prop::sample::select(vec![Unit::Hours, Unit::Days, Unit::Weeks]));
        let since = prop::sample::select(vec![Moment::LastReply, Moment::Added, Moment::Changed]);
        let than = prop::sample::select(vec![Than::Younger, Than::Older]);
        let thing = prop_oneof![
            text().prop_map(Thing::Text),
            prop::sample::select(THINGS.map(|(_, thing)| thing).to_vec()),
        ];
        prop_oneof![
            "[a-z0-9][a-z0-9_./-]{0,10}".prop_map(|tag| Test::Label(Label::Tag(tag))),
            prop::sample::select(vec!["blocked", "vip"]).prop_map(|flag| Test::Label(Label::Flag(flag))),
            prop::sample::select(vec!["TX", "NY"]).prop_map(|state| Test::State(state.to_owned())),
            Just(Test::Zone("America/Chicago".to_owned())),
            "[0-9]{3}".prop_map(Test::Area),
            (text(), how, "\\PC{1,12}").prop_map(|(what, how, value)| Test::Text { what, how, value }),
            (since, than, age).prop_map(|(since, than, (count, unit))| Test::Age {
                since,
                than,
                age: Age { count, unit },
            }),
            thing.prop_map(Test::Has),
            prop::sample::select(vec![Standing::OptedOut, Standing::Textable]).prop_map(Test::Is),
        ]
    }

    /// Trees as reading makes them: no list in a list of its own kind, none of one.
    fn filter() -> impl Strategy<Value = Filter> {
        test_of_any_kind().prop_map(Filter::Test).prop_recursive(4, 24, 4, |inner| {
            let many = prop::collection::vec(inner.clone(), 2..4);
            prop_oneof![
                inner.prop_map(|filter| Filter::Not(Box::new(filter))),
                many.clone().prop_map(|filters| flat(filters, true)),
                many.prop_map(|filters| flat(filters, false)),
            ]
        })
    }

    fn flat(filters: Vec<Filter>, all: bool) -> Filter {
        let parts = filters.into_iter().flat_map(|filter| match filter {
            Filter::All(parts) if all => parts,
            Filter::Any(parts) if !all => parts,
            other => vec![other],
        });
        if all { Filter::All(parts.collect()) } else { Filter::Any(parts.collect()) }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(filter in filter()) {
            let text = filter.to_string();
            prop_assume!(text.chars().count() <= LONGEST);
            prop_assert_eq!(text.parse::<Filter>(), Ok(filter), "{}", text);
        }

        #[test]
        fn nothing_written_breaks_it(text in "\\PC{0,60}|[-()a-z:~<>\" or]{0,60}") {
            let _ = text.parse::<Filter>();
        }
    }
}
