//! Which calls of the provider's list we do not have, or not to their end, and what was made of them and not told.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_openphone::event::{Call, CallStatus, Direction, Recording, Voicemail};
use trunkline_platform::db::{DbError, Rows, Session};

use super::status;
use super::store::recording_key;

trunkline_platform::statements! {
    KNOWN_CALLS = parts {
        "SELECT c.id, c.conversation_id, c.answered_at, c.answered_by, c.completed_at, c.status_final,
                EXISTS (SELECT 1 FROM call_transcripts AS t WHERE t.call_id = c.id AND t.status = 'completed') AS transcribed,
                EXISTS (SELECT 1 FROM call_summaries AS s WHERE s.call_id = c.id AND s.status = 'completed') AS summarised,
                EXISTS (SELECT 1 FROM voicemails AS v WHERE v.call_id = c.id) AS voicemail
         FROM " (rows "$1" as r (id TEXT)) " JOIN calls AS c ON c.id = r.id"
    }
    KNOWN_RECORDINGS = same {
        "SELECT recording, started_at FROM call_recordings WHERE call_id = $1 LIMIT 1000"
    }
    /// A voicemail whose webhook did not say of which call.
    KNOWN_VOICEMAIL = same { "SELECT id FROM voicemails WHERE voicemail_id = $1 LIMIT 1" }
}

#[derive(Serialize)]
struct Line<'c> {
    id: &'c str,
}

#[derive(sqlx::FromRow)]
struct Known {
    id: String,
    conversation_id: Option<String>,
    answered_at: Option<DateTime<Utc>>,
    answered_by: Option<String>,
    completed_at: Option<DateTime<Utc>>,
    status_final: bool,
    transcribed: bool,
    summarised: bool,
    voicemail: bool,
}

#[derive(sqlx::FromRow)]
struct KnownRecording {
    recording: String,
    started_at: Option<DateTime<Utc>>,
}

/// A call that is over, and what we have of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared<'c> {
    pub(crate) call: &'c Call,
    /// The call itself is missing, or its end is.
    pub(crate) missing: bool,
    pub(crate) transcribed: bool,
    pub(crate) summarised: bool,
    pub(crate) voicemail: bool,
}

impl Compared<'_> {
    /// Whether somebody talked, so that there can be a recording.
    pub(crate) fn was_answered(&self) -> bool {
        self.call.answered_at.is_some()
    }

    /// Whether the caller can have left a message.
    pub(crate) fn may_have_voicemail(&self) -> bool {
        self.call.direction == Some(Direction::Incoming) && !self.was_answered()
    }
}

/// Compares the calls that are over with what is kept. Others are left for later.
pub(crate) async fn compare<'c>(
    session: &mut Session,
    calls: &'c [Call],
) -> Result<Vec<Compared<'c>>, DbError> {
    let over: Vec<&Call> = calls.iter().filter(|call| is_over(call)).collect();
    if over.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<Line<'_>> = over.iter().map(|call| Line { id: &call.id }).collect();
    let known: Vec<Known> = KNOWN_CALLS.bind(Rows::of(&lines)?).all(session).await?;
    let known: HashMap<&str, &Known> = known.iter().map(|row| (row.id.as_str(), row)).collect();
    let compared = over.into_iter().map(|call| {
        let known = known.get(call.id.as_str());
        Compared {
            call,
            missing: known.is_none_or(|known| known.is_behind(call)),
            transcribed: known.is_some_and(|known| known.transcribed),
            summarised: known.is_some_and(|known| known.summarised),
            voicemail: known.is_some_and(|known| known.voicemail),
        }
    });
    Ok(compared.collect())
}

/// Whether one of the provider's recordings of a call is not kept. Older webhooks tell one without its id, or by another
/// than the API; but it began only once, and it is one file.
pub(crate) async fn lacks_recording(
    session: &mut Session,
    call_id: &str,
    recordings: &[Recording],
) -> Result<bool, DbError> {
    let known: Vec<KnownRecording> = KNOWN_RECORDINGS.bind(call_id).all(session).await?;
    let is_kept = |recording: &Recording| {
        let without_id = Recording { id: None, ..recording.clone() };
        let by_link = Recording { started_at: None, ..without_id.clone() };
        let keys = [recording, &without_id, &by_link].map(recording_key);
        known.iter().any(|kept| {
            keys.iter().flatten().any(|key| *key == kept.recording)
                || (kept.started_at.is_some() && kept.started_at == recording.started_at)
        })
    };
    Ok(!recordings.iter().all(is_kept))
}

/// Whether a voicemail is kept, be it without its call.
pub(crate) async fn has_voicemail(session: &mut Session, voicemail: &Voicemail) -> Result<bool, DbError> {
    KNOWN_VOICEMAIL.bind(voicemail.voicemail_id.as_deref()).exists(session).await
}

fn is_over(call: &Call) -> bool {
    call.status.as_ref().map_or(call.completed_at.is_some(), |status| match status {
        CallStatus::Unknown | CallStatus::Other(_) => call.completed_at.is_some(),
        status => status::is_final(status),
    })
}

impl Known {
    fn is_behind(&self, call: &Call) -> bool {
        !self.status_final
            || self.conversation_id.is_none()
            || (self.answered_at.is_none() && call.answered_at.is_some())
            || (self.answered_by.is_none() && call.answered_by.is_some())
            || (self.completed_at.is_none() && call.completed_at.is_some())
    }
}
