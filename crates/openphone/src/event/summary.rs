//! What a call was about.

use serde_json::Value;

use super::{Context, EventError, ProcessingStatus, call_id, context::View};

/// The summary of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub call_id: String,
    pub status: ProcessingStatus,
    pub summary: Vec<String>,
    pub next_steps: Vec<String>,
    /// What an AI agent did in the call, as it was given.
    pub jobs: Value,
    pub handled_by_ai: Option<bool>,
    pub answered_by: Option<String>,
    pub from_phone_number: Option<String>,
    pub context: Context,
}

impl Summary {
    pub(crate) fn read(view: &View<'_>) -> Result<Self, EventError> {
        let subject = &view.subject;
        Ok(Self {
            call_id: call_id(subject)?,
            status: ProcessingStatus::read(subject),
            summary: subject.paragraphs("summary"),
            next_steps: subject.paragraphs("nextSteps"),
            jobs: subject.value("jobs"),
            handled_by_ai: subject.boolean("handledByAiAgent"),
            answered_by: subject.id("answeredByUserId"),
            from_phone_number: subject.filled("fromPhoneNumber"),
            context: Context::read(view),
        })
    }
}
