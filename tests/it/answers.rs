//! The texts the program sends by itself to whom spoke about being texted: one confirmation and the answer to HELP,
//! soon or never, and nothing after another word.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;
use trunkline_jobs::contacts::optout::{self, CONFIRM_WITHIN, CONFIRMATION, Channel};
use trunkline_jobs::events::EventFilter;
use trunkline_jobs::events::replay::{self, Order};
use trunkline_jobs::provider::{RateLimit, Share};
use trunkline_jobs::sends::{self, SendFilter, SendRow, SendState};

use crate::campaigns::{Stage, ana, line, program_and_provider, provider_at};
use crate::faults::crash_points::die_at;
use crate::harness::{Env, both_engines, until};
use crate::kept::Keeper;

const US: &str = "+12125550199";
const HER: &str = "+12125550101";
const WHO_WE_ARE: &str = "Acme Plumbing, (212) 555-0199. Reply STOP to opt out.";

const LIMIT: RateLimit = RateLimit { per_second: 10, reserved: 2 };
/// Where the program may die on the way from a word to its confirmation.
pub(crate) const ANSWERING: [&str; 5] = [
    "message.after_commit",
    "send.before_intent",
    "send.after_intent",
    "send.before_outcome",
    "send.after_outcome",
];

/// A text to our line that somebody wrote at this time.
fn text(id: &str, from: &str, at: DateTime<Utc>, body: &str) -> String {
    let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    json!({"id": format!("EV{id}"), "apiVersion": "2026-03-30", "type": "message.received", "createdAt": at,
        "data": {"resource": {"id": id, "direction": "incoming", "status": "received", "text": body,
            "createdAt": at},
            "context": {"phoneNumberId": line(), "conversationId": "CN1", "senderIdentifier": from,
                "recipientIdentifiers": [US]}}})
    .to_string()
}

/// People who text us, and a provider to answer them through.
struct Scene<'e> {
    stage: Stage<'e>,
    keeper: Keeper<'e>,
    env: &'e Env,
}

impl<'e> Scene<'e> {
    async fn new(env: &'e Env, faults: &str) -> Self {
        let stage = Stage::new(env, faults).await;
        let media = Keeper::new(env).await.services.media.clone();
        let mut keeper = Keeper::with(env, media, provider_at(env, &stage.simulator, LIMIT));
        Arc::get_mut(&mut keeper.services).unwrap().contacts.answers.help = Some(WHO_WE_ARE.to_owned());
        Self { stage, keeper, env }
    }

    /// She writes now, which is heard and answered.
    async fn says(&self, id: &str, body: &str) {
        self.keeper.tell_and_work(&[text(id, HER, self.env.clock.now(), body)]).await;
        self.env.clock.advance(TimeDelta::milliseconds(1));
    }

    /// Nobody has a token for a second.
    async fn use_up_the_rate(&self) {
        let mut tx = self.env.db.write().await.unwrap();
        let provider = &self.keeper.services.provider;
        provider.take(&mut tx, Share::Reply, 10, self.env.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn pass(&self, by: TimeDelta) {
        self.keeper.kit().advance(by).await.unwrap();
    }

    fn she_got(&self) -> Vec<String> {
        let to_her = self.stage.accepted().into_iter().filter(|text| text.to[0] == HER);
        to_her.map(|text| text.content).collect()
    }

    async fn confirmation(&self) -> String {
        optout::show(&self.env.db, HER).await.unwrap().unwrap().confirmation
    }

    /// What became of the newest answer, and why.
    async fn newest(&self) -> (SendState, Option<String>) {
        let row = self.stage.texts().await.remove(0);
        (row.state, row.reason)
    }
}

both_engines! {
    async fn an_opt_out_is_confirmed_once_however_often_it_is_told_and_said(env: Env) {
        let scene = Scene::new(&env, "").await;
        let at = env.clock.now();
        let told = text("AC1", HER, at, "Revoke!");
        scene.keeper.tell_and_work(&[told.clone(), told.clone()]).await;
        assert_eq!(scene.she_got(), [CONFIRMATION]);
        assert_eq!(scene.confirmation().await, "taken");
        scene.keeper.tell_and_work(&[told.replace("EVAC1", "EV1"), told]).await;
        scene.says("AC2", "leave me alone").await;
        scene.pass(TimeDelta::minutes(10)).await;
        assert_eq!(scene.she_got().len(), 1, "what she says while she is opted out is no new opt-out");
        scene.says("AC3", "START").await;
        scene.says("AC4", "opt out").await;
        assert_eq!(scene.she_got().len(), 2);
        scene.keeper.assert_nothing_failed().await;
    }

    async fn what_the_provider_answers_what_came_late_and_what_nobody_can_send_is_not_confirmed(env: Env) {
        let scene = Scene::new(&env, "").await;
        scene.says("AC1", "STOP").await;
        assert_eq!(scene.confirmation().await, "none");
        scene.says("AC2", "START").await;
        let late = text("AC3", HER, env.clock.now(), "revoke");
        env.clock.advance(CONFIRM_WITHIN);
        scene.keeper.tell_and_work(&[late]).await;
        assert_eq!(scene.confirmation().await, "none");
        assert!(scene.she_got().is_empty() && scene.stage.texts().await.is_empty());

        let without_key = Keeper::new(&env).await;
        let at = env.clock.now();
        without_key.tell_and_work(&[text("AC4", HER, at, "START"), text("AC5", HER, at, "revoke")]).await;
        assert_eq!(scene.confirmation().await, "none");
        assert!(scene.stage.texts().await.is_empty());
    }

    async fn a_confirmation_leaves_within_minutes_or_never_on_whichever_try(env: Env) {
        let scene = Scene::new(&env, "rate_limited=1.0").await;
        scene.says("AC1", "revoke").await;
        scene.pass(TimeDelta::minutes(2)).await;
        let row = scene.stage.texts().await.remove(0);
        assert!(row.state == SendState::Waiting && row.tries > 1, "{row:?}");
        scene.pass(CONFIRM_WITHIN * 3).await;
        let row = scene.stage.texts().await.remove(0);
        assert_eq!((row.state, row.reason.as_deref()), (SendState::Refused, Some("not_owed")));
        assert!(row.intended_at.unwrap() < row.created_at + CONFIRM_WITHIN);
        assert!(scene.she_got().is_empty());
    }

    async fn nothing_is_confirmed_after_another_word(env: Env) {
        let scene = Scene::new(&env, "").await;
        let refused = (SendState::Refused, Some("not_owed".to_owned()));

        scene.use_up_the_rate().await;
        scene.says("AC1", "revoke").await;
        assert_eq!(scene.newest().await.0, SendState::Waiting);
        scene.says("AC2", "START").await;
        scene.pass(TimeDelta::seconds(3)).await;
        assert_eq!(scene.newest().await, refused);

        scene.use_up_the_rate().await;
        scene.says("AC3", "revoke").await;
        scene.says("AC4", "revoke").await;
        scene.pass(TimeDelta::seconds(3)).await;
        assert_eq!((scene.newest().await, scene.stage.texts().await.len()), (refused.clone(), 2));

        scene.says("AC5", "START").await;
        scene.use_up_the_rate().await;
        scene.says("AC6", "revoke").await;
        optout::opt_out(&env.db, &env.clock, &[HER], Channel::Phone, None, &ana()).await.unwrap();
        scene.pass(TimeDelta::seconds(3)).await;
        assert_eq!((scene.newest().await, scene.stage.texts().await.len()), (refused, 3));
        assert!(scene.she_got().is_empty());
        assert_eq!(scene.confirmation().await, "none");
    }

    async fn help_is_answered_once_in_a_while_also_to_whom_opted_out_but_not_before_they_did(env: Env) {
        let scene = Scene::new(&env, "").await;
        scene.says("AC1", "HELP").await;
        scene.says("AC2", "help!").await;
        assert_eq!(scene.she_got(), [WHO_WE_ARE]);
        scene.pass(TimeDelta::minutes(61)).await;
        scene.says("AC3", "STOP").await;
        scene.says("AC4", "HELP").await;
        assert_eq!(scene.she_got(), [WHO_WE_ARE; 2], "she asked after she had opted out");

        scene.pass(TimeDelta::minutes(61)).await;
        scene.says("AC5", "START").await;
        scene.use_up_the_rate().await;
        scene.says("AC6", "HELP").await;
        scene.says("AC7", "STOP").await;
        scene.pass(TimeDelta::seconds(3)).await;
        assert_eq!(scene.newest().await, (SendState::Refused, Some("not_owed".to_owned())));
        assert_eq!(scene.she_got().len(), 2);
        scene.keeper.assert_nothing_failed().await;
    }

    async fn a_replay_of_everything_texts_nobody_again(env: Env) {
        let scene = Scene::new(&env, "").await;
        let people = ["+12125551000".to_owned(), "+12125551001".to_owned(), HER.to_owned()];
        scene.stage.started(&scene.stage.plan(), &people).await;
        scene.stage.pass(TimeDelta::minutes(1)).await;
        for (text, told) in scene.stage.accepted().iter().zip(1..) {
            let at = env.clock.now().to_rfc3339_opts(SecondsFormat::Micros, true);
            let delivered = json!({"id": format!("EVD{told}"), "apiVersion": "2026-03-30",
                "type": "message.delivered", "createdAt": at,
                "data": {"resource": {"id": text.id, "direction": "outgoing", "status": "delivered",
                    "text": text.content, "createdAt": at},
                    "context": {"phoneNumberId": line(), "conversationId": "CN1", "senderIdentifier": US,
                        "recipientIdentifiers": [text.to[0]]}}});
            scene.keeper.tell_and_work(&[delivered.to_string()]).await;
        }
        scene.says("AC1", "HELP").await;
        scene.says("AC2", "revoke").await;
        scene.says("AC3", "START").await;
        scene.says("AC4", "leave me alone").await;
        let at = env.clock.now();
        scene.keeper.tell_and_work(&[text("AC5", &people[0], at, "Revoke")]).await;
        // Words of these minutes: were they new, they would be answered.
        let (got, kept) = (scene.stage.accepted().len(), scene.keeper.kept().await);
        let texts = scene.stage.texts().await.len();
        assert_eq!((got, texts), (7, 7), "three of the campaign, three confirmations, one answer to HELP");
        for _ in 0..2 {
            let order = Order { filter: EventFilter::default(), pace: 1_000 };
            let (id, counted) = replay::begin(&scene.keeper.tasks, &order, &ana()).await.unwrap();
            scene.pass(TimeDelta::seconds(5)).await;
            let row = replay::show(&env.db, id).await.unwrap().unwrap();
            assert_eq!((row.state.as_str(), row.replayed), ("complete", 8), "{row:?} {counted:?}");
        }
        scene.pass(TimeDelta::hours(2)).await;
        scene.stage.pass(TimeDelta::hours(2)).await;
        scene.keeper.assert_nothing_failed().await;
        assert_eq!(scene.stage.accepted().len(), got, "the provider's own list is the judge");
        assert_eq!(scene.stage.texts().await.len(), texts, "nothing was even asked for");
        assert_eq!(scene.keeper.kept().await, kept);
        assert_eq!(scene.confirmation().await, "taken");
    }

    /// The clock is the machine's: what is doubted stays so for five minutes, after which nothing is owed.
    async fn killed_between_every_two_steps_it_confirms_once_at_most(env: Env) {
        let (simulator, mut program) = program_and_provider(&env).await;
        let keeper = Keeper::new(&env).await;
        for (n, point) in (1_000..).zip(ANSWERING) {
            let number = format!("+1212555{n}");
            let now = env.live_tasks().clock().now();
            let told = text(&format!("AC{n}"), &number, now, "revoke");
            keeper.tell(&[told.clone(), told.replace("EVAC", "EVB")]).await;
            die_at(&mut program, point, 1).await;
            program.start().await.unwrap();
            until("the confirmation has its outcome, or has been looked for", async || {
                let filter = SendFilter { number: Some(number.clone()), limit: 10, ..SendFilter::default() };
                let texts = sends::list(&env.db, &filter).await.unwrap();
                let settled = |text: &SendRow| text.provider_id.is_some() || (text.state == SendState::Unknown && text.lookups > 0);
                texts.len() == 1 && texts.iter().all(settled)
            })
            .await;
            program.stop().await.unwrap();
            let got = simulator.accepted_messages().into_iter().filter(|text| text.to[0] == number).count();
            assert_eq!(got, usize::from(point != "send.after_intent"), "{point}");
        }
    }
}
