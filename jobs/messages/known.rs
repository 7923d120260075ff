//! Which texts of the provider's list we do not have, or not as far as they have come.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_openphone::event::{Message, MessageStatus};
use trunkline_platform::db::{DbError, Rows, Session};

use super::status;

trunkline_platform::statements! {
    KNOWN_MESSAGES = parts {
        "SELECT m.id, m.conversation_id, m.text, m.status, m.status_final, m.status_at,
                (SELECT COUNT(*) FROM media AS f WHERE f.owner_type = 'message' AND f.owner_id = m.id) AS files
         FROM " (rows "$1" as r (id TEXT)) " JOIN messages AS m ON m.id = r.id"
    }
}

#[derive(Serialize)]
struct Line<'m> {
    id: &'m str,
}

#[derive(sqlx::FromRow)]
struct Known {
    id: String,
    conversation_id: Option<String>,
    text: Option<String>,
    status: String,
    status_final: bool,
    status_at: DateTime<Utc>,
    files: i64,
}

/// Those of the provider's texts that would add something to what is kept.
pub(crate) async fn missing<'m>(
    session: &mut Session,
    messages: &'m [Message],
) -> Result<Vec<&'m Message>, DbError> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<Line<'_>> = messages.iter().map(|message| Line { id: &message.id }).collect();
    let known: Vec<Known> = KNOWN_MESSAGES.bind(Rows::of(&lines)?).all(session).await?;
    let known: HashMap<&str, &Known> = known.iter().map(|row| (row.id.as_str(), row)).collect();
    let adds =
        |message: &&Message| known.get(message.id.as_str()).is_none_or(|known| known.is_behind(message));
    Ok(messages.iter().filter(adds).collect())
}

impl Known {
    fn is_behind(&self, message: &Message) -> bool {
        let files = i64::try_from(message.media.len()).unwrap_or(i64::MAX);
        self.conversation_id.is_none()
            || (self.text.is_none() && message.text.is_some())
            || self.files < files
            || self.is_further(message)
    }

    /// Whether the provider has it further along its way.
    fn is_further(&self, message: &Message) -> bool {
        if self.status == message.status.as_str() {
            return false;
        }
        match (self.status_final, status::is_final(&message.status)) {
            (false, true) => true,
            (true, false) => false,
            (true, true) => message.updated_at.is_some_and(|at| at > self.status_at),
            (false, false) => {
                status::rank(&message.status) > status::rank(&MessageStatus::from(self.status.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_openphone::event::{Event, Payload};

    use super::*;

    fn message(status: &str, updated_at: &str) -> Message {
        let body = format!(
            r#"{{"id":"EV1","type":"message.updated","data":{{"resource":{{"id":"AC1","direction":"outgoing",
                "text":"Hi","status":"{status}","updatedAt":"{updated_at}"}}}}}}"#
        );
        match Event::parse(body.as_bytes()).unwrap().payload {
            Payload::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_is_further_or_tells_more_is_missing() {
        let (early, late) = ("2026-10-09T15:00:00Z", "2026-10-09T16:00:00Z");
        let known = |status: &str| Known {
            id: "AC1".to_owned(),
            conversation_id: Some("CN1".to_owned()),
            text: Some("Hi".to_owned()),
            status_final: status::is_final(&MessageStatus::from(status.to_owned())),
            status: status.to_owned(),
            status_at: "2026-10-09T15:30:00Z".parse().unwrap(),
            files: 0,
        };
        for (ours, theirs, at, behind) in [
            ("sent", "sent", late, false),
            ("sent", "delivered", early, true),
            ("queued", "sent", early, true),
            ("sent", "queued", late, false),
            ("delivered", "sent", late, false),
            ("failed", "delivered", late, true),
            ("failed", "undelivered", early, false),
        ] {
            assert_eq!(known(ours).is_behind(&message(theirs, at)), behind, "{ours} {theirs} {at}");
        }
        let nowhere = Known { conversation_id: None, ..known("sent") };
        assert!(nowhere.is_behind(&message("sent", late)));
        let wordless = Known { text: None, ..known("sent") };
        assert!(wordless.is_behind(&message("sent", late)));
    }
}
