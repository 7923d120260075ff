//! Flight plans: what was foreseen is what happens.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_jobs::campaigns::flight::{self, FlightPlan, Tower};
use trunkline_jobs::campaigns::{Audience, Holidays, Missing, Move, Plan, State, Variant};
use trunkline_jobs::contacts::people::{self, Label, NewPerson, OnDuplicate};
use trunkline_jobs::provider::RateLimit;
use trunkline_openphone::factory::Factory;

use crate::campaigns::{Stage, ana, numbers};
use crate::harness::{Env, Program, both_engines};

const LIMIT: RateLimit = RateLimit { per_second: 10, reserved: 2 };

/// Who leaves, in which minute, from which number; people of one moment by their numbers.
type Departures = Vec<(DateTime<Utc>, String, String)>;

async fn foresee(stage: &Stage<'_>, id: i64) -> (FlightPlan, Departures, BTreeMap<String, String>) {
    let holidays = Holidays::new();
    let tower = Tower { db: &stage.env.db, holidays: &holidays, limit: LIMIT };
    let (mut leave, mut refused) = (Departures::new(), BTreeMap::new());
    let mut each = |told: flight::Foreseen<'_>| match (told.sender, told.reason) {
        (Some(sender), None) => leave.push((told.at, told.number, sender.to_owned())),
        (None, Some(reason)) => drop(refused.insert(told.number, reason.to_owned())),
        _ => panic!("{told:?}"),
    };
    let now = stage.env.clock.now();
    let plan = tower.foresee(&stage.campaign(id).await, now, now, Some(&mut each)).await.unwrap();
    (plan, by_minute(leave), refused)
}

fn by_minute(mut departures: Departures) -> Departures {
    departures.sort();
    for (at, ..) in &mut departures {
        *at = at.duration_trunc(TimeDelta::minutes(1)).unwrap();
    }
    departures
}

/// What the ledger says of a campaign.
async fn flown(stage: &Stage<'_>, id: i64) -> Departures {
    let texts = stage.texts().await.into_iter().filter(|text| text.campaign_id == Some(id));
    by_minute(texts.map(|text| (text.intended_at.unwrap(), text.number, text.sender)).collect())
}

/// Numbers of many zones, of one that nobody knows, and of two zones at once.
fn people_of_everywhere(rng: &mut StdRng, round: u32, count: u32) -> Vec<String> {
    const AREAS: [u32; 8] = [212, 213, 312, 303, 808, 907, 850, 999];
    let number =
        |n| format!("+1{}555{:04}", AREAS[rng.random_range(0..AREAS.len())], 1_000 + round * 100 + n);
    (0..count).map(number).collect()
}

fn any_plan(stage: &Stage<'_>, rng: &mut StdRng) -> Plan {
    let lines = Factory::new(0).world().lines.iter().map(|line| line.id.clone()).take(2).collect::<Vec<_>>();
    let rates = [None, Some("7/m"), Some("40/h"), Some("3/10s")];
    let hours = ["09:00-20:00", "mon-fri 10:30-11:15, sat 09:00-20:00", "00:00-23:59"];
    let text = "Hi {{first_name}}, sale today! Reply STOP to opt out";
    Plan {
        senders: lines[..rng.random_range(1..=2)].to_vec(),
        rate: rates[rng.random_range(0..rates.len())].map(str::to_owned),
        hours: hours[rng.random_range(0..hours.len())].parse().unwrap(),
        daily_cap: rng.random_range(4..60),
        budget_segments: rng.random_bool(0.3).then(|| rng.random_range(10..60)),
        missing: if rng.random_bool(0.5) { Missing::Skip } else { Missing::Blank },
        variants: vec![Variant::new("A", text), Variant::new("B", "Sale{{first_name|}}! STOP")],
        holdout_percent: 10,
        ..Plan::new(Audience::List, stage.line.clone(), text)
    }
}

async fn put(env: &Env, people: &[NewPerson]) {
    for batch in people.chunks(500) {
        let mut tx = env.db.write().await.unwrap();
        people::put(&mut tx, batch, OnDuplicate::Skip, "test", None, env.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

both_engines! {
    /// The campaigns of one ledger after another: each finds what those before left of the caps.
    async fn what_is_foreseen_is_what_happens(env: Env) {
        let stage = Stage::new(&env, "").await;
        let mut rng = StdRng::seed_from_u64(11);
        let (mut texts, mut refusals, mut stops) = (0, 0, 0);
        for round in 0..8 {
            let people = people_of_everywhere(&mut rng, round, 40);
            let known = people.iter().map(|number| NewPerson {
                number: number.clone(),
                first_name: rng.random_bool(0.8).then(|| "Ann".repeat(rng.random_range(1..60))),
                labels: Label::flag(if rng.random_bool(0.1) { "blocked" } else { "" }).into_iter().collect(),
                ..NewPerson::default()
            });
            put(&env, &known.collect::<Vec<_>>()).await;
            let plan = any_plan(&stage, &mut rng);
            let id = stage.draft(&plan, &people).await.id;
            let (foreseen, leave, refused) = foresee(&stage, id).await;
            stage.make(id, Move::Start).await.unwrap();
            stage.pass(TimeDelta::days(12)).await;
            let campaign = stage.campaign(id).await;
            let told = format!("round {round}: {plan:?}\n{foreseen:#?}");
            assert_eq!(leave, flown(&stage, id).await, "{told}");
            assert_eq!((foreseen.texts, foreseen.segments), (leave.len() as u64, campaign.segments as u64));
            for (number, reason) in &refused {
                let row = trunkline_jobs::campaigns::recipients_of(&env.db, number, 10).await.unwrap().remove(0);
                assert_eq!((row.state.as_str(), row.reason.as_ref()), ("refused", Some(reason)), "{told}");
            }
            match &foreseen.stopped {
                Some(stopped) => {
                    assert_eq!(campaign.reason.as_ref(), Some(&stopped.reason), "{told}");
                    stage.make(id, Move::Cancel).await.unwrap();
                }
                None => assert_eq!(campaign.state, State::Completed, "{told}"),
            }
            texts += leave.len();
            refusals += refused.len();
            stops += usize::from(foreseen.stopped.is_some());
        }
        assert!(texts > 150 && refusals > 10 && stops > 0, "{texts} texts, {refusals} refusals, {stops} stops");
    }

    async fn an_audience_that_is_not_written_down_yet_is_foreseen_page_by_page(env: Env) {
        let stage = Stage::new(&env, "").await;
        let people: Vec<NewPerson> = (0..2_100)
            .map(|n| NewPerson {
                number: format!("+1212555{n:04}"),
                labels: Label::flag(if n % 50 == 7 { "" } else { "invalid" }).into_iter().collect(),
                ..NewPerson::default()
            })
            .collect();
        put(&env, &people).await;
        let plan = Plan { audience: Audience::Everyone, ..stage.plan() };
        let id = stage.draft(&plan, &[]).await.id;
        let (foreseen, leave, refused) = foresee(&stage, id).await;
        assert_eq!((foreseen.recipients, foreseen.texts, refused.len()), (2_100, 42, 2_058));
        assert_eq!(foreseen.refused["flag:invalid"], 2_058);
        let short = Plan { budget_segments: Some(10), ..plan };
        let (foreseen, ..) = foresee(&stage, stage.draft(&short, &[]).await.id).await;
        let stopped = foreseen.stopped.unwrap();
        assert_eq!((foreseen.texts, foreseen.recipients), (10, 2_100), "{stopped:?}");
        stage.make(id, Move::Start).await.unwrap();
        stage.pass(TimeDelta::minutes(5)).await;
        assert_eq!(leave, flown(&stage, id).await);
        assert_eq!(stage.campaign(id).await.state, State::Completed);
    }

    async fn campaigns_that_run_take_their_share_of_what_is_foreseen(env: Env) {
        let stage = Stage::new(&env, "").await;
        let people = numbers(40);
        let plan = Plan { daily_cap: 25, ..stage.plan() };
        let second = stage.draft(&plan, &people[20..]).await.id;
        let (alone, ..) = foresee(&stage, second).await;
        assert!(alone.others.is_empty() && alone.last_at.unwrap() < env.clock.now() + TimeDelta::minutes(1));
        let first = stage.started(&plan, &people[..20]).await;
        let (beside, leave, _) = foresee(&stage, second).await;
        assert_eq!(beside.others, [first]);
        assert_eq!(beside.texts, 20);
        assert!(beside.last_at.unwrap() > env.clock.now() + TimeDelta::hours(23), "the cap is shared");
        stage.make(second, Move::Start).await.unwrap();
        stage.pass(TimeDelta::days(2)).await;
        let last = |departures: &Departures| departures.iter().map(|(at, ..)| *at).max();
        assert_eq!(last(&leave), last(&flown(&stage, second).await).max(last(&flown(&stage, first).await)));
    }

    async fn the_command_line_foresees_and_follows_a_campaign(env: Env) {
        let stage = Stage::new(&env, "").await;
        let plan = Plan { hours: "00:00-23:59".parse().unwrap(), ..stage.plan() };
        let id = stage.started(&plan, &numbers(12)).await;
        stage.kit.drain().await.unwrap();
        let left = stage.accepted().len();
        let program = Program::new(&env, &[]);
        let run = |words: &[&str]| program.run(words).unwrap();
        let read = |words: &[&str]| serde_json::from_str::<serde_json::Value>(&run(words)).unwrap();
        let told = read(&["campaigns", "plan", "1", "--json"]);
        assert_eq!((told["already"].as_u64(), told["texts"].as_u64()), (Some(left as u64), Some(12 - left as u64)));
        let segments = 12 - left;
        assert_eq!(told["cost"], format!("0.{segments:02} USD"));
        let text = run(&["campaigns", "plan", "1"]);
        assert!(text.contains("last leaves") && text.contains("(at 0.01 USD a segment)"), "{text}");
        let each = run(&["campaigns", "plan", "1", "--each"]);
        assert_eq!(each.lines().count(), 12 - left);
        assert!(!each.contains("+1212555"), "a number was shown: {each}");
        assert!(run(&["campaigns", "plan", "1", "--each", "--unmask"]).contains("+1212555"));
        let shown = read(&["campaigns", "show", "1", "--json"]);
        assert_eq!(shown["live"]["left"].as_u64(), Some(left as u64));
        assert_eq!(shown["progress"]["left"].as_u64(), Some(left as u64));
        stage.make(id, Move::Cancel).await.unwrap();
        let watched = read(&["campaigns", "watch", "1", "--json"]);
        assert_eq!((watched["state"].as_str(), watched["waiting"].as_u64()), (Some("cancelled"), Some(12 - left as u64)));
        assert_eq!(run(&["campaigns", "numbers"]), "the breaker holds no number\n");
        assert!(program.run(&["campaigns", "release", "PN1", "--by", "ana"]).is_err());
    }

    async fn what_happens_is_told_beside_the_plan_it_began_with(env: Env) {
        let stage = Stage::new(&env, "").await;
        let plan = Plan { rate: Some("1/m".to_owned()), ..stage.plan() };
        let id = stage.started(&plan, &numbers(60)).await;
        stage.pass(TimeDelta::minutes(20)).await;
        let kept = flight::kept(&env.db, id).await.unwrap().unwrap();
        let planned_end = kept.last_at.unwrap();
        let (present, ..) = foresee(&stage, id).await;
        let progress = kept.beside(&present);
        assert_eq!((progress.left, progress.planned, progress.behind_seconds), (21, 21, 0));
        assert_eq!(progress.ends_at, Some(planned_end), "all goes as planned");

        stage.make(id, Move::Pause).await.unwrap();
        stage.pass(TimeDelta::minutes(10)).await;
        stage.make(id, Move::Resume).await.unwrap();
        stage.pass(TimeDelta::minutes(5)).await;
        let (present, ..) = foresee(&stage, id).await;
        let progress = flight::kept(&env.db, id).await.unwrap().unwrap().beside(&present);
        assert!(progress.planned > progress.left && progress.behind_seconds > 5 * 60, "{progress:?}");
        let end = progress.ends_at.unwrap();
        assert!(end > planned_end + TimeDelta::minutes(5), "{progress:?}");
        stage.pass(TimeDelta::hours(1)).await;
        let left = flown(&stage, id).await;
        assert_eq!(left.last().map(|(at, ..)| *at), end.duration_trunc(TimeDelta::minutes(1)).ok());
        assert!(stage.campaign(id).await.state == State::Completed && ana().reason.is_some());
    }
}
