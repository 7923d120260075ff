//! What the provider tells us, in one shape.
//!
//! Three generations of webhooks and the REST API tell the same things in different places under
//! different names. They are normalised here, so that nothing behind this module asks which one
//! it was. Reading is forgiving: keys may be missing, null, or of the wrong kind; only an event
//! that does not say what it is about is an error.
//!
//! [`Envelope`] is what the receiver needs before it answers; [`Event`] is the whole.

mod call;
mod contact;
mod context;
mod envelope;
mod event_type;
mod fields;
mod message;
mod retold;
mod summary;
mod task;
mod transcript;
mod vocabulary;
mod voicemail;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use self::{
    call::{Call, CallRecordings, MenuSelection, Recording},
    contact::Contact,
    context::{Context, normalise_contact_id},
    envelope::{Envelope, EnvelopeError, Generation},
    event_type::EventType,
    message::{MediaItem, Message},
    retold::{Retold, Setting},
    summary::Summary,
    task::Task,
    transcript::{Transcript, Utterance},
    vocabulary::{CallStatus, Direction, LookupStatus, MessageStatus, ProcessingStatus, RecordingStatus},
    voicemail::Voicemail,
};
pub(crate) use self::{context::View, fields::Fields};

/// An event, read in full.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub envelope: Envelope,
    pub payload: Payload,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    Message(Message),
    /// Any step in the life of a call; the envelope's type says which.
    Call(Call),
    Recordings(CallRecordings),
    Voicemail(Voicemail),
    Transcript(Transcript),
    Summary(Summary),
    Contact(Contact),
    Task(Task),
    /// A type we do not know, or whose payload is documented nowhere, as it came.
    Other(Value),
}

/// Why an event cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("the event does not say by a usable id what it is about")]
    NoId,
}

impl Event {
    /// Reads an event from the bytes of a request.
    pub fn parse(body: &[u8]) -> Result<Self, EventError> {
        use EventType as T;
        let (envelope, data) = Envelope::open(body)?;
        let view = View {
            subject: Fields::of(data.subject),
            context: data.context.map(Fields::of).unwrap_or_default(),
            links: data.links.map(Fields::of).unwrap_or_default(),
        };
        let Some(kind) = envelope.kind() else {
            return Ok(Self { envelope, payload: Payload::Other(fields::value(data.subject)) });
        };
        let payload = match kind {
            T::MessageReceived
            | T::MessageDelivered
            | T::MessageFailed
            | T::MessageUndelivered
            | T::MessageUpdated => Payload::Message(Message::read(&view, Some(kind))?),
            T::CallRinging
            | T::CallMenuSelected
            | T::CallAnswered
            | T::CallCompleted
            | T::CallForwarded
            | T::CallMissed => Payload::Call(Call::read(&view)?),
            T::CallRecordingCompleted => Payload::Recordings(CallRecordings::read(&view)?),
            T::CallSummaryCompleted => Payload::Summary(Summary::read(&view)?),
            T::CallTranscriptCompleted => Payload::Transcript(Transcript::read(&view)?),
            T::CallVoicemailCompleted => Payload::Voicemail(Voicemail::read(&view)?),
            T::ContactUpdated | T::ContactDeleted => Payload::Contact(Contact::read(&view)?),
            T::TaskCreated
            | T::TaskUpdated
            | T::TaskDeleted
            | T::TaskCompleted
            | T::TaskReopened
            | T::TaskAssigned
            | T::TaskUnassigned
            | T::TaskOverdue
            | T::TaskLinked
            | T::TaskUnlinked
            | T::TaskDueDateUpdated
            | T::TaskDueDateRemoved => Payload::Task(Task::read(&view, data.subject)?),
            T::IntegrationCreated | T::IntegrationUpdated | T::IntegrationDeleted => {
                Payload::Other(fields::value(data.subject))
            }
        };
        Ok(Self { envelope, payload })
    }
}

/// The call that a summary or transcript belongs to.
fn call_id(subject: &Fields<'_>) -> Result<String, EventError> {
    subject.id("callId").or_else(|| subject.id("id")).ok_or(EventError::NoId)
}

impl ProcessingStatus {
    /// An artefact that says nothing about its status was announced because it is finished.
    fn read(subject: &Fields<'_>) -> Self {
        let word = subject.id("processingStatus").or_else(|| subject.id("status"));
        word.map_or(Self::Completed, Self::from)
    }
}
