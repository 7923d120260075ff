//! Texts tried against each other: who gets which, what people make of them, and which one wins.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use trunkline_jobs::campaigns::{self, HOLDOUT, Plan, State, Variant};
use trunkline_jobs::contacts::optout::{self, Channel, Verdict};

use crate::campaigns::{Stage, ana, numbers};
use crate::harness::{Env, both_engines};
use crate::kept::{Keeper, statement};

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
}
