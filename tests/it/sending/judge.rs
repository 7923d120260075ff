//! The judge of sending. The real program carries out two campaigns to the same people while answers are lost, late or wrong,
//! people ask to stop, the hours close, the caps are reached, and the process dies: at every named point of the way
//! and at random. Then everything is settled, and the provider's own list of accepted texts must be faultless.
//!
//! `TRUNKLINE_SENDING_SEED=7` plays one seed, `TRUNKLINE_SENDING_SEEDS=200` the first two hundred.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use trunkline_jobs::campaigns::{Audience, Plan};
use trunkline_openphone::factory::Factory;
use trunkline_platform::task::TaskState;

use super::stage::{Rest, Stage};
use super::verdict::{Promise, closings, watch_closings, wrongs};
use crate::campaigns::SENDING;
use crate::harness::{Env, start_time};

const SEEDS: u64 = 20;
/// Most of the time is spent on waiting for processes to start.
const AT_A_TIME: usize = 5;
/// Of one seed. A loaded machine is slow, not broken.
const PATIENCE: Duration = Duration::from_secs(240);
/// New York, Chicago, Los Angeles and Honolulu, and a code that is nobody's.
const AREAS: [u16; 5] = [212, 312, 213, 808, 999];
const PEOPLE: usize = 15;
/// Of each of two numbers, and the second campaign goes to everybody again: it takes days.
const CAP: u32 = 5;
const STOPS: [&str; 4] = ["STOP", "stop", "Please don't text me again", "UNSUBSCRIBE"];
/// Beside those of sending itself.
const OTHER_POINTS: [&str; 5] = [
    "accept.after_commit",
    "claim.after_commit",
    "finish.before_follow_ups",
    "finish.before_commit",
    "finish.after_commit",
];

/// How the process ends.
#[derive(Clone, Copy, Debug)]
enum Death {
    At(&'static str, u32),
    After(Duration),
    /// As soon as the provider has accepted so many more: between the request and the answer.
    Answering(usize),
    Stop(Duration),
}

impl Death {
    fn draw(random: &mut StdRng) -> Self {
        let span = Duration::from_millis(random.random_range(0..400));
        match random.random_range(0..10) {
            0..5 => Self::At(SENDING.choose(random).unwrap(), random.random_range(1..6)),
            5 => Self::At(OTHER_POINTS.choose(random).unwrap(), random.random_range(1..8)),
            6 | 7 => Self::Answering(random.random_range(1..4)),
            8 => Self::After(span),
            _ => Self::Stop(span),
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn people() -> Vec<String> {
    (0..PEOPLE).map(|n| format!("+1{}5550{}", AREAS[n % AREAS.len()], 101 + n)).collect()
}

fn plan(words: &str) -> Plan {
    let lines = &Factory::new(0).world().lines.clone()[..2];
    let mut plan = Plan::new(Audience::List, "", words);
    plan.senders = lines.iter().map(|line| line.id.clone()).collect();
    plan.daily_cap = CAP;
    plan.duplicate_days = 0;
    plan
}

/// A time from which the hours are about to close in New York, are open, or will open.
fn start(random: &mut StdRng) -> chrono::DateTime<chrono::Utc> {
    // Nine in the morning UTC is four in New York.
    let after = [
        TimeDelta::minutes(random.random_range(0..600)),
        TimeDelta::hours(7),
        // A minute before the end nothing is let go any more.
        TimeDelta::hours(15) + TimeDelta::minutes(58) + TimeDelta::milliseconds(58_300),
    ];
    start_time() + *after.choose(random).unwrap()
}

/// Plays a seed to its end and tells what is wrong, with the story.
async fn play(seed: u64, env: Env) -> Result<usize, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rate = |most: f64| random.random_range(0.0..most);
    let faults = format!(
        "lost_response={:.2},server_error={:.2},late_response={:.2},late_by=1.5,listed_after=200,\
         rate_limited={:.3},duplicate=0.1",
        rate(0.25),
        rate(0.25),
        rate(0.15),
        rate(0.04)
    );
    let manners = "reply=0.2,stop=0.05,plea=0.05,filtered=0.02,failed=0.02,answer_within=0.5";
    let (people, plans) = (people(), [plan("Spring sale! STOP"), plan("The sale ends today. STOP")]);
    watch_closings(&env.db).await;
    let mut stage = Stage::new(env, start(&mut random), &faults, manners, seed).await;
    let mut deaths: Vec<Death> = (0..random.random_range(4..8)).map(|_| Death::draw(&mut random)).collect();
    let mut whom = people.clone();
    whom.shuffle(&mut random);
    // Who asks to stop, and after how many accepted texts.
    let mut stops: Vec<(usize, String)> =
        whom.into_iter().take(PEOPLE / 3).map(|who| (random.random_range(0..PEOPLE * 2), who)).collect();

    let began = Instant::now();
    stage.start_campaign("spring", &plans[0], &people).await;
    let mut second = Some(random.random_range(0..PEOPLE));
    loop {
        if began.elapsed() > PATIENCE {
            return Err(told(&stage, seed, &["it did not come to its end".to_owned()]));
        }
        if !stage.lives() {
            let death = if stage.may_die().await { deaths.pop() } else { None };
            let point = match death {
                Some(Death::At(point, hit)) => Some((point, hit)),
                _ => None,
            };
            stage.start(point).await;
            let accepted = stage.simulator.accepted_messages().len();
            match death {
                Some(Death::After(span)) => {
                    tokio::time::sleep(Duration::from_millis(250) + span).await;
                    stage.kill();
                }
                Some(Death::Stop(span)) => {
                    tokio::time::sleep(Duration::from_millis(500) + span).await;
                    stage.stop().await;
                }
                Some(Death::Answering(more)) => {
                    let until = Instant::now() + Duration::from_secs(2);
                    while Instant::now() < until
                        && stage.simulator.accepted_messages().len() < accepted + more
                    {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    stage.kill();
                }
                Some(Death::At(..)) | None => {}
            }
            continue;
        }
        let accepted = stage.simulator.accepted_messages().len();
        if second.is_some_and(|at| accepted >= at) {
            second = None;
            stage.start_campaign("summer", &plans[1], &people).await;
        }
        let due: Vec<String> = stops.extract_if(.., |(at, _)| *at <= accepted).map(|(_, who)| who).collect();
        for who in due {
            let words = STOPS.choose(&mut random).unwrap();
            stage.says(&who, words, &mut random);
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
        match stage.rest().await {
            Rest::Busy => {}
            Rest::Leapt => {
                stage.tell("leapt");
                if !deaths.is_empty() && random.random_bool(0.4) {
                    // An armed point can only be set at a start.
                    stage.stop().await;
                }
            }
            Rest::Over if second.is_none() && !stage.resume().await => break,
            Rest::Over => second = second.map(|_| 0),
        }
    }
    let mut wrong = Vec::new();
    for task in stage.all_tasks().await.iter().filter(|task| task.state == TaskState::Dead) {
        wrong.push(format!("{} is a dead letter: {:?}", task.kind, task.last_error));
    }
    let accepted = stage.simulator.accepted_messages();
    let promise = Promise { campaigns: &stage.campaigns, plan: &plans[0], people: &people };
    wrong.extend(wrongs(&stage.env.db, &accepted, &promise).await);
    if closings(&stage.env.db).await == 0 && !wrong.is_empty() {
        wrong.push("nobody was closed".to_owned());
    }
    if wrong.is_empty() { Ok(accepted.len()) } else { Err(told(&stage, seed, &wrong)) }
}

fn told(stage: &Stage, seed: u64, wrong: &[String]) -> String {
    let output = stage.output();
    let log: Vec<&str> = output.lines().rev().take(30).collect();
    format!(
        "seed {seed}:\n{}\nplay it again with\n    \
         TRUNKLINE_SENDING_SEED={seed} cargo test --workspace --test it sending::judge -- --nocapture\n\
         the story:\n{}\nthe program's last words:\n{}",
        wrong.join("\n"),
        stage.story.join("\n"),
        log.into_iter().rev().collect::<Vec<_>>().join("\n"),
    )
}

async fn play_all(env: impl AsyncFn() -> Env) {
    let seeds = match variable("TRUNKLINE_SENDING_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("TRUNKLINE_SENDING_SEEDS").unwrap_or(SEEDS),
    };
    let count = usize::try_from(seeds.end - seeds.start).unwrap();
    let plays = futures_util::stream::iter(seeds.map(|seed| {
        let env = env();
        async move { play(seed, env.await).await }
    }));
    let outcomes: Vec<Result<usize, String>> = plays.buffer_unordered(AT_A_TIME).collect().await;
    let (texts, wrong): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let texts: usize = texts.into_iter().flatten().sum();
    assert!(texts > count * PEOPLE, "only {texts} texts in {count} seeds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_goes_twice_nor_late_nor_to_whom_it_must_not_on_sqlite() {
    play_all(Env::sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_goes_twice_nor_late_nor_to_whom_it_must_not_on_postgres() {
    play_all(Env::postgres).await;
}
