//! The factory's events must mean to the reader what the factory meant.

use super::*;
use crate::event::{Event, LookupStatus, MessageStatus, Payload};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_secs(1_791_558_000).unwrap()
}

#[test]
fn every_type_of_every_generation_is_read_as_what_it_is() {
    let mut factory = Factory::new(7);
    let mut made = [0; 3];
    for &kind in EventType::ALL {
        for (at, generation) in Generation::ALL.into_iter().enumerate() {
            for _ in 0..20 {
                let Some(event) = factory.event(kind, generation, now()) else { continue };
                let read = Event::parse(&event.body).unwrap();
                assert_eq!(read.envelope.id, event.event_id);
                assert_eq!(read.envelope.event_type, event.event_type);
                assert_eq!(read.envelope.kind(), Some(kind));
                assert_eq!(read.envelope.generation, generation);
                assert!(read.envelope.created_at.is_some());
                made[at] += 1;
            }
        }
    }
    assert_eq!(made, [21 * 20, 7 * 20, EventType::ALL.len() * 20]);
}

#[test]
fn the_same_seed_makes_the_same_bytes_and_another_seed_others() {
    let run = |seed| {
        let mut factory = Factory::new(seed);
        let events = (0..50).flat_map(|_| factory.anything(Generation::Dated, now()));
        events.map(|event| event.body).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn an_answered_call_is_one_call_in_all_its_events() {
    for generation in Generation::ALL {
        let events = Factory::new(3).answered_call(generation, now());
        let names: Vec<_> = events.iter().map(|event| event.event_type.as_str()).collect();
        assert!(names.len() >= 5, "{names:?}");
        for event in &events {
            let id = match Event::parse(&event.body).unwrap().payload {
                Payload::Call(call) => call.id,
                Payload::Recordings(recordings) => recordings.call_id,
                Payload::Transcript(transcript) => transcript.call_id,
                Payload::Summary(summary) => summary.call_id,
                other => panic!("{other:?}"),
            };
            assert_eq!(id, event.subject_id);
        }
    }
}

#[test]
fn a_missed_call_leads_to_its_voicemail() {
    let events = Factory::new(3).missed_call(Generation::App, now());
    let Payload::Call(call) = Event::parse(&events.last().unwrap().body).unwrap().payload else { panic!() };
    assert_eq!(call.answered(), Some(false));
    assert_eq!(call.voicemail.unwrap().url, events.last().unwrap().media[0].url);

    let events = Factory::new(3).missed_call(Generation::Dated, now());
    let Payload::Voicemail(voicemail) = Event::parse(&events.last().unwrap().body).unwrap().payload else {
        panic!()
    };
    assert_eq!(voicemail.url.unwrap(), events.last().unwrap().media[0].url);
}

#[test]
fn a_picture_is_the_file_it_says_it_is() {
    let base = "http://127.0.0.1:9/media/".parse().unwrap();
    let event = Factory::new(5).with_media_base(base).picture_message(Generation::Dated, now()).remove(0);
    let Payload::Message(message) = Event::parse(&event.body).unwrap().payload else { panic!() };
    assert_eq!(message.media.len(), event.media.len());
    for (item, file) in message.media.iter().zip(&event.media) {
        assert_eq!(item.url, file.url);
        assert_eq!(file.url, format!("http://127.0.0.1:9/media/{}", file.name));
        assert_eq!(render(&file.name).unwrap().bytes.len() as u64, file.size);
    }
}

#[test]
fn words_of_choice_come_from_the_number_of_choice() {
    for generation in Generation::ALL {
        let event = Factory::new(5).incoming_text("+12125550123", "STOP", generation, now());
        let Payload::Message(message) = Event::parse(&event.body).unwrap().payload else { panic!() };
        assert_eq!(message.from.as_deref(), Some("+12125550123"));
        assert_eq!(message.text.as_deref(), Some("STOP"));
        assert_eq!(message.status, MessageStatus::Received);
    }
}

#[test]
fn the_wild_variety_occurs() {
    let mut factory = Factory::new(11);
    let mut lookups = std::collections::BTreeSet::new();
    let (mut odd, mut groups, mut untyped, mut unknown) = (0, 0, 0, 0);
    for _ in 0..2000 {
        for event in factory.anything(Generation::Dated, now()) {
            match Event::parse(&event.body).unwrap().payload {
                Payload::Message(message) => {
                    lookups.extend(message.context.lookup_status.map(String::from));
                    odd += usize::from(message.from.is_some_and(|from| !from.starts_with('+')));
                    groups += usize::from(message.to.len() > 1);
                    untyped += message.media.iter().filter(|item| item.declared_type.is_none()).count();
                }
                Payload::Other(_) => unknown += 1,
                _ => {}
            }
        }
    }
    let expected = [LookupStatus::Matched, LookupStatus::None, LookupStatus::Unavailable].map(String::from);
    assert_eq!(lookups, expected.into());
    assert!(odd > 0 && groups > 0 && untyped > 0 && unknown > 0);
}
