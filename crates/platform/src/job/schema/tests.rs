use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the schema is looked at")]
struct Text {
    to: Recipient,
    body: String,
    #[serde(default)]
    copies: Option<u8>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, i32>,
    kind: Kind,
    #[serde(default)]
    then: Option<Box<Text>>,
    pair: (u32, bool),
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the schema is looked at")]
struct Recipient {
    number: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the schema is looked at")]
enum Kind {
    Plain,
    Timed { seconds: u32 },
}

fn told(payload: Value) -> Vec<String> {
    let schema = schema_for!(Text);
    faults(schema.as_value(), &payload).iter().map(|fault| fault.told_of("the payload")).collect()
}

fn good() -> Value {
    json!({
        "to": {"number": "+12125550101"}, "body": "hi", "copies": 2, "tags": ["a"], "labels": {"any": 1},
        "kind": {"timed": {"seconds": 5}}, "pair": [1, true],
    })
}

#[test]
fn a_good_payload_has_no_faults_at_any_depth() {
    assert_eq!(told(good()), Vec::<String>::new());
    let mut nested = good();
    nested["then"] = good();
    assert_eq!(told(nested), Vec::<String>::new());
    let mut least = good();
    for name in ["copies", "tags", "labels"] {
        least.as_object_mut().unwrap().remove(name);
    }
    least["kind"] = json!("plain");
    assert_eq!(told(least), Vec::<String>::new());
}

#[test]
fn a_fault_is_told_by_its_place_and_by_what_is_expected() {
    for (pointer, value, fault) in [
        ("/body", json!(7), "/body: expected a text"),
        ("/to", json!({}), "/to/number: expected a text, and nothing is there"),
        ("/to", json!("x"), "/to: expected an object with number"),
        ("/copies", json!(300), "/copies: expected at most 255"),
        ("/copies", json!(-1), "/copies: expected at least 0"),
        ("/copies", json!("two"), "/copies: expected a whole number or null"),
        ("/tags/0", json!(true), "/tags/0: expected a text"),
        ("/labels/any", json!("x"), "/labels/any: expected a whole number"),
        ("/kind", json!("loud"), "/kind: expected \"plain\" or an object with timed"),
        ("/kind", json!({"timed": {"seconds": "5"}}), "/kind/timed/seconds: expected a whole number"),
        ("/pair/1", json!(0), "/pair/1: expected true or false"),
        ("/pair", json!([1]), "/pair: expected at least 2 items"),
        ("/then", json!({"to": 1}), "/then/to: expected an object with number"),
        ("/bodi", json!("x"), "/bodi: expected no such field; there are "),
        ("/to/name", json!("x"), "/to/name: expected no such field; there are number"),
    ] {
        let mut payload = good();
        if let Some(place) = payload.pointer_mut(pointer) {
            *place = value;
        } else {
            assert!(crate::job::set_at(&mut payload, pointer, value));
        }
        let told = told(payload);
        assert!(told.iter().any(|told| told.starts_with(fault)), "{pointer}: {told:?}");
    }
    assert_eq!(told(json!([])), ["the payload: expected an object with to, body, kind, pair"]);
}

#[test]
fn every_keyword_a_type_makes_is_looked_at() {
    assert!(unchecked_keywords(schema_for!(Text).as_value()).is_empty());
    let strange = json!({"type": "object", "properties": {"a": {"pattern": "^x"}}, "not": {}});
    assert_eq!(unchecked_keywords(&strange).into_iter().collect::<Vec<_>>(), ["not", "pattern"]);
}
