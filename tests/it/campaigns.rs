//! Campaigns from start to end, with a provider that loses answers, people who ask to stop, and limits that hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use trunkline_jobs::Services;
use trunkline_jobs::campaigns::{
    self, Audience, CampaignFilter, CampaignRow, Move, OperateError, Plan, State, add_recipients, change,
    create, make_move,
};
use trunkline_jobs::contacts::optout::{self, Channel, Said};
use trunkline_jobs::contacts::people::{self, Label, Labelling, NewPerson, OnDuplicate};
use trunkline_jobs::provider::{Provider, ProviderMetrics, RateLimit};
use trunkline_jobs::sends::{self, Kind, SendFilter, SendRow, SendState, Text};
use trunkline_openphone::client::{ApiKey, Client, ClientConfig};
use trunkline_openphone::factory::Factory;
use trunkline_openphone::simulator::{AcceptedMessage, Simulator, SimulatorHandle};
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;
use trunkline_platform::task::NewTask;
use trunkline_platform::testkit::Kit;

use crate::faults::crash_points::die_at;
use crate::harness::{Env, Program, both_engines, provider, until};
use crate::kept::Keeper;

/// Points at which a sender may die.
pub(crate) const SENDING: [&str; 6] = [
    "send.before_intent",
    "send.after_intent",
    "send.before_outcome",
    "send.after_outcome",
    "settle.after_look",
    "settle.after_verdict",
];

/// A provider, and the jobs that text through it, on the test's clock.
pub(crate) struct Stage<'e> {
    pub(crate) env: &'e Env,
    pub(crate) simulator: SimulatorHandle,
    pub(crate) kit: Kit<Services>,
    pub(crate) line: String,
}

pub(crate) fn ana() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: Some("a test".to_owned()) }
}

/// The provider's own.
pub(crate) const LIMIT: RateLimit = RateLimit { per_second: 10, reserved: 2 };

pub(crate) fn line() -> String {
    Factory::new(0).world().lines[0].id.clone()
}

pub(crate) fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("+1212555{:04}", 1_000 + n)).collect()
}

impl<'e> Stage<'e> {
    /// It is eleven in the morning in New York.
    pub(crate) async fn new(env: &'e Env, faults: &str) -> Self {
        Self::among(env, faults, "").await
    }

    /// Among people of these manners.
    pub(crate) async fn among(env: &'e Env, faults: &str, manners: &str) -> Self {
        Self::at_rate(env, faults, manners, LIMIT).await
    }

    /// With another rate.
    pub(crate) async fn at_rate(env: &'e Env, faults: &str, manners: &str, limit: RateLimit) -> Self {
        env.clock.advance(TimeDelta::hours(7));
        Self::beside(env, faults, manners, limit, env.clock.clone()).await
    }

    /// The provider has a clock of its own.
    async fn beside(env: &'e Env, faults: &str, manners: &str, limit: RateLimit, clock: Clock) -> Self {
        let mut config = provider();
        config.clock = Arc::new(move || -> DateTime<Utc> { clock.now() });
        config.calls_per_second = 1_000_000;
        config.faults = faults.parse().unwrap();
        config.manners = manners.parse().unwrap();
        let simulator = Simulator::start(config).await.unwrap();
        let media = Keeper::new(env).await.services.media.clone();
        let kit = Keeper::with(env, media, provider_at(env, &simulator, limit)).kit();
        Self { env, simulator, kit, line: line() }
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan::new(Audience::List, self.line.clone(), "Sale today! Reply STOP to opt out")
    }

    pub(crate) async fn draft(&self, plan: &Plan, numbers: &[String]) -> CampaignRow {
        let all = CampaignFilter { limit: 1_000, ..CampaignFilter::default() };
        let earlier = campaigns::list(&self.env.db, &all).await.unwrap().len();
        let mut tx = self.env.db.write().await.unwrap();
        let name = format!("sale {earlier}");
        let campaign = create(&mut tx, &name, plan, &ana(), self.env.clock.now()).await.unwrap();
        add_recipients(&mut tx, &campaign, numbers, self.env.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        campaign
    }

    pub(crate) async fn make(&self, id: i64, to: Move) -> Result<State, OperateError> {
        self.make_at(id, to, None).await
    }

    pub(crate) async fn make_at(
        &self,
        id: i64,
        to: Move,
        at: Option<DateTime<Utc>>,
    ) -> Result<State, OperateError> {
        let tasks = self.env.tasks();
        let mut tx = tasks.begin().await.unwrap();
        let state = make_move(&mut tx, id, to, at, &ana(), self.env.clock.now()).await?;
        tx.commit().await.unwrap();
        Ok(state)
    }

    pub(crate) async fn started(&self, plan: &Plan, numbers: &[String]) -> i64 {
        let campaign = self.draft(plan, numbers).await;
        self.make(campaign.id, Move::Start).await.unwrap();
        campaign.id
    }

    pub(crate) async fn campaign(&self, id: i64) -> CampaignRow {
        campaigns::show(&self.env.db, id).await.unwrap().unwrap()
    }

    pub(crate) async fn texts(&self) -> Vec<SendRow> {
        sends::list(&self.env.db, &SendFilter { limit: 1_000, ..SendFilter::default() }).await.unwrap()
    }

    /// How many are where: `waiting quiet_hours` and the like.
    pub(crate) async fn outcomes(&self, id: i64) -> BTreeMap<String, i64> {
        let rows = campaigns::outcomes(&self.env.db, id).await.unwrap();
        let told = |state: &str, reason: Option<&str>| {
            [state, reason.unwrap_or_default()].join(" ").trim().to_owned()
        };
        rows.iter().map(|row| (told(&row.state, row.reason.as_deref()), row.count)).collect()
    }

    pub(crate) async fn pass(&self, by: TimeDelta) {
        self.kit.drain().await.unwrap();
        self.kit.advance(by).await.unwrap();
    }

    pub(crate) fn accepted(&self) -> Vec<AcceptedMessage> {
        self.simulator.accepted_messages()
    }

    /// The provider's own list has nobody twice.
    pub(crate) fn assert_nobody_twice(&self) {
        let accepted = self.accepted();
        let people: BTreeSet<&str> = accepted.iter().map(|text| text.to[0].as_str()).collect();
        assert_eq!(people.len(), accepted.len(), "somebody was texted twice");
    }
}

/// The real program, beside a provider that never says it is asked too often.
pub(crate) async fn program_and_provider(env: &Env) -> (SimulatorHandle, Program) {
    let mut config = provider();
    config.calls_per_second = 1_000_000;
    let simulator = Simulator::start(config).await.unwrap();
    let program = Program::new(env, &["serve"])
        .set("TRUNKLINE_OPENPHONE_API_URL", simulator.url().as_str())
        .set("TRUNKLINE_OPENPHONE_API_KEY", "simulated-api-key");
    (simulator, program)
}

pub(crate) fn provider_at(env: &Env, simulator: &SimulatorHandle, limit: RateLimit) -> Provider {
    let api_key: SecretString = provider().api_key;
    let client = Client::new(ClientConfig {
        base_url: simulator.url(),
        api_key: ApiKey::of(&api_key).unwrap(),
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
        user_agent: "test".to_owned(),
    });
    let metrics = ProviderMetrics::new(&prometheus::Registry::new()).unwrap();
    Provider::new(env.db.clone(), Some(client.unwrap()), limit, metrics)
}

/// The most texts within a period.
pub(crate) fn fullest(accepted: &[AcceptedMessage], period: TimeDelta) -> usize {
    let mut times: Vec<_> = accepted.iter().map(|text| text.accepted_at).collect();
    times.sort();
    let within = |first: usize| times[first..].partition_point(|at| *at < times[first] + period);
    (0..times.len()).map(within).max().unwrap_or(0)
}

both_engines! {
    async fn a_campaign_texts_everybody_once_at_its_rate_and_ends(env: Env) {
        let stage = Stage::new(&env, "").await;
        let people = numbers(30);
        let id = stage.started(&stage.plan(), &people).await;
        stage.pass(TimeDelta::minutes(2)).await;
        stage.assert_nobody_twice();
        let accepted = stage.accepted();
        let texted: BTreeSet<&String> = accepted.iter().map(|text| &text.to[0]).collect();
        assert_eq!(texted, people.iter().collect());
        assert!(fullest(&accepted, TimeDelta::seconds(1)) <= 8, "two a second are reserved");
        let campaign = stage.campaign(id).await;
        assert_eq!((campaign.state, campaign.segments), (State::Completed, 30));
        assert!(stage.texts().await.iter().all(|text| text.provider_id.is_some() && text.tries == 1));
    }

    async fn answers_that_are_lost_or_late_or_wrong_send_no_text_twice_and_leave_none_open(env: Env) {
        let stage = Stage::new(&env, "lost_response=0.25,server_error=0.3,rate_limited=0.1").await;
        let people = numbers(40);
        let id = stage.started(&stage.plan(), &people).await;
        stage.pass(TimeDelta::hours(4)).await;
        stage.assert_nobody_twice();
        assert_eq!(stage.campaign(id).await.state, State::Completed, "{:?}", stage.outcomes(id).await);
        let texts = stage.texts().await;
        assert_eq!(texts.len(), people.len());
        let accepted: BTreeSet<String> = stage.accepted().into_iter().map(|text| text.id).collect();
        for text in &texts {
            match &text.provider_id {
                Some(id) => assert!(accepted.contains(id), "text {}", text.id),
                None => assert_eq!(text.state, SendState::Unresolved, "text {} {:?}", text.id, text.reason),
            }
        }
        assert!(texts.iter().any(|text| text.tries > 1), "no text was ever tried again");
        let known: BTreeSet<&String> = texts.iter().filter_map(|text| text.provider_id.as_ref()).collect();
        let unresolved = texts.iter().filter(|text| text.state == SendState::Unresolved).count();
        assert!(accepted.len() <= known.len() + unresolved, "the provider has a text nobody knows of");
    }

    async fn an_hour_that_only_our_clock_has_seen_proves_no_absence(env: Env) {
        env.clock.advance(TimeDelta::hours(7));
        let theirs = Clock::manual(env.clock.now());
        let stage = Stage::beside(&env, "server_error=0.4", "", LIMIT, theirs.clone()).await;
        stage.started(&stage.plan(), &numbers(30)).await;
        stage.pass(TimeDelta::hours(1)).await;
        let texts = stage.texts().await;
        assert!(texts.iter().any(|text| text.state == SendState::Unknown && text.lookups > 1));
        assert!(texts.iter().all(|text| text.tries == 1), "a text was sent again because a clock was set");

        theirs.advance(TimeDelta::minutes(10));
        stage.pass(TimeDelta::hours(2)).await;
        assert!(stage.texts().await.iter().any(|text| text.tries > 1), "no text was ever tried again");
        stage.assert_nobody_twice();
    }

    async fn who_asks_to_stop_before_their_turn_gets_nothing(env: Env) {
        let stage = Stage::new(&env, "").await;
        let people = numbers(20);
        let id = stage.started(&stage.plan(), &people).await;
        let said = Said {
            entry: "test:1".to_owned(),
            number: &people[19],
            at: env.clock.now(),
            channel: Channel::Phone,
            wording: None,
            message_id: None,
            actor: None,
            review: false,
            confirm: true,
        };
        let mut tx = env.db.write().await.unwrap();
        optout::close(&mut tx, &said, env.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        let confirm = Text {
            kind: Kind::OptOutConfirmation,
            number: &people[19],
            sender: &stage.line,
            body: "You will get no more texts.",
            cause: said.entry.clone(),
            correlation_id: None,
        };
        for _ in 0..2 {
            let mut tx = env.tasks().begin().await.unwrap();
            let send = sends::request(tx.session(), &confirm, env.clock.now()).await.unwrap();
            tx.enqueue(&[NewTask::of(&send).unwrap()]).await.unwrap();
            tx.commit().await.unwrap();
        }
        stage.pass(TimeDelta::minutes(2)).await;
        let to_them: Vec<_> = stage.accepted().into_iter().filter(|text| text.to[0] == people[19]).collect();
        assert_eq!(to_them.len(), 1, "one confirmation, and nothing else");
        assert_eq!(to_them[0].content, confirm.body);
        assert_eq!(stage.outcomes(id).await["refused opted_out"], 1);
        let row = campaigns::recipients_of(&env.db, &people[19], 10).await.unwrap().remove(0);
        assert_eq!((row.state.as_str(), row.reason.as_deref()), ("refused", Some("opted_out")));
        assert_eq!(stage.campaign(id).await.state, State::Completed);
    }

    async fn nothing_goes_at_night_and_the_hour_is_the_recipients(env: Env) {
        let stage = Stage::new(&env, "").await;
        // Eleven in New York is eight in Los Angeles.
        let people = ["+12125551001".to_owned(), "+12135551001".to_owned()];
        let id = stage.started(&stage.plan(), &people).await;
        stage.pass(TimeDelta::minutes(1)).await;
        assert_eq!(stage.accepted().len(), 1);
        assert_eq!(stage.outcomes(id).await["waiting quiet_hours"], 1);
        let row = campaigns::recipients_of(&env.db, &people[1], 10).await.unwrap().remove(0);
        assert_eq!(row.due_at.to_rfc3339(), "2026-03-02T17:00:00+00:00", "nine o'clock there");
        stage.pass(TimeDelta::hours(1)).await;
        assert_eq!(stage.accepted()[1].accepted_at, row.due_at);
        assert_eq!(stage.campaign(id).await.state, State::Completed);
    }

    async fn a_number_of_ours_sends_no_more_than_its_cap_in_any_day(env: Env) {
        let stage = Stage::new(&env, "").await;
        let plan = Plan { daily_cap: 5, ..stage.plan() };
        let id = stage.started(&plan, &numbers(12)).await;
        stage.pass(TimeDelta::hours(1)).await;
        assert_eq!(stage.accepted().len(), 5);
        let held = stage.campaign(id).await;
        assert_eq!(held.waits_for.as_deref(), Some("daily_cap"));
        assert!(held.next_at.is_some_and(|at| at > env.clock.now() + TimeDelta::hours(22)));
        stage.pass(TimeDelta::days(3)).await;
        assert_eq!(stage.accepted().len(), 12);
        assert!(fullest(&stage.accepted(), TimeDelta::days(1)) <= 5);
    }

    async fn a_campaigns_own_rate_holds_in_every_period(env: Env) {
        let stage = Stage::new(&env, "").await;
        let plan = Plan { rate: Some("4/m".to_owned()), ..stage.plan() };
        let id = stage.started(&plan, &numbers(14)).await;
        stage.pass(TimeDelta::minutes(10)).await;
        assert_eq!(stage.accepted().len(), 14);
        assert_eq!(fullest(&stage.accepted(), TimeDelta::minutes(1)), 4);
        assert_eq!(stage.campaign(id).await.state, State::Completed);
    }

    async fn a_paused_campaign_sends_nothing_a_resumed_one_the_rest_and_a_cancelled_one_no_more(env: Env) {
        let stage = Stage::new(&env, "").await;
        let id = stage.started(&stage.plan(), &numbers(40)).await;
        stage.kit.drain().await.unwrap();
        let at_once = stage.accepted().len();
        assert!(at_once > 0 && at_once < 40);
        stage.make(id, Move::Pause).await.unwrap();
        stage.pass(TimeDelta::minutes(5)).await;
        assert_eq!(stage.accepted().len(), at_once);
        stage.make(id, Move::Resume).await.unwrap();
        stage.kit.drain().await.unwrap();
        let after = stage.accepted().len();
        assert!(after > at_once);
        stage.make(id, Move::Cancel).await.unwrap();
        stage.pass(TimeDelta::minutes(5)).await;
        assert_eq!(stage.accepted().len(), after);
        stage.assert_nobody_twice();
        let refusal = stage.make(id, Move::Resume).await.unwrap_err().to_string();
        assert!(refusal.contains("it has ended"), "{refusal}");
    }

    async fn a_scheduled_campaign_begins_by_itself_and_a_dry_run_ends_with_nothing_sent(env: Env) {
        let stage = Stage::new(&env, "").await;
        let plan = Plan { dry_run: true, ..stage.plan() };
        let campaign = stage.draft(&plan, &numbers(10)).await;
        let at = env.clock.now() + TimeDelta::hours(2);
        stage.make_at(campaign.id, Move::Schedule, Some(at)).await.unwrap();
        stage.pass(TimeDelta::hours(1)).await;
        assert_eq!(stage.campaign(campaign.id).await.state, State::Scheduled);
        stage.pass(TimeDelta::hours(2)).await;
        let ended = stage.campaign(campaign.id).await;
        assert_eq!((ended.state, ended.started_at), (State::Completed, Some(at)));
        assert!(stage.accepted().is_empty() && stage.texts().await.is_empty());
        assert_eq!(stage.outcomes(campaign.id).await["refused dry_run:1"], 10);
        let past = stage.make_at(stage.draft(&plan, &[]).await.id, Move::Schedule, Some(at)).await;
        assert!(past.is_err());
    }

    async fn a_budget_and_a_refusal_of_all_texts_hold_the_campaign_until_a_person_has_looked(env: Env) {
        let stage = Stage::new(&env, "").await;
        let plan = Plan { budget_segments: Some(6), ..stage.plan() };
        let id = stage.started(&plan, &numbers(10)).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let held = stage.campaign(id).await;
        assert_eq!((held.state, held.reason.as_deref(), held.segments), (State::Paused, Some("budget"), 6));
        let mut tx = env.db.write().await.unwrap();
        let more = |plan: &mut Plan| plan.budget_segments = Some(10);
        change(&mut tx, id, more, None, &ana(), env.clock.now()).await.unwrap();
        let other = |plan: &mut Plan| plan.variants[0].template = "Other words. STOP".to_owned();
        assert!(matches!(change(&mut tx, id, other, None, &ana(), env.clock.now()).await, Err(OperateError::Fixed(..))));
        tx.commit().await.unwrap();
        stage.make(id, Move::Resume).await.unwrap();
        stage.pass(TimeDelta::minutes(1)).await;
        assert_eq!((stage.campaign(id).await.state, stage.accepted().len()), (State::Completed, 10));

        // The provider refuses this one as it would refuse them all.
        let id = stage.started(&stage.plan(), &["+12125550194".to_owned()]).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let held = stage.campaign(id).await;
        assert_eq!(held.state, State::Paused);
        assert!(held.reason.is_some_and(|reason| reason.starts_with("a2p_not_approved")));
        assert_eq!(stage.outcomes(id).await["waiting a2p_not_approved"], 1);
    }

    async fn nobody_gets_two_campaigns_texts_within_the_days_that_were_said(env: Env) {
        let stage = Stage::new(&env, "").await;
        let people = numbers(5);
        stage.started(&stage.plan(), &people).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let second = stage.started(&stage.plan(), &people).await;
        stage.pass(TimeDelta::minutes(1)).await;
        assert_eq!(stage.accepted().len(), 5);
        assert_eq!(stage.outcomes(second).await["refused texted_lately"], 5);
    }

    async fn whom_a_flag_keeps_out_gets_nothing_also_when_it_is_set_after_the_start(env: Env) {
        let stage = Stage::new(&env, "").await;
        let people = numbers(3);
        let labels = ["blocked", "vip", ""].map(|flag| Label::flag(flag).into_iter().collect());
        let records: Vec<NewPerson> = std::iter::zip(&people, labels)
            .map(|(number, labels)| NewPerson { number: number.clone(), labels, ..NewPerson::default() })
            .collect();
        let mut tx = env.db.write().await.unwrap();
        let now = env.clock.now();
        people::put(&mut tx, &records, OnDuplicate::Fail, "test", None, now).await.unwrap();
        tx.commit().await.unwrap();

        let campaign = stage.started(&stage.plan(), &people).await;
        let complained = Label::flag("complained").unwrap();
        people::label(&env.db, &[&people[2]], &complained, Labelling::Add, &ana(), now).await.unwrap();
        stage.pass(TimeDelta::minutes(1)).await;

        let outcomes = stage.outcomes(campaign).await;
        assert_eq!((outcomes["refused flag:blocked"], outcomes["refused flag:complained"]), (1, 1), "{outcomes:?}");
        let texted: Vec<String> = stage.accepted().into_iter().flat_map(|text| text.to).collect();
        assert_eq!(texted, [people[1].clone()]);
    }

    async fn what_becomes_of_a_text_is_in_the_ledger_whoever_is_told_first(env: Env) {
        let stage = Stage::new(&env, "").await;
        stage.started(&stage.plan(), &numbers(2)).await;
        stage.pass(TimeDelta::minutes(1)).await;
        let keeper = Keeper::new(&env).await;
        let texts = stage.texts().await;
        for (text, status) in texts.iter().zip(["delivered", "undelivered"]) {
            let body = format!(
                r#"{{"id":"EV{}","apiVersion":"2026-03-30","createdAt":"2026-03-02T17:00:00.000Z",
                    "type":"message.{status}","data":{{"resource":{{"id":"{}","direction":"outgoing","text":"x",
                    "status":"{status}","errorCode":{},"createdAt":"2026-03-02T16:00:00.000Z"}},
                    "context":{{"phoneNumberId":"{}","senderIdentifier":"+12125550199",
                    "recipientIdentifiers":["{}"]}},"links":{{}}}}}}"#,
                text.id,
                text.provider_id.as_ref().unwrap(),
                if status == "delivered" { "null" } else { "\"30007\"" },
                text.sender,
                text.number,
            );
            keeper.tell_and_work(&[body.clone(), body]).await;
        }
        let after = stage.texts().await;
        assert_eq!(after[0].state, SendState::Delivered);
        assert_eq!((after[1].state, after[1].error_code.as_deref()), (SendState::Undelivered, Some("30007")));
    }
}

both_engines! {
    /// The clock is the machine's here, so what can only be settled after five minutes stays open: it must be doubted, not sent.
    async fn killed_between_every_two_steps_of_sending_it_texts_nobody_twice(env: Env) {
        let (simulator, mut program) = program_and_provider(&env).await;
        let plan = Plan { hours: "00:00-23:59".parse().unwrap(), ..Plan::new(Audience::List, line(), "Sale. STOP") };
        let all = SendFilter { limit: 1_000, ..SendFilter::default() };
        let tasks = env.live_tasks();
        let people = numbers(48);
        // No task may die three times: it would be a dead letter.
        let rounds: [&[(&str, u32)]; 4] = [
            &[("send.before_intent", 2)],
            &[("send.after_intent", 1)],
            &[("send.before_outcome", 3), ("settle.after_look", 1)],
            &[("send.after_outcome", 5)],
        ];
        for (round, (deaths, people)) in (1..).zip(rounds.into_iter().zip(people.chunks(12))) {
            let now = tasks.clock().now();
            let mut tx = tasks.begin().await.unwrap();
            let campaign = create(tx.session(), &format!("sale {round}"), &plan, &ana(), now).await.unwrap();
            add_recipients(tx.session(), &campaign, people, now).await.unwrap();
            make_move(&mut tx, campaign.id, Move::Start, None, &ana(), now).await.unwrap();
            tx.commit().await.unwrap();
            for (point, hit) in deaths {
                die_at(&mut program, point, *hit).await;
            }
            program.start().await.unwrap();
            until("every text has its outcome, or has been looked for", async || {
                let texts = sends::list(&env.db, &all).await.unwrap();
                let settled = |text: &SendRow| {
                    text.provider_id.is_some() || (text.state == SendState::Unknown && text.lookups > 0)
                };
                texts.len() == round * 12 && texts.iter().all(settled)
            })
            .await;
            program.stop().await.unwrap();
        }
        let accepted = simulator.accepted_messages();
        let texted: BTreeSet<&str> = accepted.iter().map(|text| text.to[0].as_str()).collect();
        assert_eq!(texted.len(), accepted.len(), "somebody was texted twice");
        let texts = sends::list(&env.db, &all).await.unwrap();
        let known = texts.iter().filter(|text| text.provider_id.is_some()).count();
        assert_eq!(known, accepted.len(), "the provider has a text nobody knows of");
        assert!(known >= 32, "only {known} of 48");
    }
}
