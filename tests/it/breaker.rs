//! The breaker: bad outcomes stop a campaign, or a number in all campaigns, and only a person lets it go on.

use chrono::TimeDelta;
use trunkline_jobs::campaigns::breaker::{self, Trip};
use trunkline_jobs::campaigns::{Move, OperateError, Plan, State, Variant, resume_without};
use trunkline_jobs::contacts::optout::{self, Channel, Said};
use trunkline_openphone::event::MessageStatus;
use trunkline_openphone::factory::Factory;
use trunkline_openphone::simulator::AcceptedMessage;

use crate::campaigns::{Stage, ana, numbers};
use crate::harness::{Env, both_engines, until};
use crate::kept::Keeper;

/// The webhook about how a text ended.
fn telling(text: &AcceptedMessage, n: usize) -> String {
    let status = text.status.as_str();
    let code = text.error_code.as_ref().map_or_else(|| "null".to_owned(), |code| format!("\"{code}\""));
    format!(
        r#"{{"id":"EV{n}","apiVersion":"2026-03-30","createdAt":"2026-03-02T17:00:00.000Z","type":"message.{status}",
            "data":{{"resource":{{"id":"{}","direction":"outgoing","text":"x","status":"{status}","errorCode":{code},
            "createdAt":"2026-03-02T16:00:00.000Z"}},"context":{{"phoneNumberId":"{}",
            "senderIdentifier":"+12125550199","recipientIdentifiers":["{}"]}},"links":{{}}}}}}"#,
        text.id, text.from, text.to[0],
    )
}

/// Waits until the simulator knows how every text ended, and tells it all, each twice.
async fn tell_how_they_ended(stage: &Stage<'_>) {
    let ended = |text: &AcceptedMessage| {
        matches!(text.status, MessageStatus::Delivered | MessageStatus::Undelivered | MessageStatus::Failed)
    };
    until("every text has its end", async || stage.accepted().iter().all(ended)).await;
    let bodies: Vec<String> = stage.accepted().iter().enumerate().map(|(n, text)| telling(text, n)).collect();
    let keeper = Keeper::new(stage.env).await;
    keeper.tell_and_work(&bodies).await;
    keeper.tell_and_work(&bodies).await;
}

async fn trips(stage: &Stage<'_>, id: i64) -> Vec<Trip> {
    breaker::trips_of(&stage.env.db, id, 10).await.unwrap()
}

fn other_line() -> String {
    Factory::new(0).world().lines[1].id.clone()
}

async fn close(env: &Env, people: &[String], channel: Channel) {
    let now = env.clock.now();
    let mut tx = env.db.write().await.unwrap();
    for number in people {
        let said = Said {
            entry: format!("test:{number}"),
            number,
            at: now,
            channel,
            wording: None,
            message_id: None,
            actor: None,
            review: false,
            confirm: false,
        };
        optout::close(&mut tx, &said, now).await.unwrap();
    }
    tx.commit().await.unwrap();
}

both_engines! {
    async fn a_campaign_whose_texts_fail_is_paused_once_with_what_was_seen_and_resumed_by_a_person(env: Env) {
        let stage = Stage::among(&env, "", "failed=0.3").await;
        let plan = Plan { rate: Some("60/m".to_owned()), ..stage.plan() };
        let id = stage.started(&plan, &numbers(150)).await;
        stage.pass(TimeDelta::seconds(30)).await;
        assert_eq!(stage.accepted().len(), 60);
        tell_how_they_ended(&stage).await;
        stage.pass(TimeDelta::hours(1)).await;
        assert_eq!(stage.accepted().len(), 60, "something left after the breaker had tripped");

        let campaign = stage.campaign(id).await;
        assert_eq!(campaign.state, State::Paused);
        let reason = campaign.reason.unwrap();
        assert!(reason.starts_with("failures: ") && reason.contains(" of 60 texts"), "{reason}");
        let tripped = trips(&stage, id).await;
        assert_eq!(tripped.len(), 1);
        let seen = &tripped[0].evidence.0;
        let failed = stage.accepted().iter().filter(|text| text.error_code.is_some()).count();
        assert_eq!((seen.ended, seen.failures as usize, seen.codes["30003"] as usize), (60, failed, failed));
        assert_eq!(seen.sends.len(), 5);
        tell_how_they_ended(&stage).await;
        stage.pass(TimeDelta::minutes(1)).await;
        assert_eq!(trips(&stage, id).await.len(), 1, "the same outcomes tripped it twice");

        stage.make(id, Move::Resume).await.unwrap();
        stage.pass(TimeDelta::seconds(30)).await;
        assert_eq!(stage.accepted().len(), 120, "the window starts anew");
        assert!(trips(&stage, id).await[0].released_by.is_some());
        tell_how_they_ended(&stage).await;
        stage.pass(TimeDelta::minutes(2)).await;
        assert_eq!((stage.accepted().len(), trips(&stage, id).await.len()), (120, 2));
        stage.make(id, Move::Cancel).await.unwrap();
        assert!(trips(&stage, id).await.iter().all(|trip| trip.released_at.is_some()));
    }

    async fn a_campaign_that_carriers_filter_is_paused_and_its_number_goes_on_in_others(env: Env) {
        let stage = Stage::among(&env, "", "filtered=0.08").await;
        let plan = Plan { rate: Some("150/m".to_owned()), daily_cap: 1_000, ..stage.plan() };
        let id = stage.started(&plan, &numbers(200)).await;
        stage.pass(TimeDelta::seconds(30)).await;
        tell_how_they_ended(&stage).await;
        stage.pass(TimeDelta::minutes(2)).await;
        assert_eq!(trips(&stage, id).await[0].cause, "carrier_filter");
        assert_eq!(stage.accepted().len(), 150);
        let other = stage.started(&plan, &["+12125551999".to_owned()]).await;
        stage.pass(TimeDelta::minutes(1)).await;
        assert_eq!(stage.campaign(other).await.state, State::Completed);
        assert!(breaker::held_numbers(&env.db).await.unwrap().is_empty(), "a text was blamed twice");
    }

    async fn a_campaign_after_which_too_many_ask_to_stop_is_paused(env: Env) {
        let stage = Stage::new(&env, "").await;
        let plan = Plan { rate: Some("220/m".to_owned()), daily_cap: 1_000, ..stage.plan() };
        let id = stage.started(&plan, &numbers(500)).await;
        stage.pass(TimeDelta::seconds(40)).await;
        tell_how_they_ended(&stage).await;
        let people: Vec<String> = stage.accepted().into_iter().flat_map(|text| text.to).collect();
        close(&env, &people[..5], Channel::Text).await;
        close(&env, &people[5..20], Channel::Provider).await;
        stage.pass(TimeDelta::minutes(1)).await;
        assert_eq!(stage.accepted().len(), 440, "five of 220 are well, and who had opted out before does not count");
        tell_how_they_ended(&stage).await;
        close(&env, &people[20..27], Channel::Text).await;
        stage.pass(TimeDelta::minutes(1)).await;
        assert_eq!(stage.accepted().len(), 440);
        let tripped = trips(&stage, id).await;
        assert_eq!(tripped[0].reason, "opt_outs: 12 of 440 texts (2.7%, over 2.5%)");
    }

    async fn a_campaign_goes_on_without_one_of_its_texts(env: Env) {
        let stage = Stage::among(&env, "", "failed=0.3").await;
        let variants = ["A", "B"].map(|name| Variant::new(name, format!("{name} is for sale. Reply STOP to opt out")));
        let plan = Plan { rate: Some("60/m".to_owned()), variants: variants.to_vec(), ..stage.plan() };
        let id = stage.started(&plan, &numbers(100)).await;
        stage.pass(TimeDelta::seconds(30)).await;
        tell_how_they_ended(&stage).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let seen = trips(&stage, id).await.remove(0).evidence.0;
        let of = |name: &str| stage.accepted().iter().filter(|text| text.content.starts_with(name)).count();
        let (a, b) = (of("A"), of("B"));
        assert_eq!((seen.variants["A"].ended as usize, seen.variants["B"].ended as usize), (a, b));
        assert_eq!(seen.variants.values().map(|one| one.failures).sum::<u32>(), seen.failures);

        let resume = async |without: &str| {
            let mut tx = env.tasks().begin().await.unwrap();
            let resumed = resume_without(&mut tx, id, without, &ana(), env.clock.now()).await;
            tx.commit().await.unwrap();
            resumed
        };
        assert!(matches!(resume("C").await, Err(OperateError::Plan(_))));
        assert_eq!(stage.campaign(id).await.state, State::Paused);
        assert_eq!(resume("B").await.unwrap(), State::Running);
        stage.pass(TimeDelta::minutes(2)).await;
        assert_eq!(stage.campaign(id).await.state, State::Completed);
        let refused = usize::try_from(stage.outcomes(id).await["refused without:B"]).unwrap();
        assert!(refused > 0);
        assert_eq!((of("A") + refused, of("B")), (100 - b, b));
    }

    async fn without_credit_the_campaign_is_paused_at_once(env: Env) {
        let stage = Stage::new(&env, "").await;
        let people = [vec!["+12125550196".to_owned()], numbers(40)].concat();
        let id = stage.started(&stage.plan(), &people).await;
        stage.pass(TimeDelta::hours(1)).await;
        assert!(stage.accepted().len() < 8, "more left than were on their way");
        let campaign = stage.campaign(id).await;
        assert_eq!((campaign.state, campaign.reason.as_deref()), (State::Paused, Some("no_credit (0200402)")));
        let tripped = trips(&stage, id).await;
        assert_eq!((tripped.len(), tripped[0].cause.as_str()), (1, "no_credit"));
        assert_eq!(stage.outcomes(id).await["waiting no_credit"], 1);
    }

    async fn a_number_that_may_not_send_is_held_in_all_campaigns_until_a_person_releases_it(env: Env) {
        let stage = Stage::new(&env, "").await;
        let slow = Plan { rate: Some("4/m".to_owned()), ..stage.plan() };
        let from_both = Plan { senders: vec![stage.line.clone(), other_line()], ..slow.clone() };
        let people = numbers(40);
        let both = stage.started(&from_both, &people[..20]).await;
        let alone = stage.started(&slow, &people[20..]).await;
        stage.kit.drain().await.unwrap();
        let bad = stage.started(&stage.plan(), &["+12125550194".to_owned()]).await;
        stage.pass(TimeDelta::seconds(2)).await;
        let held = breaker::held_numbers(&env.db).await.unwrap();
        assert_eq!(held.len(), 1);
        assert_eq!((held[0].sender.as_ref(), held[0].seen_in), (Some(&stage.line), bad));
        assert_eq!(held[0].reason, "a2p_not_approved (0206400)");
        let before = stage.accepted().len();

        stage.pass(TimeDelta::minutes(10)).await;
        let later = &stage.accepted()[before..];
        assert!(!later.is_empty() && later.iter().all(|text| text.from != stage.line), "a held number sent");
        assert_eq!(stage.campaign(both).await.state, State::Completed);
        let paused = stage.campaign(alone).await;
        assert_eq!(paused.state, State::Paused);
        assert_eq!(paused.reason.as_deref(), Some("a2p_not_approved (0206400)"));
        let refusal = stage.make(alone, Move::Resume).await.unwrap_err();
        assert!(matches!(&refusal, OperateError::NumbersHeld(told) if told.contains(&stage.line)), "{refusal}");

        let mut tx = env.db.write().await.unwrap();
        assert!(breaker::release(&mut tx, &stage.line, &ana(), env.clock.now()).await.unwrap());
        assert!(!breaker::release(&mut tx, &stage.line, &ana(), env.clock.now()).await.unwrap());
        tx.commit().await.unwrap();
        stage.make(alone, Move::Resume).await.unwrap();
        stage.pass(TimeDelta::minutes(10)).await;
        assert_eq!(stage.campaign(alone).await.state, State::Completed);
        assert_eq!(stage.accepted().len(), 40);
    }
}
