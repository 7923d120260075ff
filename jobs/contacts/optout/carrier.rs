//! Opt-outs that we learn of because a text of ours was refused: the person told the carrier or the provider, not us.
//!
//! Such a word has no time of its own. It was said before the text it stopped, so it counts from that text's making: a
//! START that came since stands, however late and however often the refusal is told.

use chrono::{DateTime, Utc};
use trunkline_openphone::event::{Direction, Message};
use trunkline_platform::db::{DbError, Session};

use super::{Channel, Said, close, lock_alone};

/// The carriers' code for it.
pub(crate) const OPTED_OUT: &str = "21610";

/// Whom a telling of a text says to have opted out. Of a group it does not say who did.
pub(super) fn refused(message: &Message) -> Option<&str> {
    let refused =
        message.direction == Direction::Outgoing && message.error_code.as_deref() == Some(OPTED_OUT);
    match message.to.as_slice() {
        [number] if refused => Some(number),
        _ => None,
    }
}

/// Takes the lock of whom a text's fate closes, if it closes anybody. Belongs at the head of the transaction that
/// keeps the text.
pub(crate) async fn lock_refused(tx: &mut Session, message: &Message) -> Result<(), DbError> {
    match refused(message) {
        Some(number) => lock_alone(tx, [number]).await,
        None => Ok(()),
    }
}

/// Closes the number of whom a text's fate says to have opted out. `at` is the provider's time of the telling.
pub(crate) async fn hear_refused(
    tx: &mut Session,
    message: &Message,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let Some(number) = refused(message) else { return Ok(()) };
    let at = message.created_at.unwrap_or(at);
    let said = said(format!("message:{}", message.id), number, at, Some(&message.id));
    close(tx, &said, now).await.map(drop)
}

/// Closes a number because a try to text it was answered so. `at` is when the provider was asked.
pub(crate) async fn close_refused(
    tx: &mut Session,
    number: &str,
    (send, tries): (i64, i32),
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    close(tx, &said(format!("send:{send}:{tries}"), number, at, None), now).await.map(drop)
}

fn said<'s>(entry: String, number: &'s str, at: DateTime<Utc>, message_id: Option<&'s str>) -> Said<'s> {
    Said {
        entry,
        number,
        at,
        channel: Channel::Provider,
        wording: None,
        message_id,
        actor: None,
        review: false,
        confirm: false,
    }
}
