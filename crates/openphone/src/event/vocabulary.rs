//! The provider's closed-looking lists of words.
//!
//! They grow without notice, so each type keeps a word it does not know instead of refusing it.

use serde::{Deserialize, Serialize};

macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$note:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$note])* $variant,)+
            /// A word added by the provider since this list was written.
            Other(String),
        }

        impl $name {
            /// The provider's word.
            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $word,)+ Self::Other(word) => word }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() { $($word => Self::$variant,)+ _ => Self::Other(word) }
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                match word { $name::Other(word) => word, known => known.as_str().to_owned() }
            }
        }
    };
}

vocabulary! {
    /// How far a message has come.
    MessageStatus {
        Queued => "queued",
        Sending => "sending",
        Sent => "sent",
        Delivered => "delivered",
        Undelivered => "undelivered",
        Failed => "failed",
        Receiving => "receiving",
        Received => "received",
        Accepted => "accepted",
        Scheduled => "scheduled",
        Read => "read",
        PartiallyDelivered => "partially_delivered",
        Canceled => "canceled",
    }
}

vocabulary! {
    /// How far a call has come, or how it ended. Webhooks and the REST API use different words;
    /// [`Call::answered`](super::Call::answered) reads both.
    CallStatus {
        Queued => "queued",
        Initiated => "initiated",
        Ringing => "ringing",
        InProgress => "in-progress",
        Completed => "completed",
        Busy => "busy",
        Failed => "failed",
        NoAnswer => "no-answer",
        Canceled => "canceled",
        Missed => "missed",
        Answered => "answered",
        Unanswered => "unanswered",
        Forwarded => "forwarded",
        Abandoned => "abandoned",
        AiHandled => "ai-handled",
        Unknown => "unknown",
    }
}

vocabulary! {
    /// How far a transcript, summary or voicemail has come.
    ProcessingStatus {
        Absent => "absent",
        InProgress => "in-progress",
        Completed => "completed",
        Failed => "failed",
    }
}

vocabulary! {
    /// How far a recording has come.
    RecordingStatus {
        Absent => "absent",
        Completed => "completed",
        Deleted => "deleted",
        Failed => "failed",
        InProgress => "in-progress",
        Paused => "paused",
        Processing => "processing",
        Stopped => "stopped",
        Stopping => "stopping",
    }
}

vocabulary! {
    /// What an event's list of contacts means.
    LookupStatus {
        /// The list holds who was found.
        Matched => "matched",
        /// The provider looked and found nobody.
        None => "none",
        /// The provider did not look: an empty list means nothing.
        Unavailable => "unavailable",
    }
}

/// Which way a message or a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Incoming,
    Outgoing,
}

impl Direction {
    /// The provider's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Incoming, Self::Outgoing].into_iter().find(|direction| direction.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_kept() {
        let status = MessageStatus::from("half-delivered".to_owned());
        assert_eq!(status, MessageStatus::Other("half-delivered".to_owned()));
        assert_eq!(status.as_str(), "half-delivered");
        assert_eq!(String::from(status), "half-delivered");
    }

    #[test]
    fn known_words_survive_json() {
        let json = serde_json::to_string(&CallStatus::AiHandled).unwrap();
        assert_eq!(json, r#""ai-handled""#);
        assert_eq!(serde_json::from_str::<CallStatus>(&json).unwrap(), CallStatus::AiHandled);
    }
}
