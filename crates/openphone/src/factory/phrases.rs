//! What people say.

pub(super) const INCOMING: &[&str] = &[
    "Hi, are you open on Saturday?",
    "ok 👍",
    "Can someone call me back? The heater is out again",
    "Thanks!",
    "Running 10 min late, sorry 😅",
    "What would a new door cost, about?",
    "¿Hablan español?",
    "Yes",
    "Please move my appointment to Thursday at 3",
    "Here it is",
    "👩‍👩‍👧‍👦🎉 it's a girl!!",
    "Do you take cards?",
];

pub(super) const OUTGOING: &[&str] = &[
    "Your visit is at 3pm",
    "On our way",
    "Thanks for calling! Was everything alright?",
    "We are open from 9 to 5, Monday to Saturday.",
    "Your order is ready — come by any time ☕",
];

pub(super) const PICTURE: &[&str] = &["Photo of the sink", "", "This is the crack", "📷"];

/// Turns of a call, ours first.
pub(super) const DIALOGUE: &[&str] = &[
    "Good morning, how can I help?",
    "My heater is out.",
    "I am sorry. Since when?",
    "Since last night. It is getting cold in here.",
    "We can send somebody today, between two and four.",
    "That works, thank you!",
];

pub(super) const SUMMARY: &[&str] = &[
    "The heater stopped last night.",
    "A technician comes today between two and four.",
    "The caller asked for a quote for a new door.",
];

pub(super) const NEXT_STEPS: &[&str] = &["Book a technician.", "Send the quote, then call back."];

pub(super) const VOICEMAIL: &[&str] =
    &["Hi, it's about the invoice. Please call me back.", "Hello? ... I'll try again later."];
