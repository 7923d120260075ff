//! Texts tried against each other: who gets which, what people make of them, and which one wins.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use trunkline_jobs::campaigns::{self, HOLDOUT, Plan, State, Variant};

use crate::campaigns::{Stage, numbers};
use crate::harness::{Env, both_engines};

fn texts() -> Vec<Variant> {
    vec![
        Variant::new("A", "Sale today! Reply STOP to opt out"),
        Variant { weight: 2, ..Variant::new("B", "10% off, {{first_name|friend}}. Reply STOP to opt out") },
    ]
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
}
