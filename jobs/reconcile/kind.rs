//! What is asked for.

use std::fmt;

use serde::Serialize;

/// What a page lists, in the order in which one leads to the next.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Webhooks of the provider that are for this installation.
    Webhooks,
    /// The provider's log of what it told one of them.
    Log,
    /// What one delivery told.
    Deliveries,
    Numbers,
    Conversations,
    Messages,
    Calls,
    Recordings,
    Voicemails,
    Summaries,
    Transcripts,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Webhooks,
        Self::Log,
        Self::Deliveries,
        Self::Numbers,
        Self::Conversations,
        Self::Messages,
        Self::Calls,
        Self::Recordings,
        Self::Voicemails,
        Self::Summaries,
        Self::Transcripts,
    ];

    /// Those of which something can be missing.
    pub const KEPT: [Self; 7] = [
        Self::Deliveries,
        Self::Messages,
        Self::Calls,
        Self::Recordings,
        Self::Voicemails,
        Self::Summaries,
        Self::Transcripts,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Log => "log",
            Self::Deliveries => "deliveries",
            Self::Numbers => "numbers",
            Self::Conversations => "conversations",
            Self::Messages => "messages",
            Self::Calls => "calls",
            Self::Recordings => "recordings",
            Self::Voicemails => "voicemails",
            Self::Summaries => "summaries",
            Self::Transcripts => "transcripts",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word in the table that names no kind.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is nothing that is asked for: a later release began this run, so let that one end it")]
pub struct UnknownKind(String);

impl TryFrom<String> for Kind {
    type Error = UnknownKind;

    fn try_from(name: String) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownKind(name))
    }
}
