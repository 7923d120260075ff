//! Texts that come in, heard for what they say about being texted. Part of the transaction that keeps the text: a
//! text that is kept has been heard, and what it is to be answered with is on its way.

use chrono::{DateTime, Utc};
use trunkline_openphone::event::{Direction, Message};
use trunkline_platform::db::{DbError, Session};
use trunkline_platform::job::{Context, Failure};
use trunkline_platform::task::TaskTx;

use super::{Act, Channel, Meaning, Said, Words, answers, close, lock_alone, note, open};
use crate::Services;
use crate::contacts::number::country_of;

/// Takes the lock of who speaks about being texted, if they do. Belongs at the head of the transaction that keeps the
/// text.
pub(crate) async fn lock_for(tx: &mut Session, words: &Words, message: &Message) -> Result<(), DbError> {
    match meaning_of(words, message) {
        Some((number, _)) => lock_alone(tx, [number]).await,
        None => Ok(()),
    }
}

/// Does what an incoming text asks for about being texted. `at` is the provider's time of the telling.
pub(crate) async fn hear(
    tx: &mut TaskTx,
    cx: &Context<Services>,
    message: &Message,
    at: DateTime<Utc>,
) -> Result<(), Failure> {
    let Services { contacts, provider, .. } = cx.services();
    let Some((number, meaning)) = meaning_of(&contacts.words, message) else { return Ok(()) };
    let (at, now) = (message.created_at.unwrap_or(at), cx.now());
    let sender = message.context.phone_number_id.as_deref();
    let sender = sender.filter(|_| provider.is_configured() && at > answers::answered_since(now));
    let answer = match meaning {
        // What the provider knows as a word of its own it answers itself; a second answer would be one too many.
        Meaning::Stop { by_provider: true } | Meaning::Start => None,
        Meaning::Stop { by_provider: false } | Meaning::AsksToStop => {
            contacts.answers.confirmation.as_deref()
        }
        Meaning::Help => contacts.answers.help.as_deref(),
    };
    let answer = sender.zip(answer);
    let said = Said {
        entry: format!("message:{}", message.id),
        number,
        at,
        channel: Channel::Text,
        wording: message.text.as_deref(),
        message_id: Some(&message.id),
        actor: None,
        review: meaning == Meaning::AsksToStop,
        confirm: answer.is_some() && meaning != Meaning::Help,
    };
    let new = match meaning {
        Meaning::Stop { .. } | Meaning::AsksToStop => close(tx.session(), &said, now).await?,
        Meaning::Start => open(tx.session(), &said, now).await?,
        Meaning::Help => note(tx.session(), Act::Help, &said, now).await?,
    };
    match answer {
        Some(answer) if new && meaning == Meaning::Help => answers::help(tx, cx, &said, answer).await,
        Some(answer) if new => answers::confirm(tx, cx, &said, answer).await,
        _ => Ok(()),
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
