//! A stored event, read again by its job.

use chrono::{DateTime, Utc};
use trunkline_openphone::event::{
    Call, CallRecordings, Contact, Envelope, Event, Message, Payload, Summary, Task, Transcript, Voicemail,
};
use trunkline_platform::job::{Context, Failure, OrFail};

use super::feed::reach;
use super::store::{EventId, LOAD_EVENT};
use crate::Services;

/// What one event told of a `T`.
#[derive(Debug)]
pub(crate) struct Told<T> {
    pub(crate) subject: T,
    /// The provider's time of the telling: of two that differ, the later is the newer.
    pub(crate) at: DateTime<Utc>,
    /// The event's type, as it was spelled.
    pub(crate) event_type: String,
}

/// What an event can be about.
pub(crate) trait Subject: Sized {
    fn of(payload: Payload) -> Option<Self>;
}

macro_rules! subjects {
    ($($variant:ident($subject:ty)),+ $(,)?) => { $(
        impl Subject for $subject {
            fn of(payload: Payload) -> Option<Self> {
                match payload {
                    Payload::$variant(subject) => Some(subject),
                    _ => None,
                }
            }
        }
    )+ };
}

subjects! {
    Message(Message),
    Call(Call),
    Recordings(CallRecordings),
    Voicemail(Voicemail),
    Transcript(Transcript),
    Summary(Summary),
    Contact(Contact),
    Task(Task),
}

/// Why a stored event is of no use to its job. Reading it again would give the same.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("event {0} is no longer stored")]
    Gone(EventId),
    #[error("event {0} was never stored, the newest is {1}: is the number in the payload right?")]
    Never(EventId, EventId),
    #[error("event {0} ({1}) is not about what its type promises")]
    OtherSubject(EventId, String),
}

#[derive(sqlx::FromRow)]
struct Stored {
    received_at: DateTime<Utc>,
    body: String,
}

/// Reads what a stored event told. One that cannot be read fails for good.
pub(crate) async fn told<T: Subject>(cx: &Context<Services>, id: EventId) -> Result<Told<T>, Failure> {
    let db = &cx.services().db;
    let stored: Option<Stored> = LOAD_EVENT.bind(id.0).optional(&mut db.read().await?).await?;
    let Some(stored) = stored else {
        let newest = reach(db).await?;
        let why = if newest < id { Unusable::Never(id, newest) } else { Unusable::Gone(id) };
        return Err(Failure::permanent(why));
    };
    let Event { envelope, payload } = Event::parse(stored.body.as_bytes()).permanent()?;
    let at = told_at(&envelope, &payload, stored.received_at);
    let event_type = envelope.event_type;
    match T::of(payload) {
        Some(subject) => Ok(Told { subject, at, event_type }),
        None => Err(Failure::permanent(Unusable::OtherSubject(id, event_type))),
    }
}

/// The resource's own time of change, or the nearest to it that was told.
fn told_at(envelope: &Envelope, payload: &Payload, received_at: DateTime<Utc>) -> DateTime<Utc> {
    let (updated_at, created_at) = match payload {
        Payload::Message(message) => (message.updated_at, message.created_at),
        Payload::Call(call) | Payload::Recordings(CallRecordings { call, .. }) => {
            (call.updated_at, call.created_at)
        }
        Payload::Voicemail(voicemail) => (voicemail.updated_at, voicemail.created_at),
        Payload::Transcript(transcript) => (None, transcript.created_at),
        Payload::Contact(contact) => (contact.updated_at, contact.created_at),
        Payload::Summary(_) | Payload::Task(_) | Payload::Other(_) => (None, None),
    };
    updated_at.or(envelope.created_at).or(created_at).unwrap_or(received_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: &str = "2026-10-09T16:00:00Z";

    fn at(envelope_time: &str, resource: &str) -> String {
        let body = format!(
            r#"{{"id":"EV1","type":"call.ringing",{envelope_time}"data":{{"resource":{{"id":"AC1"{resource}}}}}}}"#
        );
        let event = Event::parse(body.as_bytes()).unwrap();
        let at = told_at(&event.envelope, &event.payload, RECEIVED.parse().unwrap());
        at.format("%H:%M:%S").to_string()
    }

    #[test]
    fn the_time_of_a_telling_is_the_nearest_to_the_change_that_was_told() {
        let envelope = r#""createdAt":"2026-10-09T15:00:02Z","#;
        let created = r#","createdAt":"2026-10-09T15:00:01Z""#;
        let both = r#","createdAt":"2026-10-09T15:00:01Z","updatedAt":"2026-10-09T15:00:03Z""#;
        assert_eq!(at(envelope, both), "15:00:03");
        assert_eq!(at(envelope, created), "15:00:02");
        assert_eq!(at("", created), "15:00:01");
        assert_eq!(at("", ""), "16:00:00");
    }

    #[test]
    fn a_payload_of_another_shape_is_refused() {
        let body = br#"{"id":"EV1","type":"call.ringing","data":{"resource":{"id":"AC1"}}}"#;
        let call = || Event::parse(body).unwrap().payload;
        assert!(Call::of(call()).is_some());
        assert!(Message::of(call()).is_none());
    }
}
