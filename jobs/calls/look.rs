//! Looking at calls: a list, and one with all that was made of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_platform::db::{Db, DbError};

/// The most that is shown of the recordings and participants of one call.
const MOST: u32 = 200;

trunkline_platform::statements! {
    LIST_CALLS = same {
        "SELECT c.id, COALESCE(c.created_at, c.status_at) AS at, c.direction, c.status, c.caller, c.callee, c.user_id,
                c.answered_by, c.duration_ms, c.conversation_id, c.has_voicemail, c.outcome,
                EXISTS (SELECT 1 FROM call_recordings AS r WHERE r.call_id = c.id) AS recorded,
                EXISTS (SELECT 1 FROM call_transcripts AS t WHERE t.call_id = c.id AND t.status = 'completed') AS transcribed,
                EXISTS (SELECT 1 FROM call_summaries AS s WHERE s.call_id = c.id AND s.status = 'completed') AS summarised
         FROM calls AS c
         WHERE COALESCE(c.created_at, c.status_at) >= $1 AND COALESCE(c.created_at, c.status_at) < $2
           AND (COALESCE(c.created_at, c.status_at), c.id) < ($3, $4)
           AND (CAST($5 AS TEXT) IS NULL OR c.direction = $5) AND (CAST($6 AS TEXT) IS NULL OR c.status = $6)
           AND (CAST($8 AS TEXT) IS NULL OR c.outcome = $8)
           AND (CAST($9 AS TEXT) IS NULL OR COALESCE(c.answered_by, c.user_id) = $9)
         ORDER BY COALESCE(c.created_at, c.status_at) DESC, c.id DESC LIMIT $7"
    }
    /// The same for somebody who took part, from that side.
    LIST_CALLS_OF = same {
        "SELECT c.id, COALESCE(c.created_at, c.status_at) AS at, c.direction, c.status, c.caller, c.callee, c.user_id,
                c.answered_by, c.duration_ms, c.conversation_id, c.has_voicemail, c.outcome,
                EXISTS (SELECT 1 FROM call_recordings AS r WHERE r.call_id = c.id) AS recorded,
                EXISTS (SELECT 1 FROM call_transcripts AS t WHERE t.call_id = c.id AND t.status = 'completed') AS transcribed,
                EXISTS (SELECT 1 FROM call_summaries AS s WHERE s.call_id = c.id AND s.status = 'completed') AS summarised
         FROM call_participants AS p JOIN calls AS c ON c.id = p.call_id
         WHERE p.number = $10
           AND COALESCE(c.created_at, c.status_at) >= $1 AND COALESCE(c.created_at, c.status_at) < $2
           AND (COALESCE(c.created_at, c.status_at), c.id) < ($3, $4)
           AND (CAST($5 AS TEXT) IS NULL OR c.direction = $5) AND (CAST($6 AS TEXT) IS NULL OR c.status = $6)
           AND (CAST($8 AS TEXT) IS NULL OR c.outcome = $8)
           AND (CAST($9 AS TEXT) IS NULL OR COALESCE(c.answered_by, c.user_id) = $9)
         ORDER BY COALESCE(c.created_at, c.status_at) DESC, c.id DESC LIMIT $7"
    }
    SHOW_CALL = same {
        "SELECT c.id, COALESCE(c.created_at, c.status_at) AS at, c.direction, c.status, c.caller, c.callee, c.user_id,
                c.answered_at, c.answered_by, c.completed_at, c.duration_ms, c.conversation_id, c.phone_number_id,
                c.has_voicemail, c.outcome, c.forwarded_from, c.forwarded_to, c.menu,
                t.status AS transcript_status, t.told_at AS transcript_at, t.dialogue,
                s.status AS summary_status, s.told_at AS summary_at, s.summary, s.next_steps, s.insights,
                v.id AS voicemail_id, v.duration_ms AS voicemail_ms, v.transcript AS voicemail
         FROM calls AS c
         LEFT JOIN call_transcripts AS t ON t.call_id = c.id
         LEFT JOIN call_summaries AS s ON s.call_id = c.id
         LEFT JOIN voicemails AS v ON v.call_id = c.id
         WHERE c.id = $1"
    }
    SHOW_RECORDINGS = same {
        "SELECT r.recording, r.started_at, r.duration_ms, m.id AS media, m.state
         FROM call_recordings AS r
         LEFT JOIN media AS m ON m.owner_type = 'recording' AND m.owner_id = r.call_id || '/' || r.recording
             AND m.position = 0
         WHERE r.call_id = $1 ORDER BY r.started_at, r.recording LIMIT $2"
    }
    SHOW_PARTICIPANTS = same {
        "SELECT number FROM call_participants WHERE call_id = $1 ORDER BY number LIMIT $2"
    }
}

/// Which calls to list, the newest first.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// Somebody who took part.
    pub number: Option<String>,
    pub direction: Option<String>,
    pub status: Option<String>,
    /// What it came to; see [`super::stats`].
    pub outcome: Option<String>,
    /// The user who answered it, or else whose call it was.
    pub user: Option<String>,
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
    /// Only calls older than this one: the last of the page before.
    pub before: Option<(DateTime<Utc>, String)>,
    pub limit: u32,
}

/// A call in a list.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct CallLine {
    pub id: String,
    pub at: DateTime<Utc>,
    pub direction: Option<String>,
    pub status: String,
    pub caller: Option<String>,
    pub callee: Option<String>,
    pub user_id: Option<String>,
    pub answered_by: Option<String>,
    pub duration_ms: Option<i64>,
    pub conversation_id: Option<String>,
    pub has_voicemail: bool,
    /// Absent while it goes on.
    pub outcome: Option<String>,
    pub recorded: bool,
    pub transcribed: bool,
    pub summarised: bool,
}

/// A call and all that was made of it.
#[derive(Clone, Debug, Serialize)]
pub struct CallDetails {
    #[serde(flatten)]
    pub call: CallRow,
    pub participants: Vec<String>,
    pub recordings: Vec<Recorded>,
    pub dialogue: Vec<Said>,
    pub summary: Vec<String>,
    pub next_steps: Vec<String>,
    /// Whatever else the provider's AI made of it.
    pub insights: Value,
    pub menu: Value,
}

/// The call itself, and how complete is what was made of it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct CallRow {
    pub id: String,
    pub at: DateTime<Utc>,
    pub direction: Option<String>,
    pub status: String,
    pub caller: Option<String>,
    pub callee: Option<String>,
    pub user_id: Option<String>,
    pub answered_at: Option<DateTime<Utc>>,
    pub answered_by: Option<String>,
    pub completed_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
    pub conversation_id: Option<String>,
    pub phone_number_id: Option<String>,
    pub has_voicemail: bool,
    /// What it came to; absent while it goes on.
    pub outcome: Option<String>,
    pub forwarded_from: Option<String>,
    pub forwarded_to: Option<String>,
    pub transcript_status: Option<String>,
    pub transcript_at: Option<DateTime<Utc>>,
    pub summary_status: Option<String>,
    pub summary_at: Option<DateTime<Utc>>,
    pub voicemail_id: Option<String>,
    pub voicemail_ms: Option<i64>,
    pub voicemail: Option<String>,
}

/// One recorded stretch, and its file.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Recorded {
    pub recording: String,
    pub started_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
    pub media: Option<i64>,
    pub state: Option<String>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Said {
    pub user_id: Option<String>,
    pub identifier: Option<String>,
    pub content: String,
    /// Seconds from the start of the call.
    pub start: Option<f64>,
    pub end: Option<f64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    call: CallRow,
    dialogue: Option<String>,
    summary: Option<String>,
    next_steps: Option<String>,
    insights: Option<String>,
    menu: Option<String>,
}

/// Calls, the newest first.
///
/// # Errors
/// Only the database's.
pub async fn list(db: &Db, filter: &CallFilter) -> Result<Vec<CallLine>, DbError> {
    let stmt = if filter.number.is_some() { &LIST_CALLS_OF } else { &LIST_CALLS };
    let (before, id) = filter.before.clone().unwrap_or((END, String::new()));
    let mut query = stmt
        .bind(filter.since.unwrap_or(DateTime::UNIX_EPOCH))
        .bind(filter.until.unwrap_or(END))
        .bind(before)
        .bind(id)
        .bind(filter.direction.as_deref())
        .bind(filter.status.as_deref())
        .bind(filter.limit.clamp(1, 1_000))
        .bind(filter.outcome.as_deref())
        .bind(filter.user.as_deref());
    if let Some(number) = &filter.number {
        query = query.bind(number.as_str());
    }
    query.all(&mut db.read().await?).await
}

/// After every time that a call can have, and as long when written.
const END: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(end) => end,
    None => DateTime::<Utc>::MAX_UTC,
};

/// One call with all that was made of it.
///
/// # Errors
/// Only the database's.
pub async fn show(db: &Db, id: &str) -> Result<Option<CallDetails>, DbError> {
    let mut session = db.read().await?;
    let Some(row): Option<Row> = SHOW_CALL.bind(id).optional(&mut session).await? else { return Ok(None) };
    let recordings: Vec<Recorded> = SHOW_RECORDINGS.bind(id).bind(MOST).all(&mut session).await?;
    let participants: Vec<(String,)> = SHOW_PARTICIPANTS.bind(id).bind(MOST).all(&mut session).await?;
    Ok(Some(CallDetails {
        call: row.call,
        participants: participants.into_iter().map(|(number,)| number).collect(),
        recordings,
        dialogue: read(row.dialogue.as_deref()),
        summary: read(row.summary.as_deref()),
        next_steps: read(row.next_steps.as_deref()),
        insights: read(row.insights.as_deref()),
        menu: read(row.menu.as_deref()),
    }))
}

/// JSON that we wrote; nothing where there is none.
fn read<T: Default + serde::de::DeserializeOwned>(text: Option<&str>) -> T {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
