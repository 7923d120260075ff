//! Happenings, and the events they cause.
//!
//! The events of one happening are in the order in which they would be made; nothing promises that
//! they arrive so.

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;

use super::{
    Call, Factory, FactoryEvent, MediaFile, MediaKind, Text, call,
    call::{Recording, Turn, Voicemail},
    phrases, world,
    world::Place,
};
use crate::event::{Direction, EventType, Generation, MessageStatus};

/// Senders that are no phone numbers.
const ODD_SENDERS: [&str; 3] = ["72345", "Anonymous", "Restricted"];

impl Factory {
    /// Somebody texts us.
    pub fn text(&mut self, generation: Generation, now: DateTime<Utc>) -> Vec<FactoryEvent> {
        self.event(EventType::MessageReceived, generation, now).into_iter().collect()
    }

    /// Somebody sends us one or more pictures, now and then one that somebody sent before.
    pub fn picture_message(&mut self, generation: Generation, now: DateTime<Utc>) -> Vec<FactoryEvent> {
        let mut files: Vec<MediaFile> = Vec::new();
        for _ in 0..self.rng.random_range(1..=3) {
            files.extend(self.picture());
        }
        if self.rng.random_bool(0.1) {
            files.extend(self.passed_on.take());
        }
        self.passed_on = files.first().cloned();
        vec![self.message_with(files, generation, now)]
    }

    /// Somebody sends us a document or somebody's card.
    pub fn document_message(&mut self, generation: Generation, now: DateTime<Utc>) -> Vec<FactoryEvent> {
        let kind = MediaKind::DOCUMENTS[self.rng.random_range(0..MediaKind::DOCUMENTS.len())];
        let files = self.file(kind).into_iter().collect();
        vec![self.message_with(files, generation, now)]
    }

    /// Somebody sends us a virus: the EICAR test file.
    pub fn infected_message(&mut self, generation: Generation, now: DateTime<Utc>) -> Vec<FactoryEvent> {
        let files = self.file(MediaKind::Eicar).into_iter().collect();
        vec![self.message_with(files, generation, now)]
    }

    fn message_with(
        &mut self,
        media: Vec<MediaFile>,
        generation: Generation,
        now: DateTime<Utc>,
    ) -> FactoryEvent {
        let place = self.world.place(&mut self.rng);
        let words = self.pick(phrases::PICTURE).to_owned();
        let text = Text { text: words, media, ..self.received(place, now) };
        self.tell_text(&text, EventType::MessageReceived, generation)
    }

    /// Somebody texts us and others in one thread.
    pub fn group_text(&mut self, generation: Generation, now: DateTime<Utc>) -> Vec<FactoryEvent> {
        let place = self.world.place(&mut self.rng);
        let other = self.world.place(&mut self.rng).other;
        let mut text = self.received(place, now);
        text.to.push(other);
        text.place.conversation_id = world::conversation_of(&text.place.line, &text.others());
        vec![self.tell_text(&text, EventType::MessageReceived, generation)]
    }

    /// That number texts those words to our first line.
    pub fn incoming_text(
        &mut self,
        from: &str,
        words: &str,
        generation: Generation,
        now: DateTime<Utc>,
    ) -> FactoryEvent {
        let place = self.world.place_of(&self.world.lines[0], from);
        let text = Text { text: words.to_owned(), ..self.received(place, now) };
        self.tell_text(&text, EventType::MessageReceived, generation)
    }

    /// Whoever was sent that text answers it.
    pub(crate) fn answer(
        &mut self,
        text: &Text,
        words: &str,
        generation: Generation,
        now: DateTime<Utc>,
    ) -> FactoryEvent {
        let answer = Text { text: words.to_owned(), ..self.received(text.place.clone(), now) };
        self.tell_text(&answer, EventType::MessageReceived, generation)
    }

    /// A call that is answered, recorded, transcribed and summed up.
    pub fn answered_call(&mut self, generation: Generation, now: DateTime<Utc>) -> Vec<FactoryEvent> {
        use EventType as T;
        let call = self.answered(now, false);
        let mut artefacts = [T::CallRecordingCompleted, T::CallTranscriptCompleted, T::CallSummaryCompleted];
        if self.rng.random_bool(0.5) {
            artefacts.swap(1, 2);
        }
        let kinds = [&[T::CallRinging, T::CallAnswered, T::CallCompleted][..], &artefacts].concat();
        self.tell_call(&call, &kinds, generation)
    }

    /// A call that nobody answers, and the message the caller leaves.
    pub fn missed_call(&mut self, generation: Generation, now: DateTime<Utc>) -> Vec<FactoryEvent> {
        use EventType as T;
        let call = self.unanswered(now);
        let kinds = [T::CallRinging, T::CallCompleted, T::CallMissed, T::CallVoicemailCompleted];
        self.tell_call(&call, &kinds, generation)
    }

    /// Somebody changes, or now and then deletes, a contact.
    pub fn contact_change(&mut self, generation: Generation, now: DateTime<Utc>) -> Vec<FactoryEvent> {
        let deleted = self.rng.random_bool(0.1);
        let kind = if deleted { EventType::ContactDeleted } else { EventType::ContactUpdated };
        self.event(kind, generation, now).into_iter().collect()
    }

    /// Any of it, mostly texts.
    pub fn anything(&mut self, generation: Generation, now: DateTime<Utc>) -> Vec<FactoryEvent> {
        match self.rng.random_range(0..100) {
            0..45 => self.text(generation, now),
            45..57 => self.event(EventType::MessageDelivered, generation, now).into_iter().collect(),
            57..65 => self.picture_message(generation, now),
            65..67 => self.document_message(generation, now),
            67..70 => self.group_text(generation, now),
            70..82 => self.answered_call(generation, now),
            82..92 => self.missed_call(generation, now),
            92..98 => self.contact_change(generation, now),
            98 => self.event(EventType::TaskUpdated, generation, now).into_iter().collect(),
            _ => vec![self.unknown(generation, now)],
        }
    }

    pub(crate) fn tell_text(&mut self, text: &Text, kind: EventType, generation: Generation) -> FactoryEvent {
        text.telling(&mut self.rng, kind, generation).seal(&mut self.rng, kind, generation, text.updated_at)
    }

    fn tell_call(&mut self, call: &Call, kinds: &[EventType], generation: Generation) -> Vec<FactoryEvent> {
        let told = kinds.iter().filter_map(|&kind| {
            let at = match kind {
                EventType::CallRinging => call.created_at,
                EventType::CallAnswered => call.answered_at().unwrap_or(call.created_at),
                _ => call.completed_at(),
            };
            let telling = call.telling(&mut self.rng, kind, generation)?;
            Some(telling.seal(&mut self.rng, kind, generation, at))
        });
        told.collect()
    }

    pub(super) fn any_text(&mut self, kind: EventType, now: DateTime<Utc>) -> Text {
        let place = self.world.place(&mut self.rng);
        if kind == EventType::MessageReceived {
            let mut text = self.received(place, now);
            if self.rng.random_bool(0.03) {
                text.from = self.pick(&ODD_SENDERS).to_owned();
                text.place = self.world.place_of(&text.place.line, &text.from);
            }
            return text;
        }
        let (status, error_code) = match kind {
            EventType::MessageFailed => (MessageStatus::Failed, None),
            EventType::MessageUndelivered => (MessageStatus::Undelivered, Some("30007".to_owned())),
            EventType::MessageUpdated => (MessageStatus::Sent, None),
            _ => (MessageStatus::Delivered, None),
        };
        Text {
            direction: Direction::Outgoing,
            from: place.line.number.clone(),
            to: vec![place.other.clone()],
            text: self.pick(phrases::OUTGOING).to_owned(),
            status,
            error_code,
            ..self.received(place, now)
        }
    }

    fn received(&mut self, place: Place, now: DateTime<Utc>) -> Text {
        Text {
            id: world::id(&mut self.rng, "AC"),
            direction: Direction::Incoming,
            from: place.other.clone(),
            to: vec![place.line.number.clone()],
            text: self.pick(phrases::INCOMING).to_owned(),
            media: Vec::new(),
            status: MessageStatus::Received,
            error_code: None,
            created_at: now,
            updated_at: now,
            place,
        }
    }

    pub(super) fn answered(&mut self, now: DateTime<Utc>, forwarded: bool) -> Call {
        let turns = self.rng.random_range(2..=phrases::DIALOGUE.len());
        let talked = TimeDelta::seconds(4 * turns as i64);
        let dialogue = phrases::DIALOGUE.iter().take(turns).enumerate().map(|(at, content)| Turn {
            ours: at % 2 == 0,
            content: (*content).to_owned(),
            start: 4.0 * at as f64,
            end: 4.0 * at as f64 + 3.5,
        });
        let recording = self.audio().map(|file| Recording {
            id: format!("RE{}", world::hex(&mut self.rng, 8)),
            file,
            seconds: talked.num_seconds(),
        });
        let to_somebody = self.world.place(&mut self.rng).other;
        Call {
            talked: Some(talked),
            forwarded_to: forwarded.then_some(to_somebody),
            recordings: recording.into_iter().collect(),
            dialogue: dialogue.collect(),
            summary: vec![self.pick(phrases::SUMMARY).to_owned()],
            next_steps: vec![self.pick(phrases::NEXT_STEPS).to_owned()],
            ..self.ringing(now)
        }
    }

    pub(super) fn unanswered(&mut self, now: DateTime<Utc>) -> Call {
        let voicemail = self.audio().map(|file| Voicemail {
            activity_id: world::id(&mut self.rng, "AC"),
            id: format!("VM{}", world::hex(&mut self.rng, 8)),
            file,
            seconds: self.rng.random_range(3..40),
            transcript: self.rng.random_bool(0.5).then(|| self.pick(phrases::VOICEMAIL).to_owned()),
        });
        Call { voicemail, direction: Direction::Incoming, ..self.ringing(now) }
    }

    fn ringing(&mut self, now: DateTime<Utc>) -> Call {
        let incoming = self.rng.random_bool(0.7);
        call::Call {
            id: world::id(&mut self.rng, "AC"),
            direction: if incoming { Direction::Incoming } else { Direction::Outgoing },
            place: self.world.place(&mut self.rng),
            created_at: now - TimeDelta::seconds(60),
            talked: None,
            forwarded_to: None,
            recordings: Vec::new(),
            dialogue: Vec::new(),
            summary: Vec::new(),
            next_steps: Vec::new(),
            voicemail: None,
        }
    }

    fn picture(&mut self) -> Option<MediaFile> {
        let kind = MediaKind::IMAGES[self.rng.random_range(0..MediaKind::IMAGES.len())];
        self.file(kind)
    }

    fn audio(&mut self) -> Option<MediaFile> {
        let kind = if self.rng.random_bool(0.7) { MediaKind::Mp3 } else { MediaKind::Wav };
        self.file(kind)
    }
}
