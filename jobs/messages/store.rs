//! The table of messages: a join of everything told of each.

use chrono::{DateTime, Utc};
use trunkline_openphone::event::{Direction, Message};
use trunkline_platform::crash_point;
use trunkline_platform::db::{DbError, Session};
use trunkline_platform::job::{Context, Done, Failure};

use super::status;
use crate::Services;
use crate::contacts::optout;
use crate::conversations::{Place, number_rows};
use crate::events::Told;
use crate::media::{self, Link, Owner};
use crate::search;
use crate::sends;

trunkline_platform::statements! {
    /// A fact is told once and never changes; should two tellings differ, the greater value stays, on
    /// whatever way they came. The status goes by its own order.
    KEEP_MESSAGE = same {
        "INSERT INTO messages AS kept (id, conversation_id, phone_number_id, user_id, direction, sender, text,
             created_at, status, status_final, status_at, status_rank, error_code)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (id) DO UPDATE SET
             conversation_id = CASE WHEN excluded.conversation_id > kept.conversation_id
                 THEN excluded.conversation_id ELSE COALESCE(kept.conversation_id, excluded.conversation_id) END,
             phone_number_id = CASE WHEN excluded.phone_number_id > kept.phone_number_id
                 THEN excluded.phone_number_id ELSE COALESCE(kept.phone_number_id, excluded.phone_number_id) END,
             user_id = CASE WHEN excluded.user_id > kept.user_id
                 THEN excluded.user_id ELSE COALESCE(kept.user_id, excluded.user_id) END,
             direction = CASE WHEN excluded.direction > kept.direction
                 THEN excluded.direction ELSE kept.direction END,
             sender = CASE WHEN excluded.sender > kept.sender
                 THEN excluded.sender ELSE COALESCE(kept.sender, excluded.sender) END,
             text = CASE WHEN excluded.text > kept.text
                 THEN excluded.text ELSE COALESCE(kept.text, excluded.text) END,
             created_at = CASE WHEN excluded.created_at < kept.created_at
                 THEN excluded.created_at ELSE COALESCE(kept.created_at, excluded.created_at) END,
             (status, status_final, status_at, status_rank, error_code) = (
                 SELECT told.status, told.status_final, told.status_at, told.status_rank, told.error_code
                 FROM (SELECT excluded.status AS status, excluded.status_final AS status_final,
                              excluded.status_at AS status_at, excluded.status_rank AS status_rank,
                              excluded.error_code AS error_code
                       UNION ALL
                       SELECT kept.status, kept.status_final, kept.status_at, kept.status_rank,
                              kept.error_code) AS told
                 ORDER BY told.status_final DESC, told.status_at DESC, told.status_rank DESC, told.status DESC,
                          COALESCE(told.error_code, '') DESC
                 LIMIT 1)"
    }
    KEEP_RECIPIENTS = parts {
        "INSERT INTO message_recipients (message_id, number)
         SELECT $1, r.number FROM " (rows "$2" as r (number TEXT)) " WHERE true ORDER BY r.number
         ON CONFLICT DO NOTHING"
    }
}

/// Keeps what was told of a message, whatever was told before, and has its media fetched.
pub(super) async fn keep(cx: &Context<Services>, told: Told<Message>) -> Result<Done, Failure> {
    let Told { subject: message, at, .. } = &told;
    let links: Vec<Link<'_>> = (0..)
        .zip(&message.media)
        .map(|(position, item)| Link {
            owner: Owner::Message(&message.id),
            position,
            url: &item.url,
            declared_type: item.declared_type.as_deref(),
        })
        .collect();

    let words = &cx.services().contacts.words;
    let mut tasks = cx.services().upkeep.tasks.begin().await?;
    let tx = tasks.session();
    optout::lock_for(tx, words, message).await?;
    record(tx, message, *at, cx.now()).await?;
    sends::mirror(tx, &message.id).await?;
    let waiting = media::keep_links(tx, &links, *at, cx.now()).await?;
    optout::hear(&mut tasks, cx, message, *at).await?;
    if let (Direction::Incoming, Some(number)) = (&message.direction, message.from.as_deref()) {
        sends::attribute(tasks.session(), number, message.created_at.unwrap_or(*at)).await?;
    }
    tasks.commit().await?;
    crash_point!("message.after_commit");
    media::fetch_waiting(cx, &waiting)
}

/// Keeps what was told of a message, in the caller's transaction and before anything else in it but locks.
pub(crate) async fn record(
    tx: &mut Session,
    message: &Message,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    optout::lock_refused(tx, message).await?;
    Place::of_message(message, message.created_at.unwrap_or(at)).keep(tx).await?;
    keep_message(tx, message, at).await?;
    optout::hear_refused(tx, message, at, now).await?;
    search::keep_message(tx, &message.id).await
}

async fn keep_message(tx: &mut Session, message: &Message, at: DateTime<Utc>) -> Result<(), DbError> {
    KEEP_MESSAGE
        .bind(&message.id)
        .bind(message.context.conversation_id.as_deref())
        .bind(message.context.phone_number_id.as_deref())
        .bind(message.context.user_id.as_deref())
        .bind(message.direction.as_str())
        .bind(message.from.as_deref())
        .bind(message.text.as_deref())
        .bind(message.created_at)
        .bind(message.status.as_str())
        .bind(status::is_final(&message.status))
        .bind(at)
        .bind(status::rank(&message.status))
        .bind(message.error_code.as_deref())
        .execute(tx)
        .await?;
    if !message.to.is_empty() {
        let recipients = number_rows(message.to.iter().map(String::as_str))?;
        KEEP_RECIPIENTS.bind(&message.id).bind(recipients).execute(tx).await?;
    }
    Ok(())
}
