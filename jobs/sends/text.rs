//! Texts to one person: answers, confirmations. Whoever wants one sent writes its row and the task in one transaction.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunkline_platform::crash_point;
use trunkline_platform::db::{DbError, Session, sql_text};
use trunkline_platform::job::{Context, Done, Failure, Job, Priority, Queue, Retry};

use super::read::Kind;
use super::{Called, Id, Intent, Outcome, SendState, SettleSend, body_hash, call, record};
use crate::campaigns::sms;
use crate::contacts::optout;
use crate::provider::Share;
use crate::{SENDS, Services};

trunkline_platform::statements! {
    REQUEST_TEXT = same {
        "INSERT INTO sends (kind, number, sender, body, body_hash, segments, state, tries, lookups, cause,
             correlation_id, created_at, state_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, 0, $7, $8, $9, $9) RETURNING id"
    }
    FIND_TEXT = same {
        "SELECT kind, number, sender, body, state, tries, cause FROM sends WHERE id = $1 AND campaign_id IS NULL"
    }
    /// Only the living attempt of the task may commit to a try.
    INTEND_TEXT = same {
        "UPDATE sends SET state = 'intended', reason = NULL, tries = tries + 1, task_id = $2, attempt = $3, lookups = 0,
             first_looked_at = NULL, intended_at = $4, state_at = $4
         WHERE id = $1 AND state = 'waiting'
           AND EXISTS (SELECT 1 FROM tasks WHERE id = $2 AND attempt = $3 AND state = 'running')
         RETURNING tries"
    }
    REFUSE_TEXT = same {
        "UPDATE sends SET state = 'refused', reason = $2, state_at = $3 WHERE id = $1 AND state = 'waiting'"
    }
    /// An earlier attempt committed to it and told no outcome.
    DOUBT_TEXT = same {
        "UPDATE sends SET state = 'unknown', reason = 'process_ended', state_at = $2
         WHERE id = $1 AND state = 'intended'"
    }
}

/// A text somebody wants sent.
#[derive(Clone, Debug)]
pub struct Text<'t> {
    pub kind: Kind,
    /// E.164.
    pub number: &'t str,
    /// Our number, by the provider's id.
    pub sender: &'t str,
    pub body: &'t str,
    /// `message:AC…`, `operator:ana`. For what answers an entry of the consent ledger: that entry.
    pub cause: String,
    pub correlation_id: Option<&'t str>,
}

#[derive(sqlx::FromRow)]
struct Tries {
    tries: i32,
}

#[derive(sqlx::FromRow)]
struct TextRow {
    kind: String,
    number: String,
    sender: String,
    body: String,
    #[sqlx(try_from = "String")]
    state: SendState,
    tries: i32,
    cause: String,
}

/// Writes a text down that is to be sent; a task [`SendText`] of what it answers belongs into the same transaction, or
/// among the tasks that follow.
pub async fn request(tx: &mut Session, text: &Text<'_>, now: DateTime<Utc>) -> Result<SendText, DbError> {
    let body = sql_text(text.body);
    let id: Id = REQUEST_TEXT
        .bind(text.kind.as_str())
        .bind(text.number)
        .bind(text.sender)
        .bind(body.as_ref())
        .bind(body_hash(&body))
        .bind(sms::segments(&body).count)
        .bind(text.cause.as_str())
        .bind(text.correlation_id)
        .bind(now)
        .one(tx)
        .await?;
    Ok(SendText { send: id.id })
}

/// Sends one text that is not a campaign's, once.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SendText {
    /// Its row in the ledger.
    pub send: i64,
}

impl Job for SendText {
    type Services = Services;
    const NAME: &'static str = "sends.send";
    const QUEUE: Queue = SENDS;
    const PRIORITY: Priority = Priority::URGENT;
    const RETRY: Retry = Retry::exponential(Duration::from_secs(5), Duration::from_secs(300)).attempts(20);

    fn unique_key(&self) -> Option<String> {
        Some(self.send.to_string())
    }

    async fn run(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let Services { db, provider, .. } = cx.services();
        let row: Option<TextRow> = FIND_TEXT.bind(self.send).optional(&mut db.read().await?).await?;
        let Some(row) = row else { return Err(Failure::discard("there is no such text")) };
        match row.state {
            SendState::Waiting => {}
            SendState::Intended => return self.doubt(cx).await,
            _ => return Ok(Done::new()),
        }
        let client = provider.client().map_err(Failure::permanent)?;
        let Some(intent) = self.intend(cx, row).await? else { return Ok(Done::new()) };
        let committed = Instant::now();
        crash_point!("send.after_intent");
        let called = call(client, intent, committed, cx.now()).await;
        crash_point!("send.before_outcome");
        let mut tx = db.write().await?;
        record(&mut tx, &called, cx.now()).await?;
        tx.commit().await?;
        crash_point!("send.after_outcome");
        self.ended(cx, called).await
    }
}

impl SendText {
    /// The gate of a single text: everything is decided in the transaction that commits to it.
    async fn intend(&self, cx: &Context<Services>, row: TextRow) -> Result<Option<Intent>, Failure> {
        let (Services { db, provider, .. }, now) = (cx.services(), cx.now());
        let mut tx = db.write().await?;
        if let Some(reason) = refusal(&mut tx, &row, now).await? {
            REFUSE_TEXT.bind(self.send).bind(reason).bind(now).execute(&mut tx).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let grant = provider.take(&mut tx, Share::Reply, 1, now).await?;
        if grant.granted == 0 {
            return Err(Failure::snooze_until(grant.next, "the provider's rate is used up"));
        }
        let task = cx.task();
        let intend = INTEND_TEXT.bind(self.send).bind(task.id.0).bind(task.token).bind(now);
        let Some(Tries { tries }) = intend.optional(&mut tx).await? else { return Ok(None) };
        crash_point!("send.before_intent");
        tx.commit().await?;
        let TextRow { number, sender, body, .. } = row;
        Ok(Some(Intent { id: self.send, tries, number, sender, body, intended_at: now }))
    }

    async fn doubt(&self, cx: &Context<Services>) -> Result<Done, Failure> {
        let mut tx = cx.services().db.write().await?;
        DOUBT_TEXT.bind(self.send).bind(cx.now()).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(Done::new().then(cx.follow_up(&SettleSend { send: self.send })?))
    }

    async fn ended(&self, cx: &Context<Services>, called: Called) -> Result<Done, Failure> {
        match called.outcome {
            Outcome::Accepted(_) | Outcome::Refused { .. } => Ok(Done::new()),
            Outcome::Unknown { .. } => Ok(Done::new().then(cx.follow_up(&SettleSend { send: self.send })?)),
            Outcome::NotSent { error: Some(error), .. } => {
                let until = cx.services().provider.heed(&error, called.asked_at, cx.now()).await?;
                let wait = (until - cx.now()).to_std().unwrap_or_default();
                Err(Failure::retry_after(error, wait))
            }
            Outcome::NotSent { reason, error: None } => Err(anyhow::Error::msg(reason).into()),
            Outcome::Stopped { reason, .. } => Err(Failure::permanent(anyhow::Error::msg(reason))),
        }
    }
}

/// Why a text must not leave now, on this try as on every other.
async fn refusal(
    tx: &mut Session,
    TextRow { kind, number, cause, tries, .. }: &TextRow,
    now: DateTime<Utc>,
) -> Result<Option<&'static str>, DbError> {
    let (allowed, reason) = if kind == Kind::OptOutConfirmation.as_str() {
        (optout::take_confirmation(tx, number, cause, *tries == 0, now).await?, "not_owed")
    } else if kind == Kind::HelpAnswer.as_str() {
        (optout::may_help(tx, number, cause, now).await?, "not_owed")
    } else {
        (!optout::is_closed(tx, number).await?, "opted_out")
    };
    Ok((!allowed).then_some(reason))
}
