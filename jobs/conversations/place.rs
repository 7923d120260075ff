//! Where an activity took place, and who took part.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use trunkline_openphone::event::{Context, Direction, Message};
use trunkline_platform::db::{DbError, Session};

use super::numbers::number_rows;

trunkline_platform::statements! {
    KEEP_CONVERSATION = same {
        "INSERT INTO conversations AS kept (id, phone_number_id, first_activity_at, last_activity_at)
         VALUES ($1, $2, $3, $3)
         ON CONFLICT (id) DO UPDATE SET
             phone_number_id = CASE WHEN excluded.phone_number_id > kept.phone_number_id
                 THEN excluded.phone_number_id ELSE COALESCE(kept.phone_number_id, excluded.phone_number_id) END,
             first_activity_at = CASE WHEN excluded.first_activity_at < kept.first_activity_at
                 THEN excluded.first_activity_at
                 ELSE COALESCE(kept.first_activity_at, excluded.first_activity_at) END,
             last_activity_at = CASE WHEN excluded.last_activity_at > kept.last_activity_at
                 THEN excluded.last_activity_at
                 ELSE COALESCE(kept.last_activity_at, excluded.last_activity_at) END"
    }
    KEEP_NUMBERS = parts {
        "INSERT INTO numbers AS kept (number, first_seen_at, last_seen_at)
         SELECT r.number, $2, $2 FROM " (rows "$1" as r (number TEXT)) " WHERE true ORDER BY r.number
         ON CONFLICT (number) DO UPDATE SET
             first_seen_at = CASE WHEN excluded.first_seen_at < kept.first_seen_at
                 THEN excluded.first_seen_at ELSE COALESCE(kept.first_seen_at, excluded.first_seen_at) END,
             last_seen_at = CASE WHEN excluded.last_seen_at > kept.last_seen_at
                 THEN excluded.last_seen_at ELSE COALESCE(kept.last_seen_at, excluded.last_seen_at) END"
    }
    KEEP_WORKSPACE_NUMBERS = parts {
        "INSERT INTO workspace_numbers (number)
         SELECT r.number FROM " (rows "$1" as r (number TEXT)) " WHERE true ORDER BY r.number
         ON CONFLICT (number) DO NOTHING"
    }
    KEEP_PARTICIPANTS = parts {
        "INSERT INTO conversation_participants (conversation_id, number)
         SELECT $1, r.number FROM " (rows "$2" as r (number TEXT)) " WHERE true ORDER BY r.number
         ON CONFLICT DO NOTHING"
    }
}

/// The conversation and the two sides of it, as one telling has them.
#[derive(Debug)]
pub(crate) struct Place<'t> {
    conversation_id: Option<&'t str>,
    phone_number_id: Option<&'t str>,
    ours: BTreeSet<&'t str>,
    others: BTreeSet<&'t str>,
    /// When the activity began. Absent where only something made of it is told: that is no activity.
    at: Option<DateTime<Utc>>,
}

impl<'t> Place<'t> {
    /// Where something happened whose context names the sides.
    pub(crate) fn of(context: &'t Context, at: Option<DateTime<Utc>>) -> Self {
        Self {
            conversation_id: context.conversation_id.as_deref(),
            phone_number_id: context.phone_number_id.as_deref(),
            ours: texts(&context.workspace),
            others: texts(&context.external),
            at,
        }
    }

    /// Where a message was sent. In a group thread everybody else it went to takes part as well.
    pub(crate) fn of_message(message: &'t Message, at: DateTime<Utc>) -> Self {
        let mut place = Self::of(&message.context, Some(at));
        if message.direction == Direction::Incoming {
            place.others.extend(message.to.iter().map(String::as_str));
            place.others.retain(|number| !place.ours.contains(number));
        }
        place
    }

    /// Notes the conversation and its people. Belongs at the head of a transaction: every job locks in this
    /// order, so that none waits for another that waits for it.
    pub(crate) async fn keep(&self, tx: &mut Session) -> Result<(), DbError> {
        if let Some(id) = self.conversation_id {
            KEEP_CONVERSATION.bind(id).bind(self.phone_number_id).bind(self.at).execute(tx).await?;
        }
        if !self.others.is_empty() {
            KEEP_NUMBERS.bind(number_rows(self.others.iter().copied())?).bind(self.at).execute(tx).await?;
        }
        if !self.ours.is_empty() {
            KEEP_WORKSPACE_NUMBERS.bind(number_rows(self.ours.iter().copied())?).execute(tx).await?;
        }
        if let Some(id) = self.conversation_id {
            let everyone = number_rows(self.ours.union(&self.others).copied())?;
            KEEP_PARTICIPANTS.bind(id).bind(everyone).execute(tx).await?;
        }
        Ok(())
    }
}

fn texts(numbers: &[String]) -> BTreeSet<&str> {
    numbers.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use trunkline_openphone::event::{Event, Payload};

    use super::*;

    fn message(direction: &str, from: &str, to: &str) -> Message {
        let body = format!(
            r#"{{"id":"EV1","type":"message.received","data":{{"resource":{{"id":"AC1",
                "direction":"{direction}","from":"{from}","to":"{to}"}}}}}}"#
        );
        match Event::parse(body.as_bytes()).unwrap().payload {
            Payload::Message(message) => Message {
                direction: if direction == "incoming" { Direction::Incoming } else { Direction::Outgoing },
                ..message
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_two_who_text_one_is_ours() {
        let message = message("incoming", "+12125550101", "+12125550199");
        let place = Place::of_message(&message, DateTime::UNIX_EPOCH);
        assert_eq!(place.ours, BTreeSet::from(["+12125550199"]));
        assert_eq!(place.others, BTreeSet::from(["+12125550101"]));
    }

    #[test]
    fn everyone_in_a_group_thread_takes_part() {
        let message = message("incoming", "+12125550101", "+12125550199,+12125550102");
        let place = Place::of_message(&message, DateTime::UNIX_EPOCH);
        assert!(place.ours.is_empty());
        assert_eq!(place.others.len(), 3);
    }
}
