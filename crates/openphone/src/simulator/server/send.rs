//! Accepting a text.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;

use super::{Answer, Door, answer::Resource};
use crate::{
    event::{Direction, MessageStatus},
    factory::{Line, Text, conversation_of},
    simulator::{AcceptedMessage, journal::Entry, lock},
};

const MAX_CONTENT: usize = 1600;
const MAX_RECIPIENTS: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    content: String,
    from: String,
    to: Vec<String>,
    user_id: Option<String>,
}

impl Door {
    /// Accepts a text, or says why not. What becomes of it is decided later.
    pub(super) async fn send(&self, body: &[u8]) -> Answer {
        let order: Order = match serde_json::from_slice(body) {
            Ok(order) => order,
            Err(error) => return Answer::invalid(Resource::Messages, &error.to_string()),
        };
        if let Err(answer) = order.check() {
            return answer;
        }
        let provider = &self.provider;
        let Some(line) = self.line(&order.from) else { return Answer::not_found(Resource::Messages) };
        let Ok(room) = Arc::clone(&provider.pending).try_acquire_owned() else { return Answer::full() };
        let text = self.text(order, &line);
        let accepted = AcceptedMessage::from(&text);
        let answer = Answer::accepted(text.rest());
        {
            let mut store = lock(&provider.store);
            if !store.has_room() {
                return Answer::full();
            }
            store.accept(text.clone());
        }
        provider.journal.write(Entry::Accepted(accepted)).await;
        provider.play(&text, room);
        answer
    }

    fn line(&self, from: &str) -> Option<Line> {
        let factory = lock(&self.provider.factory);
        factory.world().lines.iter().find(|line| line.id == from || line.number == from).cloned()
    }

    fn text(&self, order: Order, line: &Line) -> Text {
        let now = self.provider.now();
        let mut factory = lock(&self.provider.factory);
        let other = order.to.first().map_or("", String::as_str);
        let mut place = factory.world().place_of(line, other);
        place.conversation_id = conversation_of(line, &order.to.iter().map(String::as_str).collect());
        if let Some(user_id) = order.user_id {
            place.line.user_id = user_id;
        }
        Text {
            id: factory.activity_id(),
            direction: Direction::Outgoing,
            from: line.number.clone(),
            to: order.to,
            text: order.content,
            media: Vec::new(),
            status: MessageStatus::Queued,
            error_code: None,
            created_at: now,
            updated_at: now,
            place,
        }
    }
}

impl Order {
    fn check(&self) -> Result<(), Answer> {
        let invalid = |message| Err(Answer::invalid(Resource::Messages, message));
        if self.content.trim().is_empty() || self.content.chars().count() > MAX_CONTENT {
            return invalid("/content: 1 to 1600 characters, not all blank");
        }
        if self.to.is_empty() || self.to.len() > MAX_RECIPIENTS {
            return invalid("/to: 1 to 10 items");
        }
        if self.to.iter().any(|number| number.is_empty() || number.chars().count() > 15 + 1) {
            return invalid("/to: E.164, or up to 15 characters");
        }
        let refused =
            |variant, status, title| Err(Answer::refused(Resource::Messages, variant, status, title, title));
        match self.to.first().and_then(|number| number.get(number.len().saturating_sub(4)..)) {
            Some("0194") => refused(6, StatusCode::BAD_REQUEST, "A2P Registration Not Approved"),
            Some("0195") => refused(4, StatusCode::FORBIDDEN, "A2P 10DLC Daily Message Cap Reached"),
            Some("0196") => refused(0, StatusCode::PAYMENT_REQUIRED, "Not Enough Credits"),
            Some("0197") => Err(Answer::refused(
                Resource::Messages,
                0,
                StatusCode::BAD_REQUEST,
                "Invalid Recipient",
                "The recipient has opted out (21610)",
            )),
            _ => Ok(()),
        }
    }
}
