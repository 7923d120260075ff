//! What became of an accepted text. The message's row is a join of everything told of it; the ledger copies what that row
//! says, so neither order nor repetition of tellings matters here either.

use trunkline_platform::db::{DbError, Session};

trunkline_platform::statements! {
    MIRROR = same {
        "UPDATE sends SET error_code = m.error_code, state_at = m.status_at,
             state = CASE m.status
                 WHEN 'delivered' THEN 'delivered' WHEN 'read' THEN 'delivered'
                 WHEN 'partially_delivered' THEN 'delivered'
                 WHEN 'undelivered' THEN 'undelivered'
                 WHEN 'failed' THEN 'failed' WHEN 'canceled' THEN 'failed'
                 WHEN 'sent' THEN 'sent' WHEN 'sending' THEN 'sent'
                 ELSE 'accepted' END
         FROM messages AS m WHERE m.id = sends.provider_id AND sends.provider_id = $1"
    }
}

/// Copies the state of a message to the text of ours that it is, if it is one. Belongs after what writes the message, in the same
/// transaction: whoever learns of the other second finds it there.
pub(crate) async fn mirror(tx: &mut Session, message_id: &str) -> Result<(), DbError> {
    MIRROR.bind(message_id).execute(tx).await.map(drop)
}
