//! What people, and the program by itself, do to campaigns. Every act is in the audit.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use thiserror::Error;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::{DbError, Session, sql_text};
use trunkline_platform::task::{NewTask, TaskTx};

use super::plan::{Plan, PlanError};
use super::state::{IllegalMove, Move, State};
use super::table::{self, CampaignRow};
use super::{Audience, PumpCampaign, breaker};

trunkline_platform::statements! {
    CREATE_CAMPAIGN = same {
        "INSERT INTO campaigns (name, state, plan, generation, recipients, segments, created_by, created_at)
         VALUES ($1, 'draft', $2, 0, 0, 0, $3, $4) ON CONFLICT (name) DO NOTHING RETURNING id"
    }
    CHANGE_PLAN = same { "UPDATE campaigns SET plan = $2 WHERE id = $1" }
}

#[derive(Debug, Error)]
pub enum OperateError {
    #[error("there is no campaign {0}; see `trunkline campaigns list`")]
    Unknown(i64),
    #[error("there is a campaign {0:?} already; give this one another name")]
    NameTaken(String),
    #[error(transparent)]
    Illegal(#[from] IllegalMove),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("nobody is named: add numbers to the list, or choose --segment, --tag or --everyone")]
    Nobody,
    #[error(
        "{0} cannot be changed any more: the campaign is {1}. What can be is the rate, the hours, the cap and the budget"
    )]
    Fixed(&'static str, State),
    #[error(
        "who gets which text was drawn when the list was written down: {0} cannot be changed; make a new campaign"
    )]
    Drawn(&'static str),
    #[error(
        "text {0} was promoted and all who wait get it; promote another one first, or cancel the campaign"
    )]
    Promoted(String),
    #[error("the campaign sends no text {text:?}; it sends {texts}")]
    NoSuchText { text: String, texts: String },
    #[error("the campaign has one text, which everybody gets")]
    OneText,
    #[error("a text is promoted while a campaign is under way; this one is {0}")]
    NotUnderWay(State),
    #[error("the time lies in the past")]
    Past,
    #[error(
        "the breaker holds every number it is sent from: {0}; look at `trunkline campaigns numbers`, then let one go on by \
         `trunkline campaigns release`"
    )]
    NumbersHeld(String),
    #[error("the campaign was changed since it was looked at; look again, then say what shall be otherwise")]
    Outdated,
    #[error("a plan or a task cannot be written")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Database(#[from] DbError),
}

#[derive(sqlx::FromRow)]
struct Id {
    id: i64,
}

/// Makes a draft.
pub async fn create(
    tx: &mut Session,
    name: &str,
    plan: &Plan,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<CampaignRow, OperateError> {
    plan.check()?;
    let name = sql_text(name);
    let document = serde_json::to_string(plan)?;
    let query = CREATE_CAMPAIGN.bind(name.as_ref()).bind(document).bind(actor.name.as_str()).bind(now);
    let Some(Id { id }) = query.optional(tx).await? else {
        return Err(OperateError::NameTaken(name.into_owned()));
    };
    let texts: Vec<&str> = plan.variants.iter().map(|variant| variant.name.as_str()).collect();
    let after = json!({ "name": name, "senders": plan.senders, "audience": plan.audience, "late_joiners": plan.late_joiners, "texts": texts,
        "holdout_percent": plan.holdout_percent });
    note(tx, id, "campaign.create", None, Some(after), actor, now).await?;
    table::lock(tx, id).await?.ok_or(OperateError::Unknown(id))
}

/// Moves a campaign, and enqueues what carries it on. `at` is when a scheduled one starts.
pub async fn make_move(
    tx: &mut TaskTx,
    id: i64,
    to: Move,
    at: Option<DateTime<Utc>>,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<State, OperateError> {
    let row = table::lock(tx.session(), id).await?.ok_or(OperateError::Unknown(id))?;
    let state = row.state.after(to)?;
    if matches!(to, Move::Start | Move::Schedule) {
        row.plan.0.check()?;
        if row.plan.0.audience == Audience::List && row.recipients == 0 {
            return Err(OperateError::Nobody);
        }
    }
    let at = at.filter(|_| to == Move::Schedule);
    if to == Move::Schedule && at.is_none_or(|at| at <= now) {
        return Err(OperateError::Past);
    }
    if to == Move::Resume
        && let Some(reason) = breaker::all_held(tx.session(), &row.plan.0.senders).await?
    {
        return Err(OperateError::NumbersHeld(reason));
    }
    if matches!(to, Move::Resume | Move::Cancel) {
        breaker::release_campaign(tx.session(), id, actor, now).await?;
    }
    table::put(tx.session(), &row, state, actor.reason.as_deref(), at, now).await?;
    if matches!(state, State::Running | State::Scheduled) {
        let pump = PumpCampaign { campaign: id, generation: row.generation + 1 };
        let task = NewTask::of(&pump)?.cause(actor.name.clone()).at(at.unwrap_or(now));
        tx.enqueue(&[task]).await?;
    }
    let (before, after) = (json!({ "state": row.state }), json!({ "state": state, "at": at }));
    note(tx.session(), id, to.action(), Some(before), Some(after), actor, now).await?;
    Ok(state)
}

/// Lets a held campaign go on without one of its texts: who would get it gets none.
pub async fn resume_without(
    tx: &mut TaskTx,
    id: i64,
    variant: &str,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<State, OperateError> {
    let row = table::lock(tx.session(), id).await?.ok_or(OperateError::Unknown(id))?;
    row.state.after(Move::Resume)?;
    if row.winner.as_deref() == Some(variant) {
        return Err(OperateError::Promoted(variant.to_owned()));
    }
    let mut plan = row.plan.0.clone();
    plan.leave_out(variant)?;
    CHANGE_PLAN.bind(id).bind(serde_json::to_string(&plan)?).execute(tx.session()).await?;
    let (before, after) = (json!({ "without": row.plan.0.without }), json!({ "without": plan.without }));
    note(tx.session(), id, "campaign.change", Some(before), Some(after), actor, now).await?;
    make_move(tx, id, Move::Resume, None, actor, now).await
}

/// Changes a plan. Once a campaign has begun only what limits it can be changed; the next look goes by it.
pub async fn change(
    tx: &mut Session,
    id: i64,
    change: impl FnOnce(&mut Plan),
    seen: Option<&str>,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Plan, OperateError> {
    let row = table::lock(tx, id).await?.ok_or(OperateError::Unknown(id))?;
    if let Some(seen) = seen
        && seen != row.plan.0.tag()
    {
        return Err(OperateError::Outdated);
    }
    let mut plan = row.plan.0.clone();
    change(&mut plan);
    plan.check()?;
    if row.state != State::Draft {
        let before = &row.plan.0;
        let fixed = [
            ("the audience", plan.audience != before.audience || plan.late_joiners != before.late_joiners),
            ("the text", plan.variants != before.variants || plan.missing != before.missing),
            ("the holdout", plan.holdout_percent != before.holdout_percent),
            ("the sending number", plan.senders != before.senders),
            ("the rule of the winner", plan.winner != before.winner),
            ("how long answers count", plan.counts_for_hours != before.counts_for_hours),
            ("the dry run", plan.dry_run != before.dry_run),
            ("the look-out for duplicates", plan.duplicate_days != before.duplicate_days),
        ];
        if let Some((what, _)) = fixed.into_iter().find(|(_, changed)| *changed) {
            return Err(OperateError::Fixed(what, row.state));
        }
        if matches!(row.state, State::Completed | State::Cancelled) {
            return Err(OperateError::Fixed("it", row.state));
        }
    }
    if row.recipients > 0
        && let Some(what) = drawn_anew(&row.plan.0, &plan)
    {
        return Err(OperateError::Drawn(what));
    }
    CHANGE_PLAN.bind(id).bind(serde_json::to_string(&plan)?).execute(tx).await?;
    let (before, after) = difference(&row.plan.0, &plan)?;
    note(tx, id, "campaign.change", Some(before), Some(after), actor, now).await?;
    Ok(plan)
}

/// What a change of a plan would draw anew of recipients who are written down.
fn drawn_anew(before: &Plan, after: &Plan) -> Option<&'static str> {
    let drawn = |plan: &Plan| -> Vec<(String, u32)> {
        plan.variants.iter().map(|text| (text.name.clone(), text.weight)).collect()
    };
    let changes = [
        ("the audience", before.audience != after.audience),
        ("the names and weights of texts", drawn(before) != drawn(after)),
        ("the holdout", before.holdout_percent != after.holdout_percent),
    ];
    changes.into_iter().find(|(_, changed)| *changed).map(|(what, _)| what)
}

/// The parts of two plans that differ, for the audit.
fn difference(before: &Plan, after: &Plan) -> Result<(Value, Value), serde_json::Error> {
    let (mut before, mut after) = (serde_json::to_value(before)?, serde_json::to_value(after)?);
    if let (Some(before), Some(after)) = (before.as_object_mut(), after.as_object_mut()) {
        before.retain(|name, value| after.get(name) != Some(&*value));
        after.retain(|name, _| before.contains_key(name));
    }
    Ok((before, after))
}

/// A campaign whose time has come. Its pump is the one that was enqueued when it was scheduled, so the generation stays.
pub(super) async fn start_scheduled(
    tx: &mut Session,
    row: &CampaignRow,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    table::begin(tx, row.id, now).await?;
    let (before, after) = (json!({ "state": row.state }), json!({ "state": State::Running }));
    note(tx, row.id, Move::Start.action(), Some(before), Some(after), &program(None), now).await
}

/// A move that the program makes by itself. False: the campaign is another pump's by now.
pub(super) async fn move_by_program(
    tx: &mut Session,
    id: i64,
    generation: i32,
    to: Move,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let row = table::lock(tx, id).await?.filter(|row| row.generation == generation);
    let Some((row, Ok(state))) = row.map(|row| {
        let state = row.state.after(to);
        (row, state)
    }) else {
        return Ok(false);
    };
    table::put(tx, &row, state, reason, None, now).await?;
    let (before, after) = (json!({ "state": row.state }), json!({ "state": state }));
    note(tx, id, to.action(), Some(before), Some(after), &program(reason), now).await?;
    Ok(true)
}

/// Who acts when nobody does.
pub(super) fn program(reason: Option<&str>) -> Actor {
    Actor { name: "program".to_owned(), reason: reason.map(str::to_owned) }
}

pub(super) async fn note(
    tx: &mut Session,
    id: i64,
    action: &'static str,
    before: Option<Value>,
    after: Option<Value>,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let act = Act { action, subject: format!("campaign:{id}"), before, after };
    audit::record(tx, now, actor, &[act]).await
}
