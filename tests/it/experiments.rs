//! Texts tried against each other: who gets which, what people make of them, and which one wins.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use trunkline_jobs::campaigns::experiment::{DecideWinners, WinnerRule, promote};
use trunkline_jobs::campaigns::report::{Line, Part, export, report};
use trunkline_jobs::campaigns::{
    self, Audience, HOLDOUT, Move, OperateError, Plan, State, Variant, add_recipients, create, make_move,
    resume_without,
};
use trunkline_jobs::contacts::optout::{self, Channel, Verdict};
use trunkline_jobs::export::Format;
use trunkline_jobs::sends::SendRow;

use trunkline_platform::audit::{self, AuditFilter};
use trunkline_platform::task::NewTask;

use crate::campaigns::{Stage, ana, line, numbers};
use crate::faults::crash_points::die_at;
use crate::harness::{Env, Program, both_engines, until};
use crate::kept::{Keeper, statement};

/// Points at which whoever promotes may die.
pub(crate) const DECIDING: [&str; 2] = ["winner.before_commit", "winner.after_commit"];

fn texts() -> Vec<Variant> {
    vec![
        Variant::new("A", "Sale today! Reply STOP to opt out"),
        Variant { weight: 2, ..Variant::new("B", "10% off, {{first_name|friend}}. Reply STOP to opt out") },
    ]
}

/// Somebody texts us at a time.
pub(crate) fn answer(id: &str, number: &str, at: DateTime<Utc>, words: &str) -> String {
    json!({"id": format!("EV{id}"), "apiVersion": "2026-03-30", "type": "message.received", "createdAt": at,
        "data": {"resource": {"id": id, "direction": "incoming", "status": "received", "text": words, "createdAt": at},
            "context": {"phoneNumberId": "PN1", "conversationId": "CN1", "senderIdentifier": number,
                "recipientIdentifiers": ["+12125550199"]}}})
    .to_string()
}

/// What a webhook says became of a text.
pub(crate) fn outcome(text: &SendRow, status: &str, at: DateTime<Utc>) -> String {
    let code = (status == "undelivered").then_some("30007");
    json!({"id": format!("EV{status}{}", text.id), "apiVersion": "2026-03-30", "type": format!("message.{status}"), "createdAt": at,
        "data": {"resource": {"id": text.provider_id, "direction": "outgoing", "text": "x", "status": status, "errorCode": code,
            "createdAt": at}, "context": {"phoneNumberId": text.sender, "senderIdentifier": "+12125550199",
            "recipientIdentifiers": [text.number]}, "links": {}}})
    .to_string()
}

/// What the ledger says people made of their texts.
#[derive(Clone, Debug, Eq, PartialEq, sqlx::FromRow)]
struct Made {
    number: String,
    campaign_id: i64,
    replied_at: Option<DateTime<Utc>>,
    opted_out_at: Option<DateTime<Utc>>,
}

async fn made(env: &Env) -> Vec<Made> {
    let select = "SELECT number, campaign_id, replied_at, opted_out_at FROM sends
                  WHERE replied_at IS NOT NULL OR opted_out_at IS NOT NULL ORDER BY number, campaign_id";
    statement(select.to_owned()).query().all(&mut env.db.read().await.unwrap()).await.unwrap()
}

async fn unmake(env: &Env) {
    let mut tx = env.db.write().await.unwrap();
    let update = statement("UPDATE sends SET replied_at = NULL, opted_out_at = NULL".to_owned());
    update.query().execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Promotes a text by hand.
async fn promoted(env: &Env, id: i64, text: &str) -> Result<bool, OperateError> {
    let mut tx = env.db.write().await.unwrap();
    let promoted = promote(&mut tx, id, text, &json!(null), &ana(), env.clock.now()).await?;
    tx.commit().await.unwrap();
    Ok(promoted)
}

/// How often a campaign's text was promoted, as the audit has it, and by whom.
async fn promotions(env: &Env, id: i64) -> Vec<String> {
    let filter = AuditFilter {
        action: Some("campaign.promote".to_owned()),
        subject: Some(format!("campaign:{id}")),
        limit: 10,
        ..AuditFilter::default()
    };
    audit::list(&env.db, &filter).await.unwrap().into_iter().map(|entry| entry.actor).collect()
}

/// By their beginnings.
fn text_of(content: &str) -> &'static str {
    if content.starts_with("Sale today!") { "A" } else { "B" }
}

both_engines! {
    async fn everybody_gets_the_text_that_is_theirs_mixed_whatever_slows_it_down_and_the_holdout_none(env: Env) {
        let stage = Stage::new(&env, "").await;
        let plan = Plan { variants: texts(), holdout_percent: 20, rate: Some("12/m".to_owned()), ..stage.plan() };
        let people = numbers(100);
        let id = stage.started(&plan, &people).await;
        stage.pass(TimeDelta::minutes(10)).await;
        assert_eq!(stage.campaign(id).await.state, State::Completed);
        stage.assert_nobody_twice();

        let mut held_out = 0;
        let mut variants = BTreeMap::new();
        for number in &people {
            let row = campaigns::recipients_of(&env.db, number, 10).await.unwrap().remove(0);
            if row.variant == HOLDOUT {
                assert_eq!((row.state.as_str(), row.reason.as_deref()), ("refused", Some(HOLDOUT)));
                assert_eq!(row.send_id, None);
                held_out += 1;
            } else {
                variants.insert(number.clone(), row.variant);
            }
        }
        assert!((5..50).contains(&held_out), "{held_out} held out");
        assert_eq!(stage.outcomes(id).await["refused holdout"], held_out);

        let accepted = stage.accepted();
        assert_eq!(accepted.len(), variants.len());
        for text in &accepted {
            let begins = if variants[&text.to[0]] == "A" { "Sale today!" } else { "10% off, friend." };
            assert!(text.content.starts_with(begins), "{} got {:?}", text.to[0], text.content);
        }
        assert!(stage.texts().await.iter().all(|text| text.variant.as_ref() == variants.get(&text.number)));
        for part in accepted.chunks_exact(12) {
            let sent: BTreeSet<&str> = part.iter().map(|text| variants[&text.to[0]].as_str()).collect();
            assert_eq!(sent.len(), 2, "a minute had only {sent:?}");
        }
    }

    async fn answers_and_opt_outs_belong_to_the_last_text_before_them_in_whatever_order_they_are_told(env: Env) {
        let stage = Stage::new(&env, "").await;
        let (people, t0) = (numbers(6), env.clock.now());
        let plan = Plan { variants: texts(), duplicate_days: 0, ..stage.plan() };
        let first = stage.started(&plan, &people).await;
        stage.pass(TimeDelta::hours(24)).await;
        let second = stage.started(&Plan { counts_for_hours: 48, ..plan }, &people[..3]).await;
        stage.pass(TimeDelta::hours(1)).await;
        assert_eq!(stage.accepted().len(), 9);

        let hours = |hours| t0 + TimeDelta::hours(hours);
        let told = [
            answer("AC1", &people[0], hours(2), "How much?"),
            answer("AC2", &people[0], hours(1), "Tell me more"),
            answer("AC3", &people[0], hours(26), "And now?"),
            answer("AC4", &people[1], hours(2), "STOP"),
            answer("AC5", &people[2], hours(80), "Much later"),
            answer("AC6", &people[3], hours(71), "Within its time"),
            answer("AC7", &people[4], hours(1), "HELP"),
            answer("AC8", &people[4], hours(3), "Please don't text me again"),
            answer("AC9", &people[5], hours(-1), "Before it"),
            answer("AC10", &people[5], hours(73), "After its time"),
        ];
        let made_of = |person: usize, campaign_id, replied: Option<i64>, stopped: Option<i64>| Made {
            number: people[person].clone(),
            campaign_id,
            replied_at: replied.map(hours),
            opted_out_at: stopped.map(hours),
        };
        let expected = [
            made_of(0, first, Some(1), None),
            made_of(0, second, Some(26), None),
            made_of(1, first, None, Some(2)),
            made_of(3, first, Some(71), None),
            made_of(4, first, None, Some(3)),
        ];
        let keeper = Keeper::new(&env).await;
        for seed in 0..12 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut bodies = told.to_vec();
            for _ in 0..rng.random_range(0..=told.len()) {
                bodies.push(told[rng.random_range(0..told.len())].clone());
            }
            bodies.shuffle(&mut rng);
            keeper.forget().await;
            unmake(&env).await;
            keeper.tell_and_work(&bodies).await;
            keeper.assert_nothing_failed().await;
            assert_eq!(made(&env).await, expected, "order {seed}");
        }

        // A person finds that the sentence was no opt-out: then it was an answer.
        let review = optout::reviews(&env.db, None, 10).await.unwrap().remove(0);
        optout::decide(&env.db, &env.clock, review.id, Verdict::Reopen, &ana()).await.unwrap();
        assert_eq!(made(&env).await[4], made_of(4, first, Some(3), None));
        // One who says so on the phone opts out because of a text as well.
        optout::opt_out(&env.db, &env.clock, &[&people[5]], Channel::Phone, None, &ana()).await.unwrap();
        let stopped = made(&env).await.pop().unwrap();
        assert_eq!((stopped.number, stopped.replied_at), (people[5].clone(), None));
        assert_eq!(stopped.opted_out_at, Some(env.clock.now()));
    }

    async fn after_a_promotion_by_hand_those_who_wait_get_the_text_and_nobody_gets_a_second(env: Env) {
        let stage = Stage::new(&env, "lost_response=0.2,server_error=0.1").await;
        let plan = Plan { variants: texts(), holdout_percent: 10, rate: Some("10/m".to_owned()), ..stage.plan() };
        let people = numbers(80);
        let draft = stage.draft(&plan, &people).await;
        let id = draft.id;
        assert!(matches!(promoted(&env, id, "A").await, Err(OperateError::NotUnderWay(State::Draft))));
        stage.make(id, Move::Start).await.unwrap();
        stage.pass(TimeDelta::minutes(2)).await;
        let before = stage.accepted();
        assert!(before.len() >= 10 && before.iter().any(|text| text_of(&text.content) == "B"));
        assert!(matches!(promoted(&env, id, "C").await, Err(OperateError::NoSuchText { .. })));
        assert!(promoted(&env, id, "A").await.unwrap());
        assert!(!promoted(&env, id, "A").await.unwrap(), "the second time changes nothing");
        assert_eq!(promotions(&env, id).await, ["operator:ana"]);

        stage.pass(TimeDelta::hours(5)).await;
        assert_eq!(stage.campaign(id).await.state, State::Completed, "{:?}", stage.outcomes(id).await);
        stage.assert_nobody_twice();
        let texted: BTreeSet<String> = before.iter().map(|text| text.to[0].clone()).collect();
        let after: Vec<_> = stage.accepted().into_iter().filter(|text| !texted.contains(&text.to[0])).collect();
        assert!(after.len() > 30 && after.iter().all(|text| text_of(&text.content) == "A"));
        let rows = stage.texts().await;
        assert!(rows.iter().all(|row| row.variant.as_deref() == Some(text_of(&row.body))), "the ledger says what was sent");
        assert!(stage.outcomes(id).await["refused holdout"] > 0);
        assert!(matches!(promoted(&env, id, "B").await, Err(OperateError::NotUnderWay(State::Completed))));
    }

    async fn a_text_that_is_sent_no_more_is_not_promoted_and_a_promoted_one_is_not_left_out(env: Env) {
        let stage = Stage::new(&env, "").await;
        let plan = Plan { variants: texts(), rate: Some("10/m".to_owned()), ..stage.plan() };
        let id = stage.started(&plan, &numbers(40)).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let without = async |text: &str| {
            stage.make(id, Move::Pause).await.unwrap();
            let mut tx = env.tasks().begin().await.unwrap();
            let resumed = resume_without(&mut tx, id, text, &ana(), env.clock.now()).await;
            if resumed.is_ok() {
                tx.commit().await.unwrap();
            }
            resumed
        };
        without("B").await.unwrap();
        assert!(matches!(promoted(&env, id, "B").await, Err(OperateError::NoSuchText { .. })));
        assert!(promoted(&env, id, "A").await.unwrap());
        assert!(matches!(without("A").await, Err(OperateError::Promoted(text)) if text == "A"));
    }

    async fn a_text_that_more_people_answer_is_promoted_by_itself_and_none_is_without_a_difference(env: Env) {
        let stage = Stage::new(&env, "").await;
        let rule = WinnerRule { minimum: 30, ..WinnerRule::default() };
        let variants = vec![texts().remove(0), Variant { weight: 1, ..texts().remove(1) }];
        let plan = Plan { variants, winner: Some(rule), daily_cap: 250, ..stage.plan() };
        let id = stage.started(&Plan { rate: Some("50/h".to_owned()), ..plan.clone() }, &numbers(300)).await;
        stage.pass(TimeDelta::hours(3)).await;
        let keeper = Keeper::new(&env).await;
        let decide = async || {
            let mut tx = env.tasks().begin().await.unwrap();
            tx.enqueue(&[NewTask::of(&DecideWinners {}).unwrap()]).await.unwrap();
            tx.commit().await.unwrap();
            stage.kit.drain().await.unwrap();
            stage.campaign(id).await.winner
        };
        assert_eq!(decide().await, None, "nobody has answered");
        let sent = stage.texts().await;
        let of = |text: &str| -> Vec<_> { sent.iter().filter(|row| row.variant.as_deref() == Some(text)).collect() };
        assert!(of("A").len() >= 50 && of("B").len() >= 50, "{} and {}", of("A").len(), of("B").len());
        let answers = |text: &str, count: usize| -> Vec<String> {
            let rows = of(text);
            let tell = |row: &&SendRow| {
                answer(&format!("AC{}", row.id), &row.number, env.clock.now(), "Yes please")
            };
            rows[..count].iter().map(tell).collect()
        };
        keeper.tell_and_work(&[answers("A", 6), answers("B", 6)].concat()).await;
        assert_eq!(decide().await, None, "as many have answered both");
        keeper.tell_and_work(&answers("B", 40)).await;
        assert_eq!(decide().await.as_deref(), Some("B"));
        assert_eq!(decide().await.as_deref(), Some("B"));
        assert_eq!(promotions(&env, id).await, ["program"]);
        let before = stage.accepted().len();
        stage.pass(TimeDelta::hours(9)).await;
        let after = stage.accepted();
        assert!(after.len() > before + 50);
        assert!(after[before..].iter().all(|text| text_of(&text.content) == "B"));
        stage.assert_nobody_twice();
    }

    async fn a_report_tells_what_became_of_everybody_and_an_export_has_them_one_by_one(env: Env) {
        let stage = Stage::new(&env, "").await;
        let variants = vec![texts().remove(0), Variant { template: "Hi {{first_name}}. STOP".to_owned(), ..texts().remove(1) }];
        let plan = Plan { variants, missing: campaigns::Missing::Blank, holdout_percent: 20, ..stage.plan() };
        let mut people = numbers(60);
        // Nine in the morning is later there.
        people.extend((0..10).map(|n| format!("+1808555{:04}", 1_000 + n)));
        let keeper = Keeper::new(&env).await;
        let stopped = answer("AC0", &people[0], env.clock.now(), "STOP");
        keeper.tell_and_work(&[stopped]).await;
        let id = stage.started(&plan, &people).await;
        stage.pass(TimeDelta::minutes(10)).await;
        let sent = stage.texts().await;
        let now = env.clock.now();
        let mut told = Vec::new();
        for (at, row) in sent.iter().enumerate() {
            let status = if at < 3 { "undelivered" } else { "delivered" };
            told.push(outcome(row, status, now));
            if (3..9).contains(&at) {
                told.push(answer(&format!("AC1{at}"), &row.number, now, if at < 7 { "Yes" } else { "STOP" }));
            }
        }
        keeper.tell_and_work(&told).await;

        let report = report(&env.db, &stage.campaign(id).await).await.unwrap();
        let total = &report.total;
        let holdout = report.holdout.as_ref().unwrap();
        assert_eq!(total.planned + holdout.people, 70);
        assert_eq!(total.left, i64::try_from(sent.len()).unwrap());
        let refused = total.refused.values().sum::<i64>();
        assert_eq!(total.waiting.values().sum::<i64>() + total.left + refused, total.planned, "{total:?}");
        assert!(total.waiting["quiet_hours"] > 0);
        assert_eq!((total.failed["30007"], total.delivered, total.unknown), (3, total.left - 3, 0));
        assert_eq!((total.replies, total.opt_outs), (4, 2));
        let share = total.reply_share.unwrap();
        assert!(share.interval.low < share.share && share.share < share.interval.high);
        for of in [|line: &Line| line.planned, |line: &Line| line.left, |line: &Line| line.delivered, |line: &Line| line.replies] {
            assert_eq!(report.texts.iter().map(of).sum::<i64>(), of(total));
        }
        assert_eq!(report.bucket, "hour");
        assert!(report.by_time.iter().all(|row| row.bucket == "2026-03-02T16"), "{:?}", report.by_time);
        assert_eq!(report.by_time.iter().map(|row| row.texts.left).sum::<i64>(), total.left);
        assert_eq!(report.by_state.len(), 1, "nobody in Hawaii has one yet");
        assert_eq!((report.by_state[0].state.as_str(), report.by_state[0].texts.replies), ("NY", 4));

        let mut parts = Vec::new();
        let mut after = 0;
        loop {
            let part = Part { after, limit: Some(30) };
            let (_, next) = export(&env.db, id, part, Format::Csv, |row| row, &mut parts).await.unwrap();
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        let mut whole = Vec::new();
        let (count, _) = export(&env.db, id, Part::default(), Format::Csv, |row| row, &mut whole).await.unwrap();
        assert_eq!((count, &parts), (70, &whole), "in parts it is the same");
        let mut reader = csv::Reader::from_reader(whole.as_slice());
        let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
        let numbers: BTreeSet<&str> = rows.iter().map(|row| row["number"].as_str()).collect();
        assert_eq!(numbers.len(), 70);
        assert_eq!(rows.iter().filter(|row| !row["replied_at"].is_empty()).count(), 4);
        assert_eq!(rows.iter().filter(|row| row["drawn"] == HOLDOUT && row["text"].is_empty()).count(), usize::try_from(holdout.people).unwrap());
        assert_eq!(rows.iter().filter(|row| row["number_state"] == "HI").count(), 10);
        let mut lines = Vec::new();
        export(&env.db, id, Part::default(), Format::Jsonl, |row| row, &mut lines).await.unwrap();
        let lines = String::from_utf8(lines).unwrap();
        assert_eq!(lines.lines().count(), 70);
        assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["position"].is_i64()));
    }
}

both_engines! {
    async fn killed_before_and_after_the_commit_it_promotes_a_text_once(env: Env) {
        let mut program = Program::new(&env, &["serve"]).set("TRUNKLINE_OPENPHONE_API_KEY", "simulated-api-key");
        let tasks = env.live_tasks();
        let now = tasks.clock().now();
        // Nothing is sent here: the ledger is full already.
        let plan = Plan {
            variants: texts(),
            winner: Some(WinnerRule::default()),
            rate: Some("1/d".to_owned()),
            hours: "00:00-23:59".parse().unwrap(),
            ..Plan::new(Audience::List, line(), "STOP")
        };
        let mut tx = tasks.begin().await.unwrap();
        let campaign = create(tx.session(), "sale", &plan, &ana(), now).await.unwrap();
        add_recipients(tx.session(), &campaign, &numbers(5), now).await.unwrap();
        for (variant, texts, replied) in [("A", 300, 90), ("B", 600, 30)] {
            let insert = statement(format!(
                "INSERT INTO sends (kind, campaign_id, variant, number, sender, body, body_hash, segments, state, tries, lookups,
                     cause, created_at, intended_at, state_at, replied_at)
                 SELECT 'campaign', $1, '{variant}', '+1{variant}' || n.i, 'PN1', 'Sale', 'hash', 1, 'delivered', 1, 0, 'test', $2, $2, $2,
                     CASE WHEN n.i <= {replied} THEN $2 END
                 FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {texts}) SELECT i FROM n) AS n"
            ));
            insert.bind(campaign.id).bind(now).execute(tx.session()).await.unwrap();
        }
        make_move(&mut tx, campaign.id, Move::Start, None, &ana(), now).await.unwrap();
        tx.enqueue(&[NewTask::of(&DecideWinners {}).unwrap()]).await.unwrap();
        tx.commit().await.unwrap();

        let winner = async || campaigns::show(&env.db, campaign.id).await.unwrap().unwrap().winner;
        die_at(&mut program, "winner.before_commit", 1).await;
        assert_eq!((winner().await, promotions(&env, campaign.id).await.len()), (None, 0));
        die_at(&mut program, "winner.after_commit", 1).await;
        assert_eq!(winner().await.as_deref(), Some("A"));
        program.start().await.unwrap();
        until("the task of the dead is taken over and done", async || {
            let waiting = "SELECT id FROM tasks WHERE kind = 'campaigns.decide' AND finished_at IS NULL";
            !statement(waiting.to_owned()).query().exists(&mut env.db.read().await.unwrap()).await.unwrap()
        })
        .await;
        program.stop().await.unwrap();
        assert_eq!(promotions(&env, campaign.id).await, ["program"]);
        assert_eq!(winner().await.as_deref(), Some("A"));
    }
}
