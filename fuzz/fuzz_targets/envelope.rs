//! Any bytes as an event: never a panic, and the quick reading agrees with the full one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_openphone::event::{Envelope, Event, EventError};

fuzz_target!(|body: &[u8]| {
    let envelope = Envelope::parse(body);
    match Event::parse(body) {
        Ok(event) => assert_eq!(Ok(event.envelope), envelope),
        Err(EventError::Envelope(error)) => assert_eq!(Err(error), envelope),
        Err(EventError::NoId) => assert!(envelope.is_ok()),
    }
});
