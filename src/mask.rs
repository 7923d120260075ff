//! Hiding people from those who only look: phone numbers, names and what was said.
//!
//! Two rules for what others wrote. What stands under a telling name (`body`, `from`, `firstName` …) is hidden
//! whole. Everywhere else phone numbers are found by their look and cut to their last digits, which still tell two
//! people apart; links lose what would let anybody open them. A run of digits inside a word with letters is left
//! alone: that is how the provider's ids look.
//!
//! In what we write ourselves (errors, logs) only international numbers are looked for. A filter of people that looks
//! into names, addresses or numbers has some in it: it is hidden whole.

use serde_json::{Map, Value, json};
use trunkline_jobs::contacts::people::Person;
use trunkline_jobs::contacts::segments::Filter;

/// The fewest digits of a phone number.
const SHORTEST_PHONE: usize = 7;

/// Names of fields that tell of people, in lower case without underscores.
const TELLING: &[&str] = &[
    "body",
    "company",
    "content",
    "customfields",
    "description",
    "dialogue",
    "email",
    "emails",
    "fields",
    "firstname",
    "forwardedfrom",
    "forwardedto",
    "from",
    "fromphonenumber",
    "identifier",
    "identifiers",
    "lastname",
    "location",
    "name",
    "names",
    "nextsteps",
    "notes",
    "participants",
    "phone",
    "phonenumber",
    "phonenumbers",
    "recipientidentifiers",
    "role",
    "senderidentifier",
    "summary",
    "text",
    "title",
    "to",
    "transcript",
    "value",
];

/// A phone number, or what is meant to be one, by its last digits: `+12125550101` is `+*******0101`.
pub fn phone(number: &str) -> String {
    let digits = number.chars().filter(char::is_ascii_digit).count();
    let shown = if digits >= 10 { 4 } else { digits / 3 };
    let hidden = digits - shown;
    let mut seen = 0;
    let mask = |c: char| {
        seen += usize::from(c.is_ascii_digit());
        if c.is_ascii_digit() && seen <= hidden { '*' } else { c }
    };
    number.chars().map(mask).collect()
}

/// A text by its length.
pub fn text(text: &str) -> String {
    format!("[{} chars]", text.chars().count())
}

/// A filter of people, by its length if it may tell of them: if it looks into names, addresses or numbers, or nobody can
/// say what it looks into.
pub fn filter(told: &str) -> String {
    match told.parse::<Filter>() {
        Ok(filter) if !filter.is_personal() => told.to_owned(),
        _ => text(told),
    }
}

/// A JSON document without what tells of people. One that is not JSON is hidden whole.
pub fn json(document: &str) -> Value {
    match serde_json::from_str(document) {
        Ok(value) => masked(value),
        Err(_) => Value::String(text(document)),
    }
}

/// Changes of a document ([`trunkline_platform::job::changes`]) without what tells of people. Their places tell
/// whether a value is personal.
pub fn changes(changes: &Value) -> Value {
    let mut changes = changes.clone();
    for change in changes.as_array_mut().into_iter().flatten() {
        let name = change["pointer"]
            .as_str()
            .and_then(|place| place.rsplit('/').find(|word| word.parse::<u32>().is_err()));
        let name = name.unwrap_or_default().to_owned();
        for side in ["before", "after"] {
            if let Some(value) = change.get_mut(side) {
                // Masked under the name it stands under.
                let masked = masked(json!({&name: value.clone()}));
                *value = masked.get(&name).cloned().unwrap_or_default();
            }
        }
    }
    changes
}

/// Shows stored texts with or without people in them.
#[derive(Clone, Copy, Debug)]
pub struct View {
    unmask: bool,
}

impl View {
    /// With people only for whoever may see them, and not without an entry in the audit.
    pub fn of(unmask: bool) -> Self {
        Self { unmask }
    }

    /// A line of ours: an error, a key.
    pub fn line(self, text: &str) -> String {
        if self.unmask { text.to_owned() } else { phones_in(text) }
    }

    /// The same of a field that may be absent.
    pub fn maybe(self, text: Option<&str>) -> Option<String> {
        text.map(|text| self.line(text))
    }

    /// A phone number.
    pub fn number(self, number: &str) -> String {
        if self.unmask { number.to_owned() } else { phone(number) }
    }

    /// What somebody wrote or said.
    pub fn said(self, said: &str) -> String {
        if self.unmask { said.to_owned() } else { text(said) }
    }

    /// A filter of people.
    pub fn filter(self, told: &str) -> String {
        if self.unmask { told.to_owned() } else { filter(told) }
    }

    /// Somebody whom campaigns can text.
    pub fn person(self, mut person: Person) -> Person {
        person.number = self.number(&person.number);
        let texts = [&mut person.first_name, &mut person.last_name, &mut person.company, &mut person.email];
        for text in texts.into_iter().flatten().chain(person.fields.values_mut()) {
            *text = self.said(text);
        }
        person
    }

    /// A stored JSON document.
    pub fn json(self, text: &str) -> Value {
        if self.unmask {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        } else {
            json(text)
        }
    }

    /// Changes of a document.
    pub fn changes(self, these: &Value) -> Value {
        if self.unmask { these.clone() } else { changes(these) }
    }
}

/// A line of ours (an error, a log line, a key) without the international phone numbers in it. Bare runs of
/// digits stay: there they are ids and counts.
pub fn phones_in(line: &str) -> String {
    replace_phones(line, false)
}

/// With `bare`, a run of digits that is a word of its own counts as a phone number, too.
fn replace_phones(line: &str, bare: bool) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| c == '+' || c.is_ascii_digit()) {
        let (before, candidate) = rest.split_at(start);
        masked.push_str(before);
        let (number, after) = candidate.split_at(length_of_number(candidate));
        let follows_plus = number.starts_with('+') || masked.ends_with("%2B");
        let in_word = masked.ends_with(char::is_alphabetic) || after.starts_with(char::is_alphabetic);
        let is_phone = follows_plus || (bare && !in_word);
        if is_phone && number.bytes().filter(u8::is_ascii_digit).count() >= SHORTEST_PHONE {
            masked.push_str(&phone(number));
        } else {
            masked.push_str(number);
        }
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// How far a number goes: digits, and after a plus sign what people write between them.
fn length_of_number(text: &str) -> usize {
    let international = text.starts_with('+');
    let belongs = |c: char| c.is_ascii_digit() || (international && " -.()".contains(c));
    let end = text.char_indices().skip(1).find(|(_, c)| !belongs(*c)).map_or(text.len(), |(at, _)| at);
    text[..end].trim_end_matches(|c: char| !c.is_ascii_digit()).len().max(1)
}

fn masked(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(line(&text)),
        Value::Array(items) => items.into_iter().map(masked).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                let value = match value {
                    value if is_telling(&name) => hidden(value),
                    Value::String(told) if is_filter(&name) => Value::String(line(&filter(&told))),
                    value => masked(value),
                };
                (replace_phones(&name, true), value)
            };
            Value::Object(fields.into_iter().map(field).collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// Everything below a telling name. Numbers stay when they are too short for a phone's.
fn hidden(value: Value) -> Value {
    match value {
        Value::String(said) if is_phone(&said) => Value::String(phone(&said)),
        Value::String(said) if !said.is_empty() => Value::String(text(&said)),
        Value::Number(number) if number.to_string().len() >= SHORTEST_PHONE => {
            Value::String(phone(&number.to_string()))
        }
        Value::Array(items) => items.into_iter().map(hidden).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| (replace_phones(&name, true), hidden(value));
            Value::Object(fields.into_iter().map(field).collect())
        }
        other => other,
    }
}

fn is_telling(name: &str) -> bool {
    let name = name.replace('_', "").to_ascii_lowercase();
    TELLING.binary_search(&name.as_str()).is_ok()
}

/// Whether a filter of people stands under this name, if a text does.
fn is_filter(name: &str) -> bool {
    matches!(name, "filter" | "segment")
}

/// Whether all of it is one phone number.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.len() >= SHORTEST_PHONE && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A string of no telling name: a link by where it leads, anything else without its phone numbers.
fn line(text: &str) -> String {
    let is_link = text.starts_with("https://") || text.starts_with("http://");
    match url::Url::parse(text) {
        Ok(url) if is_link => {
            format!("{}/[hidden]", replace_phones(&url.origin().ascii_serialization(), true))
        }
        _ => replace_phones(text, true),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_phone_number_keeps_its_last_digits() {
        assert_eq!(phone("+12125550101"), "+*******0101");
        assert_eq!(phone("+4917012345678"), "+*********5678");
        assert_eq!(phone("5550101"), "*****01");
        assert_eq!(phone(""), "");
    }

    #[test]
    fn a_text_is_told_by_its_length_in_characters() {
        assert_eq!(text("héllo"), "[5 chars]");
    }

    #[test]
    fn an_event_keeps_its_shape_and_ids_and_loses_its_people() {
        let event = json!({
            "id": "EVc67ec998b35c41d388af50799aeeba3e",
            "type": "message.received",
            "createdAt": "2024-01-23T16:55:52.557Z",
            "data": {"object": {
                "from": "+14155550100", "to": ["+14155550123"], "text": "hello there", "media": [
                    {"url": "https://storage.example.com/a/b.jpg?signature=abc", "type": "image/jpeg"}],
                "dialogue": [{"content": "Hi", "start": 5.1, "identifier": "+14155550100"}],
                "defaultFields": {"firstName": "Dana", "company": null,
                    "phoneNumbers": [{"name": "Work", "value": "(415) 555-0100"}]},
                "duration": 60, "note": "call +1 415 555 0100 back",
            }},
        });
        let expected = json!({
            "id": "EVc67ec998b35c41d388af50799aeeba3e",
            "type": "message.received",
            "createdAt": "2024-01-23T16:55:52.557Z",
            "data": {"object": {
                "from": "+*******0100", "to": ["+*******0123"], "text": "[11 chars]", "media": [
                    {"url": "https://storage.example.com/[hidden]", "type": "image/jpeg"}],
                "dialogue": [{"content": "[2 chars]", "start": 5.1, "identifier": "+*******0100"}],
                "defaultFields": {"firstName": "[4 chars]", "company": null,
                    "phoneNumbers": [{"name": "[4 chars]", "value": "[14 chars]"}]},
                "duration": 60, "note": "call +* *** *** 0100 back",
            }},
        });
        assert_eq!(json(&event.to_string()), expected);
    }

    #[test]
    fn a_filter_that_looks_into_people_is_hidden_and_any_other_stays() {
        for (told, shown) in [
            ("tag:vip -state:TX last_reply<30d", "tag:vip -state:TX last_reply<30d"),
            ("", ""),
            ("name~ann", "[8 chars]"),
            ("tag:vip (state:TX or email:ann@example.com)", "[43 chars]"),
            ("number~555", "[10 chars]"),
            ("ann", "[3 chars]"),
        ] {
            assert_eq!(filter(told), shown);
            assert_eq!(View::of(false).filter(told), shown);
            assert_eq!(View::of(true).filter(told), told);
            // As the audit keeps it of segments and exports, and of campaigns.
            let of_segment = json!({"filter": told, "unmask": false});
            assert_eq!(json(&of_segment.to_string()), json!({"filter": shown, "unmask": false}));
            let of_campaign = json!({"audience": {"segment": told}});
            assert_eq!(json(&of_campaign.to_string()), json!({"audience": {"segment": shown}}));
        }
        // Filters of events are objects.
        let of_events = json!({"filter": {"type": "call.ringing", "text": "divorce"}});
        let told = json!({"filter": {"type": "call.ringing", "text": "[7 chars]"}});
        assert_eq!(json(&of_events.to_string()), told);
        assert_eq!(View::of(true).json(&of_events.to_string()), of_events);
    }

    #[test]
    fn what_is_not_json_is_hidden_whole() {
        assert_eq!(json("+12125550101 says hi"), json!("[20 chars]"));
    }

    #[test]
    fn times_ids_and_short_numbers_stay() {
        for line in
            ["2024-01-23T16:55:52+00:00", "AC3fa1234567890b", "task 123456", "1 + 1", "+", "12:30:01.123456"]
        {
            assert_eq!(replace_phones(line, true), line);
        }
        assert_eq!(phones_in("webhook:12345678"), "webhook:12345678");
    }

    #[test]
    fn international_numbers_are_found_in_any_line_and_bare_ones_in_documents() {
        assert_eq!(phones_in("sms:+12125550101."), "sms:+*******0101.");
        assert_eq!(phones_in("to+12125550101x9"), "to+*******0101x9");
        assert_eq!(phones_in("+1 (212) 555-0101 is away"), "+* (***) ***-0101 is away");
        assert_eq!(phones_in("?participants=%2B12125550101&x"), "?participants=%2B*******0101&x");
        assert_eq!(replace_phones("12125550101, 2125550101", true), "*******0101, ******0101");
    }

    #[test]
    fn what_changes_is_told_without_people_in_it() {
        let these = json!([
            {"pointer": "/to", "before": "+12125550101", "after": "+12125550102"},
            {"pointer": "/event", "before": 7, "after": 8},
            {"pointer": "/texts/0", "after": "call +12125550101"},
        ]);
        let told = View::of(false).changes(&these);
        assert!(!told.to_string().contains("1212555"), "{told}");
        assert_eq!(told[1], json!({"pointer": "/event", "before": 7, "after": 8}));
        assert_eq!(View::of(true).changes(&these), these);
    }

    #[test]
    fn the_telling_names_are_sorted_for_the_search() {
        assert!(TELLING.is_sorted());
        assert!(["from", "first_name", "FirstName", "value"].into_iter().all(is_telling));
    }

    /// JSON with phone numbers in it, as keys, as words in text, and as values of any name.
    fn document() -> impl Strategy<Value = Value> {
        let phone = "\\+?[1-9][0-9]{6,14}";
        let words = ("[a-z]{0,5} ", phone, "[ ,.;]?( [a-z]{1,5})?");
        let leaf = prop_oneof![
            phone.prop_map(Value::from),
            words.prop_map(|(before, phone, after)| Value::from(before + &phone + &after)),
            "https://[a-z]{3}\\.example/\\PC{0,20}".prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
            (0..999_999_u32).prop_map(Value::from),
        ];
        let name = prop_oneof![phone, "[a-z]{1,8}", "from|to|text|participants|first_name"];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// The longest run of digits that is a word of its own.
    fn longest_run(text: &str) -> usize {
        let words = text.split(|c: char| !c.is_alphanumeric());
        words.filter(|word| word.bytes().all(|byte| byte.is_ascii_digit())).map(str::len).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_phone_number_survives_anywhere_in_a_document(document in document()) {
            let masked = json(&document.to_string()).to_string();
            prop_assert!(longest_run(&masked) < SHORTEST_PHONE, "{masked}");
        }

        #[test]
        fn masking_twice_changes_nothing_more(line in "[0-9+ab ().%2B]{0,40}", bare: bool) {
            let once = replace_phones(&line, bare);
            prop_assert_eq!(replace_phones(&once, bare), once);
        }
    }
}
