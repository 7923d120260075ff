//! The provider's REST API, as far as we use it: v1, and of the dated one the webhooks.
//!
//! A client asks once. It never retries by itself: whether a request may be repeated depends on
//! what it does, and for a text that is the sender's ledger's business. What the client owes its
//! caller is to tell apart "it did not happen" and "it may have happened": see [`ApiError`].
//!
//! Answers come as the types of [`event`](crate::event), so that what was read and what was told
//! meet in the same code.

mod api_key;
mod decode;
mod deliveries;
mod error;
mod query;
mod webhooks;

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{Method, StatusCode, header::AUTHORIZATION};
use reqwest::{RequestBuilder, Response, redirect};
use serde_json::json;
use url::Url;

use self::decode::Answer;
pub(crate) use self::webhooks::{API_VERSION, API_VERSION_HEADER};
pub use self::{
    api_key::{ApiKey, KeyInUse},
    deliveries::{DeliveryQuery, LoggedDelivery},
    error::{ApiError, DecodeError, Refusal},
    query::{CallQuery, Conversation, ConversationQuery, MessageQuery, Page, PhoneNumber, SendMessage},
    webhooks::{LegacyFamily, NewSubscription, Subscription, SubscriptionChange, webhook_events},
};
use crate::event::{Call, Message, Recording, Summary, Transcript, Voicemail};

/// The most of an answer that is read, in bytes. The largest true answers are transcripts.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// Where the API is and how to talk to it.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The host, without `/v1`.
    pub base_url: Url,
    pub api_key: ApiKey,
    /// The longest a whole request may take.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub user_agent: String,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the API's base URL cannot be extended by a path")]
    BaseUrl,
    #[error("the API key cannot be sent in a header")]
    ApiKey,
    #[error("cannot set up HTTP")]
    Http(#[source] reqwest::Error),
}

/// A client of the provider's API. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: Url,
    key: ApiKey,
}

impl Client {
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        if config.base_url.cannot_be_a_base() {
            return Err(ClientError::BaseUrl);
        }
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.connect_timeout)
            .user_agent(config.user_agent)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(ClientError::Http)?;
        Ok(Self { http, base_url: config.base_url, key: config.api_key })
    }

    /// What it asks under.
    pub fn api_key(&self) -> &ApiKey {
        &self.key
    }

    /// Sends a text. Accepted means queued: what became of it is told by webhook, or by
    /// [`get_message`](Self::get_message).
    pub async fn send_message(&self, message: &SendMessage) -> Result<Message, ApiError> {
        let mut body = json!({"content": message.content, "from": message.from, "to": message.to});
        if let Some(user_id) = &message.user_id {
            body["userId"] = json!(user_id);
        }
        if message.mark_done {
            body["setInboxStatus"] = json!("done");
        }
        self.ask(self.request(Method::POST, &["messages"]).json(&body)).await?.message()
    }

    /// The messages exchanged with some people over one of our numbers.
    pub async fn list_messages(&self, query: &MessageQuery) -> Result<Page<Message>, ApiError> {
        self.ask(self.get(&["messages"]).query(&query.pairs())).await?.messages()
    }

    pub async fn get_message(&self, id: &str) -> Result<Message, ApiError> {
        self.ask(self.get(&["messages", id])).await?.message()
    }

    /// The calls with one person over one of our numbers.
    pub async fn list_calls(&self, query: &CallQuery) -> Result<Page<Call>, ApiError> {
        self.ask(self.get(&["calls"]).query(&query.pairs())).await?.calls()
    }

    pub async fn get_call(&self, id: &str) -> Result<Call, ApiError> {
        self.ask(self.get(&["calls", id])).await?.call()
    }

    /// The recordings of a call, oldest first.
    pub async fn call_recordings(&self, call_id: &str) -> Result<Vec<Recording>, ApiError> {
        self.ask(self.get(&["call-recordings", call_id])).await?.recordings()
    }

    pub async fn call_summary(&self, call_id: &str) -> Result<Summary, ApiError> {
        self.ask(self.get(&["call-summaries", call_id])).await?.summary()
    }

    pub async fn call_transcript(&self, call_id: &str) -> Result<Transcript, ApiError> {
        self.ask(self.get(&["call-transcripts", call_id])).await?.transcript()
    }

    pub async fn call_voicemail(&self, call_id: &str) -> Result<Voicemail, ApiError> {
        self.ask(self.get(&["call-voicemails", call_id])).await?.voicemail(call_id)
    }

    /// The conversations over one of our numbers.
    pub async fn list_conversations(
        &self,
        query: &ConversationQuery,
    ) -> Result<Page<Conversation>, ApiError> {
        self.ask(self.get(&["conversations"]).query(&query.pairs())).await?.conversations()
    }

    /// Our numbers.
    pub async fn list_phone_numbers(&self) -> Result<Vec<PhoneNumber>, ApiError> {
        self.ask(self.get(&["phone-numbers"])).await?.phone_numbers()
    }

    fn get(&self, path: &[&str]) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.http.request(method, self.url("v1", path))
    }

    fn url(&self, first: &str, path: &[&str]) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(first).extend(path);
        }
        url
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Answer, ApiError> {
        let key = self.key.in_use();
        let request = match &key {
            Some(key) => request.header(AUTHORIZATION, key.header()),
            None => request,
        };
        let response = request.send().await.map_err(ApiError::transport)?;
        let status = response.status();
        if let Some(key) = key.filter(|_| status != StatusCode::UNAUTHORIZED) {
            key.answered();
        }
        let headers = response.headers().clone();
        let body = read(response).await;
        if status.is_success() {
            body.and_then(|body| Answer::read(body, error::answered_at(&headers)))
        } else {
            Err(error::refused(status, &headers, body))
        }
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ApiError::transport)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(DecodeError::TooLarge.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
