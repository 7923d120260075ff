//! What is asked of the API, and the shapes of answers that are not events.

use chrono::{DateTime, SecondsFormat, Utc};

/// A text to send.
#[derive(Clone, PartialEq, Eq)]
pub struct SendMessage {
    /// One of our numbers, by id (`PN…`) or in E.164.
    pub from: String,
    /// One person, or the members of one group thread.
    pub to: Vec<String>,
    pub content: String,
    /// Who sends it; the number's owner otherwise.
    pub user_id: Option<String>,
    /// Whether the conversation is filed as done.
    pub mark_done: bool,
}

/// Which messages to list.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageQuery {
    pub phone_number_id: String,
    /// The others; several are one group thread.
    pub participants: Vec<String>,
    pub user_id: Option<String>,
    pub created_after: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
    /// At most 100.
    pub max_results: u8,
    pub page_token: Option<String>,
}

/// Which calls to list.
#[derive(Clone, PartialEq, Eq)]
pub struct CallQuery {
    pub phone_number_id: String,
    pub participant: String,
    pub user_id: Option<String>,
    pub created_after: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
    /// At most 100.
    pub max_results: u8,
    pub page_token: Option<String>,
}

/// One page of a list. The list ends where there is no token; the provider's own count is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_page_token: Option<String>,
    /// When the provider answered, by its own clock and to the second.
    pub answered_at: Option<DateTime<Utc>>,
}

/// One of our numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumber {
    pub id: String,
    /// E.164.
    pub number: String,
    pub name: Option<String>,
    /// Who may use it.
    pub user_ids: Vec<String>,
}

/// Which conversations to list, the newest first.
#[derive(Clone, PartialEq, Eq)]
pub struct ConversationQuery {
    pub phone_number_id: String,
    /// Only those in which something happened since.
    pub updated_after: Option<DateTime<Utc>>,
    /// At most 100.
    pub max_results: u8,
    pub page_token: Option<String>,
}

/// A conversation, as far as one must know it to ask what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    pub id: String,
    /// Everybody but us. Not always phone numbers.
    pub participants: Vec<String>,
}

type Pairs = Vec<(&'static str, String)>;

impl MessageQuery {
    /// The newest messages with one person over one of our numbers.
    pub fn with(phone_number_id: impl Into<String>, participant: impl Into<String>) -> Self {
        Self {
            phone_number_id: phone_number_id.into(),
            participants: vec![participant.into()],
            user_id: None,
            created_after: None,
            created_before: None,
            max_results: 100,
            page_token: None,
        }
    }

    pub(super) fn pairs(&self) -> Pairs {
        let mut pairs = vec![("phoneNumberId", self.phone_number_id.clone())];
        pairs.extend(self.participants.iter().map(|number| ("participants", number.clone())));
        pairs.push(("maxResults", self.max_results.to_string()));
        pairs.extend(self.user_id.clone().map(|id| ("userId", id)));
        pairs.extend(self.created_after.map(|time| ("createdAfter", iso(time))));
        pairs.extend(self.created_before.map(|time| ("createdBefore", iso(time))));
        pairs.extend(self.page_token.clone().map(|token| ("pageToken", token)));
        pairs
    }
}

impl CallQuery {
    /// The newest calls with one person over one of our numbers.
    pub fn with(phone_number_id: impl Into<String>, participant: impl Into<String>) -> Self {
        Self {
            phone_number_id: phone_number_id.into(),
            participant: participant.into(),
            user_id: None,
            created_after: None,
            created_before: None,
            max_results: 100,
            page_token: None,
        }
    }

    pub(super) fn pairs(&self) -> Pairs {
        let query = self.clone();
        MessageQuery {
            phone_number_id: query.phone_number_id,
            participants: vec![query.participant],
            user_id: query.user_id,
            created_after: query.created_after,
            created_before: query.created_before,
            max_results: query.max_results,
            page_token: query.page_token,
        }
        .pairs()
    }
}

impl ConversationQuery {
    pub(super) fn pairs(&self) -> Pairs {
        let mut pairs = vec![
            ("phoneNumbers", self.phone_number_id.clone()),
            ("maxResults", self.max_results.to_string()),
        ];
        pairs.extend(self.updated_after.map(|time| ("updatedAfter", iso(time))));
        pairs.extend(self.page_token.clone().map(|token| ("pageToken", token)));
        pairs
    }
}

pub(super) fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
