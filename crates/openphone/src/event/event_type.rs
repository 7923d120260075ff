//! The names of events.
//!
//! One list for all generations: a type that was spelled differently once is the same type here.

macro_rules! event_types {
    ($($(#[$note:meta])* $variant:ident => $name:literal),+ $(,)?) => {
        /// A type of event the provider is known to send.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventType { $($(#[$note])* $variant),+ }

        impl EventType {
            /// Every known type.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The dotted name of the present system.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            fn from_canonical(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

event_types! {
    MessageReceived => "message.received",
    MessageDelivered => "message.delivered",
    MessageFailed => "message.failed",
    MessageUndelivered => "message.undelivered",
    /// No webhook has this name: it is what we tell ourselves of a text that was asked for and is not at its end.
    MessageUpdated => "message.updated",
    CallRinging => "call.ringing",
    CallMenuSelected => "call.menu.selected",
    CallAnswered => "call.answered",
    CallCompleted => "call.completed",
    CallForwarded => "call.forwarded",
    CallMissed => "call.missed",
    CallRecordingCompleted => "call.recording.completed",
    CallSummaryCompleted => "call.summary.completed",
    CallTranscriptCompleted => "call.transcript.completed",
    CallVoicemailCompleted => "call.voicemail.completed",
    ContactUpdated => "contact.updated",
    ContactDeleted => "contact.deleted",
    TaskCreated => "task.created",
    TaskUpdated => "task.updated",
    TaskDeleted => "task.deleted",
    TaskCompleted => "task.completed",
    TaskReopened => "task.reopened",
    TaskAssigned => "task.assigned",
    TaskUnassigned => "task.unassigned",
    TaskOverdue => "task.overdue",
    TaskLinked => "task.linked",
    TaskUnlinked => "task.unlinked",
    TaskDueDateUpdated => "task.duedate.updated",
    TaskDueDateRemoved => "task.duedate.removed",
    IntegrationCreated => "integration.created",
    IntegrationUpdated => "integration.updated",
    IntegrationDeleted => "integration.deleted",
}

impl EventType {
    /// The type of that name, in any spelling the provider has used for it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "callSummary" => Some(Self::CallSummaryCompleted),
            "callTranscript" => Some(Self::CallTranscriptCompleted),
            "task.due_date_changed" => Some(Self::TaskDueDateUpdated),
            "task.due_date_removed" => Some(Self::TaskDueDateRemoved),
            _ => Self::from_canonical(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_type() {
        for &kind in EventType::ALL {
            assert_eq!(EventType::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(EventType::ALL.len(), 32);
    }

    #[test]
    fn older_spellings_are_understood() {
        assert_eq!(EventType::from_name("callSummary"), Some(EventType::CallSummaryCompleted));
        assert_eq!(EventType::from_name("callTranscript"), Some(EventType::CallTranscriptCompleted));
        assert_eq!(EventType::from_name("task.due_date_changed"), Some(EventType::TaskDueDateUpdated));
        assert_eq!(EventType::from_name("task.due_date_removed"), Some(EventType::TaskDueDateRemoved));
    }

    #[test]
    fn a_name_nobody_knows_has_no_type() {
        for name in ["", "call", "call.completed.", "Call.Completed", "message.read"] {
            assert_eq!(EventType::from_name(name), None, "{name}");
        }
    }
}
