//! Events made to order.
//!
//! A factory makes valid bodies of every event type in every generation that has it, with the
//! variety that is met in the wild: keys missing or null, texts to groups, senders that are no
//! phone numbers, emoji, words added later. The same seed and the same calls give the same bytes.
//!
//! Events come one by one ([`Factory::event`]) or as the handful that one happening causes
//! ([`Factory::answered_call`] and its neighbours).

mod call;
mod call_events;
mod contact;
mod envelope;
mod media;
mod phrases;
mod scenario;
mod text;
mod world;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use url::Url;

use self::envelope::Telling;
pub(crate) use self::{call::Call, envelope::iso, text::Text, world::conversation_of};
pub use self::{
    media::{Media, MediaFile, MediaKind, render},
    world::{Line, Person, World},
};
use crate::event::{EventType, Generation};

/// An event, ready to be sent.
#[derive(Debug, Clone)]
pub struct FactoryEvent {
    pub event_id: String,
    /// The type as it is spelled in the body.
    pub event_type: String,
    pub generation: Generation,
    /// The activity, contact or task it is about.
    pub subject_id: String,
    /// The files it leads to.
    pub media: Vec<MediaFile>,
    pub body: Vec<u8>,
    /// What the provider would answer when asked about it.
    pub(crate) record: Option<Record>,
}

/// Something that happened and can be asked for.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    Text(Box<Text>),
    Call(Box<Call>),
}

/// A maker of events.
#[derive(Debug)]
pub struct Factory {
    rng: StdRng,
    world: World,
    media_base: Option<Url>,
    /// A picture that somebody may send again.
    passed_on: Option<MediaFile>,
}

impl Factory {
    /// A factory whose every choice follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let media_base = Url::parse("http://127.0.0.1/media/").ok();
        Self { rng: StdRng::seed_from_u64(seed), world: World::new(), media_base, passed_on: None }
    }

    /// Where the files of its events are served; ends in a slash.
    #[must_use]
    pub fn with_media_base(self, base: Url) -> Self {
        Self { media_base: Some(base), ..self }
    }

    /// Without links to files, for events that nobody is there to serve the files of.
    #[must_use]
    pub fn without_media(self) -> Self {
        Self { media_base: None, ..self }
    }

    /// Who takes part.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// One event of that type, if the generation has it.
    pub fn event(
        &mut self,
        kind: EventType,
        generation: Generation,
        now: DateTime<Utc>,
    ) -> Option<FactoryEvent> {
        use EventType as T;
        let telling = match kind {
            T::MessageReceived | T::MessageDelivered => {
                let text = self.any_text(kind, now);
                text.telling(&mut self.rng, kind, generation)
            }
            T::MessageFailed | T::MessageUndelivered | T::MessageUpdated
                if generation == Generation::Dated =>
            {
                let text = self.any_text(kind, now);
                text.telling(&mut self.rng, kind, generation)
            }
            T::MessageFailed | T::MessageUndelivered | T::MessageUpdated => return None,
            T::CallMissed | T::CallVoicemailCompleted => {
                let call = self.unanswered(now);
                call.telling(&mut self.rng, kind, generation)?
            }
            T::CallRinging
            | T::CallMenuSelected
            | T::CallAnswered
            | T::CallCompleted
            | T::CallForwarded
            | T::CallRecordingCompleted
            | T::CallSummaryCompleted
            | T::CallTranscriptCompleted => {
                let call = self.answered(now, kind == T::CallForwarded);
                call.telling(&mut self.rng, kind, generation)?
            }
            T::ContactUpdated | T::ContactDeleted => {
                self.world.contact(&mut self.rng, kind, generation, now)?
            }
            T::IntegrationCreated | T::IntegrationUpdated | T::IntegrationDeleted
                if generation != Generation::Dated =>
            {
                return None;
            }
            _ if generation == Generation::Api => return None,
            _ => self.bare(kind),
        };
        Some(telling.seal(&mut self.rng, kind, generation, now))
    }

    /// An event of a type that nobody has heard of.
    pub fn unknown(&mut self, generation: Generation, now: DateTime<Utc>) -> FactoryEvent {
        let telling = self.bare(EventType::TaskCreated);
        telling.seal_as(&mut self.rng, "fax.received", generation, now)
    }

    /// Tasks and integrations tell their id and little else.
    fn bare(&mut self, kind: EventType) -> Telling {
        let prefix = if kind.as_str().starts_with("task.") { "TK" } else { "IN" };
        let id = world::id(&mut self.rng, prefix);
        Telling {
            subject: json!({"id": id}),
            context: json!({"orgId": self.world.org_id, "actorId": self.world.lines[0].user_id,
                "phoneNumberId": null, "conversationId": null, "activityId": null}),
            subject_id: id,
            link: None,
            media: Vec::new(),
            record: None,
        }
    }

    /// The id of something that happens outside the factory.
    pub(crate) fn activity_id(&mut self) -> String {
        world::id(&mut self.rng, "AC")
    }

    fn file(&mut self, kind: MediaKind) -> Option<MediaFile> {
        self.media_base.as_ref().map(|base| media::invent(&mut self.rng, kind, base))
    }

    fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.rng.random_range(0..texts.len())]
    }
}
