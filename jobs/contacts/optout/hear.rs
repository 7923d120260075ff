//! Texts that come in, heard for what they say about being texted. Part of the transaction that keeps the text: a
//! text that is kept has been heard.

use chrono::{DateTime, Utc};
use trunkline_openphone::event::{Direction, Message};
use trunkline_platform::db::{DbError, Session};

use super::{Act, Channel, Meaning, Said, Words, close, lock_alone, note, open};
use crate::contacts::number::country_of;

/// Takes the lock of whom a text may close, if it may close anybody. Belongs at the head of the transaction that
/// keeps the text.
pub(crate) async fn lock_for(tx: &mut Session, words: &Words, message: &Message) -> Result<(), DbError> {
    match meaning_of(words, message) {
        Some((number, Meaning::Stop { .. } | Meaning::AsksToStop | Meaning::Start)) => {
            lock_alone(tx, [number]).await
        }
        Some((_, Meaning::Help)) | None => Ok(()),
    }
}

/// Does what an incoming text asks for about being texted. `at` is the provider's time of the telling.
pub(crate) async fn hear(
    tx: &mut Session,
    words: &Words,
    message: &Message,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let Some((number, meaning)) = meaning_of(words, message) else { return Ok(()) };
    let said = Said {
        entry: format!("message:{}", message.id),
        number,
        at: message.created_at.unwrap_or(at),
        channel: Channel::Text,
        wording: message.text.as_deref(),
        message_id: Some(&message.id),
        actor: None,
        review: meaning == Meaning::AsksToStop,
        // What the provider knows as a word of its own it answers itself; a second answer would be one too many.
        confirm: matches!(meaning, Meaning::Stop { by_provider: false } | Meaning::AsksToStop),
    };
    match meaning {
        Meaning::Stop { .. } | Meaning::AsksToStop => close(tx, &said, now).await.map(drop),
        Meaning::Start => open(tx, &said, now).await.map(drop),
        Meaning::Help => note(tx, Act::Help, &said, now).await.map(drop),
    }
}

/// Who sent an incoming text, and what it says about being texted.
fn meaning_of<'m>(words: &Words, message: &'m Message) -> Option<(&'m str, Meaning)> {
    let (number, text) = (message.from.as_deref()?, message.text.as_deref()?);
    if message.direction != Direction::Incoming {
        return None;
    }
    let country = country_of(number).map(|country| country.to_string());
    Some((number, words.meaning(text, country.as_deref())?))
}
