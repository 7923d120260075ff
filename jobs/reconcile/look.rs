//! Asking for one page, and comparing what it lists with what is kept.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use trunkline_openphone::client::{
    ApiError, CallQuery, Client, ConversationQuery, MessageQuery, Page as Listed,
};
use trunkline_openphone::event::{ProcessingStatus, RecordingStatus, Retold, Setting};
use trunkline_platform::job::{Context, Failure, FailureKind};

use super::kind::Kind;
use super::pages::{Follows, NewPage, Page};
use super::runs::{Run, Tally};
use crate::provider::Share;
use crate::{Services, calls, messages};

/// How far back a number is looked at for the first time.
const FIRST: TimeDelta = TimeDelta::days(7);
/// So often a token is waited for here.
const MOST_WAITS: u32 = 10;
/// The provider's largest page.
const PAGE_SIZE: u8 = 100;
/// In one thread, by the provider's API.
const MOST_OTHERS: usize = 10;
/// What the provider gives after a time does not include that time.
pub(super) const JUST_BEFORE: TimeDelta = TimeDelta::milliseconds(1);

trunkline_platform::statements! {
    /// Of numbers and, under their ids, of webhooks' logs.
    LOAD_MARKS = same {
        "SELECT phone_number_id, seen_to FROM reconcile_marks WHERE seen_to IS NOT NULL
         ORDER BY phone_number_id LIMIT 10000"
    }
}

/// What one page came to.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) follows: Follows,
    /// What it told to ask for.
    pub(super) pages: Vec<NewPage>,
    /// What is missing.
    pub(super) tell: Vec<Told>,
    /// The numbers and webhooks that will have been looked at.
    pub(super) marked: Vec<String>,
    pub(super) tallies: BTreeMap<Kind, Tally>,
}

/// The body of an event that nobody told us.
#[derive(Debug)]
pub(super) struct Told {
    /// Of the delivery that did not come, where there is one: should it come after all, it is the same.
    pub(super) delivery_id: Option<String>,
    pub(super) body: String,
}

impl From<Retold> for Told {
    fn from(retold: Retold) -> Self {
        Self { delivery_id: None, body: retold.body() }
    }
}

impl Looked {
    pub(super) fn tally(&mut self, kind: Kind) -> &mut Tally {
        self.tallies.entry(kind).or_default()
    }

    fn found(&mut self, kind: Kind, found: usize, missing: Vec<Retold>) {
        let tally = self.tally(kind);
        tally.found += found;
        tally.missing += missing.len();
        self.tell.extend(missing.into_iter().map(Told::from));
    }

    /// Where the list goes on.
    pub(super) fn follow<T>(&mut self, listed: Listed<T>) -> Vec<T> {
        self.follows = listed.next_page_token.map_or(Follows::Nothing, Follows::Token);
        listed.items
    }
}

#[derive(Debug, Error)]
enum LookError {
    #[error("the provider has no number {0} in this workspace: give its id (PN…) or the number in E.164")]
    NoSuchNumber(String),
    #[error("the provider lost its place in a list twice")]
    LostPlace(#[source] ApiError),
}

#[derive(sqlx::FromRow)]
struct Mark {
    phone_number_id: String,
    seen_to: DateTime<Utc>,
}

/// Up to when each was looked at, by the provider's ids.
type Marks = HashMap<String, DateTime<Utc>>;

/// Asks for a page and compares it.
pub(super) async fn look(cx: &Context<Services>, run: &Run, page: &Page) -> Result<Looked, Failure> {
    let mut looked = Looked::default();
    let looking = Look { cx, run, page, setting: page.setting() };
    match page.kind {
        Kind::Webhooks => looking.webhooks(&mut looked).await?,
        Kind::Log => looking.log(&mut looked).await?,
        Kind::Deliveries => looking.delivery(&mut looked).await?,
        Kind::Numbers => looking.numbers(&mut looked).await?,
        Kind::Conversations => looking.conversations(&mut looked).await?,
        Kind::Messages => looking.messages(&mut looked).await?,
        Kind::Calls => looking.calls(&mut looked).await?,
        Kind::Recordings => looking.recordings(&mut looked).await?,
        Kind::Voicemails => looking.voicemails(&mut looked).await?,
        Kind::Summaries => looking.summaries(&mut looked).await?,
        Kind::Transcripts => looking.transcripts(&mut looked).await?,
    }
    Ok(looked)
}

pub(super) struct Look<'l> {
    pub(super) cx: &'l Context<Services>,
    pub(super) run: &'l Run,
    pub(super) page: &'l Page,
    setting: Setting,
}

impl<'l> Look<'l> {
    async fn numbers(&self, looked: &mut Looked) -> Result<(), Failure> {
        let Some(numbers) = self.ask(looked, |client| client.list_phone_numbers()).await? else {
            return Ok(());
        };
        let marks = self.marks().await?;
        let wanted = self.run.number.as_deref();
        for number in numbers {
            if wanted.is_some_and(|wanted| wanted != number.id && wanted != number.number) {
                continue;
            }
            let since = self.since(&marks, &number.id);
            looked.marked.push(number.id.clone());
            let setting = Setting {
                phone_number_id: number.id,
                number: number.number,
                conversation_id: String::new(),
                others: Vec::new(),
            };
            looked.pages.push(NewPage {
                setting: Some(setting),
                since: Some(since),
                ..NewPage::of(Kind::Conversations)
            });
        }
        looked.tally(Kind::Numbers).found += looked.marked.len();
        match wanted {
            Some(wanted) if looked.marked.is_empty() => {
                Err(Failure::permanent(LookError::NoSuchNumber(wanted.to_owned())))
            }
            _ => Ok(()),
        }
    }

    /// The newest first, so a conversation that moves to the front meanwhile is at most seen twice.
    async fn conversations(&self, looked: &mut Looked) -> Result<(), Failure> {
        let query = &ConversationQuery {
            phone_number_id: self.setting.phone_number_id.clone(),
            updated_after: Some(self.page.since() - JUST_BEFORE),
            max_results: PAGE_SIZE,
            page_token: self.page.token(),
        };
        let Some(listed) = self.ask(looked, |client| client.list_conversations(query)).await? else {
            return Ok(());
        };
        for conversation in looked.follow(listed) {
            looked.tally(Kind::Conversations).found += 1;
            let others = conversation.participants;
            let setting = Setting { conversation_id: conversation.id, others, ..self.setting.clone() };
            let page = |kind| NewPage {
                setting: Some(setting.clone()),
                since: Some(self.page.since()),
                ..NewPage::of(kind)
            };
            if (1..=MOST_OTHERS).contains(&setting.others.len()) {
                looked.pages.push(page(Kind::Messages));
            }
            if setting.others.len() == 1 {
                looked.pages.push(page(Kind::Calls));
            }
        }
        Ok(())
    }

    async fn messages(&self, looked: &mut Looked) -> Result<(), Failure> {
        let query = &MessageQuery {
            participants: self.setting.others.clone(),
            created_after: Some(self.page.since() - JUST_BEFORE),
            created_before: Some(self.run.to_at),
            page_token: self.page.token(),
            ..MessageQuery::with(&self.setting.phone_number_id, "")
        };
        let Some(listed) = self.ask(looked, |client| client.list_messages(query)).await? else {
            return Ok(());
        };
        let listed = looked.follow(listed);
        let missing = messages::missing(&mut self.cx.services().db.read().await?, &listed).await?;
        let at = self.run.to_at;
        let missing = missing.into_iter().map(|message| Retold::message(message, &self.setting, at));
        looked.found(Kind::Messages, listed.len(), missing.collect());
        Ok(())
    }

    /// The calls that are over, and what may have been made of each.
    async fn calls(&self, looked: &mut Looked) -> Result<(), Failure> {
        let other = self.setting.others.first().map_or("", String::as_str);
        let query = &CallQuery {
            created_after: Some(self.page.since() - JUST_BEFORE),
            created_before: Some(self.run.to_at),
            page_token: self.page.token(),
            ..CallQuery::with(&self.setting.phone_number_id, other)
        };
        let Some(listed) = self.ask(looked, |client| client.list_calls(query)).await? else {
            return Ok(());
        };
        let listed = looked.follow(listed);
        let compared = calls::compare(&mut self.cx.services().db.read().await?, &listed).await?;
        let mut missing = Vec::new();
        for compared in &compared {
            let call = compared.call;
            let at = call.completed_at.or(call.updated_at).unwrap_or(self.run.to_at);
            if compared.missing {
                missing.push(Retold::call(call, &self.setting, at));
            }
            let page = |kind| NewPage {
                setting: Some(self.setting.clone()),
                call: Some((call.id.clone(), at)),
                ..NewPage::of(kind)
            };
            if compared.was_answered() {
                // A webhook may have told of one recording and not of the next.
                looked.pages.push(page(Kind::Recordings));
            }
            for (kind, may_be, is_kept) in [
                (Kind::Voicemails, compared.may_have_voicemail(), compared.voicemail),
                (Kind::Summaries, compared.was_answered(), compared.summarised),
                (Kind::Transcripts, compared.was_answered(), compared.transcribed),
            ] {
                if is_kept {
                    looked.tally(kind).found += 1;
                } else if may_be {
                    looked.pages.push(page(kind));
                }
            }
        }
        looked.found(Kind::Calls, compared.len(), missing);
        Ok(())
    }

    async fn recordings(&self, looked: &mut Looked) -> Result<(), Failure> {
        let call = self.page.call_id();
        let Some(mut recordings) = self.ask(looked, |client| client.call_recordings(call)).await? else {
            return Ok(());
        };
        let is_there = |status: &Option<RecordingStatus>| {
            status.as_ref().is_none_or(|status| *status == RecordingStatus::Completed)
        };
        recordings.retain(|recording| is_there(&recording.status));
        let mut session = self.cx.services().db.read().await?;
        let lacking = calls::lacks_recording(&mut session, call, &recordings).await?;
        let told = lacking.then(|| Retold::recordings(call, &recordings, &self.setting, self.at()));
        looked.found(Kind::Recordings, recordings.len(), told.into_iter().collect());
        Ok(())
    }

    async fn voicemails(&self, looked: &mut Looked) -> Result<(), Failure> {
        let call = self.page.call_id();
        let Some(voicemail) = self.ask(looked, |client| client.call_voicemail(call)).await? else {
            return Ok(());
        };
        if voicemail.status != ProcessingStatus::Completed {
            return Ok(());
        }
        let mut session = self.cx.services().db.read().await?;
        let lacking = !calls::has_voicemail(&mut session, &voicemail).await?;
        let told = lacking.then(|| Retold::voicemail(&voicemail, &self.setting, self.at()));
        looked.found(Kind::Voicemails, 1, told.into_iter().collect());
        Ok(())
    }

    async fn summaries(&self, looked: &mut Looked) -> Result<(), Failure> {
        let call = self.page.call_id();
        let summary = self.ask(looked, |client| client.call_summary(call)).await?;
        if let Some(summary) = summary.filter(|summary| summary.status == ProcessingStatus::Completed) {
            looked.found(Kind::Summaries, 1, vec![Retold::summary(&summary, &self.setting, self.at())]);
        }
        Ok(())
    }

    async fn transcripts(&self, looked: &mut Looked) -> Result<(), Failure> {
        let call = self.page.call_id();
        let transcript = self.ask(looked, |client| client.call_transcript(call)).await?;
        if let Some(transcript) = transcript.filter(|found| found.status == ProcessingStatus::Completed) {
            let told = Retold::transcript(&transcript, &self.setting, self.at());
            looked.found(Kind::Transcripts, 1, vec![told]);
        }
        Ok(())
    }

    /// Up to when numbers and webhooks were looked at.
    pub(super) async fn marks(&self) -> Result<Marks, Failure> {
        let marks: Vec<Mark> = LOAD_MARKS.query().all(&mut self.cx.services().db.read().await?).await?;
        Ok(marks.into_iter().map(|mark| (mark.phone_number_id, mark.seen_to)).collect())
    }

    /// Where to begin to look.
    pub(super) fn since(&self, marks: &Marks, id: &str) -> DateTime<Utc> {
        let overlap = TimeDelta::minutes(self.run.overlap_minutes.into());
        let marked = || marks.get(id).map_or(self.run.to_at - FIRST, |seen_to| *seen_to - overlap);
        self.run.from_at.unwrap_or_else(marked)
    }

    /// When the call was over.
    fn at(&self) -> DateTime<Utc> {
        self.page.at.unwrap_or(self.run.to_at)
    }

    /// Asks, within our share of the rate. Nothing: there is nothing, or the provider does not let us see it.
    pub(super) async fn ask<T, F>(
        &self,
        looked: &mut Looked,
        question: impl Fn(&'l Client) -> F + Send + Sync,
    ) -> Result<Option<T>, Failure>
    where
        F: Future<Output = Result<T, ApiError>> + Send,
    {
        let cx = self.cx;
        let mut waits = 0;
        let answer = loop {
            match cx.services().provider.ask(cx, Share::Repair, &question).await {
                Err(Failure { kind: FailureKind::Snooze(until), error }) => {
                    waits += 1;
                    if waits > MOST_WAITS || !cx.wait_shortly(until).await {
                        return Err(Failure { kind: FailureKind::Snooze(until), error });
                    }
                }
                answer => break answer?,
            }
        };
        looked.tally(self.page.kind).requests += 1;
        let begun = !self.page.page_token.is_empty();
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) if error.is_retryable() => Err(error.into()),
            Err(error @ ApiError::Invalid(_)) if begun && self.page.restarts > 0 => {
                Err(Failure::permanent(LookError::LostPlace(error)))
            }
            Err(ApiError::Invalid(_)) if begun => {
                looked.follows = Follows::Itself;
                Ok(None)
            }
            Err(error @ (ApiError::Invalid(_) | ApiError::Forbidden(_) | ApiError::PaymentRequired(_)))
                if !matches!(self.page.kind, Kind::Numbers | Kind::Conversations) =>
            {
                let error = trunkline_platform::chain(&error);
                tracing::warn!(run = self.run.id, kind = %self.page.kind, error, "the provider does not let us look");
                looked.tally(self.page.kind).refused += 1;
                Ok(None)
            }
            Err(error) => Err(Failure::permanent(error)),
        }
    }
}
