//! The files behind texts and calls: what there is, what is in quarantine, and what people do to them. What is in a file is
//! shown only to whoever may see it and asks for it, since each such look is in the audit.

pub(super) mod act;
pub(super) mod list;
pub(super) mod show;

use maud::{Markup, html};
use trunkline_jobs::media::inspect::MediaDetail;

use super::form::segment;
use crate::mask;

/// In the order in which files go through them.
const STATES: [&str; 5] = ["pending", "stored", "quarantined", "failed", "purged"];
const OWNERS: [&str; 3] = ["message", "recording", "voicemail"];

/// What a file belongs to, as a link where it leads somewhere.
fn owner(row: &MediaDetail) -> Markup {
    let call = match (row.owner_type.as_str(), row.owner_id.split_once('/')) {
        ("recording", Some((call, _))) => Some(call),
        ("voicemail", _) => row.owner_id.strip_prefix("call:"),
        _ => None,
    };
    html! {
        (row.owner_type) " "
        @match call {
            Some(call) => a href={ "/calls/" (segment(call)) } { (row.owner_id) },
            None => code { (row.owner_id) },
        }
    }
}

/// What is wrong with a file: what the scanner found, or why it failed.
fn why(row: &MediaDetail) -> Option<String> {
    row.signature.clone().or_else(|| row.error.as_deref().map(mask::phones_in))
}
