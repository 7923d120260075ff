//! Figures on calls: equal to a plain count over the calls, whatever was told when.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use chrono_tz::{America, Asia, Tz, UTC};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use trunkline_jobs::Services;
use trunkline_jobs::calls::stats::{
    Breakdown, CallStats, Filter, Group, Range, RefreshCallStats, StatsError, by_hour, stats,
};
use trunkline_platform::db::{Stmt, Text};
use trunkline_platform::testkit::run_job;

use crate::harness::{Env, Program, both_engines};
use crate::kept::Keeper;

const LINES: [(&str, &str); 2] = [("PN1", "+12125550199"), ("PN2", "+12125550198")];
const USERS: [&str; 3] = ["US1", "US2", "US3"];
const HER: &str = "+12125550101";

/// A call as it was, and how far it is told.
#[derive(Clone, Debug)]
struct Truth {
    id: String,
    began: DateTime<Utc>,
    incoming: bool,
    status: &'static str,
    line: usize,
    user: usize,
    seconds: i64,
    ended: bool,
    voicemail: bool,
}

#[derive(Clone, Copy, Debug)]
enum Telling {
    Ringing,
    Ended,
    Voicemail,
}

impl Truth {
    fn random(n: usize, rng: &mut StdRng) -> Self {
        let words = ["answered", "unanswered", "abandoned", "forwarded", "failed", "ai-handled"];
        let start: DateTime<Utc> = "2026-03-05T20:00:00Z".parse().unwrap();
        Self {
            id: format!("AC{n}"),
            began: start + TimeDelta::seconds(rng.random_range(0..5 * 86_400)),
            incoming: rng.random_bool(0.7),
            status: words[rng.random_range(0..words.len())],
            line: rng.random_range(0..LINES.len()),
            user: rng.random_range(0..USERS.len()),
            seconds: rng.random_range(1..400),
            ended: false,
            voicemail: false,
        }
    }

    fn tell(&mut self, telling: Telling) -> String {
        let direction = if self.incoming { "incoming" } else { "outgoing" };
        let mut resource = json!({"id": self.id, "direction": direction, "createdAt": self.began});
        let kind = match telling {
            Telling::Ringing => "call.ringing",
            Telling::Ended => {
                self.ended = true;
                resource["status"] = json!(self.status);
                resource["duration"] = json!(self.seconds);
                resource["completedAt"] = json!(self.began + TimeDelta::seconds(self.seconds));
                "call.completed"
            }
            Telling::Voicemail => {
                self.voicemail = true;
                resource["id"] = json!(format!("{}V", self.id));
                resource["callId"] = json!(self.id);
                "call.voicemail.completed"
            }
        };
        let (line, number) = LINES[self.line];
        json!({"id": format!("EV{kind}{}", self.id), "apiVersion": "2026-03-30", "type": kind, "createdAt": self.began,
            "data": {"resource": resource, "context": {"phoneNumberId": line, "conversationId": "CN1",
                "userId": USERS[self.user], "participants": {"workspace": [number], "external": [HER]}}}})
        .to_string()
    }

    fn outcome(&self) -> Option<&'static str> {
        self.ended.then_some(match (self.status, self.incoming) {
            ("answered", _) => "answered",
            ("forwarded", _) => "forwarded",
            ("ai-handled", _) => "ai_handled",
            ("failed", false) => "failed",
            (_, false) => "unanswered",
            _ if self.voicemail => "voicemail",
            ("failed", true) => "failed",
            ("abandoned", true) => "abandoned",
            _ => "missed",
        })
    }
}

/// The same figures, counted the plain way.
fn naive(name: &str, calls: &[&Truth]) -> Group {
    let of = |outcome: &str| calls.iter().filter(|call| call.outcome() == Some(outcome)).count() as i64;
    let incoming = calls.iter().filter(|call| call.incoming).count() as i64;
    let mut lengths: Vec<i64> = calls
        .iter()
        .filter(|call| matches!(call.outcome(), Some("answered" | "forwarded" | "ai_handled")))
        .map(|call| call.seconds * 1_000)
        .collect();
    lengths.sort_unstable();
    let (talks, talk_ms): (i64, i64) = (lengths.len() as i64, lengths.iter().sum());
    let middle = |at: usize| lengths[at];
    let median = match lengths.len() {
        0 => None,
        n if n % 2 == 1 => Some(middle(n / 2)),
        n => Some((middle(n / 2 - 1) + middle(n / 2)) / 2),
    };
    let mut group = Group { name: name.to_owned(), median_ms: median, ..Group::default() };
    group.counts.total = calls.len() as i64;
    group.counts.incoming = incoming;
    group.counts.answered = of("answered");
    group.counts.missed = of("missed");
    group.counts.voicemail = of("voicemail");
    group.counts.abandoned = of("abandoned");
    group.counts.forwarded = of("forwarded");
    group.counts.ai_handled = of("ai_handled");
    group.counts.unanswered = of("unanswered");
    group.counts.failed = of("failed");
    (group.counts.talks, group.counts.talk_ms) = (talks, talk_ms);
    let not_taken = of("missed") + of("voicemail") + of("abandoned");
    group.missed_rate = (incoming > 0).then(|| not_taken as f64 / incoming as f64);
    group.average_ms = (talks > 0).then(|| (talk_ms as f64 / talks as f64).round() as i64);
    group
}

fn grouped(calls: &[&Truth], key: impl Fn(&Truth) -> String) -> Vec<Group> {
    let mut groups: BTreeMap<String, Vec<&Truth>> = BTreeMap::new();
    for call in calls {
        groups.entry(key(call)).or_default().push(call);
    }
    groups.iter().map(|(name, calls)| naive(name, calls)).collect()
}

fn all_days() -> Filter {
    let day = |text: &str| text.parse().unwrap();
    Filter { range: Range { from: day("2026-03-05"), to: day("2026-03-11") }, number: None, user: None }
}

async fn figures(env: &Env, zone: Tz, filter: &Filter, by: Breakdown) -> CallStats {
    stats(&env.db, zone, filter, Some(by)).await.unwrap()
}

async fn refresh(env: &Env, keeper: &Keeper<'_>, zone: Tz) {
    let services = Services { zone, ..keeper.services_anew() };
    run_job(&RefreshCallStats {}, Arc::new(services), env.clock.clone()).await.unwrap();
}

/// Every breakdown, compared with the plain count.
async fn compare(env: &Env, zone: Tz, calls: &[Truth]) {
    let told: Vec<&Truth> = calls.iter().filter(|call| call.ended).collect();
    let all = all_days();
    let total = figures(env, zone, &all, Breakdown::Number).await;
    assert_eq!(total.total, naive("", &told));
    assert_eq!(total.waiting, 0);
    let mut by_number = total.groups;
    for group in &mut by_number {
        let dialled = LINES.iter().find(|(line, _)| *line == group.name).unwrap().1;
        assert_eq!(group.dialled.take().as_deref(), Some(dialled));
    }
    assert_eq!(by_number, grouped(&told, |call| LINES[call.line].0.to_owned()));
    let by_user = figures(env, zone, &all, Breakdown::User).await.groups;
    assert_eq!(by_user, grouped(&told, |call| USERS[call.user].to_owned()));

    let local = |call: &Truth| call.began.with_timezone(&zone);
    let filled = |groups: Vec<Group>| -> Vec<Group> {
        groups.into_iter().filter(|group| group.counts.total > 0).collect()
    };
    let by_day = filled(figures(env, zone, &all, Breakdown::Day).await.groups);
    assert_eq!(by_day, grouped(&told, |call| local(call).date_naive().to_string()), "{zone}");
    let by_week = filled(figures(env, zone, &all, Breakdown::Week).await.groups);
    assert_eq!(by_week, grouped(&told, |call| local(call).format("%G-W%V").to_string()), "{zone}");
    let by_month = filled(figures(env, zone, &all, Breakdown::Month).await.groups);
    assert_eq!(by_month, grouped(&told, |call| local(call).format("%Y-%m").to_string()), "{zone}");

    // As people dial it where a call has told, or else by its id.
    let dialled = told.iter().any(|call| call.line == 1);
    let number = if dialled { LINES[1].1 } else { LINES[1].0 }.to_owned();
    let one = Filter { number: Some(number), user: Some(USERS[0].to_owned()), ..all.clone() };
    let mine: Vec<&Truth> = told.iter().copied().filter(|call| call.line == 1 && call.user == 0).collect();
    assert_eq!(figures(env, zone, &one, Breakdown::Day).await.total, naive("", &mine));

    for hour in by_hour(&env.db, zone, &all).await.unwrap() {
        let at = |call: &&&Truth| {
            let began = local(call);
            began.weekday().num_days_from_monday() == u32::from(hour.weekday)
                && began.hour() == u32::from(hour.hour)
        };
        let calls: Vec<&Truth> = told.iter().filter(at).copied().collect();
        let counts = naive("", &calls).counts;
        let not_taken = counts.missed + counts.voicemail + counts.abandoned;
        assert_eq!(
            (hour.total, hour.incoming, hour.missed),
            (counts.total, counts.incoming, not_taken),
            "{hour:?}"
        );
    }
}

both_engines! {
    async fn figures_equal_a_plain_count_in_whatever_order_and_however_late_calls_are_told(env: Env) {
        let keeper = Keeper::new(&env).await;
        let mut rng = StdRng::seed_from_u64(11);
        let mut calls: Vec<Truth> = (0..150).map(|n| Truth::random(n, &mut rng)).collect();
        let mut tellings: Vec<(usize, Telling)> = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            tellings.extend([(at, Telling::Ringing), (at, Telling::Ended)]);
            if rng.random_bool(0.2) && call.incoming {
                tellings.push((at, Telling::Voicemail));
            }
        }
        tellings.shuffle(&mut rng);
        let size = tellings.len() / 3 + 1;
        for part in tellings.chunks(size) {
            let bodies: Vec<String> = part.iter().map(|(at, telling)| calls[*at].tell(*telling)).collect();
            keeper.tell_and_work(&bodies).await;
            keeper.assert_nothing_failed().await;
            refresh(&env, &keeper, America::New_York).await;
            compare(&env, America::New_York, &calls).await;
        }
        // Hours that begin at another minute are counted anew.
        refresh(&env, &keeper, Asia::Kolkata).await;
        compare(&env, Asia::Kolkata, &calls).await;
    }

    async fn figures_follow_a_call_that_moves_or_goes_and_say_how_far_behind_they_are(env: Env) {
        let keeper = Keeper::new(&env).await;
        let mut call = Truth { incoming: true, status: "unanswered", ..Truth::random(1, &mut StdRng::seed_from_u64(1)) };
        keeper.tell_and_work(&[call.tell(Telling::Ended)]).await;
        let before = figures(&env, UTC, &all_days(), Breakdown::Day).await;
        assert_eq!((before.counted_at, before.total.counts.total), (None, 0));
        refresh(&env, &keeper, UTC).await;
        let after = figures(&env, UTC, &all_days(), Breakdown::Day).await;
        assert_eq!((after.counted_at, after.waiting, after.total.counts.missed), (Some(env.clock.now()), 0, 1));

        // An earlier beginning is told: the day it was counted on loses it.
        call.began -= TimeDelta::days(1);
        keeper.tell_and_work(&[call.tell(Telling::Ended).replace("EVcall", "EVagain")]).await;
        assert!(figures(&env, UTC, &all_days(), Breakdown::Day).await.waiting > 0);
        refresh(&env, &keeper, UTC).await;
        compare(&env, UTC, std::slice::from_ref(&call)).await;

        static REMOVE: Stmt = Stmt { name: "REMOVE", text: Text::Same("DELETE FROM calls") };
        REMOVE.query().execute(&mut env.db.write_one().await.unwrap()).await.unwrap();
        refresh(&env, &keeper, UTC).await;
        compare(&env, UTC, &[]).await;
    }

    async fn a_look_that_cannot_be_answered_says_why(env: Env) {
        let nobody = Filter { number: Some("+12125550000".to_owned()), ..all_days() };
        assert!(matches!(stats(&env.db, UTC, &nobody, None).await, Err(StatsError::NoLine(_))));
        let range = Range { from: "2020-01-01".parse().unwrap(), ..all_days().range };
        let long = Filter { range, ..all_days() };
        assert!(matches!(stats(&env.db, UTC, &long, Some(Breakdown::Day)).await, Err(StatsError::Range(_))));
    }

    async fn the_command_tells_what_the_service_counts(env: Env) {
        let keeper = Keeper::new(&env).await;
        let mut call = Truth { status: "answered", ..Truth::random(1, &mut StdRng::seed_from_u64(1)) };
        keeper.tell_and_work(&[call.tell(Telling::Ended)]).await;
        refresh(&env, &keeper, UTC).await;
        let program = Program::new(&env, &["serve"]);
        let day = call.began.date_naive().to_string();
        let run = |more: &[&str]| {
            let args = [["calls", "stats", "--from", &day, "--to", &day].as_slice(), more].concat();
            program.run(&args).unwrap()
        };
        let told: Value = serde_json::from_str(&run(&["--by", "number", "--json"])).unwrap();
        assert_eq!(told["total"]["answered"], 1, "{told}");
        assert_eq!(told["groups"][0]["median_ms"], call.seconds * 1_000, "{told}");
        let whole = LINES[call.line].1;
        assert!(!run(&["--by", "number"]).contains(whole));
        assert!(run(&["--by", "number", "--unmask"]).contains(whole));
        assert!(run(&["--by", "hour"]).contains("BUSIEST"));
        let hours: Value = serde_json::from_str(&run(&["--by", "hour", "--json"])).unwrap();
        assert_eq!(hours["hours"].as_array().unwrap().len(), 168);
    }
}
