//! Rates over a day on the manual clock: three processes on one database that come late, end and are started again never
//! exceed a limit in any window, and use nearly all of it while there is work.
//!
//! The tokens of the provider's rate are taken one by one, so their day is shorter by default;
//! `TRUNKLINE_RATE_HOURS=24` makes it a whole one.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use trunkline_jobs::Services;
use trunkline_jobs::campaigns::{Plan, State};
use trunkline_jobs::provider::{RateLimit, Share};
use trunkline_openphone::factory::Factory;
use trunkline_platform::task::{TaskFilter, TaskState};
use trunkline_platform::testkit::Kit;

use crate::campaigns::{LIMIT, Stage, fullest, numbers, provider_at};
use crate::harness::{Env, both_engines};
use crate::kept::Keeper;

const PROCESSES: usize = 3;
const SHORT: TimeDelta = TimeDelta::minutes(8);

fn day() -> TimeDelta {
    let hours = std::env::var("TRUNKLINE_RATE_HOURS").ok().and_then(|hours| hours.parse().ok());
    hours.map_or(SHORT, TimeDelta::hours)
}

/// The most of these times within a second.
fn fullest_second(taken: &[DateTime<Utc>]) -> usize {
    let second = TimeDelta::seconds(1);
    let within = |first: usize| taken[first..].partition_point(|at| *at < taken[first] + second);
    (0..taken.len()).map(within).max().unwrap_or(0)
}

/// A process of its own: nothing is shared but the database and the hour.
async fn process(env: &Env, stage: &Stage<'_>, limit: RateLimit) -> Kit<Services> {
    let media = Keeper::new(env).await.services.media.clone();
    Keeper::with(env, media, provider_at(env, &stage.simulator, limit)).kit()
}

/// When the next task is due.
async fn next_due(env: &Env) -> Option<DateTime<Utc>> {
    let pending = TaskFilter { state: Some(TaskState::Pending), limit: 1_000, ..TaskFilter::default() };
    env.tasks().list(&pending).await.unwrap().into_iter().map(|task| task.run_at).min()
}

both_engines! {
    async fn the_providers_rate_is_used_and_never_exceeded(env: Env) {
        let stage = Stage::at_rate(&env, "", "", LIMIT).await;
        let process = || provider_at(&env, &stage.simulator, LIMIT);
        let mut random = StdRng::seed_from_u64(3);
        let mut processes: Vec<_> = (0..PROCESSES).map(|_| process()).collect();
        let mut comes = [env.clock.now(); PROCESSES];
        let (start, end) = (env.clock.now(), env.clock.now() + day());
        let mut taken = Vec::new();
        while let Some(at) = (0..PROCESSES).min_by_key(|at| comes[*at]).filter(|at| comes[*at] < end) {
            env.clock.advance(comes[at] - env.clock.now());
            if random.random_bool(0.01) {
                processes[at] = process();
            }
            let now = env.clock.now();
            let mut tx = env.db.write().await.unwrap();
            let grant = processes[at].take(&mut tx, Share::Campaign, 10, now).await.unwrap();
            tx.commit().await.unwrap();
            taken.extend(std::iter::repeat_n(now, grant.granted as usize));
            comes[at] = grant.next.max(now) + TimeDelta::microseconds(random.random_range(1..25_000));
        }
        let most = (LIMIT.per_second - LIMIT.reserved) as usize;
        assert!(fullest_second(&taken) <= most);
        let possible = most as i64 * (end - start).num_seconds();
        let used = taken.len() as f64 / possible as f64;
        eprintln!("{} tokens in {}: {:.2}% of the rate", taken.len(), end - start, used * 100.0);
        assert!(used >= 0.98, "only {used}");
    }

    async fn a_day_of_campaigns_uses_their_rates_and_caps_and_exceeds_none(env: Env) {
        let stage = Stage::at_rate(&env, "", "", LIMIT).await;
        let lines = Factory::new(0).world().lines.clone();
        let hours = "00:00-23:59".parse().unwrap();
        let plan = Plan { hours, duplicate_days: 0, ..stage.plan() };
        // Two that their own rates hold back, and one that its number's cap does.
        let plans = [("20/h", 0, 10_000), ("4/10m", 1, 10_000), ("5/m", 2, 125)].map(|(rate, line, daily_cap)| Plan {
            rate: Some(rate.to_owned()),
            senders: vec![lines[line].id.clone()],
            daily_cap,
            ..plan.clone()
        });
        let mut random = StdRng::seed_from_u64(5);
        let mut ids = Vec::new();
        let people = numbers(2_100);
        for (plan, people) in plans.iter().zip(people.chunks(700)) {
            ids.push(stage.started(plan, people).await);
            env.clock.advance(TimeDelta::milliseconds(7));
        }
        let mut kits = Vec::new();
        for _ in 0..PROCESSES {
            kits.push(process(&env, &stage, LIMIT).await);
        }
        let end = env.clock.now() + TimeDelta::days(1);
        while let Some(next) = next_due(&env).await.filter(|next| *next < end) {
            let late = TimeDelta::milliseconds(random.random_range(0..900));
            env.clock.advance((next - env.clock.now()).max(TimeDelta::zero()) + late);
            if random.random_bool(0.1) {
                let at = random.random_range(0..PROCESSES);
                kits[at] = process(&env, &stage, LIMIT).await;
            }
            for drained in join_all(kits.iter().map(Kit::drain)).await {
                drained.unwrap();
            }
        }
        let accepted = stage.accepted();
        let limits = [(20, TimeDelta::hours(1), 480), (4, TimeDelta::minutes(10), 576), (125, TimeDelta::days(1), 125)];
        for ((line, id), (most, period, possible)) in lines.iter().zip(&ids).zip(limits) {
            let texts: Vec<_> = accepted.iter().filter(|text| text.from == line.number).cloned().collect();
            assert!(fullest(&texts, period) <= most, "{} in {period}", fullest(&texts, period));
            let used = texts.len() as f64 / f64::from(possible);
            eprintln!("{} texts at {most} in {period}: {:.2}%", texts.len(), used * 100.0);
            assert!(used >= 0.98, "{} of {possible}", texts.len());
            assert_eq!(stage.campaign(*id).await.state, State::Running, "there was work to the end");
        }
    }
}
