//! The tables of calls: joins of everything told of each.

mod call;
mod recordings;
mod summaries;
mod transcripts;
mod voicemails;

use chrono::{DateTime, Utc};
use trunkline_openphone::event::{
    Call, CallRecordings, CallStatus, Recording, Summary, Transcript, Voicemail,
};
use trunkline_platform::db::Stmt;
use trunkline_platform::job::{Context, Done, Failure};

use self::call::Telling;
pub(crate) use self::recordings::key as recording_key;
use self::voicemails::VoicemailRow;
pub(crate) use self::voicemails::call_of as call_of_voicemail;
use super::status::status_of;
use super::texts_wanted;
use crate::Services;
use crate::conversations::Place;
use crate::events::Told;
use crate::{media, search};

/// Keeps a step in the life of a call, with the recordings and the voicemail told along with it.
pub(super) async fn keep_call(
    cx: &Context<Services>,
    told: Told<Call>,
    implied: CallStatus,
) -> Result<Done, Failure> {
    let call = &told.subject;
    let began = call.created_at.unwrap_or(told.at);
    let status = status_of(call, Some(implied));
    keep_all(cx, call, &call.recordings, status, Some(began), told.at).await
}

/// Keeps the recordings of a call, and what their event tells of the call itself.
pub(super) async fn keep_recordings(
    cx: &Context<Services>,
    told: Told<CallRecordings>,
) -> Result<Done, Failure> {
    let CallRecordings { call, recordings, .. } = &told.subject;
    keep_all(cx, call, recordings, status_of(call, None), call.created_at, told.at).await
}

async fn keep_all(
    cx: &Context<Services>,
    call: &Call,
    recordings: &[Recording],
    status: CallStatus,
    began: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
) -> Result<Done, Failure> {
    let recordings = recordings::keyed(&call.id, recordings);
    let voicemail = call.voicemail.as_ref().map(|item| VoicemailRow::inside_call(&call.id, item));
    let links: Vec<_> =
        recordings::links(&recordings).chain(voicemail.iter().filter_map(VoicemailRow::link)).collect();

    let mut tx = cx.services().db.write().await?;
    Place::of(&call.context, began).keep(&mut tx).await?;
    Telling::of(call, status, at).keep(&mut tx).await?;
    recordings::keep(&mut tx, &call.id, &recordings).await?;
    if let Some(voicemail) = &voicemail {
        voicemail.keep(&mut tx, at).await?;
    }
    search::keep_call(&mut tx, &call.id).await?;
    let waiting = media::keep_links(&mut tx, &links, at, cx.now()).await?;
    tx.commit().await?;
    let done = media::fetch_waiting(cx, &waiting)?;
    let wanted = if recordings.is_empty() { None } else { texts_wanted::want(cx, &call.id)? };
    Ok(wanted.into_iter().fold(done, Done::then))
}

/// Keeps a voicemail, and that its call has one.
pub(super) async fn keep_voicemail(cx: &Context<Services>, told: Told<Voicemail>) -> Result<Done, Failure> {
    let Told { subject: voicemail, at, .. } = &told;
    let row = VoicemailRow::of(voicemail);
    let links: Vec<_> = row.link().into_iter().collect();

    let mut tx = cx.services().db.write().await?;
    Place::of(&voicemail.context, voicemail.created_at).keep(&mut tx).await?;
    if let Some(call_id) = &voicemail.call_id {
        Telling::artefact(call_id, &voicemail.context, *at).with_voicemail().keep(&mut tx).await?;
    }
    row.keep(&mut tx, *at).await?;
    match &voicemail.call_id {
        Some(call_id) => search::keep_call(&mut tx, call_id).await?,
        None => search::keep_voicemail(&mut tx, &voicemail.id).await?,
    }
    let waiting = media::keep_links(&mut tx, &links, *at, cx.now()).await?;
    tx.commit().await?;
    media::fetch_waiting(cx, &waiting)
}

/// Keeps the transcript of a call.
pub(super) async fn keep_transcript(cx: &Context<Services>, told: Told<Transcript>) -> Result<Done, Failure> {
    let Told { subject: transcript, at, .. } = &told;
    let mut tx = cx.services().db.write().await?;
    Place::of(&transcript.context, None).keep(&mut tx).await?;
    Telling::artefact(&transcript.call_id, &transcript.context, *at).keep(&mut tx).await?;
    transcripts::keep(&mut tx, transcript, *at).await?;
    search::keep_call(&mut tx, &transcript.call_id).await?;
    tx.commit().await?;
    Ok(Done::new())
}

/// Keeps the summary of a call.
pub(super) async fn keep_summary(cx: &Context<Services>, told: Told<Summary>) -> Result<Done, Failure> {
    let Told { subject: summary, at, .. } = &told;
    let mut tx = cx.services().db.write().await?;
    Place::of(&summary.context, None).keep(&mut tx).await?;
    let telling = Telling::artefact(&summary.call_id, &summary.context, *at);
    telling.answered_by(summary.answered_by.as_deref()).keep(&mut tx).await?;
    summaries::keep(&mut tx, summary, *at).await?;
    search::keep_call(&mut tx, &summary.call_id).await?;
    tx.commit().await?;
    Ok(Done::new())
}

/// Keeps the transcript of a call that is kept, as the provider has it.
pub(super) async fn keep_asked_transcript(
    cx: &Context<Services>,
    call_id: &str,
    transcript: Transcript,
) -> Result<(), Failure> {
    let transcript = Transcript { call_id: call_id.to_owned(), ..transcript };
    let mut tx = cx.services().db.write().await?;
    transcripts::keep(&mut tx, &transcript, transcript.created_at.unwrap_or_else(|| cx.now())).await?;
    search::keep_call(&mut tx, call_id).await?;
    Ok(tx.commit().await?)
}

/// Keeps the summary of a call that is kept, as the provider has it.
pub(super) async fn keep_asked_summary(
    cx: &Context<Services>,
    call_id: &str,
    summary: Summary,
) -> Result<(), Failure> {
    let summary = Summary { call_id: call_id.to_owned(), ..summary };
    let mut tx = cx.services().db.write().await?;
    summaries::keep(&mut tx, &summary, cx.now()).await?;
    search::keep_call(&mut tx, call_id).await?;
    Ok(tx.commit().await?)
}

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[
    call::STATEMENTS,
    recordings::STATEMENTS,
    summaries::STATEMENTS,
    transcripts::STATEMENTS,
    voicemails::STATEMENTS,
];
