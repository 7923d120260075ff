//! Texts.

use chrono::{DateTime, Utc};

use super::{
    Context, Direction, EventError, EventType, MessageStatus,
    context::View,
    fields::{self, Fields},
};

/// A text, sent or received.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: String,
    pub direction: Direction,
    /// Normally a phone number; short codes and words such as `Anonymous` occur.
    pub from: Option<String>,
    /// Everyone it went to; more than one is a group thread.
    pub to: Vec<String>,
    pub text: Option<String>,
    pub media: Vec<MediaItem>,
    pub status: MessageStatus,
    /// The carrier's reason for a failure, as it was given.
    pub error_code: Option<String>,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    pub context: Context,
}

/// A file that came with a message.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaItem {
    pub url: String,
    /// What the sender says it is; not to be trusted.
    pub declared_type: Option<String>,
    /// Seconds.
    pub duration: Option<f64>,
}

impl Message {
    pub(crate) fn read(view: &View<'_>, kind: Option<EventType>) -> Result<Self, EventError> {
        let (subject, context) = (&view.subject, &view.context);
        let status = subject.id("status").map(MessageStatus::from);
        let direction = subject
            .text("direction")
            .and_then(|word| Direction::from_word(&word))
            .unwrap_or_else(|| implied_direction(kind, status.as_ref()));
        let from = context.filled("senderIdentifier").or_else(|| subject.filled("from"));
        let to = match context.texts("recipientIdentifiers") {
            to if to.is_empty() => subject.texts("to"),
            to => to,
        };
        let mut message = Self {
            id: subject.id("id").ok_or(EventError::NoId)?,
            direction,
            text: subject.text("text").or_else(|| subject.text("body")),
            media: media(subject),
            status: status.unwrap_or_else(|| implied_status(kind, direction)),
            error_code: subject.filled("errorCode"),
            created_at: subject.time("createdAt"),
            updated_at: subject.time("updatedAt"),
            context: Context::read(view),
            from,
            to,
        };
        message.place_participants();
        Ok(message)
    }

    /// Messages name sender and recipients, not sides; calls do. Here it becomes the same.
    fn place_participants(&mut self) {
        let (ours, others) = match self.direction {
            Direction::Outgoing => (self.from.iter().cloned().collect(), self.to.clone()),
            Direction::Incoming => {
                // In a group thread the recipients are not all ours, and nothing says which is.
                let ours = if self.to.len() == 1 { self.to.clone() } else { Vec::new() };
                (ours, self.from.iter().cloned().collect())
            }
        };
        self.context.workspace = ours;
        self.context.external = others;
    }
}

fn media(subject: &Fields<'_>) -> Vec<MediaItem> {
    subject.list("media").into_iter().filter_map(item).collect()
}

fn item(raw: &serde_json::value::RawValue) -> Option<MediaItem> {
    if let Some(url) = fields::text(raw) {
        return (!url.is_empty()).then_some(MediaItem { url, declared_type: None, duration: None });
    }
    MediaItem::read(&Fields::of(raw))
}

impl MediaItem {
    pub(super) fn read(fields: &Fields<'_>) -> Option<Self> {
        Some(Self {
            url: fields.filled("url")?,
            declared_type: fields.filled("type"),
            duration: fields.number("duration"),
        })
    }
}

fn implied_direction(kind: Option<EventType>, status: Option<&MessageStatus>) -> Direction {
    match (kind, status) {
        (Some(EventType::MessageReceived), _)
        | (None, Some(MessageStatus::Received | MessageStatus::Receiving)) => Direction::Incoming,
        _ => Direction::Outgoing,
    }
}

fn implied_status(kind: Option<EventType>, direction: Direction) -> MessageStatus {
    match (kind, direction) {
        (Some(EventType::MessageDelivered), _) => MessageStatus::Delivered,
        (Some(EventType::MessageFailed), _) => MessageStatus::Failed,
        (Some(EventType::MessageUndelivered), _) => MessageStatus::Undelivered,
        (_, Direction::Incoming) => MessageStatus::Received,
        (_, Direction::Outgoing) => MessageStatus::Queued,
    }
}
