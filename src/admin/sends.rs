//! The ledger of texts: what was sent, what became of it, and those of which nobody can tell.

#![expect(clippy::too_many_arguments, reason = "an argument is a parameter of the operation")]

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Any;
use poem_openapi::{Enum, Object, OpenApi};
use serde_json::Value;
use trunkline_jobs::campaigns::recipients_of;
use trunkline_jobs::sends::{self, Resolution, ResolveError, SendFilter, SendRow, SendState};

use super::campaigns::recipients::Recipient;
use super::granted::{Granted, Operate, Read, View};
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag, people};

/// Campaigns and texts that are told of one number.
const MOST_TOLD: u32 = 100;

pub(super) struct SendsApi(pub(super) Desk);

/// How far a text is known to have come
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "SendState", remote = "SendState", rename_all = "snake_case")]
pub(super) enum State {
    Waiting,
    Intended,
    Accepted,
    Refused,
    Unknown,
    /// Nobody can tell whether it was sent: a person decides
    Unresolved,
    Sent,
    Delivered,
    Failed,
    Undelivered,
}

/// A text
#[derive(Debug, Object)]
pub(super) struct Text {
    id: i64,
    /// `campaign`, `reply`, `optout_confirmation` or `help_answer`
    kind: String,
    campaign: Option<i64>,
    /// Which of the campaign's texts
    text: Option<String>,
    number: String,
    /// Our number, by the provider's id
    sender: String,
    words: String,
    segments: i64,
    state: State,
    /// Since when
    state_at: DateTime<Utc>,
    reason: Option<String>,
    /// The carrier's or the provider's
    error_code: Option<String>,
    provider_id: Option<String>,
    tries: i32,
    /// How often the provider was asked what became of it
    lookups: i32,
    /// What was seen then
    evidence: Option<Any<Value>>,
    task: Option<i64>,
    cause: String,
    correlation_id: Option<String>,
    created_at: DateTime<Utc>,
    /// When it was committed to, before the provider was asked
    intended_at: Option<DateTime<Utc>>,
}

/// All that is known of the texts to one number
#[derive(Debug, Object)]
struct TextsToNumber {
    number: String,
    /// The campaigns it is in, the newest first, with why it waits or got nothing
    campaigns: Vec<Recipient>,
    /// The newest first
    texts: Vec<Text>,
}

/// What a person makes of a text nobody could tell of
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "SendVerdict", remote = "Resolution", rename_all = "snake_case")]
enum Verdict {
    /// It was sent
    Sent,
    /// It was not, and shall not be
    GiveUp,
}

/// A decision about a text nobody could tell of
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct SendResolve {
    verdict: Verdict,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

#[OpenApi(tag = "Tag::Sends")]
impl SendsApi {
    /// List texts
    ///
    /// The newest first. Those with the state `unresolved` wait for a person: `resolve_send`. Numbers and texts are masked;
    /// `unmask` takes the scope `pii` and is in the audit.
    #[oai(path = "/sends", method = "get", operation_id = "list_sends")]
    async fn list(
        &self,
        by: Granted<Read>,
        /// To whom: `+12125550101`
        number: Query<Option<String>>,
        campaign: Query<Option<i64>>,
        state: Query<Option<State>>,
        #[oai(default)] unmask: Query<bool>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Text>> {
        if number.0.is_some() && campaign.0.is_some() {
            return Err(Problem::invalid(
                "say either number or campaign: a person has one text of a campaign",
            ));
        }
        let number = number.0.as_deref().map(|told| people::number(told, self.0.country)).transpose()?;
        let state = state.0.map(SendState::from);
        let listing = Listing::of("sends", &(&number, campaign.0, state));
        let before = listing.after(cursor.0.as_deref())?;
        let view = by.view(unmask.0, "sends").await?;
        let filter = SendFilter { number, campaign: campaign.0, state, before, limit: limit.0 + 1 };
        let rows = sends::list(self.0.tasks.db(), &filter).await?;
        Ok(listing.page(rows, limit.0, |row| row.id, |row| Text::of(row, view)))
    }

    /// Tell all about the texts to one number
    ///
    /// "Why did she not get it?" The latest hundred campaigns it is in, and the latest hundred texts. Numbers and texts are masked;
    /// `unmask` takes the scope `pii` and is in the audit.
    #[oai(path = "/sends/explain", method = "get", operation_id = "explain_number")]
    async fn explain(
        &self,
        by: Granted<Read>,
        /// `+12125550101`
        number: Query<String>,
        #[oai(default)] unmask: Query<bool>,
    ) -> Answer<TextsToNumber> {
        let number = people::number(&number, self.0.country)?;
        let view = by.view(unmask.0, &format!("number:{number}")).await?;
        let db = self.0.tasks.db();
        let campaigns = recipients_of(db, &number, MOST_TOLD).await?;
        let filter = SendFilter { number: Some(number.clone()), limit: MOST_TOLD, ..SendFilter::default() };
        let texts = sends::list(db, &filter).await?;
        Ok(Json(TextsToNumber {
            number: view.number(&number),
            campaigns: campaigns.into_iter().map(|row| Recipient::of(row, view)).collect(),
            texts: texts.into_iter().map(|row| Text::of(row, view)).collect(),
        }))
    }

    /// Show a text
    ///
    /// With what was seen of it. Number and words are masked; `unmask` takes the scope `pii` and is in the audit.
    #[oai(path = "/sends/:id", method = "get", operation_id = "show_send")]
    async fn show(
        &self,
        by: Granted<Read>,
        id: Path<i64>,
        #[oai(default)] unmask: Query<bool>,
    ) -> Answer<Text> {
        let row = self.found(id.0).await?;
        let view = by.view(unmask.0, &format!("send:{}", id.0)).await?;
        Ok(Json(Text::of(row, view)))
    }

    /// Decide about a text nobody can tell of
    ///
    /// Look at the conversation first. Only one that is `unresolved`: of others the program finds out by itself.
    #[oai(path = "/sends/:id/resolve", method = "post", operation_id = "resolve_send")]
    async fn resolve(&self, by: Granted<Operate>, id: Path<i64>, body: Json<SendResolve>) -> Answer<Text> {
        let Json(SendResolve { verdict, reason }) = body;
        let row = self.found(id.0).await?;
        let (actor, now) = (by.actor(reason), self.0.tasks.clock().now());
        let mut tx = self.0.tasks.begin().await?;
        match sends::resolve(tx.session(), row.id, verdict.into(), &actor, now).await {
            Ok(()) => tx.commit().await?,
            Err(ResolveError::Database(error)) => return Err(error.into()),
            Err(ResolveError::NotUnresolved(id)) => {
                return Err(Problem::conflict(format!(
                    "text {id} is {}: it waits for nobody's decision",
                    row.state
                )));
            }
        }
        let view = by.view(false, "sends").await?;
        Ok(Json(Text::of(self.found(id.0).await?, view)))
    }
}

impl SendsApi {
    async fn found(&self, id: i64) -> Result<SendRow, Problem> {
        let row = sends::show(self.0.tasks.db(), id).await?;
        row.ok_or_else(|| Problem::not_found(format!("text {id}")))
    }
}

impl Text {
    pub(super) fn of(row: SendRow, view: View) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            campaign: row.campaign_id,
            text: row.variant,
            number: view.number(&row.number),
            sender: row.sender,
            words: view.said(&row.body),
            segments: row.segments,
            state: row.state.into(),
            state_at: row.state_at,
            reason: view.maybe(row.reason.as_deref()),
            error_code: row.error_code,
            provider_id: row.provider_id,
            tries: row.tries,
            lookups: row.lookups,
            evidence: row.evidence.map(|seen| Any(view.json(&seen))),
            task: row.task_id,
            cause: view.line(&row.cause),
            correlation_id: row.correlation_id,
            created_at: row.created_at,
            intended_at: row.intended_at,
        }
    }
}
