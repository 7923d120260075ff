//! Voicemails.

use chrono::{DateTime, Utc};

use super::{Context, EventError, ProcessingStatus, context::View};

/// A message left after a missed call.
#[derive(Debug, Clone, PartialEq)]
pub struct Voicemail {
    /// The voicemail's entry in the conversation. It is not the id of the call.
    pub id: String,
    pub voicemail_id: Option<String>,
    pub call_id: Option<String>,
    pub status: ProcessingStatus,
    /// Where to fetch it, once it is there.
    pub url: Option<String>,
    /// Seconds.
    pub duration: Option<f64>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub transcript: Option<String>,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    pub context: Context,
}

impl Voicemail {
    pub(crate) fn read(view: &View<'_>) -> Result<Self, EventError> {
        let subject = &view.subject;
        let id = subject.id("id").ok_or(EventError::NoId)?;
        let voicemail_id = subject.id("voicemailId").or_else(|| id.starts_with("VM").then(|| id.clone()));
        Ok(Self {
            id,
            voicemail_id,
            call_id: subject.id("callId"),
            status: subject.id("status").map_or(ProcessingStatus::Completed, ProcessingStatus::from),
            url: subject.filled("recordingUrl"),
            duration: subject.number("duration"),
            from: subject.filled("from"),
            to: subject.filled("to"),
            transcript: subject.filled("transcript"),
            created_at: subject.time("createdAt"),
            updated_at: subject.time("updatedAt"),
            context: Context::read(view),
        })
    }
}
