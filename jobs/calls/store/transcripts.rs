//! Transcripts: the most complete telling, and of two such the newer.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use trunkline_openphone::event::{Transcript, Utterance};
use trunkline_platform::db::{DbError, Session};

use super::super::status;
use super::call::milliseconds;

trunkline_platform::statements! {
    KEEP_TRANSCRIPT = same {
        "INSERT INTO call_transcripts AS kept (call_id, status, status_rank, told_at, duration_ms, dialogue)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (call_id) DO UPDATE SET
             status = excluded.status, status_rank = excluded.status_rank, told_at = excluded.told_at,
             duration_ms = excluded.duration_ms, dialogue = excluded.dialogue
         WHERE (excluded.status_rank, excluded.told_at, excluded.status, excluded.dialogue,
                COALESCE(excluded.duration_ms, -1))
             > (kept.status_rank, kept.told_at, kept.status, kept.dialogue, COALESCE(kept.duration_ms, -1))"
    }
}

pub(super) async fn keep(
    tx: &mut Session,
    transcript: &Transcript,
    at: DateTime<Utc>,
) -> Result<(), DbError> {
    let dialogue: Value = transcript.dialogue.iter().map(utterance).collect();
    KEEP_TRANSCRIPT
        .bind(&transcript.call_id)
        .bind(transcript.status.as_str())
        .bind(status::completeness(&transcript.status))
        .bind(at)
        .bind(transcript.duration.map(milliseconds))
        .bind(dialogue.to_string())
        .execute(tx)
        .await
        .map(drop)
}

fn utterance(utterance: &Utterance) -> Value {
    json!({
        "user_id": utterance.user_id,
        "identifier": utterance.identifier,
        "content": utterance.content,
        "start": utterance.start,
        "end": utterance.end,
    })
}
