//! The outside of an event: what the receiver needs to store and route a delivery before anyone
//! understands it.
//!
//! The receiver runs this on every request, so it is cheap (the payload is skipped over, never
//! built) and strict about the few things a stored event cannot do without. Everything else about
//! the body is somebody else's business and is tolerated.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{EventType, fields};

/// The longest event id or type that is accepted, in bytes.
const MAX_NAME: usize = 255;

/// Which of the provider's webhook systems wrote an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Generation {
    /// Webhooks made in the app's settings: `data.object`, `apiVersion` `v2` or `v3`.
    App,
    /// Webhooks made through the v1 API: `data.object`, `apiVersion` `v4`.
    Api,
    /// The present system: `data.resource`, `apiVersion` is a date.
    Dated,
}

impl Generation {
    /// Every generation, oldest first.
    pub const ALL: [Self; 3] = [Self::App, Self::Api, Self::Dated];

    /// The name used in configuration, logs and journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Api => "api",
            Self::Dated => "dated",
        }
    }

    /// The generation of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|generation| generation.as_str() == name)
    }
}

/// The outside of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The event's id: the same for every endpoint that is told of the event.
    pub id: String,
    /// The type as it was sent; [`Envelope::kind`] understands it.
    pub event_type: String,
    /// The payload version, where one was given.
    pub api_version: Option<String>,
    /// When the underlying thing happened, where that can be read.
    pub created_at: Option<DateTime<Utc>>,
    /// Which webhook system wrote the event.
    pub generation: Generation,
}

/// Why a body is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the body is not JSON of the expected shape (line {line}, column {column})")]
    NotJson { line: usize, column: usize },
    #[error("the body is not a JSON object")]
    NotAnObject,
    #[error("the event has no {0}")]
    Missing(&'static str),
    #[error("the event's {0} is not a usable string")]
    Unusable(&'static str),
    #[error("the event's `data` holds neither an `object` nor a `resource`")]
    NoSubject,
}

impl EnvelopeError {
    fn json(error: &serde_json::Error) -> Self {
        Self::NotJson { line: error.line(), column: error.column() }
    }
}

/// The parts of the body that [`Event`](super::Event) goes on to read.
pub(super) struct Data<'a> {
    pub subject: &'a RawValue,
    pub context: Option<&'a RawValue>,
    pub links: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEnvelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    api_version: Option<&'a RawValue>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct WireData<'a> {
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    links: Option<&'a RawValue>,
}

impl Envelope {
    /// Reads the outside of an event from the bytes of a request.
    pub fn parse(body: &[u8]) -> Result<Self, EnvelopeError> {
        Self::open(body).map(|(envelope, _)| envelope)
    }

    /// The event type, if it is one we know.
    pub fn kind(&self) -> Option<EventType> {
        EventType::from_name(&self.event_type)
    }

    pub(super) fn open(body: &[u8]) -> Result<(Self, Data<'_>), EnvelopeError> {
        let text = std::str::from_utf8(body).map_err(|_| EnvelopeError::NotUtf8)?;
        let outer = read_envelope(text)?;
        // Some deliveries carry the whole event once more inside `object`.
        let wire = match outer.object {
            Some(inner) if outer.data.is_none() && is_object(inner.get()) => read_envelope(inner.get())?,
            _ => outer,
        };
        let event_type = name(wire.event_type, "type")?;
        let data: WireData<'_> = match wire.data.filter(|data| is_object(data.get())) {
            Some(data) => serde_json::from_str(data.get()).map_err(|e| EnvelopeError::json(&e))?,
            None => WireData::default(),
        };
        let api_version = wire.api_version.and_then(fields::text);
        let (subject, generation) = match (subject(data.resource), subject(data.object)) {
            (Some(resource), _) => (resource, Generation::Dated),
            (None, Some(object)) if api_version.as_deref() == Some("v4") => (object, Generation::Api),
            (None, Some(object)) => (object, Generation::App),
            (None, None) if has_known_payload(&event_type) => {
                return Err(wire.data.map_or(EnvelopeError::Missing("data"), |_| EnvelopeError::NoSubject));
            }
            // Of what we do not know we cannot say how it must look.
            (None, None) => (wire.data.unwrap_or(RawValue::NULL), Generation::Dated),
        };
        let envelope = Self {
            id: name(wire.id, "id")?,
            event_type,
            api_version,
            created_at: wire.created_at.and_then(fields::time),
            generation,
        };
        Ok((envelope, Data { subject, context: data.context, links: data.links }))
    }
}

/// Whether the provider documents what events of this type hold.
fn has_known_payload(event_type: &str) -> bool {
    use EventType::{IntegrationCreated, IntegrationDeleted, IntegrationUpdated};
    let undocumented = [IntegrationCreated, IntegrationUpdated, IntegrationDeleted];
    EventType::from_name(event_type).is_some_and(|kind| !undocumented.contains(&kind))
}

fn read_envelope(text: &str) -> Result<WireEnvelope<'_>, EnvelopeError> {
    if !is_object(text) {
        // Tell "no JSON at all" from "JSON, but something else".
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|e| EnvelopeError::json(&e))?;
        return Err(EnvelopeError::NotAnObject);
    }
    serde_json::from_str(text).map_err(|e| EnvelopeError::json(&e))
}

/// An id or a type: a string one can store, index and print.
fn name(raw: Option<&RawValue>, what: &'static str) -> Result<String, EnvelopeError> {
    let raw = raw.ok_or(EnvelopeError::Missing(what))?;
    let text: Cow<'_, str> = serde_json::from_str(raw.get()).map_err(|_| EnvelopeError::Unusable(what))?;
    if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(EnvelopeError::Unusable(what));
    }
    Ok(text.into_owned())
}

fn subject(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| is_object(raw.get()))
}

fn is_object(json: &str) -> bool {
    json.trim_ascii_start().starts_with('{')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINIMAL: &str = r#"{"id":"EV1","type":"message.received","data":{"object":{}}}"#;

    #[test]
    fn the_three_generations_are_told_apart() {
        let cases = [
            (r#""apiVersion":"v3","data":{"object":{}}"#, Generation::App),
            (r#""apiVersion":"v2","data":{"object":{}}"#, Generation::App),
            (r#""data":{"object":{}}"#, Generation::App),
            (r#""apiVersion":"v4","data":{"object":{}}"#, Generation::Api),
            (r#""apiVersion":"2026-03-30","data":{"resource":{}}"#, Generation::Dated),
            (r#""data":{"resource":{},"object":null}"#, Generation::Dated),
        ];
        for (rest, generation) in cases {
            let body = format!(r#"{{"id":"EV1","type":"call.ringing",{rest}}}"#);
            assert_eq!(Envelope::parse(body.as_bytes()).unwrap().generation, generation, "{body}");
        }
    }

    #[test]
    fn odd_versions_times_and_unknown_keys_are_tolerated() {
        let body = r#"{"x":1e99999,"x":{"y":[]},"id":"EV1","type":"brand.new","apiVersion":7,
            "createdAt":"yesterday","data":{"resource":{},"later":[1]}}"#;
        let envelope = Envelope::parse(body.as_bytes()).unwrap();
        assert_eq!(envelope.event_type, "brand.new");
        assert_eq!(envelope.kind(), None);
        assert_eq!(envelope.created_at, None);
    }

    #[test]
    fn an_event_wrapped_once_more_is_unwrapped() {
        let body = format!(r#"{{"object":{MINIMAL}}}"#);
        assert_eq!(Envelope::parse(body.as_bytes()).unwrap().id, "EV1");
        let twice = format!(r#"{{"object":{{"object":{MINIMAL}}}}}"#);
        assert_eq!(Envelope::parse(twice.as_bytes()), Err(EnvelopeError::Missing("type")));
    }

    #[test]
    fn what_the_receiver_cannot_do_without_is_required() {
        let long = format!(r#"{{"id":"{}","type":"t","data":{{"object":{{}}}}}}"#, "x".repeat(256));
        let cases: [(&[u8], EnvelopeError); 14] = [
            (b"\xff{}", EnvelopeError::NotUtf8),
            (b"", EnvelopeError::NotJson { line: 1, column: 0 }),
            (b"[]", EnvelopeError::NotAnObject),
            (b"{}", EnvelopeError::Missing("type")),
            (br#"{"id":"EV1","type":"message.received"}"#, EnvelopeError::Missing("data")),
            (br#"{"type":"t","data":{"object":{}}}"#, EnvelopeError::Missing("id")),
            (br#"{"id":null,"type":"t","data":{"object":{}}}"#, EnvelopeError::Missing("id")),
            (br#"{"id":7,"type":"t","data":{"object":{}}}"#, EnvelopeError::Unusable("id")),
            (br#"{"id":"","type":"t","data":{"object":{}}}"#, EnvelopeError::Unusable("id")),
            (br#"{"id":"a\u0000","type":"t","data":{"object":{}}}"#, EnvelopeError::Unusable("id")),
            (br#"{"id":"EV1","data":{"object":{}}}"#, EnvelopeError::Missing("type")),
            (br#"{"id":"EV1","type":"call.ringing","data":{"object":[]}}"#, EnvelopeError::NoSubject),
            (br#"{"id":"EV1","type":"call.ringing","data":"x"}"#, EnvelopeError::NoSubject),
            (long.as_bytes(), EnvelopeError::Unusable("id")),
        ];
        for (body, error) in cases {
            assert_eq!(Envelope::parse(body), Err(error), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn an_event_nobody_has_described_is_kept_whatever_it_holds() {
        for rest in ["", r#","data":null"#, r#","data":"x""#, r#","data":{"integration":{"id":"I1"}}"#] {
            for kind in ["fax.received", "integration.created"] {
                let body = format!(r#"{{"id":"EV1","type":"{kind}"{rest}}}"#);
                assert_eq!(Envelope::parse(body.as_bytes()).map(|told| told.event_type), Ok(kind.to_owned()));
                assert!(crate::event::Event::parse(body.as_bytes()).is_ok(), "{body}");
            }
        }
    }

    #[test]
    fn a_key_given_twice_is_refused_where_it_would_matter() {
        let body = r#"{"id":"EV1","id":"EV2","type":"t","data":{"object":{}}}"#;
        assert!(matches!(Envelope::parse(body.as_bytes()), Err(EnvelopeError::NotJson { .. })));
    }

    #[test]
    fn nesting_a_million_deep_is_survived() {
        let depth = 1_000_000;
        let body = format!(
            r#"{{"id":"EV1","type":"t","data":{{"object":{{"a":{}{}}}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        assert!(Envelope::parse(body.as_bytes()).is_ok());
        let open = format!(r#"{{"id":"EV1","type":"t","data":{}"#, r#"{"object":"#.repeat(depth));
        assert!(matches!(Envelope::parse(open.as_bytes()), Err(EnvelopeError::NotJson { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_at_all_are_survived(body in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Envelope::parse(&body);
        }

        #[test]
        fn a_damaged_event_is_survived(at in 0..MINIMAL.len(), byte in any::<u8>(), cut in 0..MINIMAL.len()) {
            let mut body = MINIMAL.as_bytes().to_vec();
            body[at] = byte;
            let _ = Envelope::parse(&body);
            prop_assert!(Envelope::parse(&MINIMAL.as_bytes()[..cut]).is_err());
        }
    }
}
