//! A call's own row and who took part in it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::json;
use trunkline_openphone::event::{Call, CallStatus, Context, MenuSelection};
use trunkline_platform::db::{DbError, Session};

use super::super::status;
use crate::conversations::number_rows;

trunkline_platform::statements! {
    /// A fact is told once and never changes; should two tellings differ, the greater value stays (of
    /// times, the smaller), on whatever way they came. Status and menu go by their own order.
    KEEP_CALL = same {
        "INSERT INTO calls AS kept (id, conversation_id, phone_number_id, user_id, direction, caller, callee,
             created_at, answered_at, answered_by, completed_at, duration_ms, has_voicemail, forwarded_from,
             forwarded_to, menu, menu_at, status, status_final, status_rank, status_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
         ON CONFLICT (id) DO UPDATE SET
             conversation_id = CASE WHEN excluded.conversation_id > kept.conversation_id
                 THEN excluded.conversation_id ELSE COALESCE(kept.conversation_id, excluded.conversation_id) END,
             phone_number_id = CASE WHEN excluded.phone_number_id > kept.phone_number_id
                 THEN excluded.phone_number_id ELSE COALESCE(kept.phone_number_id, excluded.phone_number_id) END,
             user_id = CASE WHEN excluded.user_id > kept.user_id
                 THEN excluded.user_id ELSE COALESCE(kept.user_id, excluded.user_id) END,
             direction = CASE WHEN excluded.direction > kept.direction
                 THEN excluded.direction ELSE COALESCE(kept.direction, excluded.direction) END,
             caller = CASE WHEN excluded.caller > kept.caller
                 THEN excluded.caller ELSE COALESCE(kept.caller, excluded.caller) END,
             callee = CASE WHEN excluded.callee > kept.callee
                 THEN excluded.callee ELSE COALESCE(kept.callee, excluded.callee) END,
             created_at = CASE WHEN excluded.created_at < kept.created_at
                 THEN excluded.created_at ELSE COALESCE(kept.created_at, excluded.created_at) END,
             answered_at = CASE WHEN excluded.answered_at < kept.answered_at
                 THEN excluded.answered_at ELSE COALESCE(kept.answered_at, excluded.answered_at) END,
             answered_by = CASE WHEN excluded.answered_by > kept.answered_by
                 THEN excluded.answered_by ELSE COALESCE(kept.answered_by, excluded.answered_by) END,
             completed_at = CASE WHEN excluded.completed_at < kept.completed_at
                 THEN excluded.completed_at ELSE COALESCE(kept.completed_at, excluded.completed_at) END,
             duration_ms = CASE WHEN excluded.duration_ms > kept.duration_ms
                 THEN excluded.duration_ms ELSE COALESCE(kept.duration_ms, excluded.duration_ms) END,
             has_voicemail = kept.has_voicemail OR excluded.has_voicemail,
             forwarded_from = CASE WHEN excluded.forwarded_from > kept.forwarded_from
                 THEN excluded.forwarded_from ELSE COALESCE(kept.forwarded_from, excluded.forwarded_from) END,
             forwarded_to = CASE WHEN excluded.forwarded_to > kept.forwarded_to
                 THEN excluded.forwarded_to ELSE COALESCE(kept.forwarded_to, excluded.forwarded_to) END,
             (menu, menu_at) = (
                 SELECT told.menu, told.menu_at
                 FROM (SELECT excluded.menu AS menu, excluded.menu_at AS menu_at
                       UNION ALL
                       SELECT kept.menu, kept.menu_at) AS told
                 ORDER BY told.menu IS NULL, told.menu_at DESC, told.menu DESC
                 LIMIT 1),
             (status, status_final, status_rank, status_at) = (
                 SELECT told.status, told.status_final, told.status_rank, told.status_at
                 FROM (SELECT excluded.status AS status, excluded.status_final AS status_final,
                              excluded.status_rank AS status_rank, excluded.status_at AS status_at
                       UNION ALL
                       SELECT kept.status, kept.status_final, kept.status_rank, kept.status_at) AS told
                 ORDER BY told.status_final DESC, told.status_rank DESC, told.status_at DESC, told.status DESC
                 LIMIT 1)"
    }
    KEEP_PARTICIPANTS = parts {
        "INSERT INTO call_participants (call_id, number)
         SELECT $1, r.number FROM " (rows "$2" as r (number TEXT)) " WHERE true ORDER BY r.number
         ON CONFLICT DO NOTHING"
    }
}

/// What one event adds to a call's row.
#[derive(Debug)]
pub(super) struct Telling<'t> {
    id: &'t str,
    context: &'t Context,
    at: DateTime<Utc>,
    status: CallStatus,
    /// The call, where the event told of it and not only of something made of it.
    call: Option<&'t Call>,
    answered_by: Option<&'t str>,
    has_voicemail: bool,
}

impl<'t> Telling<'t> {
    pub(super) fn of(call: &'t Call, status: CallStatus, at: DateTime<Utc>) -> Self {
        Self {
            call: Some(call),
            status,
            answered_by: call.answered_by.as_deref(),
            has_voicemail: call.has_voicemail == Some(true),
            ..Self::artefact(&call.id, &call.context, at)
        }
    }

    /// What a transcript, summary or voicemail tells of its call: that there was one, and where.
    pub(super) fn artefact(id: &'t str, context: &'t Context, at: DateTime<Utc>) -> Self {
        Self {
            id,
            context,
            at,
            status: CallStatus::Unknown,
            call: None,
            answered_by: None,
            has_voicemail: false,
        }
    }

    pub(super) fn answered_by(self, user_id: Option<&'t str>) -> Self {
        Self { answered_by: user_id, ..self }
    }

    pub(super) fn with_voicemail(self) -> Self {
        Self { has_voicemail: true, ..self }
    }

    pub(super) async fn keep(&self, tx: &mut Session) -> Result<(), DbError> {
        let call = self.call;
        let menu = call.and_then(|call| call.menu.as_ref()).map(menu_json);
        let menu_at = menu.as_ref().map(|_| self.at);
        KEEP_CALL
            .bind(self.id)
            .bind(self.context.conversation_id.as_deref())
            .bind(self.context.phone_number_id.as_deref())
            .bind(self.context.user_id.as_deref())
            .bind(call.and_then(|call| call.direction).map(|direction| direction.as_str()))
            .bind(call.and_then(|call| call.from.as_deref()))
            .bind(call.and_then(|call| call.to.as_deref()))
            .bind(call.and_then(|call| call.created_at))
            .bind(call.and_then(|call| call.answered_at))
            .bind(self.answered_by)
            .bind(call.and_then(|call| call.completed_at))
            .bind(call.and_then(|call| call.duration).map(milliseconds))
            .bind(self.has_voicemail)
            .bind(call.and_then(|call| call.forwarded_from.as_deref()))
            .bind(call.and_then(|call| call.forwarded_to.as_deref()))
            .bind(menu)
            .bind(menu_at)
            .bind(self.status.as_str())
            .bind(status::is_final(&self.status))
            .bind(status::rank(&self.status))
            .bind(self.at)
            .execute(tx)
            .await?;
        let participants = self.participants();
        if !participants.is_empty() {
            KEEP_PARTICIPANTS.bind(self.id).bind(number_rows(participants)?).execute(tx).await?;
        }
        Ok(())
    }

    fn participants(&self) -> BTreeSet<&'t str> {
        let named = self.call.map(|call| call.participants.as_slice()).unwrap_or_default();
        let sides = self.context.workspace.iter().chain(&self.context.external);
        sides.chain(named).map(String::as_str).collect()
    }
}

fn menu_json(menu: &MenuSelection) -> String {
    json!({"digit": menu.digit, "name": menu.name, "reason": menu.reason}).to_string()
}

/// Seconds as they are told, in the unit that is stored.
pub(super) fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}
