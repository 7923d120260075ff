//! Those a campaign goes to: one by one with what became of each, and all of them as a file.

#![expect(clippy::too_many_arguments, reason = "an argument is a parameter of the operation")]

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use trunkline_jobs::campaigns::report::{self, ExportedRow, Part};
use trunkline_jobs::campaigns::{self as jobs, RecipientFilter, RecipientRow};
use trunkline_jobs::contacts::{optout, people};
use trunkline_jobs::export::Format;
use trunkline_jobs::sends::{self, SendState};

use super::super::download::{Chunk, Download, FileFormat};
use super::super::granted::{Granted, Read, View};
use super::super::opt_outs::OptOut;
use super::super::page::{Listing, Page, usual};
use super::super::problem::Problem;
use super::super::sends::{State, Text};
use super::super::{Answer, Desk, Tag};
use super::found;

/// Recipients of one piece of a file.
const CHUNK: u64 = 1_000;

pub(in crate::admin) struct RecipientsApi(pub(in crate::admin) Desk);

/// One person in one campaign
#[derive(Debug, Object)]
pub(in crate::admin) struct Recipient {
    campaign: i64,
    /// The campaign's name
    campaign_name: String,
    /// Their place in the order of turns, by which `show_recipient` knows them
    position: i64,
    number: String,
    /// The text that was drawn for them, or `holdout`
    drawn: String,
    /// `waiting`, `refused`, or the state of their text
    state: String,
    /// Why they wait, got nothing, or why it failed: the carrier's code, or ours
    reason: Option<String>,
    /// When they are looked at again, if they wait
    #[oai(skip_serializing_if_is_none)]
    due_at: Option<DateTime<Utc>>,
    /// Their text: `show_send`
    send: Option<i64>,
    /// Since when the text is in its state
    state_at: Option<DateTime<Utc>>,
}

/// One person in one campaign, with all that decided about them
#[derive(Debug, Object)]
struct RecipientInFull {
    recipient: Recipient,
    /// Their text with its evidence, once there is one
    #[oai(skip_serializing_if_is_none)]
    send: Option<Text>,
    /// Whether the number may be texted, as far as anybody ever spoke of it
    #[oai(skip_serializing_if_is_none)]
    opt_out: Option<OptOut>,
    /// The flag by which campaigns leave this person out
    #[oai(skip_serializing_if_is_none)]
    kept_out: Option<String>,
    /// They are among the contacts
    on_record: bool,
}

#[OpenApi(tag = "Tag::Campaigns")]
impl RecipientsApi {
    /// List a campaign's recipients
    ///
    /// In the order of their turns. `state` and `reason` are those that `show_campaign` counts. A page looks through 50,000
    /// places: it can be short, or empty, and not the last. Numbers are masked; `unmask` takes the scope `pii` and is in the audit.
    #[oai(path = "/campaigns/:id/recipients", method = "get", operation_id = "list_recipients")]
    async fn list(
        &self,
        by: Granted<Read>,
        id: Path<i64>,
        /// They wait, got nothing, or how far their text is known to have come
        state: Query<Option<State>>,
        /// `quiet_hours`, `opted_out`, `30007`
        reason: Query<Option<String>>,
        #[oai(default)] unmask: Query<bool>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Recipient>> {
        let state = state.0.map(|state| SendState::from(state).as_str());
        let listing = Listing::of("recipients", &(id.0, state, &reason.0));
        let after = listing.after(cursor.0.as_deref())?.unwrap_or_default();
        let campaign = found(&self.0, id.0).await?;
        let view = by.view(unmask.0, &format!("campaign:{}", id.0)).await?;
        let filter =
            RecipientFilter { outcome: state.map(str::to_owned), why: reason.0, after, limit: limit.0 };
        let page = jobs::recipients(self.0.tasks.db(), &campaign, &filter).await?;
        let rows = page.rows.into_iter().map(|row| Recipient::of(row, view)).collect();
        Ok(listing.page_until(rows, page.next))
    }

    /// Explain what became of a recipient
    ///
    /// "Why did she not get it?" Numbers and texts are masked; `unmask` takes the scope `pii` and is in the audit.
    #[oai(path = "/campaigns/:id/recipients/:position", method = "get", operation_id = "show_recipient")]
    async fn show(
        &self,
        by: Granted<Read>,
        id: Path<i64>,
        /// Their place in the campaign
        position: Path<i64>,
        #[oai(default)] unmask: Query<bool>,
    ) -> Answer<RecipientInFull> {
        let db = self.0.tasks.db();
        let row = jobs::recipient(db, id.0, position.0).await?;
        let row = row.ok_or_else(|| {
            Problem::not_found(format!("recipient at place {} of campaign {}", position.0, id.0))
        })?;
        let view = by.view(unmask.0, &format!("campaign:{}:{}", id.0, position.0)).await?;
        let send = match row.send_id {
            Some(send) => sends::show(db, send).await?,
            None => None,
        };
        let opt_out = optout::show(db, &row.number).await?;
        let person = people::find(&mut db.read().await?, [row.number.as_str()]).await?.pop();
        Ok(Json(RecipientInFull {
            recipient: Recipient::of(row, view),
            send: send.map(|row| Text::of(row, view)),
            opt_out: opt_out.map(|row| OptOut::of(row, view)),
            kept_out: person.as_ref().and_then(people::Person::kept_out).map(str::to_owned),
            on_record: person.is_some(),
        }))
    }

    /// Export a campaign's recipients
    ///
    /// Every one with what became of them, in the order of turns. A file that was cut off goes on `after` the last whole line's
    /// place. It is in the audit. Numbers are masked; `unmask` takes the scope `pii`.
    #[oai(path = "/campaigns/:id/export", method = "get", operation_id = "export_campaign")]
    async fn export(
        &self,
        by: Granted<Read>,
        id: Path<i64>,
        #[oai(default)] format: Query<FileFormat>,
        /// Only those behind this place
        #[oai(default, validator(minimum(value = "0")))]
        after: Query<i64>,
        /// At most so many; otherwise all
        #[oai(validator(minimum(value = "1")))]
        limit: Query<Option<u64>>,
        #[oai(default)] unmask: Query<bool>,
        /// Why, for the audit
        #[oai(validator(max_length = 1000))]
        reason: Query<Option<String>>,
    ) -> Result<Download, Problem> {
        let campaign = found(&self.0, id.0).await?;
        let view = by.view(unmask.0, &format!("campaign:{}", id.0)).await?;
        let (db, part) = (self.0.tasks.db(), Part { after: after.0, limit: limit.0 });
        let (actor, now) = (by.actor(reason.0), self.0.tasks.clock().now());
        report::note_export(db, campaign.id, part, unmask.0, &actor, now).await?;
        let (db, format) = (db.clone(), Format::from(format.0));
        let next = move |part: Part| {
            let db = db.clone();
            async move {
                let limit = part.limit.map_or(CHUNK, |left| left.min(CHUNK));
                let shown = |row: ExportedRow| ExportedRow { number: view.number(&row.number), ..row };
                let (now, mut bytes) = (Part { limit: Some(limit), ..part }, Vec::new());
                let (written, after) =
                    report::export(&db, campaign.id, now, format, shown, &mut bytes).await?;
                let left = part.limit.map(|left| left.saturating_sub(written));
                let next = after.filter(|_| left != Some(0)).map(|after| Part { after, limit: left });
                Ok(Chunk { bytes, next })
            }
        };
        Ok(Download::of(&format!("campaign-{}", id.0), format, part, next))
    }
}

impl Recipient {
    pub(in crate::admin) fn of(row: RecipientRow, view: View) -> Self {
        let (state, reason) = (row.outcome().to_owned(), view.maybe(row.why()));
        Self {
            campaign: row.campaign_id,
            campaign_name: row.campaign,
            position: row.position,
            number: view.number(&row.number),
            drawn: row.variant,
            due_at: Some(row.due_at).filter(|_| state == "waiting"),
            state,
            reason,
            send: row.send_id,
            state_at: row.state_at,
        }
    }
}
