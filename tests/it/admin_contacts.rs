//! Contacts and segments over the API.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline::access::Scope;

use crate::admin::{Site, entries, problem};
use crate::admin_campaigns::{Caller, acts, all, last_entry};
use crate::harness::{Env, both_engines};

const ANN: &str = "+12125550101";
const BEN: &str = "+12145550102";

/// Ann in New York and Ben in Texas, whom somebody wrote.
async fn ann_and_ben(ops: &Caller<'_>) {
    let ann = json!({"number": "(212) 555-0101", "first_name": " Ann ", "email": "ann@example.com", "tags": ["VIP"],
        "fields": {"plan": "gold"}, "reason": "she asked"});
    assert_eq!(ops.done("/contacts", ann).await, json!({"number": "+*******0101", "outcome": "added"}));
    let ben = json!({"number": BEN, "first_name": "Ben", "state": "tx", "flags": ["test"]});
    assert_eq!(ops.done("/contacts", ben).await["outcome"], "added");
}

both_engines! {
    async fn a_contact_is_written_shown_and_takes_on_what_is_told_later(env: Env) {
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate, Scope::Pii]).await;
        ann_and_ben(&ops).await;
        let more = json!({"number": ANN, "last_name": "Lee", "fields": {"city": "Troy"}, "time_zone": "America/New_York"});
        assert_eq!(ops.done("/contacts", more).await["outcome"], "updated");
        let again = |on_duplicate: &str| json!({"number": ANN, "first_name": "Eve", "on_duplicate": on_duplicate});
        assert_eq!(ops.done("/contacts", again("skip")).await["outcome"], "skipped");
        assert!(ops.conflict("/contacts", again("fail")).await.contains("already"));
        let shown = ops.read("/contacts/212-555-0101?unmask=true").await;
        let contact = &shown["contact"];
        assert_eq!((&contact["number"], &contact["first_name"], &contact["last_name"]), (&json!(ANN), &json!("Ann"), &json!("Lee")));
        assert_eq!((&contact["fields"], &contact["tags"]), (&json!({"plan": "gold", "city": "Troy"}), &json!(["vip"])));
        assert_eq!((&shown["zones"], &shown["place_known"]), (&json!(["America/New_York"]), &json!(true)));
        assert_eq!(acts(&env, &format!("number:{ANN}")).await, [
            ("contact.add".to_owned(), Some("she asked".to_owned())), ("contact.change".to_owned(), None),
            ("unmask".to_owned(), None),
        ]);
        for (wrong, told) in [
            (json!({"number": "12"}), "**: "),
            (json!({"number": ANN, "email": "ann"}), "email: "),
            (json!({"number": ANN, "state": "Texas"}), "state: "),
            (json!({"number": ANN, "time_zone": "Mars/Base"}), "time_zone: "),
            (json!({"number": ANN, "tags": ["two words"]}), "no tag"),
            (json!({"number": ANN, "flags": ["evil"]}), "no flag"),
            (json!({"number": ANN, "fields": {"a b": "c"}}), "fields: "),
            (json!({"number": ANN, "nickname": "A"}), "nickname"),
        ] {
            let detail = ops.invalid("/contacts", wrong.clone()).await;
            assert!(detail.contains(told), "{wrong}: {detail}");
        }
        ops.untold("/contacts/%2B12125550199", StatusCode::NOT_FOUND, "not_found").await;
        ops.untold("/contacts/nobody", StatusCode::BAD_REQUEST, "invalid").await;
    }

    async fn contacts_are_masked_and_no_cursor_tells_a_number(env: Env) {
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let pii = Caller::new(&site, &[Scope::Read, Scope::Pii]).await;
        ann_and_ben(&ops).await;
        ops.done("/opt-outs", json!({"numbers": [ANN], "channel": "phone", "wording": "leave me be"})).await;
        for path in ["/contacts?limit=1", "/contacts/%2B12125550101", "/contacts/export", "/contacts/export?format=jsonl",
            "/opt-outs?limit=1"] {
            let masked = ops.text(path).await;
            for personal in ["2125550101", "Ann", "ann@", "gold", "leave me"] {
                assert!(!masked.contains(personal), "{path}: {masked}");
            }
            let unmask = format!("{path}{}unmask=true", if path.contains('?') { '&' } else { '?' });
            ops.untold(&unmask, StatusCode::FORBIDDEN, "forbidden").await;
            assert!(pii.text(&unmask).await.contains(ANN), "{path}");
            assert!(entries(&env).await.iter().rev().take(2).any(|row| row.action == "unmask"), "{path}");
        }
        for guess in ["number~1212", "name~a", "email:ann@example.com", "-(last_name:lee tag:x)", "field.plan~g"] {
            for path in ["/contacts", "/contacts/count", "/contacts/export"] {
                ops.untold(&format!("{path}?filter={guess}"), StatusCode::FORBIDDEN, "forbidden").await;
            }
            let saved = json!({"name": "guess", "filter": guess});
            ops.refused("/segments", saved, StatusCode::FORBIDDEN, "forbidden").await;
            let chosen = json!({"which": {"filter": guess}, "tag": "x", "dry_run": true});
            ops.refused("/contacts/tag", chosen, StatusCode::FORBIDDEN, "forbidden").await;
        }
        assert_eq!(all(&pii.read("/contacts?filter=name~an").await, "number"), ["+*******0101"]);
        assert_eq!(all(&ops.read("/contacts?filter=field.plan:gold").await, "number"), ["+*******0101"]);
        let both = Caller::new(&site, &[Scope::Operate, Scope::Pii]).await;
        both.done("/segments", json!({"name": "anns", "filter": "name~ann"})).await;
        assert_eq!(ops.read("/segments/anns").await["filter"], "[8 chars]");
        assert_eq!(pii.read("/segments/anns?unmask=true").await["filter"], "name~ann");
        assert_eq!(all(&ops.read("/segments").await, "filter"), ["[8 chars]"]);
        ops.untold("/segments?unmask=true", StatusCode::FORBIDDEN, "forbidden").await;
        let page = ops.read("/contacts?limit=1").await;
        let cursor = page["next"].as_str().unwrap();
        let read = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, cursor).unwrap();
        assert!(!String::from_utf8(read).unwrap().contains("2125550101"), "a cursor is no way round the mask");
        let rest = ops.read(&format!("/contacts?limit=1&cursor={cursor}")).await;
        assert_eq!((all(&rest, "number"), &rest["next"]), (vec![json!("+*******0102")], &Value::Null));
    }

    async fn contacts_are_narrowed_by_segments_and_filters_page_by_page(env: Env) {
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate, Scope::Pii]).await;
        for n in 0..25 {
            let tags: &[&str] = if n % 2 == 0 { &["even"] } else { &[] };
            let person = json!({"number": format!("+1212555{:04}", 1_000 + n), "tags": tags});
            ops.done("/contacts", person).await;
        }
        for (asked, expected) in [("", 25), ("filter=tag:even", 13), ("filter=-tag:even", 12), ("filter=state:TX", 0)] {
            let mut seen = BTreeSet::new();
            let mut path = format!("/contacts?unmask=true&limit=5&{asked}");
            loop {
                let page = ops.read(path.trim_end_matches('&')).await;
                for number in all(&page, "number") {
                    assert!(seen.insert(number.to_string()), "{asked}: somebody came twice");
                }
                let Some(next) = page["next"].as_str() else { break };
                path = format!("/contacts?unmask=true&limit=5&cursor={next}&{asked}");
            }
            assert_eq!(seen.len(), expected, "{asked}");
        }
        let saved = ops.done("/segments", json!({"name": "even", "filter": "tag:even", "reason": "a test"})).await;
        assert_eq!(saved["filter"], "tag:even");
        assert_eq!(all(&ops.read("/contacts?segment=even&limit=200").await, "number").len(), 13);
        let count = ops.read("/contacts/count?segment=even").await;
        assert_eq!(count, json!({"filter": "tag:even", "people": 13, "opted_out": 0, "kept_out": 0, "nowhere": 0}));
        assert_eq!(ops.read("/contacts/count").await["people"], 25);
        let next = ops.read("/contacts?limit=5").await["next"].as_str().unwrap().to_owned();
        for wrong in ["filter=tag:", "filter=tag:even&segment=even", &format!("filter=tag:even&cursor={next}"), "tag=even"] {
            ops.untold(&format!("/contacts?{wrong}"), StatusCode::BAD_REQUEST, "invalid").await;
        }
        ops.untold("/contacts?segment=odd", StatusCode::NOT_FOUND, "not_found").await;
    }

    async fn many_are_tagged_flagged_and_removed_and_shown_first_how_many(env: Env) {
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        ann_and_ben(&ops).await;
        let both = json!({"numbers": [ANN, BEN, "+12125550177"]});
        let would = ops.done("/contacts/tag", json!({"which": both, "tag": "spring", "dry_run": true})).await;
        assert_eq!(would, json!({"dry_run": true, "people": 3, "changed": 0, "more": false}));
        let told = ops.done("/contacts/tag", json!({"which": both, "tag": "Spring", "reason": "for spring"})).await;
        assert_eq!((&told["people"], &told["changed"]), (&json!(3), &json!(2)));
        let tagged = json!({"filter": "tag:spring"});
        let flag = |remove: bool| json!({"which": tagged, "flag": "blocked", "remove": remove, "reason": "they complained"});
        assert_eq!(ops.done("/contacts/flag", flag(false)).await["changed"], 2);
        assert_eq!(ops.read("/contacts/count?filter=tag:spring").await["kept_out"], 2);
        assert_eq!(ops.done("/contacts/flag", flag(true)).await["changed"], 2);
        for wrong in [json!({}), json!({"numbers": []}), json!({"numbers": [ANN], "filter": "tag:vip"}), json!({"all": true})] {
            ops.invalid("/contacts/remove", json!({"which": wrong})).await;
        }
        ops.invalid("/contacts/flag", json!({"which": tagged, "flag": "evil"})).await;
        let removed = ops.done("/contacts/remove", json!({"which": {"filter": "tag:vip"}, "reason": "she moved"})).await;
        assert_eq!((&removed["people"], &removed["changed"]), (&json!(1), &json!(1)));
        assert_eq!(all(&ops.read("/contacts").await, "number"), ["+*******0102"]);
        let done: Vec<(String, Option<String>)> = entries(&env).await.into_iter()
            .filter(|row| row.actor.starts_with("key:") && !row.subject.starts_with("number:"))
            .map(|row| (row.action, row.reason)).collect();
        let act = |action: &str, reason: &str| (action.to_owned(), Some(reason.to_owned()));
        assert_eq!(done, [act("contact.tag", "for spring"), act("contact.flag", "they complained"),
            act("contact.unflag", "they complained"), act("contact.remove", "she moved")]);
    }

    async fn segments_are_saved_once_listed_and_deleted(env: Env) {
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        for name in ["spring", "autumn", "count"] {
            ops.done("/segments", json!({"name": name, "filter": format!("tag:{name} -flag:test")})).await;
        }
        assert!(ops.conflict("/segments", json!({"name": "spring", "filter": "tag:x"})).await.contains("already"));
        for wrong in [json!({"name": "Spring", "filter": "tag:x"}), json!({"name": "x", "filter": "tag:"}),
            json!({"name": "x"}), json!({"name": "x", "filter": "tag:x", "more": 1})] {
            ops.invalid("/segments", wrong).await;
        }
        let page = ops.read("/segments?limit=2").await;
        assert_eq!(all(&page, "name"), ["autumn", "count"]);
        let next = page["next"].as_str().unwrap();
        assert_eq!(all(&ops.read(&format!("/segments?limit=2&cursor={next}")).await, "name"), ["spring"]);
        assert_eq!(ops.read("/segments/count").await["filter"], "tag:count -flag:test");
        let delete = |name: &str| {
            site.ask(Method::DELETE, &format!("/api/v1/segments/{name}?reason=it+is+over")).bearer_auth(&ops.key).send()
        };
        assert_eq!(delete("spring").await.unwrap().json::<Value>().await.unwrap(), json!({"name": "spring"}));
        problem(delete("spring").await.unwrap(), StatusCode::NOT_FOUND, "not_found").await;
        let entry = last_entry(&env).await;
        assert_eq!((entry.action.as_str(), entry.subject.as_str(), entry.reason.as_deref()),
            ("segment.delete", "segment:spring", Some("it is over")));
    }
}
