//! Which job an event becomes.

use trunkline_openphone::event::{Envelope, EventType};
use trunkline_platform::job::Job;
use trunkline_platform::task::NewTask;

use super::store::EventId;
use crate::calls::{
    CallAnswered, CallCompleted, CallForwarded, CallMenuSelected, CallMissed, CallRecording, CallRinging,
    CallSummary, CallTranscript, CallVoicemail,
};
use crate::contacts::{ContactDeleted, ContactUpdated};
use crate::messages::{MessageDelivered, MessageFailed, MessageReceived, MessageUndelivered, MessageUpdated};
use crate::provider_tasks::ProviderTaskChanged;

macro_rules! routes {
    ($($($kind:ident)|+ => $job:ident,)+; $($kept:ident)|+ => kept $(,)?) => {
        /// The types that are stored and have no job.
        #[cfg(test)]
        const KEPT: &[EventType] = &[$(EventType::$kept),+];

        fn job(kind: EventType) -> Option<&'static str> {
            match kind {
                $($(EventType::$kind)|+ => Some($job::NAME),)+
                $(EventType::$kept)|+ => None,
            }
        }

        fn task(kind: EventType, event: EventId) -> Result<Option<NewTask>, serde_json::Error> {
            match kind {
                $($(EventType::$kind)|+ => NewTask::of(&$job { event }).map(Some),)+
                $(EventType::$kept)|+ => Ok(None),
            }
        }
    };
}

routes! {
    MessageReceived => MessageReceived,
    MessageDelivered => MessageDelivered,
    MessageFailed => MessageFailed,
    MessageUndelivered => MessageUndelivered,
    MessageUpdated => MessageUpdated,
    CallRinging => CallRinging,
    CallMenuSelected => CallMenuSelected,
    CallAnswered => CallAnswered,
    CallCompleted => CallCompleted,
    CallForwarded => CallForwarded,
    CallMissed => CallMissed,
    CallRecordingCompleted => CallRecording,
    CallSummaryCompleted => CallSummary,
    CallTranscriptCompleted => CallTranscript,
    CallVoicemailCompleted => CallVoicemail,
    ContactUpdated => ContactUpdated,
    ContactDeleted => ContactDeleted,
    TaskCreated
        | TaskUpdated
        | TaskDeleted
        | TaskCompleted
        | TaskReopened
        | TaskAssigned
        | TaskUnassigned
        | TaskOverdue
        | TaskLinked
        | TaskUnlinked
        | TaskDueDateUpdated
        | TaskDueDateRemoved => ProviderTaskChanged,
    ;
    // Their payloads are documented nowhere.
    IntegrationCreated | IntegrationUpdated | IntegrationDeleted => kept,
}

/// The name of the job for an event, if there is one for its type.
pub fn job_of(envelope: &Envelope) -> Option<&'static str> {
    envelope.kind().and_then(job)
}

/// The task for a stored event, if there is a job for its type.
pub(super) fn task_for(envelope: &Envelope, event: EventId) -> Result<Option<NewTask>, serde_json::Error> {
    envelope.kind().map_or(Ok(None), |kind| task(kind, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(event_type: &str) -> Envelope {
        let body = format!(r#"{{"id":"EV1","type":"{event_type}","data":{{"resource":{{}}}}}}"#);
        Envelope::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn every_known_type_has_a_registered_job_or_is_kept_on_purpose() {
        let registry = crate::registry().unwrap();
        for &kind in EventType::ALL {
            match job(kind) {
                Some(name) => assert!(registry.get(name).is_some(), "{name} is not registered"),
                None => assert!(KEPT.contains(&kind), "{} has no job", kind.as_str()),
            }
        }
    }

    #[test]
    fn the_task_is_of_the_named_job_and_holds_nothing_but_the_key() {
        for &kind in EventType::ALL {
            let envelope = envelope(kind.as_str());
            let task = task_for(&envelope, EventId(7)).unwrap();
            assert_eq!(task.as_ref().map(|task| task.kind), job_of(&envelope));
            assert!(task.is_none_or(|task| task.payload == r#"{"event":7}"#));
        }
    }

    #[test]
    fn all_spellings_of_a_type_lead_to_one_job() {
        assert_eq!(job_of(&envelope("callSummary")), Some("call.summary"));
        assert_eq!(job_of(&envelope("task.due_date_changed")), Some("provider_task.changed"));
    }

    #[test]
    fn a_type_nobody_knows_is_kept_without_a_job() {
        assert_eq!(job_of(&envelope("fax.received")), None);
        assert!(task_for(&envelope("fax.received"), EventId(7)).unwrap().is_none());
    }
}
