//! The v1 API: who may ask, how often, and what is answered.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use http::{Method, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    Answer, Door,
    answer::Resource,
    window::{Counted, Moment},
};
use crate::{
    client::{API_VERSION, API_VERSION_HEADER},
    factory::{Call as PhoneCall, Text},
    simulator::lock,
};

impl Door {
    pub(super) async fn answer(&self, call: &super::Call<'_>) -> Answer {
        let provider = &self.provider;
        let version = call.headers.get(API_VERSION_HEADER).map(|value| value.as_bytes());
        if call.dated && version != Some(API_VERSION.as_bytes()) {
            return Answer::no_version();
        }
        let key = call.headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        let opens = |known: &SecretString| key == Some(known.expose_secret().as_bytes());
        if !lock(&provider.api_keys).iter().any(opens) {
            return Answer::unauthorized();
        }
        let now = if provider.limits_by_clock { Moment::Own(provider.now()) } else { Moment::Machine };
        let Counted { admitted, in_second } = self.window.admits(now);
        lock(&provider.book).called(in_second);
        if !admitted {
            lock(&provider.book).limited();
            return Answer::too_many();
        }
        if provider.strikes(provider.faults.rate_limited) {
            return Answer::too_many();
        }
        if call.method == Method::GET {
            lock(&provider.book).asked(&call.whole());
        }
        let trouble = provider.strikes(provider.faults.server_error);
        if trouble && provider.strikes(0.5) {
            return Answer::trouble();
        }
        let mut answer = if trouble {
            // It is done all the same; only nobody is told.
            self.dispatch(call).await;
            Answer::trouble()
        } else {
            self.dispatch(call).await
        };
        if provider.strikes(provider.faults.late_response) {
            // When the simulator stops meanwhile, the answer is simply early.
            let _ = provider.pause(provider.faults.late_by).await;
        }
        answer.lost = provider.strikes(provider.faults.lost_response);
        answer
    }

    async fn dispatch(&self, call: &super::Call<'_>) -> Answer {
        if let ["webhooks", path @ ..] = call.path {
            return if call.dated { self.webhooks(call, path) } else { self.legacy_webhooks(call, path) };
        }
        let store = || lock(&self.provider.store);
        match (call.method, call.path) {
            (&Method::POST, ["messages"]) => self.send(&call.body).await,
            (&Method::GET, ["messages"]) => self.list_messages(call),
            (&Method::GET, ["messages", id]) => one(Resource::Messages, store().text(id).map(Text::rest)),
            (&Method::GET, ["calls"]) => self.list_calls(call),
            (&Method::GET, ["calls", id]) => one(Resource::Calls, store().call(id).map(PhoneCall::rest)),
            (&Method::GET, ["call-recordings", id]) => {
                one(Resource::Recordings, store().call(id).map(PhoneCall::rest_recordings))
            }
            (&Method::GET, ["call-summaries", id]) => {
                one(Resource::Summaries, store().call(id).map(PhoneCall::rest_summary))
            }
            (&Method::GET, ["call-transcripts", id]) => {
                one(Resource::Transcripts, store().call(id).map(PhoneCall::rest_transcript))
            }
            (&Method::GET, ["call-voicemails", id]) => {
                one(Resource::Voicemails, store().call(id).and_then(PhoneCall::rest_voicemail))
            }
            (&Method::GET, ["conversations"]) => self.list_conversations(call),
            (&Method::GET, ["phone-numbers"]) => Answer::data(self.phone_numbers()),
            (&Method::GET, ["phone-numbers", id]) => {
                let numbers = self.phone_numbers();
                let found = numbers.as_array().into_iter().flatten().find(|number| number["id"] == **id);
                one(Resource::PhoneNumbers, found.cloned())
            }
            _ => Answer::unknown_path(),
        }
    }

    fn list_messages(&self, call: &super::Call<'_>) -> Answer {
        let others: BTreeSet<&str> = call.params("participants").collect();
        let Some(line_id) = call.param("phoneNumberId").filter(|_| (1..=10).contains(&others.len())) else {
            return Answer::invalid(Resource::Messages, "/query: phoneNumberId and 1 to 10 participants");
        };
        let listed_until = self.provider.now() - self.provider.faults.listed_after;
        let store = lock(&self.provider.store);
        let texts = store.thread(line_id, &others).into_iter().filter(|text| text.created_at <= listed_until);
        page(call, Resource::Messages, texts.map(|text| (text.created_at, text.rest())))
    }

    fn list_calls(&self, call: &super::Call<'_>) -> Answer {
        let others: Vec<&str> = call.params("participants").collect();
        let (Some(line_id), [other]) = (call.param("phoneNumberId"), others.as_slice()) else {
            return Answer::invalid(Resource::Calls, "/query: phoneNumberId and one participant");
        };
        let store = lock(&self.provider.store);
        let calls = store.calls_with(line_id, other);
        page(call, Resource::Calls, calls.into_iter().map(|call| (call.created_at, call.rest())))
    }

    fn list_conversations(&self, call: &super::Call<'_>) -> Answer {
        let lines: BTreeSet<&str> = call.params("phoneNumbers").collect();
        let updated = (moment(call, "updatedAfter"), moment(call, "updatedBefore"));
        let (Ok(after), Ok(before)) = updated else {
            return Answer::invalid(Resource::Conversations, "/query: times are ISO 8601");
        };
        let conversations = lock(&self.provider.store).conversations();
        let asked_for = conversations.into_iter().filter(|conversation| {
            let line = &conversation.line;
            let is_it = lines.contains(line.id.as_str()) || lines.contains(line.number.as_str());
            (lines.is_empty() || is_it)
                && after.is_none_or(|after| conversation.last_at > after)
                && before.is_none_or(|before| conversation.last_at < before)
        });
        let items = asked_for.map(|conversation| (conversation.first_at, conversation.rest()));
        page(call, Resource::Conversations, items)
    }

    fn phone_numbers(&self) -> Value {
        let factory = lock(&self.provider.factory);
        let lines = factory.world().lines.iter().map(|line| {
            json!({"id": line.id, "groupId": "GR1a2b3c4d", "number": line.number, "name": line.name,
                "formattedNumber": null, "symbol": null, "forward": null, "portRequestId": null,
                "portingStatus": null, "createdAt": "2025-01-06T09:00:00.000Z",
                "updatedAt": "2025-01-06T09:00:00.000Z",
                "users": [{"id": line.user_id, "email": "desk@example.com", "firstName": null,
                    "lastName": null, "role": "owner", "groupId": "GR1a2b3c4d"}],
                "restrictions": {
                    "messaging": {"US": "unrestricted", "CA": "unrestricted", "Intl": "restricted"},
                    "calling": {"US": "unrestricted", "CA": "unrestricted", "Intl": "restricted"}}})
        });
        lines.collect()
    }
}

fn one(resource: Resource, data: Option<Value>) -> Answer {
    data.map_or_else(|| Answer::not_found(resource), Answer::data)
}

/// One page of a list that is sorted newest first. The token is where the next page starts.
fn page(
    call: &super::Call<'_>,
    resource: Resource,
    items: impl Iterator<Item = (DateTime<Utc>, Value)>,
) -> Answer {
    let size: Option<usize> = call.param("maxResults").unwrap_or("10").parse().ok();
    let Some(size) = size.filter(|size| (1..=100).contains(size)) else {
        return Answer::invalid(resource, "/query/maxResults: from 1 to 100");
    };
    let (Ok(after), Ok(before)) = (moment(call, "createdAfter"), moment(call, "createdBefore")) else {
        return Answer::invalid(resource, "/query: times are ISO 8601");
    };
    let Ok(start) = call.param("pageToken").unwrap_or("0").parse::<usize>() else {
        return Answer::invalid(resource, "/query/pageToken: unknown");
    };
    let within =
        |at: DateTime<Utc>| after.is_none_or(|after| at > after) && before.is_none_or(|before| at < before);
    let mut found: Vec<Value> =
        items.filter(|(at, _)| within(*at)).skip(start).take(size + 1).map(|(_, item)| item).collect();
    let next = (found.len() > size).then(|| (start + size).to_string());
    found.truncate(size);
    Answer::page(found, next)
}

fn moment(call: &super::Call<'_>, name: &str) -> Result<Option<DateTime<Utc>>, chrono::ParseError> {
    call.param(name).map(|text| text.parse()).transpose()
}
