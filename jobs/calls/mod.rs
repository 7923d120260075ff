//! Calls: one file per job, and under `store` how what they tell is put together.
//!
//! A call is told in pieces, and what was made of it (recordings, voicemail, transcript, summary) can come
//! before it. Each piece therefore makes the call's row if there is none, and adds what it knows.

mod answered;
mod completed;
mod forwarded;
mod known;
mod look;
mod menu_selected;
mod missed;
mod recording;
mod ringing;
pub mod stats;
mod status;
mod store;
mod summary;
mod texts_wanted;
mod transcript;
mod voicemail;

pub use answered::CallAnswered;
pub use completed::CallCompleted;
pub use forwarded::CallForwarded;
pub(crate) use known::{compare, has_voicemail, lacks_recording};
pub use look::{CallDetails, CallFilter, CallLine, CallRow, Recorded, Said, list, show};
pub use menu_selected::CallMenuSelected;
pub use missed::CallMissed;
pub use recording::CallRecording;
pub use ringing::CallRinging;
pub(crate) use store::{call_of_voicemail, recording_key};
pub use summary::CallSummary;
pub use texts_wanted::CallTextsWanted;
pub use transcript::CallTranscript;
pub use voicemail::CallVoicemail;

use trunkline_platform::db::Stmt;

pub(crate) fn statements() -> impl Iterator<Item = &'static [&'static Stmt]> {
    store::STATEMENTS.iter().copied().chain(stats::STATEMENTS).chain([
        known::STATEMENTS,
        look::STATEMENTS,
        texts_wanted::STATEMENTS,
    ])
}
