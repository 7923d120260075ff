//! People ask to stop while their texts are on the way: each at the moment when the gate comes to them, or a little before or
//! after. Whose number is closed when the gate looks gets nothing, and no gate looks and commits around a closing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::Barrier;
use trunkline_jobs::campaigns::Plan;
use trunkline_jobs::contacts::optout::{self, Channel, Said};
use trunkline_jobs::provider::RateLimit;

use super::verdict::{closings, tries_after_closing, watch_closings};
use crate::campaigns::{Stage, numbers};
use crate::harness::{Env, both_engines};

const PEOPLE: usize = 500;
const CLOSERS: usize = 8;
/// How far before and after their turn people ask to stop, in texts.
const AROUND: std::ops::Range<i64> = -160..20;
/// So many that all can leave at one moment, of which campaigns get a twentieth of a second's worth: the gate is never
/// empty-handed.
const LIMIT: RateLimit = RateLimit { per_second: 20_000, reserved: 2 };

async fn close(env: &Env, number: &str) {
    let now = env.clock.now();
    let said = Said {
        entry: format!("test:{number}"),
        number,
        at: now,
        channel: Channel::Phone,
        wording: None,
        message_id: None,
        actor: None,
        review: false,
        confirm: false,
    };
    let mut tx = env.db.write().await.unwrap();
    optout::close(&mut tx, &said, now).await.unwrap();
    tx.commit().await.unwrap();
}

both_engines! {
    async fn stops_that_race_five_hundred_texts_let_no_try_be_committed_after_them(env: Env) {
        watch_closings(&env.db).await;
        let stage = Stage::at_rate(&env, "late_response=0.3,late_by=0.01", "", LIMIT).await;
        let people = numbers(PEOPLE);
        let mut random = StdRng::seed_from_u64(11);
        let mut turns: Vec<(i64, &String)> = (0..)
            .zip(&people)
            .map(|(place, number)| (place + random.random_range(AROUND), number))
            .collect();
        turns.shuffle(&mut random);
        let plan = Plan { daily_cap: 10_000, ..stage.plan() };
        let id = stage.started(&plan, &people).await;
        let (together, over) = (Arc::new(Barrier::new(CLOSERS + 1)), AtomicBool::new(false));
        let closers = turns.chunks(PEOPLE.div_ceil(CLOSERS)).map(|turns| {
            let (together, over, env, stage) = (Arc::clone(&together), &over, &env, &stage);
            let mut turns = turns.to_vec();
            turns.sort_unstable();
            async move {
                together.wait().await;
                for (turn, number) in turns {
                    while !over.load(Ordering::Acquire) && stage.simulator.tally().messages_accepted.cast_signed() < turn {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    close(env, number).await;
                }
            }
        });
        let sending = async {
            together.wait().await;
            stage.kit.drain().await.unwrap();
            over.store(true, Ordering::Release);
        };
        tokio::join!(join_all(closers), sending);
        stage.pass(TimeDelta::minutes(2)).await;

        let late = tries_after_closing(&env.db).await;
        assert!(late.is_empty(), "{}", late.join("\n"));
        assert_eq!(closings(&env.db).await, PEOPLE);
        let (sent, refused) = (stage.accepted().len(), stage.outcomes(id).await["refused opted_out"]);
        assert_eq!(sent + usize::try_from(refused).unwrap(), PEOPLE, "everybody got the text, or was too late for it");
        assert!(sent > PEOPLE / 10 && sent < PEOPLE * 9 / 10, "{sent} of {PEOPLE} are no race");
    }
}
