//! To whom a campaign goes: people of a segment, written down page by page, and those who come to be of it later.

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_jobs::campaigns::{self, Audience, FindLateJoiners, Move, Plan, State, create, make_move};
use trunkline_jobs::contacts::people::{self, Label, Labelling, NewPerson, OnDuplicate};
use trunkline_platform::db::Db;
use trunkline_platform::task::NewTask;

use crate::campaigns::{Stage, ana, line, program_and_provider};
use crate::faults::crash_points::die_at;
use crate::harness::{Env, both_engines, until};

/// Where it dies while recipients are written down.
pub(crate) const FREEZING: [&str; 2] = ["campaign.before_freeze", "campaign.after_freeze"];

/// More than two pages.
const MANY: usize = 2_300;

fn tag(word: &str) -> Label {
    Label::tag(word).unwrap()
}

/// People on record, every third of them tagged.
async fn record(db: &Db, numbers: std::ops::Range<usize>, now: DateTime<Utc>) {
    let people: Vec<NewPerson> = numbers
        .map(|n| NewPerson {
            number: format!("+1212{:07}", 5_550_000 + n),
            labels: (n % 3 == 0).then(|| tag("vip")).into_iter().collect(),
            ..NewPerson::default()
        })
        .collect();
    for batch in people.chunks(1_000) {
        let mut tx = db.write().await.unwrap();
        people::put(&mut tx, batch, OnDuplicate::Fail, "test", None, now).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn segment(filter: &str) -> Audience {
    Audience::Segment(filter.parse().unwrap())
}

/// What a dry run decided about how many.
async fn decided(db: &Db, id: i64) -> i64 {
    let outcomes = campaigns::outcomes(db, id).await.unwrap();
    let dry = outcomes
        .iter()
        .filter(|row| row.reason.as_deref().is_some_and(|reason| reason.starts_with("dry_run")));
    dry.map(|row| row.count).sum()
}

async fn join(stage: &Stage<'_>) {
    stage.env.tasks().enqueue(&[NewTask::of(&FindLateJoiners {}).unwrap()]).await.unwrap();
    stage.kit.drain().await.unwrap();
}

both_engines! {
    async fn a_campaign_goes_to_those_whom_its_filter_takes_when_it_starts(env: Env) {
        let stage = Stage::new(&env, "").await;
        record(&env.db, 0..MANY, env.clock.now()).await;
        let filtered = [("tag:vip", MANY.div_ceil(3)), ("-tag:vip", MANY - MANY.div_ceil(3)), ("tag:vip state:TX", 0)];
        for (filter, expected) in filtered {
            let plan = Plan { audience: segment(filter), dry_run: true, ..stage.plan() };
            let id = stage.started(&plan, &[]).await;
            stage.pass(TimeDelta::minutes(1)).await;
            let campaign = stage.campaign(id).await;
            assert_eq!(campaign.state, State::Completed, "{filter}");
            assert_eq!(usize::try_from(campaign.recipients).unwrap(), expected, "{filter}");
            assert_eq!(usize::try_from(decided(&env.db, id).await).unwrap(), expected, "{filter}");
        }
        assert!(stage.accepted().is_empty());
    }

    async fn who_comes_later_joins_once_and_only_where_it_was_said(env: Env) {
        let stage = Stage::new(&env, "").await;
        record(&env.db, 0..6, env.clock.now()).await;
        let of_vips = |late_joiners| Plan {
            audience: segment("tag:vip"),
            late_joiners,
            rate: Some("1/h".to_owned()),
            duplicate_days: 0,
            ..stage.plan()
        };
        let [closed, open] = [stage.started(&of_vips(false), &[]).await, stage.started(&of_vips(true), &[]).await];
        stage.pass(TimeDelta::minutes(1)).await;
        people::label(&env.db, &["+12125550001"], &tag("vip"), Labelling::Add, &ana(), env.clock.now()).await.unwrap();
        record(&env.db, 6..8, env.clock.now()).await;
        for _ in 0..2 {
            join(&stage).await;
        }
        assert_eq!(stage.campaign(closed).await.recipients, 2);
        let joined = campaigns::recipients_of(&env.db, "+12125550006", 10).await.unwrap();
        assert_eq!(joined.iter().map(|row| row.campaign_id).collect::<Vec<_>>(), [open]);
        stage.pass(TimeDelta::hours(6)).await;
        assert_eq!(stage.campaign(open).await.state, State::Completed);
        let mut texted: Vec<String> = stage.texts().await.into_iter().filter(|text| text.campaign_id == Some(open)).map(|text| text.number).collect();
        texted.sort();
        assert_eq!(texted, ["+12125550000", "+12125550001", "+12125550003", "+12125550006"]);
        join(&stage).await;
        assert_eq!(stage.texts().await.len(), 6, "a campaign that has ended takes nobody in");
        let late_to_list = Plan { late_joiners: true, ..stage.plan() };
        assert!(late_to_list.check().is_err());
    }

    async fn killed_while_it_writes_its_recipients_down_it_goes_on_and_has_each_once(env: Env) {
        let (simulator, mut program) = program_and_provider(&env).await;
        let tasks = env.live_tasks();
        let now = tasks.clock().now();
        record(&env.db, 0..MANY, now).await;
        let plan = Plan { dry_run: true, ..Plan::new(segment("-state:TX"), line(), "Sale. STOP") };
        let mut tx = tasks.begin().await.unwrap();
        let campaign = create(tx.session(), "sale", &plan, &ana(), now).await.unwrap();
        make_move(&mut tx, campaign.id, Move::Start, None, &ana(), now).await.unwrap();
        tx.commit().await.unwrap();
        for point in FREEZING {
            die_at(&mut program, point, 1).await;
        }
        program.start().await.unwrap();
        until("the campaign has ended", async || {
            campaigns::show(&env.db, campaign.id).await.unwrap().unwrap().state == State::Completed
        })
        .await;
        program.stop().await.unwrap();
        assert_eq!(usize::try_from(decided(&env.db, campaign.id).await).unwrap(), MANY);
        assert!(simulator.accepted_messages().is_empty());
    }
}
