//! Voicemails. The present system tells of one by its own id, the oldest put it into the call; both meet on
//! the call, where it is known.

use chrono::{DateTime, Utc};
use trunkline_openphone::event::{MediaItem, Voicemail};
use trunkline_platform::db::{DbError, Session};

use super::call::milliseconds;
use crate::media::{Link, Owner};

trunkline_platform::statements! {
    KEEP_VOICEMAIL = same {
        "INSERT INTO voicemails AS kept (id, call_id, activity_id, voicemail_id, sender, recipient, duration_ms,
             created_at, transcript, transcript_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (id) DO UPDATE SET
             activity_id = CASE WHEN excluded.activity_id > kept.activity_id
                 THEN excluded.activity_id ELSE COALESCE(kept.activity_id, excluded.activity_id) END,
             voicemail_id = CASE WHEN excluded.voicemail_id > kept.voicemail_id
                 THEN excluded.voicemail_id ELSE COALESCE(kept.voicemail_id, excluded.voicemail_id) END,
             sender = CASE WHEN excluded.sender > kept.sender
                 THEN excluded.sender ELSE COALESCE(kept.sender, excluded.sender) END,
             recipient = CASE WHEN excluded.recipient > kept.recipient
                 THEN excluded.recipient ELSE COALESCE(kept.recipient, excluded.recipient) END,
             duration_ms = CASE WHEN excluded.duration_ms > kept.duration_ms
                 THEN excluded.duration_ms ELSE COALESCE(kept.duration_ms, excluded.duration_ms) END,
             created_at = CASE WHEN excluded.created_at < kept.created_at
                 THEN excluded.created_at ELSE COALESCE(kept.created_at, excluded.created_at) END,
             (transcript, transcript_at) = (
                 SELECT told.transcript, told.transcript_at
                 FROM (SELECT excluded.transcript AS transcript, excluded.transcript_at AS transcript_at
                       UNION ALL
                       SELECT kept.transcript, kept.transcript_at) AS told
                 ORDER BY told.transcript IS NULL, told.transcript_at DESC, told.transcript DESC
                 LIMIT 1)"
    }
}

/// A voicemail as one telling has it.
#[derive(Debug, Default)]
pub(super) struct VoicemailRow<'v> {
    id: String,
    call_id: Option<&'v str>,
    activity_id: Option<&'v str>,
    voicemail_id: Option<&'v str>,
    sender: Option<&'v str>,
    recipient: Option<&'v str>,
    duration: Option<f64>,
    created_at: Option<DateTime<Utc>>,
    transcript: Option<&'v str>,
    url: Option<&'v str>,
    declared_type: Option<&'v str>,
}

impl<'v> VoicemailRow<'v> {
    pub(super) fn of(voicemail: &'v Voicemail) -> Self {
        Self {
            id: voicemail.call_id.as_deref().map_or_else(|| voicemail.id.clone(), id_by_call),
            call_id: voicemail.call_id.as_deref(),
            // Whoever was asked by the call tells the voicemail itself, and not its entry in the conversation.
            activity_id: Some(voicemail.id.as_str())
                .filter(|id| voicemail.voicemail_id.as_deref() != Some(id)),
            voicemail_id: voicemail.voicemail_id.as_deref(),
            sender: voicemail.from.as_deref(),
            recipient: voicemail.to.as_deref(),
            duration: voicemail.duration,
            created_at: voicemail.created_at,
            transcript: voicemail.transcript.as_deref(),
            url: voicemail.url.as_deref(),
            declared_type: None,
        }
    }

    pub(super) fn inside_call(call_id: &'v str, item: &'v MediaItem) -> Self {
        Self {
            id: id_by_call(call_id),
            call_id: Some(call_id),
            duration: item.duration,
            url: Some(&item.url),
            declared_type: item.declared_type.as_deref(),
            ..Self::default()
        }
    }

    pub(super) fn link(&self) -> Option<Link<'_>> {
        let owner = Owner::Voicemail(&self.id);
        Some(Link { owner, position: 0, url: self.url?, declared_type: self.declared_type })
    }

    pub(super) async fn keep(&self, tx: &mut Session, at: DateTime<Utc>) -> Result<(), DbError> {
        KEEP_VOICEMAIL
            .bind(&self.id)
            .bind(self.call_id)
            .bind(self.activity_id)
            .bind(self.voicemail_id)
            .bind(self.sender)
            .bind(self.recipient)
            .bind(self.duration.map(milliseconds))
            .bind(self.created_at)
            .bind(self.transcript)
            .bind(self.transcript.map(|_| at))
            .execute(tx)
            .await
            .map(drop)
    }
}

fn id_by_call(call_id: &str) -> String {
    format!("call:{call_id}")
}

/// The call that a voicemail goes by, if it does.
pub(crate) fn call_of(voicemail: &str) -> Option<&str> {
    voicemail.strip_prefix("call:")
}

#[cfg(test)]
mod tests {
    use trunkline_openphone::event::{Event, Payload};

    use super::*;

    fn voicemail(call_id: &str) -> Voicemail {
        let body = format!(
            r#"{{"id":"EV1","type":"call.voicemail.completed","data":{{"resource":{{"id":"AC2","callId":{call_id}}}}}}}"#
        );
        match Event::parse(body.as_bytes()).unwrap().payload {
            Payload::Voicemail(voicemail) => voicemail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_ways_of_telling_of_a_voicemail_meet_on_the_call() {
        let item =
            MediaItem { url: "https://media.example/1".to_owned(), declared_type: None, duration: None };
        assert_eq!(VoicemailRow::of(&voicemail(r#""AC1""#)).id, VoicemailRow::inside_call("AC1", &item).id);
    }

    #[test]
    fn a_voicemail_without_a_call_goes_by_its_own_id() {
        assert_eq!(VoicemailRow::of(&voicemail("null")).id, "AC2");
    }
}
