//! Campaigns, their recipients and texts over the API.

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline::access::Scope;
use trunkline_platform::audit::AuditRow;

use crate::admin::{Site, entries, problem};
use crate::campaigns::{Stage, numbers};
use crate::harness::{Env, both_engines};

const WORDS: &str = "Sale today! Reply STOP to opt out";

trunkline_platform::statements! {
    LOSE_TRACK = same { "UPDATE sends SET state = 'unresolved' WHERE number = $1" }
}

/// Somebody with a key.
pub(crate) struct Caller<'s> {
    pub(crate) site: &'s Site,
    pub(crate) key: String,
}

impl<'s> Caller<'s> {
    pub(crate) async fn new(site: &'s Site, scopes: &[Scope]) -> Self {
        Self { site, key: site.key(scopes).await }
    }

    pub(crate) async fn read(&self, path: &str) -> Value {
        self.site.read(&format!("/api/v1{path}"), &self.key).await
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.site.get(&format!("/api/v1{path}"), &self.key).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    /// What an act that is allowed comes to.
    pub(crate) async fn done(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, &body).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// The reason for which an act is refused.
    pub(crate) async fn refused(&self, path: &str, body: Value, status: StatusCode, code: &str) -> String {
        let told = problem(self.post(path, &body).await, status, code).await;
        told["detail"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn conflict(&self, path: &str, body: Value) -> String {
        self.refused(path, body, StatusCode::CONFLICT, "conflict").await
    }

    pub(crate) async fn invalid(&self, path: &str, body: Value) -> String {
        self.refused(path, body, StatusCode::BAD_REQUEST, "invalid").await
    }

    /// The reason for which nothing is told.
    pub(crate) async fn untold(&self, path: &str, status: StatusCode, code: &str) -> String {
        let answer = self.site.get(&format!("/api/v1{path}"), &self.key).await;
        problem(answer, status, code).await["detail"].as_str().unwrap().to_owned()
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let ask = self.site.ask(Method::POST, &format!("/api/v1{path}")).bearer_auth(&self.key).json(body);
        ask.send().await.unwrap()
    }

    /// A draft to these numbers.
    async fn draft(&self, name: &str, people: &[String], line: &str, more: Value) -> i64 {
        let mut plan = json!({"senders": [line], "texts": [{"words": WORDS}]});
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let draft = json!({"name": name, "audience": {"numbers": people}, "plan": plan});
        self.done("/campaigns", draft).await["campaign"]["id"].as_i64().unwrap()
    }
}

/// What people did, each with their reason.
pub(crate) async fn acts(env: &Env, subject: &str) -> Vec<(String, Option<String>)> {
    let rows = entries(env).await.into_iter().filter(|row| row.subject == subject);
    rows.filter(|row| row.actor.starts_with("key:")).map(|row| (row.action, row.reason)).collect()
}

pub(crate) async fn last_entry(env: &Env) -> AuditRow {
    entries(env).await.pop().unwrap()
}

pub(crate) fn all(page: &Value, field: &str) -> Vec<Value> {
    page["items"].as_array().unwrap().iter().map(|item| item[field].clone()).collect()
}

both_engines! {
    async fn a_campaign_is_driven_over_the_api_from_its_draft_to_its_report(env: Env) {
        let stage = Stage::new(&env, "").await;
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let draft = json!({"name": "spring", "audience": {"numbers": numbers(30)}, "reason": "spring has come",
            "plan": {"senders": [stage.line], "texts": [{"words": WORDS}], "rate": "20/m", "daily_cap": 200}});
        let made = ops.done("/campaigns", draft).await;
        let id = made["campaign"]["id"].as_i64().unwrap();
        let place = format!("/campaigns/{id}");
        assert_eq!((&made["campaign"]["state"], &made["campaign"]["recipients"]), (&json!("draft"), &json!(30)));
        assert_eq!((&made["plan"]["rate"], &made["plan"]["audience"]), (&json!("20/m"), &json!({"kind": "list"})));
        assert_eq!(made["plan"]["counts_for_hours"], 72, "as the configuration says");

        let plan = ops.read(&format!("{place}/plan")).await;
        assert_eq!((&plan["texts"], &plan["cost"]), (&json!(30), &json!("0.30 USD")), "{plan}");
        assert_eq!(plan["numbers"], json!({stage.line.as_str(): 30}));
        let preview = ops.read(&format!("{place}/preview?limit=1")).await;
        assert_eq!((&preview[0]["verdict"], &preview[0]["words"]), (&json!("send"), &json!("[33 chars]")));

        let moved = ops.done(&format!("{place}/start"), json!({"reason": "all is well"})).await;
        assert_eq!(moved, json!({"id": id, "state": "running"}));
        stage.pass(TimeDelta::seconds(30)).await;
        assert_eq!(ops.done(&format!("{place}/pause"), json!({"reason": "a typo?"})).await["state"], "paused");
        let left = stage.accepted().len();
        assert!((1..30).contains(&left), "{left}");
        stage.pass(TimeDelta::minutes(10)).await;
        assert_eq!(stage.accepted().len(), left, "nothing leaves while it is held");
        let shown = ops.read(&place).await;
        assert_eq!((&shown["campaign"]["reason"], &shown["live"]["left"]), (&json!("a typo?"), &json!(left)));
        assert_eq!(shown["live"]["waiting"], 30 - left);
        assert_eq!(shown["fares"]["left"], left, "beside the plan it began with: {shown}");
        let changed = ops.done(&format!("{place}/change"), json!({"plan": {"rate": null}, "reason": "hurry"})).await;
        assert_eq!((&changed["rate"], &changed["daily_cap"]), (&Value::Null, &json!(200)));
        assert_eq!(ops.done(&format!("{place}/resume"), json!({})).await["state"], "running");
        stage.pass(TimeDelta::minutes(2)).await;
        stage.assert_nobody_twice();

        let shown = ops.read(&place).await;
        assert_eq!((&shown["campaign"]["state"], &shown["live"]["left"]), (&json!("completed"), &json!(30)));
        let report = ops.read(&format!("{place}/report")).await;
        assert_eq!((&report["total"]["left"], &report["total"]["planned"]), (&json!(30), &json!(30)));
        assert_eq!((&report["by_state"][0]["state"], &report["by_state"][0]["left"]), (&json!("NY"), &json!(30)));
        assert_eq!((&report["standing"]["code"], &report["texts"][0]["text"]), (&json!("nothing_to_compare"), &json!("A")));
        let listed = ops.read("/campaigns?state=completed").await;
        assert_eq!(all(&listed, "id"), [json!(id)]);
        assert_eq!(all(&ops.read("/campaigns?state=draft").await, "id"), Vec::<Value>::new());

        let act = |action: &str, reason: Option<&str>| (format!("campaign.{action}"), reason.map(str::to_owned));
        assert_eq!(acts(&env, &format!("campaign:{id}")).await, [
            act("create", Some("spring has come")), act("start", Some("all is well")), act("pause", Some("a typo?")),
            act("change", Some("hurry")), act("resume", None),
        ]);
        let change = entries(&env).await.into_iter().find(|row| row.action == "campaign.change").unwrap();
        let told = |side: Option<String>| serde_json::from_str::<Value>(&side.unwrap()).unwrap();
        assert_eq!((told(change.before), told(change.after)), (json!({"rate": "20/m"}), json!({"rate": null})));
    }

    async fn a_move_that_there_is_not_is_refused_with_what_to_do(env: Env) {
        let stage = Stage::new(&env, "").await;
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let id = ops.draft("sale", &numbers(3), &stage.line, json!({})).await;
        let place = format!("/campaigns/{id}");
        let told = ops.conflict(&format!("{place}/pause"), json!({})).await;
        assert_eq!(told, "a campaign that is draft cannot be paused: it has not begun; start it first");
        let now = env.clock.now();
        let told = ops.invalid(&format!("{place}/schedule"), json!({"at": now})).await;
        assert_eq!(told, "the time lies in the past");
        let at = now + TimeDelta::hours(1);
        let scheduled = ops.done(&format!("{place}/schedule"), json!({"at": at})).await;
        assert_eq!((&scheduled["state"], &scheduled["at"]), (&json!("scheduled"), &json!(at.to_rfc3339())));
        let told = ops.conflict(&format!("{place}/change"), json!({"plan": {"texts": [{"words": "Else. STOP"}]}})).await;
        assert!(told.starts_with("the text cannot be changed any more: the campaign is scheduled"), "{told}");
        ops.done(&format!("{place}/start"), json!({})).await;
        assert!(ops.conflict(&format!("{place}/start"), json!({})).await.ends_with("it runs already"));
        let told = ops.conflict(&format!("{place}/promote"), json!({"text": "A", "reason": "I like it"})).await;
        assert_eq!(told, "the campaign has one text, which everybody gets");
        assert_eq!(ops.done(&format!("{place}/cancel"), json!({"reason": "no"})).await["state"], "cancelled");
        for act in ["start", "pause", "resume", "cancel"] {
            let told = ops.conflict(&format!("{place}/{act}"), json!({})).await;
            assert!(told.ends_with("it has ended; make a new one"), "{act}: {told}");
        }
        let taken = json!({"name": "sale", "audience": {"everyone": true}, "plan": {"senders": [stage.line], "texts": [{"words": WORDS}]}});
        assert!(ops.conflict("/campaigns", taken).await.contains("already"));
        for act in ["start", "pause", "resume", "cancel"] {
            ops.refused(&format!("/campaigns/99/{act}"), json!({}), StatusCode::NOT_FOUND, "not_found").await;
        }
        stage.pass(TimeDelta::hours(2)).await;
        assert!(stage.accepted().is_empty(), "what was cancelled sends nothing");
        let acts: Vec<String> = acts(&env, &format!("campaign:{id}")).await.into_iter().map(|(action, _)| action).collect();
        assert_eq!(acts, ["campaign.create", "campaign.schedule", "campaign.start", "campaign.cancel"], "refusals leave none");
    }

    async fn a_draft_that_cannot_be_carried_out_is_told_and_not_made(env: Env) {
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let body = |audience: Value, more: Value| {
            let mut plan = json!({"senders": ["PN1"], "texts": [{"words": WORDS}]});
            plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"name": "n", "audience": audience, "plan": plan})
        };
        let everyone = || json!({"everyone": true});
        for (wrong, part) in [
            (body(json!({}), json!({})), "to whom?"),
            (body(json!({"everyone": true, "tag": "vip"}), json!({})), "to whom?"),
            (body(json!({"tag": "two words"}), json!({})), "no tag"),
            (body(json!({"filter": "tag:"}), json!({})), "at character"),
            (body(json!({"numbers": ["12"]}), json!({})), "**: "),
            (body(json!({"numbers": []}), json!({})), "numbers"),
            (body(json!({"people": "all"}), json!({})), "people"),
            (body(everyone(), json!({"texts": [{"words": "Sale!"}]})), "how to stop"),
            (body(everyone(), json!({"texts": [{"words": WORDS}, {"words": WORDS}]})), "two texts have the name"),
            (body(everyone(), json!({"texts": []})), "texts"),
            (body(everyone(), json!({"senders": ["+12125550199"]})), "begins with PN"),
            (body(everyone(), json!({"hours": "at night"})), "are no hours"),
            (body(everyone(), json!({"rate": "fast"})), "the rate \"fast\""),
            (body(everyone(), json!({"holdout_percent": 91})), "holdout_percent"),
            (body(everyone(), json!({"winner": {"metric": "replies"}})), "nobody to win against"),
            (body(everyone(), json!({"more": 1})), "more"),
        ] {
            let told = ops.invalid("/campaigns", wrong.clone()).await;
            assert!(told.contains(part), "{wrong}: {told}");
        }
        let unknown = body(json!({"segment": "nobody"}), json!({}));
        ops.refused("/campaigns", unknown, StatusCode::NOT_FOUND, "not_found").await;
        assert!(all(&ops.read("/campaigns").await, "id").is_empty());
        for wrong in ["/campaigns?stat=draft", "/campaigns?state=asleep", "/campaigns/1?unmask=true", "/campaigns/x"] {
            ops.untold(wrong, StatusCode::BAD_REQUEST, "invalid").await;
        }
        for missing in ["/campaigns/9", "/campaigns/9/plan", "/campaigns/9/report", "/campaigns/9/export",
            "/campaigns/9/preview", "/campaigns/9/recipients", "/campaigns/9/recipients/1", "/sends/9"] {
            ops.untold(missing, StatusCode::NOT_FOUND, "not_found").await;
        }
    }

    async fn who_has_seen_another_plan_than_the_present_changes_nothing(env: Env) {
        let stage = Stage::new(&env, "").await;
        let site = Site::start(&env).await;
        let key = site.key(&[Scope::Operate]).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let id = ops.draft("sale", &numbers(3), &stage.line, json!({})).await;
        let seen = site.get(&format!("/api/v1/campaigns/{id}"), &key).await.headers()["etag"].to_str().unwrap().to_owned();
        let change = async |seen: &str, cap: u32| {
            let path = format!("/api/v1/campaigns/{id}/change");
            let asked = site.ask(Method::POST, &path).bearer_auth(&key).header("if-match", seen);
            asked.json(&json!({"plan": {"daily_cap": cap}})).send().await.unwrap()
        };
        let first = change(&seen, 10).await;
        assert_eq!(first.status(), StatusCode::OK);
        let told = first.headers()["etag"].to_str().unwrap().to_owned();
        let second = change(&seen, 20).await;
        assert_eq!(second.status(), StatusCode::PRECONDITION_FAILED);
        assert_eq!(second.json::<Value>().await.unwrap()["code"], "outdated");
        assert_eq!(stage.campaign(id).await.plan.0.daily_cap, 10);
        for (seen, cap) in [(told.as_str(), 30), ("*", 40)] {
            assert_eq!(change(seen, cap).await.status(), StatusCode::OK, "{seen}");
            assert_eq!(stage.campaign(id).await.plan.0.daily_cap, cap);
        }
    }

    async fn what_was_drawn_for_a_list_stays_and_its_words_can_change(env: Env) {
        let stage = Stage::new(&env, "").await;
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let id = ops.draft("sale", &numbers(3), &stage.line, json!({})).await;
        let change = format!("/campaigns/{id}/change");
        for plan in [json!({"texts": [{"name": "B", "words": WORDS}]}), json!({"holdout_percent": 10})] {
            let told = ops.conflict(&change, json!({"plan": plan})).await;
            assert!(told.starts_with("who gets which text was drawn"), "{told}");
        }
        assert!(ops.invalid(&change, json!({"plan": {}})).await.starts_with("nothing to change"));
        ops.done(&change, json!({"plan": {"texts": [{"words": "It is on. Reply STOP to opt out"}], "budget_segments": 5}})).await;
        ops.done(&format!("/campaigns/{id}/start"), json!({})).await;
        stage.pass(TimeDelta::minutes(1)).await;
        assert!(stage.accepted().iter().all(|text| text.content.starts_with("It is on.")));
        assert_eq!(stage.accepted().len(), 3);
    }

    async fn numbers_are_masked_and_seeing_them_takes_pii_and_is_in_the_audit(env: Env) {
        let stage = Stage::new(&env, "").await;
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let pii = Caller::new(&site, &[Scope::Read, Scope::Pii]).await;
        let id = ops.draft("sale", &numbers(3), &stage.line, json!({})).await;
        ops.done(&format!("/campaigns/{id}/start"), json!({})).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let first = &numbers(1)[0];
        let plus = first.replace('+', "%2B");
        let send = all(&ops.read(&format!("/sends?campaign={id}&limit=1")).await, "id").remove(0);
        for (path, subject) in [
            (format!("/campaigns/{id}/recipients"), format!("campaign:{id}")),
            (format!("/campaigns/{id}/recipients/1"), format!("campaign:{id}:1")),
            (format!("/campaigns/{id}/export?format=csv"), format!("campaign:{id}")),
            (format!("/campaigns/{id}/export?format=jsonl"), format!("campaign:{id}")),
            ("/sends".to_owned(), "sends".to_owned()),
            (format!("/sends/{send}"), format!("send:{send}")),
            (format!("/sends/explain?number={plus}"), format!("number:{first}")),
        ] {
            let masked = ops.text(&path).await;
            assert!(!masked.contains("2125551") && !masked.contains("Sale"), "{path}: {masked}");
            let unmask = format!("{path}{}unmask=true", if path.contains('?') { '&' } else { '?' });
            let before = entries(&env).await.len();
            ops.untold(&unmask, StatusCode::FORBIDDEN, "forbidden").await;
            assert_eq!(entries(&env).await.len(), before);
            assert!(pii.text(&unmask).await.contains("+1212555100"), "{path}");
            let looks = entries(&env).await;
            let look = looks.iter().rev().find(|row| row.action == "unmask").unwrap();
            assert_eq!(look.subject, subject);
            assert!(pii.key.contains(look.actor.strip_prefix("key:").unwrap()));
        }
    }

    async fn recipients_are_found_by_what_became_of_them_and_explained(env: Env) {
        let stage = Stage::new(&env, "").await;
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        // Eleven in New York is eight in Los Angeles.
        let mut people = numbers(5);
        people.push("+12135551001".to_owned());
        let closed = json!({"numbers": [people[1]], "channel": "phone", "wording": "no more", "reason": "she called"});
        ops.done("/opt-outs", closed).await;
        let id = ops.draft("sale", &people, &stage.line, json!({})).await;
        ops.done(&format!("/campaigns/{id}/start"), json!({})).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let shown = ops.read(&format!("/campaigns/{id}")).await;
        let mut found = 0;
        for outcome in shown["outcomes"].as_array().unwrap() {
            let reason = outcome["reason"].as_str().map(|reason| format!("&reason={reason}")).unwrap_or_default();
            let path = format!("/campaigns/{id}/recipients?state={}{reason}", outcome["state"].as_str().unwrap());
            let count = all(&ops.read(&path).await, "position").len() as u64;
            assert_eq!(json!(count), outcome["count"], "{path}");
            found += count;
        }
        assert_eq!(found, 6);
        let held = ops.read(&format!("/campaigns/{id}/recipients?state=waiting&reason=quiet_hours")).await;
        assert_eq!((all(&held, "number"), all(&held, "position")), (vec![json!("+*******1001")], vec![json!(6)]));
        assert_eq!(held["items"][0]["due_at"], "2026-03-02T17:00:00+00:00", "nine o'clock there");
        let refused = ops.read(&format!("/campaigns/{id}/recipients/2")).await;
        assert_eq!((&refused["recipient"]["state"], &refused["recipient"]["reason"]), (&json!("refused"), &json!("opted_out")));
        assert_eq!((&refused["opt_out"]["closed"], &refused["opt_out"]["channel"]), (&json!(true), &json!("phone")));
        let sent = ops.read(&format!("/campaigns/{id}/recipients/1")).await;
        let accepted = stage.accepted().into_iter().find(|text| text.to[0] == people[0]).unwrap();
        assert_eq!(sent["send"]["provider_id"], accepted.id);
        ops.untold(&format!("/campaigns/{id}/recipients/7"), StatusCode::NOT_FOUND, "not_found").await;
        ops.untold(&format!("/campaigns/{id}/recipients?state=lost"), StatusCode::BAD_REQUEST, "invalid").await;

        let page = ops.read(&format!("/campaigns/{id}/recipients?limit=4")).await;
        let next = page["next"].as_str().unwrap();
        let rest = ops.read(&format!("/campaigns/{id}/recipients?limit=4&cursor={next}")).await;
        assert_eq!((all(&page, "position").len(), all(&rest, "position"), &rest["next"]), (4, vec![json!(5), json!(6)], &Value::Null));
        let file = ops.text(&format!("/campaigns/{id}/export?reason=for+the+books")).await;
        assert_eq!(file.lines().count(), 7);
        assert!(file.starts_with("position,number"), "{file}");
        assert_eq!(last_entry(&env).await.reason.as_deref(), Some("for the books"));
        let part = ops.text(&format!("/campaigns/{id}/export?format=jsonl&after=4&limit=1")).await;
        let lines: Vec<Value> = part.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["position"]), (1, &json!(5)));
        let told = ops.read(&format!("/sends/explain?number={}", people[5].replace('+', "%2B"))).await;
        assert_eq!((&told["campaigns"][0]["reason"], &told["texts"]), (&json!("quiet_hours"), &json!([])));
    }

    async fn an_export_of_more_than_one_piece_has_everybody_once(env: Env) {
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let people: Vec<String> = (0..2_500).map(|n| format!("+1212{}{:04}", 300 + n / 1_000, n % 1_000)).collect();
        let id = ops.draft("sale", &people, "PN1", json!({})).await;
        let places = |file: String| -> Vec<usize> {
            file.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
        };
        let file = ops.text(&format!("/campaigns/{id}/export")).await;
        assert_eq!(places(file), (1..=2_500).collect::<Vec<_>>());
        let file = ops.text(&format!("/campaigns/{id}/export?limit=1500")).await;
        assert_eq!(places(file), (1..=1_500).collect::<Vec<_>>());
    }

    async fn one_of_two_texts_is_promoted_for_a_reason_or_left_out(env: Env) {
        let stage = Stage::new(&env, "").await;
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let texts = json!({"rate": "5/m", "texts": [{"name": "A", "words": "One. STOP"}, {"name": "B", "words": "Two. STOP", "weight": 2}]});
        let id = ops.draft("sale", &numbers(40), &stage.line, texts.clone()).await;
        let place = format!("/campaigns/{id}");
        ops.done(&format!("{place}/start"), json!({})).await;
        stage.pass(TimeDelta::minutes(1)).await;
        ops.invalid(&format!("{place}/promote"), json!({"text": "B"})).await;
        ops.invalid(&format!("{place}/promote"), json!({"text": "C", "reason": "why not"})).await;
        let promoted = ops.done(&format!("{place}/promote"), json!({"text": "B", "reason": "it is shorter"})).await;
        assert_eq!((&promoted["changed"], &promoted["standing"]["code"]), (&json!(true), &json!("too_few")));
        let again = ops.done(&format!("{place}/promote"), json!({"text": "B", "reason": "it is shorter"})).await;
        assert_eq!(again["changed"], false);
        let report = ops.read(&format!("{place}/report")).await;
        assert_eq!((&report["winner"], report["tried"].as_array().unwrap().len()), (&json!("B"), 2));

        let id = ops.draft("another", &numbers(40), &stage.line, texts).await;
        let place = format!("/campaigns/{id}");
        ops.done(&format!("{place}/start"), json!({})).await;
        stage.pass(TimeDelta::minutes(1)).await;
        ops.done(&format!("{place}/pause"), json!({})).await;
        ops.invalid(&format!("{place}/resume"), json!({"without": "C"})).await;
        ops.done(&format!("{place}/resume"), json!({"without": "A", "reason": "a typo in it"})).await;
        let shown = ops.read(&place).await;
        assert_eq!((&shown["plan"]["texts"][0]["left_out"], &shown["plan"]["texts"][1]["left_out"]), (&json!(true), &json!(false)));
    }

    async fn a_text_nobody_can_tell_of_is_decided_by_a_person_once(env: Env) {
        let stage = Stage::new(&env, "").await;
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let people = numbers(2);
        let id = ops.draft("sale", &people, &stage.line, json!({})).await;
        ops.done(&format!("/campaigns/{id}/start"), json!({})).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let mut tx = env.db.write().await.unwrap();
        LOSE_TRACK.bind(people[0].as_str()).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        let listed = ops.read("/sends?state=unresolved").await;
        let send = all(&listed, "id").remove(0);
        assert_eq!(all(&listed, "number"), ["+*******1000"]);
        let resolve = format!("/sends/{send}/resolve");
        ops.invalid(&resolve, json!({})).await;
        let resolved = ops.done(&resolve, json!({"verdict": "give_up", "reason": "it is not in the conversation"})).await;
        assert_eq!(resolved["state"], "refused");
        let told = ops.conflict(&resolve, json!({"verdict": "sent"})).await;
        assert_eq!(told, format!("text {send} is refused: it waits for nobody's decision"));
        assert_eq!(acts(&env, &format!("send:{send}")).await,
            [("send.resolve".to_owned(), Some("it is not in the conversation".to_owned()))]);
        let page = ops.read("/sends?limit=1").await;
        let next = page["next"].as_str().unwrap();
        assert_eq!(all(&ops.read(&format!("/sends?limit=1&cursor={next}")).await, "id").len(), 1);
        ops.untold(&format!("/sends?limit=1&state=sent&cursor={next}"), StatusCode::BAD_REQUEST, "invalid").await;
        ops.untold("/sends?number=%2B12125551000&campaign=1", StatusCode::BAD_REQUEST, "invalid").await;
    }

    async fn a_number_that_the_breaker_holds_is_listed_and_released(env: Env) {
        let stage = Stage::new(&env, "").await;
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let mut people = numbers(3);
        people.insert(0, "+12125550194".to_owned());
        let id = ops.draft("sale", &people, &stage.line, json!({"rate": "1/m"})).await;
        ops.done(&format!("/campaigns/{id}/start"), json!({})).await;
        stage.pass(TimeDelta::minutes(5)).await;
        let held = ops.read("/held-numbers").await;
        assert_eq!((&held[0]["sender"], &held[0]["seen_in"]), (&json!(stage.line), &json!(id)), "{held}");
        let told = ops.conflict(&format!("/campaigns/{id}/resume"), json!({})).await;
        assert!(told.contains("see list_held_numbers"), "{told}");
        let release = format!("/held-numbers/{}/release", stage.line);
        ops.done(&release, json!({"reason": "it is registered now"})).await;
        ops.refused(&release, json!({}), StatusCode::NOT_FOUND, "not_found").await;
        assert_eq!(acts(&env, &format!("number:{}", stage.line)).await,
            [("number.release".to_owned(), Some("it is registered now".to_owned()))]);
        assert_eq!(ops.done(&format!("/campaigns/{id}/resume"), json!({})).await["state"], "running");
    }

    async fn numbers_are_closed_and_opened_and_sentences_decided_about(env: Env) {
        let site = Site::start(&env).await;
        let ops = Caller::new(&site, &[Scope::Operate]).await;
        let pii = Caller::new(&site, &[Scope::Operate, Scope::Pii]).await;
        let given = ["(212) 555-0101", "+12125550102", "212-555-0101"];
        let would = ops.done("/opt-outs", json!({"numbers": given, "channel": "email", "dry_run": true})).await;
        assert_eq!(would, json!({"dry_run": true, "numbers": 2}));
        assert!(all(&ops.read("/opt-outs").await, "number").is_empty());
        let closed = json!({"numbers": given, "channel": "email", "wording": "leave me alone", "reason": "mail of today"});
        let told = ops.done("/opt-outs", closed).await;
        assert_eq!((&told["numbers"], &told["closed"]), (&json!(2), &json!(2)));
        let page = ops.read("/opt-outs?limit=1").await;
        assert_eq!((all(&page, "number"), all(&page, "wording")), (vec![json!("+*******0102")], vec![json!("[14 chars]")]));
        let next = page["next"].as_str().unwrap();
        let rest = ops.read(&format!("/opt-outs?limit=1&cursor={next}")).await;
        assert_eq!((all(&rest, "number"), &rest["next"]), (vec![json!("+*******0101")], &Value::Null));
        assert_eq!(all(&pii.read("/opt-outs?unmask=true").await, "number"), ["+12125550102", "+12125550101"]);
        assert_eq!(last_entry(&env).await.action, "unmask");
        ops.untold("/opt-outs?unmask=true", StatusCode::FORBIDDEN, "forbidden").await;
        for wrong in [json!({"numbers": ["12"], "channel": "email"}), json!({"numbers": [], "channel": "email"}),
            json!({"numbers": given, "channel": "import"}), json!({"numbers": given})] {
            ops.invalid("/opt-outs", wrong).await;
        }
        let open = |reason: Option<&str>| json!({"number": "2125550101", "channel": "phone", "reason": reason});
        ops.invalid("/opt-outs/remove", open(None)).await;
        let opened = ops.done("/opt-outs/remove", open(Some("she called"))).await;
        assert_eq!(opened, json!({"number": "+*******0101", "was_closed": true}));
        assert_eq!(acts(&env, "number:+12125550101").await, [
            ("optout.add".to_owned(), Some("mail of today".to_owned())),
            ("optout.remove".to_owned(), Some("she called".to_owned())),
        ]);

        heard(&env, &["+12125550103", "+12125550104"]).await;
        let waiting = ops.read("/opt-outs/reviews").await;
        assert_eq!(all(&waiting, "closed"), [true, true]);
        let ids = all(&waiting, "id");
        let decide = |at: usize| format!("/opt-outs/reviews/{}/decide", ids[at]);
        assert_eq!(ops.done(&decide(0), json!({"verdict": "confirm"})).await["closed"], true);
        assert!(ops.conflict(&decide(0), json!({"verdict": "confirm"})).await.contains("reviewed before"));
        assert!(ops.invalid(&decide(1), json!({"verdict": "reopen"})).await.contains("`reason`"));
        let reopened = ops.done(&decide(1), json!({"verdict": "reopen", "reason": "she meant the bus"})).await;
        assert_eq!(reopened, json!({"id": ids[1], "number": "+*******0104", "closed": false}));
        ops.refused("/opt-outs/reviews/999/decide", json!({"verdict": "confirm"}), StatusCode::NOT_FOUND, "not_found").await;
        assert!(all(&ops.read("/opt-outs/reviews").await, "id").is_empty());
    }
}

/// Sentences of these people that were taken for an opt-out.
async fn heard(env: &Env, people: &[&str]) {
    use trunkline_jobs::contacts::optout::{self, Channel, Said};
    for number in people {
        let said = Said {
            entry: format!("test:{number}"),
            number,
            at: env.clock.now(),
            channel: Channel::Text,
            wording: Some("please don't text me again"),
            message_id: None,
            actor: None,
            review: true,
            confirm: false,
        };
        let mut tx = env.db.write().await.unwrap();
        optout::close(&mut tx, &said, env.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}
