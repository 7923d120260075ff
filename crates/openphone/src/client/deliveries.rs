//! The provider's own log of what it told a present webhook, and of what it could not.

use chrono::{DateTime, Utc};
use http::Method;
use serde_json::{Value, json};

use super::{ApiError, Client, DecodeError, Page, decode::Answer, query::iso, webhooks::API_VERSION};

/// Which deliveries to list, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryQuery {
    pub webhook_id: String,
    pub created_after: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
    /// At most 50.
    pub max_results: u8,
    pub page_token: Option<String>,
}

/// A delivery, as the log lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedDelivery {
    /// What `webhook-id` is in all of its attempts.
    pub id: String,
}

impl DeliveryQuery {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("limit", self.max_results.to_string())];
        pairs.extend(self.created_after.map(|time| ("createdAt[gt]", iso(time))));
        pairs.extend(self.created_before.map(|time| ("createdAt[lt]", iso(time))));
        pairs.extend(self.page_token.clone().map(|token| ("after", token)));
        pairs
    }
}

impl Client {
    /// What was to be told to a present webhook, whatever became of it.
    pub async fn list_deliveries(&self, query: &DeliveryQuery) -> Result<Page<LoggedDelivery>, ApiError> {
        let request = self.dated(Method::GET, &[&query.webhook_id, "events"]);
        self.ask(request.query(&query.pairs())).await?.deliveries()
    }

    /// What a delivery told, as the body of an event. `None`: the log has too little of it, or it is a sample.
    pub async fn logged_event(&self, webhook_id: &str, id: &str) -> Result<Option<Value>, ApiError> {
        self.ask(self.dated(Method::GET, &[webhook_id, "events", id])).await?.logged_event()
    }

    /// Has the provider make one more attempt, some time soon, under the same id.
    pub async fn resend_delivery(&self, webhook_id: &str, id: &str) -> Result<(), ApiError> {
        self.ask(self.dated(Method::POST, &[webhook_id, "events", id, "retry"])).await.map(drop)
    }
}

impl Answer {
    fn deliveries(&self) -> Result<Page<LoggedDelivery>, ApiError> {
        self.page_of("nextCursor", |fields| {
            Ok(LoggedDelivery { id: fields.id("id").ok_or(DecodeError::NoId)? })
        })
    }

    /// The log has whole events, or only what they tell, and the rest beside it. Samples and old deliveries have no event.
    fn logged_event(&self) -> Result<Option<Value>, ApiError> {
        let outer = self.outer()?;
        let logged = outer.object("data");
        let body = match logged.value("requestBody") {
            Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
            body => body,
        };
        let (Some(id), true) = (logged.filled("eventId"), body.is_object()) else { return Ok(None) };
        if body["id"].is_string() && body["type"].is_string() {
            return Ok(Some(body));
        }
        let Some(kind) = logged.filled("eventType") else { return Ok(None) };
        Ok(Some(json!({"id": id, "type": kind, "apiVersion": API_VERSION,
            "createdAt": logged.filled("createdAt"), "data": body})))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(logged: &Value) -> Option<Value> {
        let answer = json!({"data": logged}).to_string().into_bytes();
        Answer::read(answer, None).unwrap().logged_event().unwrap()
    }

    #[test]
    fn what_is_logged_is_an_event_whole_or_in_parts_or_as_text() {
        let parts = json!({"resource": {"id": "AC1"}, "context": {}, "links": {}});
        let whole = json!({"id": "EV1", "type": "message.received", "apiVersion": API_VERSION,
            "createdAt": "2026-11-02T09:00:00.000Z", "data": parts});
        let in_parts = json!({"id": "msg_1", "eventId": "EV1", "eventType": "message.received",
            "createdAt": "2026-11-02T09:00:00.000Z", "requestBody": parts});
        assert_eq!(event(&in_parts), Some(whole.clone()));
        assert_eq!(event(&json!({"eventId": "EV1", "requestBody": whole})), Some(whole.clone()));
        assert_eq!(event(&json!({"eventId": "EV1", "requestBody": whole.to_string()})), Some(whole));
    }

    #[test]
    fn what_is_no_event_or_cannot_be_read_is_none() {
        let sample = json!({"id": "EV0", "type": "message.received", "data": {}});
        assert_eq!(event(&json!({"eventId": null, "requestBody": sample})), None, "a sample");
        assert_eq!(event(&json!({"eventId": "EV1"})), None);
        assert_eq!(event(&json!({"eventId": "EV1", "requestBody": "{"})), None);
        assert_eq!(event(&json!({"eventId": "EV1", "requestBody": {}})), None, "of no type");
    }
}
