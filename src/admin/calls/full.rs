//! A call with all that was made of it, as the API tells it.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use poem_openapi::types::Any;
use serde_json::Value;
use trunkline_jobs::calls::{CallDetails, Recorded, Said};

use super::super::granted::View;

/// A call with all that was made of it
#[derive(Debug, Object)]
pub(super) struct CallInFull {
    id: String,
    /// When it began
    at: DateTime<Utc>,
    direction: Option<String>,
    status: String,
    caller: Option<String>,
    callee: Option<String>,
    participants: Vec<String>,
    user_id: Option<String>,
    answered_at: Option<DateTime<Utc>>,
    answered_by: Option<String>,
    completed_at: Option<DateTime<Utc>>,
    duration_ms: Option<i64>,
    /// What it came to: one of the counts of `call_stats`. Absent while it goes on
    outcome: Option<String>,
    conversation_id: Option<String>,
    phone_number_id: Option<String>,
    forwarded_from: Option<String>,
    forwarded_to: Option<String>,
    /// What the caller chose of a menu
    menu: Any<Value>,
    recordings: Vec<Recording>,
    /// `completed` once there is a dialogue
    transcript_status: Option<String>,
    transcript_at: Option<DateTime<Utc>>,
    dialogue: Vec<Turn>,
    /// `completed` once there is a summary
    summary_status: Option<String>,
    summary_at: Option<DateTime<Utc>>,
    summary: Vec<String>,
    next_steps: Vec<String>,
    /// What else the provider's AI made of it
    insights: Any<Value>,
    has_voicemail: bool,
    voicemail_id: Option<String>,
    voicemail_ms: Option<i64>,
    /// What was said in it
    voicemail: Option<String>,
}

/// A recorded stretch of a call
#[derive(Debug, Object)]
#[oai(rename = "CallRecording")]
struct Recording {
    recording: String,
    started_at: Option<DateTime<Utc>>,
    duration_ms: Option<i64>,
    /// Its file; absent while no link was told
    media: Option<i64>,
    /// Where the file stands
    state: Option<String>,
}

/// What somebody said in one go
#[derive(Debug, Object)]
struct Turn {
    /// A user of ours
    user_id: Option<String>,
    /// The number of somebody else
    number: Option<String>,
    text: String,
    /// Seconds from the start of the call
    start: Option<f64>,
    end: Option<f64>,
}

impl CallInFull {
    pub(super) fn of(details: CallDetails, view: View) -> Self {
        let CallDetails { call, participants, recordings, dialogue, summary, next_steps, insights, menu } =
            details;
        let number = |number: Option<String>| number.map(|number| view.number(&number));
        let said = |texts: Vec<String>| texts.iter().map(|text| view.said(text)).collect();
        Self {
            id: call.id,
            at: call.at,
            direction: call.direction,
            status: call.status,
            caller: number(call.caller),
            callee: number(call.callee),
            participants: participants.iter().map(|it| view.number(it)).collect(),
            user_id: call.user_id,
            answered_at: call.answered_at,
            answered_by: call.answered_by,
            completed_at: call.completed_at,
            duration_ms: call.duration_ms,
            outcome: call.outcome,
            conversation_id: call.conversation_id,
            phone_number_id: call.phone_number_id,
            forwarded_from: number(call.forwarded_from),
            forwarded_to: number(call.forwarded_to),
            menu: Any(view.json(&menu.to_string())),
            recordings: recordings.into_iter().map(Recording::of).collect(),
            transcript_status: call.transcript_status,
            transcript_at: call.transcript_at,
            dialogue: dialogue.into_iter().map(|turn| Turn::of(turn, view)).collect(),
            summary_status: call.summary_status,
            summary_at: call.summary_at,
            summary: said(summary),
            next_steps: said(next_steps),
            insights: Any(view.json(&insights.to_string())),
            has_voicemail: call.has_voicemail,
            voicemail_id: call.voicemail_id,
            voicemail_ms: call.voicemail_ms,
            voicemail: call.voicemail.map(|text| view.said(&text)),
        }
    }
}

impl Recording {
    fn of(row: Recorded) -> Self {
        Self {
            recording: row.recording,
            started_at: row.started_at,
            duration_ms: row.duration_ms,
            media: row.media,
            state: row.state,
        }
    }
}

impl Turn {
    fn of(turn: Said, view: View) -> Self {
        Self {
            user_id: turn.user_id,
            number: turn.identifier.map(|number| view.number(&number)),
            text: view.said(&turn.content),
            start: turn.start,
            end: turn.end,
        }
    }
}
