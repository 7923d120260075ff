//! What was said in a call.

use chrono::{DateTime, Utc};

use super::{Context, EventError, ProcessingStatus, call_id, context::View, fields::Fields};

/// The transcript of a call. It may come before the summary, after it, or never.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    pub call_id: String,
    pub status: ProcessingStatus,
    /// Seconds.
    pub duration: Option<f64>,
    pub created_at: Option<DateTime<Utc>>,
    pub dialogue: Vec<Utterance>,
    pub context: Context,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// Set when one of ours spoke.
    pub user_id: Option<String>,
    /// The number of who spoke; often missing when one of ours did.
    pub identifier: Option<String>,
    pub content: String,
    /// Seconds from the start of the call.
    pub start: Option<f64>,
    pub end: Option<f64>,
}

impl Transcript {
    pub(crate) fn read(view: &View<'_>) -> Result<Self, EventError> {
        let subject = &view.subject;
        Ok(Self {
            call_id: call_id(subject)?,
            status: ProcessingStatus::read(subject),
            duration: subject.number("duration"),
            created_at: subject.time("createdAt"),
            dialogue: subject.objects("dialogue").iter().map(Utterance::read).collect(),
            context: Context::read(view),
        })
    }
}

impl Utterance {
    fn read(fields: &Fields<'_>) -> Self {
        Self {
            user_id: fields.id("userId"),
            identifier: fields.filled("identifier"),
            content: fields.text("content").unwrap_or_default(),
            start: fields.number("start"),
            end: fields.number("end"),
        }
    }
}
