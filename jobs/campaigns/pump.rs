//! The task that carries a campaign out.
//!
//! A pump works for some seconds: it looks, sends what may go, writes down what became of it, and looks again. Then it ends,
//! and the pump that follows goes on. So a campaign of a million is one task, not a million; a stop waits for seconds at most;
//! and all state is in rows that the next pump finds.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::crash_point;
use trunkline_platform::db::Session;
use trunkline_platform::job::{Context, Done, Failure, Job, Queue, Retry};

use super::admit::{Admitted, admit};
use super::breaker::{self, Fault, JUDGE_EVERY};
use super::flight::PlanCampaign;
use super::join::JOIN_EVERY;
use super::table::{self, CampaignRow};
use super::{Move, State, audience, operate};
use crate::provider::ProviderError;
use crate::sends::{Called, Intent, Outcome, SettleSend, call, doubt_earlier, record};
use crate::{SENDS, Services};

/// How long one pump works.
const SLICE: Duration = Duration::from_secs(10);
/// A longer wait is the next pump's.
const SHORT_WAIT: TimeDelta = TimeDelta::seconds(3);
/// Requests under way.
const MOST_CALLS: usize = 64;
/// At the end, requests take their time-out and no longer.
const TAIL: Duration = Duration::from_secs(50);

/// Carries a campaign out for some seconds.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PumpCampaign {
    pub campaign: i64,
    /// Whose pump it is: a campaign that was moved since has another.
    pub generation: i32,
}

impl Job for PumpCampaign {
    type Services = Services;
    const NAME: &'static str = "campaign.pump";
    const QUEUE: Queue = SENDS;
    const RETRY: Retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(60)).attempts(1_000);
    const TIMEOUT: Duration = SLICE.saturating_add(TAIL);

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let mut tx = cx.services().db.write().await?;
        let doubted = doubt_earlier(&mut tx, self.campaign, cx.task(), cx.now()).await?;
        let begun = self.begin(&mut tx, cx).await?;
        tx.commit().await?;
        let mut turn = Turn {
            unsettled: doubted,
            complete: false,
            frozen: begun.as_ref().is_some_and(|row| row.frozen_at.is_some()),
            ended: begun.is_none(),
            next: cx.now(),
            judged_at: None,
            late_joiners: begun.as_ref().is_some_and(|row| row.plan.0.late_joiners),
            senders: begun.map(|row| row.plan.0.senders).unwrap_or_default(),
            held: None,
            trouble: None,
        };
        if !turn.ended {
            self.work(cx, &mut turn).await;
        }
        self.end(cx, turn).await
    }
}

/// What one pump has come to.
struct Turn {
    /// Texts that may have been sent.
    unsettled: Vec<SettleSend>,
    /// All recipients are written down.
    frozen: bool,
    /// They are since this pump.
    complete: bool,
    /// No pump follows.
    ended: bool,
    next: DateTime<Utc>,
    /// When the breaker last looked at the latest texts of the campaign and its numbers.
    judged_at: Option<DateTime<Utc>>,
    senders: Vec<String>,
    /// People can join while nobody's turn has come.
    late_joiners: bool,
    /// Why the campaign is to be paused.
    held: Option<String>,
    trouble: Option<Failure>,
}

impl PumpCampaign {
    /// The campaign, if there is something to do. One that was scheduled begins now.
    async fn begin(&self, tx: &mut Session, cx: &Context<Services>) -> Result<Option<CampaignRow>, Failure> {
        let row = table::lock(tx, self.campaign).await?;
        let Some(row) = row.filter(|row| row.generation == self.generation) else { return Ok(None) };
        match row.state {
            State::Running => {}
            State::Scheduled => operate::start_scheduled(tx, &row, cx.now()).await?,
            _ => return Ok(None),
        }
        Ok(Some(row))
    }

    /// Sends until its time is over, there is nothing to do for a while, or something is wrong. Requests that are under
    /// way are always waited for.
    async fn work(&self, cx: &Context<Services>, turn: &mut Turn) {
        let started = Instant::now();
        let mut calls = FuturesUnordered::new();
        loop {
            let goes_on = !turn.ended
                && turn.held.is_none()
                && turn.trouble.is_none()
                && started.elapsed() < SLICE
                && !cx.cancelled().is_cancelled();
            if goes_on && turn.next <= cx.now() && calls.len() < MOST_CALLS {
                match self.look(cx, turn).await {
                    Ok(intents) => {
                        let committed = Instant::now();
                        if let Ok(client) = cx.services().provider.client() {
                            calls.extend(
                                intents.into_iter().map(|intent| call(client, intent, committed, cx.now())),
                            );
                        }
                        if !calls.is_empty() {
                            crash_point!("send.after_intent");
                        }
                    }
                    Err(failure) => turn.trouble = Some(failure),
                }
                continue;
            }
            let waits = goes_on && turn.next - cx.now() < SHORT_WAIT;
            if calls.is_empty() && !waits {
                return;
            }
            tokio::select! {
                Some(called) = calls.next(), if !calls.is_empty() => self.hear(cx, turn, called).await,
                waited = cx.wait_until(turn.next), if waits && (calls.len() < MOST_CALLS) => {
                    // A clock that is moved by hand moves for nobody who waits.
                    if !waited {
                        let Some(called) = calls.next().await else { return };
                        self.hear(cx, turn, called).await;
                    }
                }
            }
        }
    }

    /// Takes one look, and answers what to send.
    async fn look(&self, cx: &Context<Services>, turn: &mut Turn) -> Result<Vec<Intent>, Failure> {
        if !cx.services().provider.is_configured() {
            turn.held = Some(ProviderError::NoKey.to_string());
            return Ok(Vec::new());
        }
        if !turn.frozen {
            turn.frozen = audience::freeze(cx, self.campaign, self.generation).await?;
            if !turn.frozen {
                return Ok(Vec::new());
            }
            turn.complete = true;
        }
        let now = cx.now();
        if turn.judged_at.is_none_or(|at| now - at >= JUDGE_EVERY) {
            turn.judged_at = Some(now);
            turn.ended = breaker::watch(cx, self.campaign, self.generation, &turn.senders).await?;
            if turn.ended {
                return Ok(Vec::new());
            }
        }
        match admit(cx, self.campaign, self.generation).await? {
            Admitted::Texts { intents, next } => {
                turn.next = next;
                return Ok(intents);
            }
            Admitted::NotOurs => turn.ended = true,
            Admitted::Hold(reason) => turn.held = Some(reason),
            Admitted::Finished => {
                self.move_by_itself(cx, Move::Complete, None).await?;
                turn.ended = true;
            }
        }
        Ok(Vec::new())
    }

    async fn hear(&self, cx: &Context<Services>, turn: &mut Turn, called: Called) {
        if let Err(failure) = self.told(cx, turn, called).await {
            turn.trouble.get_or_insert(failure);
        }
    }

    /// Writes down what became of one text.
    async fn told(&self, cx: &Context<Services>, turn: &mut Turn, called: Called) -> Result<(), Failure> {
        crash_point!("send.before_outcome");
        let services = cx.services();
        let mut tx = services.db.write().await?;
        record(&mut tx, &called, cx.now()).await?;
        tx.commit().await?;
        crash_point!("send.after_outcome");
        let outcome = match &called.outcome {
            Outcome::Accepted(_) => "accepted",
            Outcome::Refused { .. } => "refused",
            Outcome::NotSent { error, .. } => {
                if let Some(error) = error {
                    let until = services.provider.heed(error, called.asked_at, cx.now()).await?;
                    turn.next = turn.next.max(until);
                }
                "not_sent"
            }
            Outcome::Stopped { code, reason } => {
                let intent = &called.intent;
                match Fault::of_answer(reason, code.as_deref(), &intent.sender, intent.id) {
                    Some(fault) => {
                        turn.ended |= breaker::trip(cx, self.campaign, self.generation, &fault).await?;
                    }
                    None => turn.held = Some((*reason).to_owned()),
                }
                "stopped"
            }
            Outcome::Unknown { .. } => {
                turn.unsettled.push(SettleSend { send: called.intent.id });
                "unknown"
            }
        };
        services.campaigns.metrics.outcomes.with_label_values(&[outcome]).inc();
        Ok(())
    }

    async fn end(&self, cx: &Context<Services>, turn: Turn) -> Result<Done, Failure> {
        if let Some(reason) = &turn.held {
            self.move_by_itself(cx, Move::Pause, Some(reason)).await?;
        }
        if let Some(trouble) = turn.trouble {
            return Err(trouble);
        }
        let mut done = Done::new();
        for settle in &turn.unsettled {
            done = done.then(cx.follow_up(settle)?);
        }
        if turn.complete {
            done = done.then(cx.follow_up(&PlanCampaign { campaign: self.campaign })?);
        }
        if turn.ended || turn.held.is_some() {
            return Ok(done);
        }
        let next = Self { campaign: self.campaign, generation: self.generation };
        let latest = if turn.late_joiners { cx.now() + JOIN_EVERY } else { turn.next };
        Ok(done.then(cx.follow_up(&next)?.at(turn.next.min(latest).max(cx.now()))))
    }

    /// A move that the program makes, if the campaign is still this pump's.
    async fn move_by_itself(
        &self,
        cx: &Context<Services>,
        to: Move,
        reason: Option<&str>,
    ) -> Result<(), Failure> {
        let mut tx = cx.services().db.write().await?;
        if operate::move_by_program(&mut tx, self.campaign, self.generation, to, reason, cx.now()).await? {
            tx.commit().await?;
            if to == Move::Pause {
                cx.services().campaigns.metrics.held.inc();
                tracing::warn!(
                    campaign = self.campaign,
                    reason,
                    "a campaign is held; see `trunkline campaigns show`"
                );
            }
        }
        Ok(())
    }
}
