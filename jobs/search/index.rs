//! Keeping the index: in the transaction that changed the rows, from the rows as they now are. So the index is what
//! the rows are, in whatever order they were told. Documents of rows that go, go with them.

use serde::Serialize;
use sha2::{Digest, Sha256};
use trunkline_platform::db::{DbError, Session};

use super::source::{Document, Kind, Source};

/// Bits that tell documents of one second apart.
const BITS: u32 = 20;
const MASK: i64 = (1 << BITS) - 1;

trunkline_platform::statements! {
    SOURCE_OF_MESSAGE = same {
        "SELECT m.id AS message_id, m.conversation_id, COALESCE(m.created_at, m.status_at) AS at, m.direction,
                m.user_id, m.sender, m.text,
                (SELECT STRING_AGG(r.number, ',') FROM message_recipients AS r WHERE r.message_id = m.id) AS numbers
         FROM messages AS m WHERE m.id = $1"
    }
    /// Nothing of a call from which nothing was made yet.
    SOURCE_OF_CALL = same {
        "SELECT t.call_id AS transcript_id, s.call_id AS summary_id, v.id AS voicemail_id, c.conversation_id,
                COALESCE(c.created_at, c.status_at) AS at, v.created_at AS voicemail_at, c.user_id,
                COALESCE(v.sender, c.caller) AS sender, COALESCE(v.recipient, c.callee) AS recipient,
                t.dialogue, s.summary, s.next_steps, v.transcript AS voicemail,
                (SELECT STRING_AGG(p.number, ',') FROM call_participants AS p WHERE p.call_id = c.id) AS numbers
         FROM calls AS c
         LEFT JOIN call_transcripts AS t ON t.call_id = c.id
         LEFT JOIN call_summaries AS s ON s.call_id = c.id
         LEFT JOIN voicemails AS v ON v.call_id = c.id
         WHERE c.id = $1 AND (t.call_id IS NOT NULL OR s.call_id IS NOT NULL OR v.id IS NOT NULL)"
    }
    SOURCE_OF_VOICEMAIL = same {
        "SELECT v.id AS voicemail_id, v.transcript_at AS at, v.created_at AS voicemail_at, v.sender, v.recipient,
                v.transcript AS voicemail
         FROM voicemails AS v WHERE v.id = $1 AND v.call_id IS NULL"
    }
    INDEXED = same {
        "SELECT id, 'message' AS kind, fingerprint FROM search_documents WHERE message_id = $1
         UNION ALL SELECT id, 'transcript', fingerprint FROM search_documents WHERE transcript_id = $2
         UNION ALL SELECT id, 'summary', fingerprint FROM search_documents WHERE summary_id = $3
         UNION ALL SELECT id, 'voicemail', fingerprint FROM search_documents WHERE voicemail_id = $4"
    }
    /// Their terms go with them.
    REMOVE_DOCUMENTS = parts { "DELETE FROM search_documents WHERE id IN " (any "$1") }
    ADD_DOCUMENT = same {
        "INSERT INTO search_documents (id, message_id, transcript_id, summary_id, voicemail_id, fingerprint)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING"
    }
    /// Differs by necessity: PostgreSQL has a type for terms.
    ADD_TERMS = split {
        postgres: "INSERT INTO search_terms (rowid, terms) VALUES ($1, CAST($2 AS tsvector))",
        sqlite: "INSERT INTO search_terms (rowid, terms) VALUES ($1, $2)",
    }
}

#[derive(sqlx::FromRow)]
struct Indexed {
    id: i64,
    kind: String,
    fingerprint: i64,
}

/// Brings the index up to a message. Its row is locked by whoever changed it.
pub(crate) async fn keep_message(tx: &mut Session, id: &str) -> Result<(), DbError> {
    let source: Option<Source> = SOURCE_OF_MESSAGE.bind(id).optional(tx).await?;
    keep(tx, source).await
}

/// Brings the index up to all that was made of a call.
pub(crate) async fn keep_call(tx: &mut Session, id: &str) -> Result<(), DbError> {
    let source: Option<Source> = SOURCE_OF_CALL.bind(id).optional(tx).await?;
    keep(tx, source).await
}

/// Brings the index up to a voicemail whose call nobody told of.
pub(crate) async fn keep_voicemail(tx: &mut Session, id: &str) -> Result<(), DbError> {
    let source: Option<Source> = SOURCE_OF_VOICEMAIL.bind(id).optional(tx).await?;
    keep(tx, source).await
}

async fn keep(tx: &mut Session, source: Option<Source>) -> Result<(), DbError> {
    let Some(source) = source else { return Ok(()) };
    let query = INDEXED
        .bind(source.message_id.as_deref())
        .bind(source.transcript_id.as_deref())
        .bind(source.summary_id.as_deref())
        .bind(source.voicemail_id.as_deref());
    let mut stale: Vec<Indexed> = query.all(tx).await?;
    let mut missing = Vec::new();
    for document in source.documents() {
        let terms = source.terms(&document).text();
        let fingerprint = fingerprint(&document, &terms);
        let up_to_date = stale
            .iter()
            .position(|there| there.kind == document.kind.as_str() && there.fingerprint == fingerprint);
        match up_to_date {
            Some(at) => drop(stale.swap_remove(at)),
            None => missing.push((document, terms, fingerprint)),
        }
    }
    if !stale.is_empty() {
        let ids: Vec<i64> = stale.iter().map(|there| there.id).collect();
        REMOVE_DOCUMENTS.bind(ids).execute(tx).await?;
    }
    for (document, terms, fingerprint) in missing {
        if let Some(id) = add(tx, &document, fingerprint).await? {
            ADD_TERMS.bind(id).bind(terms).execute(tx).await?;
        }
    }
    Ok(())
}

/// Adds the document under the first free id of its second, of which there are a million. None: they are all taken.
async fn add(tx: &mut Session, document: &Document, fingerprint: i64) -> Result<Option<i64>, DbError> {
    let first = place(document);
    let key = |kind| Some(document.id.as_str()).filter(|_| document.kind == kind);
    for step in 0..=MASK {
        let id = (first & !MASK) | ((first + step) & MASK);
        let query = ADD_DOCUMENT
            .bind(id)
            .bind(key(Kind::Message))
            .bind(key(Kind::Transcript))
            .bind(key(Kind::Summary))
            .bind(key(Kind::Voicemail))
            .bind(fingerprint);
        if query.execute(tx).await? == 1 {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Where a document stands among all: by its second, then by a hash.
fn place(document: &Document) -> i64 {
    let hash = hash(&(document.kind, &document.id));
    first_of(document.at.timestamp()) | (hash & MASK)
}

/// The first id of a second.
pub(super) fn first_of(second: i64) -> i64 {
    second.clamp(0, i64::from(u32::MAX)) << BITS
}

/// The last id of a second.
pub(super) fn last_of(second: i64) -> i64 {
    first_of(second) | MASK
}

fn fingerprint(document: &Document, terms: &str) -> i64 {
    hash(&(document.at.timestamp(), terms))
}

fn hash(of: &impl Serialize) -> i64 {
    let digest = Sha256::digest(serde_json::to_vec(of).unwrap_or_default());
    digest.first_chunk().map_or(0, |bytes: &[u8; 8]| i64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn document(second: i64, id: &str) -> Document {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        Document { kind: Kind::Message, id: id.to_owned(), at, passages: Vec::new() }
    }

    #[test]
    fn documents_stand_in_the_order_of_their_times() {
        let (early, late) = (place(&document(1_770_000_000, "AC1")), place(&document(1_770_000_001, "AC2")));
        assert!(early < late);
        assert!((first_of(1_770_000_000)..=last_of(1_770_000_000)).contains(&early));
        assert_ne!(place(&document(5, "AC1")), place(&document(5, "AC2")));
    }

    #[test]
    fn a_time_beyond_all_reason_has_a_place_all_the_same() {
        for second in [i64::MIN, -1, 0, i64::MAX] {
            assert!(first_of(second) >= 0 && last_of(second) > first_of(second));
        }
    }
}
