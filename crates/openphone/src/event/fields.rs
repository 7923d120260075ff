//! A forgiving look into a JSON object.
//!
//! The provider adds keys, drops keys and sends nulls without notice, and what people type travels
//! inside. So an object is opened one level at a time and each field is read on its own: a corner
//! that cannot be understood (a number too large, half an emoji, nesting without end) costs that
//! field and nothing else. Strings come out fit for storage: no NUL, which PostgreSQL refuses.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Map, Value, value::RawValue};

/// The longest identifier that is believed, in bytes.
const MAX_ID: usize = 255;

/// One JSON object, its values not yet read.
#[derive(Default)]
pub(crate) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// The fields of `raw`; none if it is not an object.
    pub(crate) fn of(raw: &'a RawValue) -> Self {
        Self::parse(raw.get()).unwrap_or_default()
    }

    /// The fields of the object written in `json`.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok().map(Self)
    }

    fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).copied().filter(|raw| raw.get() != "null")
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (String, &'a RawValue)> {
        self.0.iter().map(|(key, raw)| (scrub(key).into_owned(), *raw))
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(text)
    }

    /// A string that names something: not empty, and short enough to be indexed.
    pub(crate) fn id(&self, key: &str) -> Option<String> {
        self.text(key).filter(|id| !id.is_empty() && id.len() <= MAX_ID)
    }

    /// A string that is not blank.
    pub(crate) fn filled(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.trim().is_empty())
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.text(key)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        match self.get(key)?.get() {
            "true" | "\"true\"" => Some(true),
            "false" | "\"false\"" => Some(false),
            _ => None,
        }
    }

    pub(crate) fn time(&self, key: &str) -> Option<DateTime<Utc>> {
        self.get(key).and_then(time)
    }

    pub(crate) fn object(&self, key: &str) -> Fields<'a> {
        self.get(key).map(Fields::of).unwrap_or_default()
    }

    pub(crate) fn list(&self, key: &str) -> Vec<&'a RawValue> {
        self.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// The objects in a list; whatever else is in it is left out.
    pub(crate) fn objects(&self, key: &str) -> Vec<Fields<'a>> {
        self.list(key).into_iter().filter_map(|raw| Fields::parse(raw.get())).collect()
    }

    /// The strings in a list, or in one comma-joined string.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        self.get(key).map(texts).unwrap_or_default()
    }

    /// Whole sentences: a list of them, or one. Commas belong to the sentence.
    pub(crate) fn paragraphs(&self, key: &str) -> Vec<String> {
        self.text(key).map_or_else(|| self.texts(key), |one| vec![one])
    }

    /// The field as it stands, or null where it is missing or beyond reading.
    pub(crate) fn value(&self, key: &str) -> Value {
        self.get(key).map(value).unwrap_or_default()
    }
}

/// A string; a bare number counts as its digits.
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    let json = raw.get();
    match json.as_bytes().first()? {
        b'"' => {
            let text: String =
                serde_json::from_str(json).or_else(|_| serde_json::from_str(&mend_surrogates(json))).ok()?;
            Some(match scrub(&text) {
                Cow::Borrowed(_) => text,
                Cow::Owned(clean) => clean,
            })
        }
        b'-' | b'0'..=b'9' if json.len() <= MAX_ID => Some(json.to_owned()),
        _ => None,
    }
}

/// A moment, cut to the microseconds that every database keeps.
pub(crate) fn time(raw: &RawValue) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(&text(raw)?).ok()?;
    Some(moment.with_timezone(&Utc).trunc_subsecs(6))
}

/// The strings in a list, or in one comma-joined string.
pub(crate) fn texts(raw: &RawValue) -> Vec<String> {
    match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        Ok(items) => items.into_iter().filter_map(text).filter(|item| !item.is_empty()).collect(),
        Err(_) => {
            let joined = text(raw).unwrap_or_default();
            joined.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
        }
    }
}

/// Any JSON, fit for storage; null where it is beyond reading.
pub(crate) fn value(raw: &RawValue) -> Value {
    let read = serde_json::from_str(raw.get()).or_else(|_| serde_json::from_str(&mend_surrogates(raw.get())));
    scrub_value(read.unwrap_or_default())
}

fn scrub(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

fn scrub_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(scrub(&text).into_owned()),
        Value::Array(items) => Value::Array(items.into_iter().map(scrub_value).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (scrub(&key).into_owned(), scrub_value(value)))
                .collect::<Map<_, _>>(),
        ),
        other => other,
    }
}

/// Replaces escapes of half a character by the replacement character. Software that counts in
/// UTF-16 cuts texts in the middle of an emoji, and what is left is no string to a strict parser.
fn mend_surrogates(json: &str) -> String {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let (escape, length) = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (&rest[..12], 12),
            (Some(0xD800..=0xDFFF), _) => ("\\ufffd", 6),
            _ => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                (&rest[..length], length)
            }
        };
        mended.push_str(escape);
        rest = &rest[length..];
    }
    mended.push_str(rest);
    mended
}

/// The UTF-16 unit of the `\uXXXX` at the start of `text`.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_field_is_read_and_wrong_kinds_are_missing() {
        let fields = Fields::parse(
            r#"{"t":"x","n":30007,"f":"2.5","b":true,"o":{"k":"v"},"l":["a",1,null,{}],"c":"a, b,,c","z":null}"#,
        )
        .unwrap();
        assert_eq!(fields.text("t").as_deref(), Some("x"));
        assert_eq!(fields.text("n").as_deref(), Some("30007"));
        assert_eq!(fields.text("o"), None);
        assert_eq!(fields.number("f"), Some(2.5));
        assert_eq!(fields.number("t"), None);
        assert_eq!(fields.boolean("b"), Some(true));
        assert_eq!(fields.boolean("t"), None);
        assert_eq!(fields.object("o").text("k").as_deref(), Some("v"));
        assert_eq!(fields.texts("l"), ["a", "1"]);
        assert_eq!(fields.texts("c"), ["a", "b", "c"]);
        assert_eq!(fields.objects("l").len(), 1);
        assert!(fields.get("z").is_none());
        assert_eq!(fields.value("missing"), Value::Null);
    }

    #[test]
    fn a_bad_corner_costs_only_itself() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let json =
            format!(r#"{{"deep":{deep},"huge":1e999,"half":"hi \ud83d","whole":"\ud83d\udc4d","ok":"y"}}"#);
        let fields = Fields::parse(&json).unwrap();
        assert_eq!(fields.value("deep"), Value::Null);
        assert_eq!(fields.number("huge"), None);
        assert_eq!(fields.text("half").as_deref(), Some("hi \u{FFFD}"));
        assert_eq!(fields.text("whole").as_deref(), Some("👍"));
        assert_eq!(fields.text("ok").as_deref(), Some("y"));
    }

    #[test]
    fn nul_characters_never_come_out() {
        let fields = Fields::parse(r#"{"t":"a\u0000b","v":{"k\u0000":["\u0000"]}}"#).unwrap();
        assert_eq!(fields.text("t").as_deref(), Some("a\u{FFFD}b"));
        assert_eq!(fields.value("v"), serde_json::json!({"k\u{FFFD}": ["\u{FFFD}"]}));
    }

    #[test]
    fn ids_are_bounded() {
        let json = format!(r#"{{"a":"","b":"{}","c":"AC1"}}"#, "x".repeat(256));
        let fields = Fields::parse(&json).unwrap();
        assert_eq!((fields.id("a"), fields.id("b"), fields.id("c")), (None, None, Some("AC1".to_owned())));
    }

    proptest! {
        #[test]
        fn escapes_of_any_kind_are_mended(units in proptest::collection::vec(any::<u16>(), 0..20)) {
            let json: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{json}\"");
            let raw: &RawValue = serde_json::from_str(&json).unwrap();
            let expected = String::from_utf16_lossy(&units).replace('\0', "\u{FFFD}");
            prop_assert_eq!(text(raw), Some(expected));
        }
    }
}
