//! From an answer's bytes to our types.

use chrono::{DateTime, Utc};

use super::{ApiError, Conversation, DecodeError, Page, PhoneNumber};
use crate::event::{Call, EventError, Fields, Message, Recording, Summary, Transcript, View, Voicemail};

/// A successful answer.
pub(super) struct Answer {
    text: String,
    answered_at: Option<DateTime<Utc>>,
}

impl Answer {
    pub(super) fn read(body: Vec<u8>, answered_at: Option<DateTime<Utc>>) -> Result<Self, ApiError> {
        let text = String::from_utf8(body).map_err(|_| DecodeError::NotJson)?;
        Ok(Self { text, answered_at })
    }

    pub(super) fn message(&self) -> Result<Message, ApiError> {
        self.one(|view| Message::read(view, None))
    }

    pub(super) fn messages(&self) -> Result<Page<Message>, ApiError> {
        self.page(|view| Message::read(view, None))
    }

    pub(super) fn call(&self) -> Result<Call, ApiError> {
        self.one(Call::read)
    }

    pub(super) fn calls(&self) -> Result<Page<Call>, ApiError> {
        self.page(Call::read)
    }

    pub(super) fn recordings(&self) -> Result<Vec<Recording>, ApiError> {
        Ok(self.outer()?.objects("data").iter().map(Recording::read).collect())
    }

    pub(super) fn summary(&self) -> Result<Summary, ApiError> {
        self.one(Summary::read)
    }

    pub(super) fn transcript(&self) -> Result<Transcript, ApiError> {
        self.one(Transcript::read)
    }

    /// The API gives a voicemail without its call.
    pub(super) fn voicemail(&self, call_id: &str) -> Result<Voicemail, ApiError> {
        let voicemail = self.one(Voicemail::read)?;
        Ok(Voicemail { call_id: Some(call_id.to_owned()), ..voicemail })
    }

    pub(super) fn phone_numbers(&self) -> Result<Vec<PhoneNumber>, ApiError> {
        let numbers = self.outer()?.objects("data");
        numbers.iter().map(|fields| phone_number(fields).ok_or_else(|| DecodeError::NoId.into())).collect()
    }

    pub(super) fn conversations(&self) -> Result<Page<Conversation>, ApiError> {
        self.page_of("nextPageToken", |fields| {
            let id = fields.id("id").ok_or(DecodeError::NoId)?;
            Ok(Conversation { id, participants: fields.texts("participants") })
        })
    }

    pub(super) fn outer(&self) -> Result<Fields<'_>, ApiError> {
        Fields::parse(&self.text).ok_or_else(|| DecodeError::NotJson.into())
    }

    fn one<T>(&self, read: impl Fn(&View<'_>) -> Result<T, EventError>) -> Result<T, ApiError> {
        item(self.outer()?.object("data"), read)
    }

    fn page<T>(&self, read: impl Fn(&View<'_>) -> Result<T, EventError>) -> Result<Page<T>, ApiError> {
        self.page_of("nextPageToken", |fields| item(fields, &read))
    }

    /// A page of a list that says under this name where it goes on.
    pub(super) fn page_of<T>(
        &self,
        next: &str,
        read: impl Fn(Fields<'_>) -> Result<T, ApiError>,
    ) -> Result<Page<T>, ApiError> {
        let outer = self.outer()?;
        Ok(Page {
            items: outer.objects("data").into_iter().map(read).collect::<Result<_, _>>()?,
            next_page_token: outer.filled(next),
            answered_at: self.answered_at,
        })
    }
}

fn item<T>(fields: Fields<'_>, read: impl Fn(&View<'_>) -> Result<T, EventError>) -> Result<T, ApiError> {
    read(&View::bare(fields)).map_err(|_| DecodeError::NoId.into())
}

fn phone_number(fields: &Fields<'_>) -> Option<PhoneNumber> {
    Some(PhoneNumber {
        id: fields.id("id")?,
        number: fields.filled("number")?,
        name: fields.filled("name"),
        user_ids: fields.objects("users").iter().filter_map(|user| user.id("id")).collect(),
    })
}
