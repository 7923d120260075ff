//! What people make of a campaign's texts. An answer and an opt-out belong to the last text of a campaign that went to the
//! person before, while that text counts.
//!
//! The ledger copies what the stored messages and the consents say: whoever learns of something counts again, from all that is
//! stored, what belongs to that one text. So neither order nor repetition matters here either, and no
//! text's row is ever counted up.

use chrono::{DateTime, Utc};
use trunkline_platform::db::{DbError, Session};

trunkline_platform::statements! {
    /// What is to be told of a text later than the next one went belongs to the next. Words taken for an opt-out that a
    /// person found to be none are an answer; what an import or the provider said of long ago is nobody's answer to a text.
    ATTRIBUTE = same {
        "UPDATE sends SET
             replied_at = (
                 SELECT MIN(m.created_at) FROM messages AS m
                 WHERE m.sender = sends.number AND m.direction = 'incoming'
                   AND m.created_at >= sends.intended_at AND m.created_at < sends.counts_until
                   AND NOT EXISTS (SELECT c.id FROM consents AS c
                                   WHERE c.entry = 'message:' || m.id AND c.act IN ('opt_out', 'help')
                                     AND COALESCE(c.review, '') <> 'reopened')
                   AND NOT EXISTS (SELECT later.id FROM sends AS later
                                   WHERE later.number = sends.number AND later.kind = 'campaign'
                                     AND later.state NOT IN ('waiting', 'refused')
                                     AND later.intended_at > sends.intended_at AND later.intended_at <= m.created_at)),
             opted_out_at = (
                 SELECT MIN(c.at) FROM consents AS c
                 WHERE c.number = sends.number AND c.act = 'opt_out' AND c.channel NOT IN ('import', 'provider')
                   AND COALESCE(c.review, '') <> 'reopened'
                   AND c.at >= sends.intended_at AND c.at < sends.counts_until
                   AND NOT EXISTS (SELECT later.id FROM sends AS later
                                   WHERE later.number = sends.number AND later.kind = 'campaign'
                                     AND later.state NOT IN ('waiting', 'refused')
                                     AND later.intended_at > sends.intended_at AND later.intended_at <= c.at))
         WHERE counts_until > $2
           AND id = (SELECT last.id FROM sends AS last
                     WHERE last.number = $1 AND last.kind = 'campaign' AND last.intended_at <= $2
                       AND last.state NOT IN ('waiting', 'refused')
                     ORDER BY last.intended_at DESC, last.id DESC LIMIT 1)"
    }
}

/// Counts again what belongs to the text that somebody had last when they said something at a time, if it is one of a campaign.
/// Belongs after what writes the message or the consent, in the same transaction.
pub(crate) async fn attribute(tx: &mut Session, number: &str, at: DateTime<Utc>) -> Result<(), DbError> {
    ATTRIBUTE.bind(number).bind(at).execute(tx).await.map(drop)
}
