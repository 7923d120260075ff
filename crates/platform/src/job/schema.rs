//! Checking a payload against the schema of its job, so that a fault is told by its place and by what is expected
//! there.
//!
//! The schemas are our own: they are derived from the payloads' types, which use a small part of JSON Schema. A
//! library for all of it would bring thirty crates along. A test finds every keyword of a job's schema that is not
//! looked at here ([`unchecked_keywords`]), and what the types demand beyond their schema the job's own decoding
//! tells.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// The most faults that are told at once.
const MOST: usize = 20;
/// Schemas can name themselves.
const DEEPEST: usize = 64;

/// A place in the payload and what is expected there.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Fault {
    /// A JSON pointer; empty for the whole.
    pub pointer: String,
    pub expected: String,
}

impl Fault {
    /// For people, who call the whole by a word of its own: "the payload".
    pub fn told_of(&self, whole: &str) -> String {
        let place = if self.pointer.is_empty() { whole } else { &self.pointer };
        format!("{place}: expected {}", self.expected)
    }
}

/// Keywords that demand something and are looked at.
const CHECKED: &[&str] = &[
    "$ref",
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "nullable",
    "oneOf",
    "anyOf",
    "allOf",
];
/// Keywords that demand nothing.
const TELLING: &[&str] = &[
    "$schema",
    "$id",
    "$defs",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
];

/// Everything in `payload` that the schema does not allow.
pub(super) fn faults(schema: &Value, payload: &Value) -> Vec<Fault> {
    faults_in(schema, schema, payload)
}

/// Everything in `value` that a schema within a document does not allow. Its references are into the document.
pub fn faults_in(document: &Value, schema: &Value, value: &Value) -> Vec<Fault> {
    let mut found = Vec::new();
    Check { root: document }.value(schema, "", value, true, 0, &mut found);
    found.truncate(MOST);
    found
}

/// Keywords of a schema that are not looked at.
pub fn unchecked_keywords(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(schema, &mut found);
    found
}

fn collect(schema: &Value, found: &mut BTreeSet<String>) {
    let Value::Object(keywords) = schema else { return };
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("properties" | "$defs", Value::Object(schemas)) => {
                schemas.values().for_each(|one| collect(one, found))
            }
            ("oneOf" | "anyOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter().for_each(|one| collect(one, found));
            }
            ("items" | "additionalProperties", _) => collect(value, found),
            (name, _) if CHECKED.contains(&name) || TELLING.contains(&name) => {}
            (name, _) => {
                found.insert(name.to_owned());
            }
        }
    }
}

struct Check<'s> {
    root: &'s Value,
}

impl Check<'_> {
    /// `whole`: this schema alone says which fields there are, so that one it does not name is a mistake.
    fn value(
        &self,
        schema: &Value,
        at: &str,
        value: &Value,
        whole: bool,
        depth: usize,
        found: &mut Vec<Fault>,
    ) {
        let keywords = match schema {
            Value::Bool(false) => return found.push(fault(at, "nothing")),
            Value::Object(keywords) if depth < DEEPEST && found.len() < MOST => keywords,
            _ => return,
        };
        if value.is_null() && keywords.get("nullable") == Some(&Value::Bool(true)) {
            return;
        }
        let joined =
            ["$ref", "oneOf", "anyOf", "allOf"].iter().filter(|name| keywords.contains_key(**name)).count();
        let alone = whole && (joined == 0 || (joined == 1 && !keywords.contains_key("properties")));
        if let Some(target) = keywords.get("$ref").and_then(Value::as_str).and_then(|name| self.named(name)) {
            self.value(target, at, value, alone, depth + 1, found);
        }
        for part in list(keywords, "allOf") {
            self.value(part, at, value, false, depth + 1, found);
        }
        for name in ["oneOf", "anyOf"] {
            self.any(list(keywords, name), at, value, alone, depth, found);
        }
        if !self.simple(keywords, at, value, found) {
            return;
        }
        match value {
            Value::Object(fields) => self.fields(keywords, at, fields, alone && joined == 0, depth, found),
            Value::Array(items) => self.items(keywords, at, items, depth, found),
            _ => {}
        }
    }

    fn named(&self, name: &str) -> Option<&Value> {
        self.root.pointer(name.strip_prefix('#')?)
    }

    fn any(
        &self,
        parts: &[Value],
        at: &str,
        value: &Value,
        whole: bool,
        depth: usize,
        found: &mut Vec<Fault>,
    ) {
        let mut nearest: Option<Vec<Fault>> = None;
        for part in parts {
            let mut faults = Vec::new();
            self.value(part, at, value, whole, depth + 1, &mut faults);
            if faults.is_empty() {
                return;
            }
            // A part that fails further in is the one that was meant.
            let deep = |faults: &[Fault]| faults.iter().all(|fault| fault.pointer.len() > at.len());
            if deep(&faults) && nearest.as_ref().is_none_or(|best| faults.len() < best.len()) {
                nearest = Some(faults);
            }
        }
        match nearest {
            Some(faults) => found.extend(faults),
            None if parts.is_empty() => {}
            None => {
                let mut words: Vec<String> = parts.iter().map(|part| self.told(part, 0)).collect();
                words.dedup();
                found.push(fault(at, words.join(" or ")));
            }
        }
    }

    /// What can be told without looking inside. False when there is no point in looking inside.
    fn simple(&self, keywords: &Map<String, Value>, at: &str, value: &Value, found: &mut Vec<Fault>) -> bool {
        if let Some(kinds) = keywords.get("type") {
            let one = std::slice::from_ref(kinds);
            let kinds = kinds.as_array().map_or(one, Vec::as_slice);
            if !kinds.iter().filter_map(Value::as_str).any(|kind| is(kind, value)) {
                found.push(fault(at, self.told(&Value::Object(keywords.clone()), 0)));
                return false;
            }
        }
        let chosen = keywords.get("const").is_none_or(|only| only == value)
            && keywords.get("enum").and_then(Value::as_array).is_none_or(|all| all.contains(value));
        if !chosen {
            found.push(fault(at, self.told(&Value::Object(keywords.clone()), 0)));
            return false;
        }
        let (amount, unit, names) = match value {
            Value::Number(number) => (number.as_f64(), "", ["minimum", "maximum"]),
            Value::String(text) => {
                (Some(text.chars().count() as f64), " characters", ["minLength", "maxLength"])
            }
            Value::Array(items) => (Some(items.len() as f64), " items", ["minItems", "maxItems"]),
            _ => return true,
        };
        let Some(amount) = amount else { return true };
        let limit = |name: &str| keywords.get(name).and_then(Value::as_f64);
        if let Some(least) = limit(names[0]).filter(|least| amount < *least) {
            found.push(fault(at, format!("at least {least}{unit}")));
        }
        if let Some(most) = limit(names[1]).filter(|most| amount > *most) {
            found.push(fault(at, format!("at most {most}{unit}")));
        }
        if value.is_number() {
            if let Some(below) = limit("exclusiveMinimum").filter(|below| amount <= *below) {
                found.push(fault(at, format!("more than {below}")));
            }
            if let Some(above) = limit("exclusiveMaximum").filter(|above| amount >= *above) {
                found.push(fault(at, format!("less than {above}")));
            }
        }
        true
    }

    fn fields(
        &self,
        keywords: &Map<String, Value>,
        at: &str,
        fields: &Map<String, Value>,
        alone: bool,
        depth: usize,
        found: &mut Vec<Fault>,
    ) {
        let none = Map::new();
        let known = keywords.get("properties").and_then(Value::as_object);
        for name in list(keywords, "required").iter().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                let what = known.and_then(|known| known.get(name)).map(|schema| self.told(schema, 0));
                found.push(fault(
                    &place(at, name),
                    what.unwrap_or_else(|| "a value".to_owned()) + ", and nothing is there",
                ));
            }
        }
        let others = keywords.get("additionalProperties");
        for (name, value) in fields {
            let place = place(at, name);
            match (known.unwrap_or(&none).get(name), others) {
                (Some(schema), _) => self.value(schema, &place, value, true, depth + 1, found),
                (None, Some(Value::Object(_))) => {
                    self.value(others.unwrap_or(&Value::Null), &place, value, true, depth + 1, found);
                }
                (None, Some(Value::Bool(true))) => {}
                (None, Some(_)) => found.push(fault(&place, no_field(known))),
                (None, None) if alone && known.is_some() => found.push(fault(&place, no_field(known))),
                (None, None) => {}
            }
        }
    }

    fn items(
        &self,
        keywords: &Map<String, Value>,
        at: &str,
        items: &[Value],
        depth: usize,
        found: &mut Vec<Fault>,
    ) {
        let first = list(keywords, "prefixItems");
        for (number, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(number).or_else(|| keywords.get("items")) {
                self.value(schema, &format!("{at}/{number}"), item, true, depth + 1, found);
            }
        }
    }

    /// A schema in a few words.
    fn told(&self, schema: &Value, depth: usize) -> String {
        let Value::Object(keywords) = schema else { return "anything".to_owned() };
        if let Some(only) = keywords.get("const") {
            return only.to_string();
        }
        if let Some(Value::Array(all)) = keywords.get("enum") {
            return one_of(all.iter().map(Value::to_string));
        }
        if let Some(target) = keywords.get("$ref").and_then(Value::as_str).and_then(|name| self.named(name))
            && depth < 4
        {
            return self.told(target, depth + 1);
        }
        for name in ["oneOf", "anyOf"] {
            let parts = list(keywords, name);
            if !parts.is_empty() && depth < 4 {
                return one_of(parts.iter().map(|part| self.told(part, depth + 1)));
            }
        }
        let kinds = match keywords.get("type") {
            Some(Value::String(kind)) => with_article(kind).to_owned(),
            Some(Value::Array(kinds)) => {
                one_of(kinds.iter().filter_map(Value::as_str).map(|kind| with_article(kind).to_owned()))
            }
            _ => return "something else".to_owned(),
        };
        let required: Vec<&str> = list(keywords, "required").iter().filter_map(Value::as_str).collect();
        if required.is_empty() { kinds } else { format!("{kinds} with {}", required.join(", ")) }
    }
}

fn one_of(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    words.dedup();
    let left_out = words.len().saturating_sub(12);
    words.truncate(12);
    if left_out > 0 {
        words.push(format!("{left_out} others"));
    }
    words.join(" or ")
}

fn no_field(known: Option<&Map<String, Value>>) -> String {
    let names: Vec<&str> = known.map(|known| known.keys().map(String::as_str).collect()).unwrap_or_default();
    match names.as_slice() {
        [] => "no field at all".to_owned(),
        names => format!("no such field; there are {}", names.join(", ")),
    }
}

fn list<'k>(keywords: &'k Map<String, Value>, name: &str) -> &'k [Value] {
    keywords.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn place(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn fault(at: &str, expected: impl Into<String>) -> Fault {
    Fault { pointer: at.to_owned(), expected: expected.into() }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn with_article(kind: &str) -> &str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "an object",
        other => other,
    }
}

#[cfg(test)]
#[path = "schema/tests.rs"]
mod tests;
