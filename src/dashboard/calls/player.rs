//! The recordings of a call, and which of them plays at a moment of the call.
//!
//! Without script a player can be told where to begin only when it is made: by a fragment of its address, `#t=62`. So a
//! line of the transcript links to the same page with that moment, and the player stays in sight beside the line.

use maud::{Markup, html};
use trunkline_jobs::calls::Recorded;
use trunkline_jobs::media::inspect::MediaDetail;

use crate::access::Scope;
use crate::dashboard::parts;
use crate::dashboard::visit::Visit;
use crate::elapsed::clock;
use crate::mask;

/// A file, and how many seconds into it a moment of the call is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    media: i64,
    seconds: f64,
}

/// The recording that was made at a moment, in seconds from the start of the call. The call's seconds begin with its first
/// recording; where nobody told when recordings began, it is the first.
pub(super) fn moment(recordings: &[Recorded], at: f64) -> Option<Moment> {
    let begun = recordings.iter().filter_map(|row| Some((row.media?, row.started_at?)));
    let Some(first) = begun.clone().map(|(_, began)| began).min() else {
        let media = recordings.iter().find_map(|row| row.media)?;
        return Some(Moment { media, seconds: at.max(0.0) });
    };
    let since_first =
        |began: chrono::DateTime<chrono::Utc>| (began - first).num_milliseconds() as f64 / 1_000.0;
    let moments = begun.map(|(media, began)| Moment { media, seconds: at.max(0.0) - since_first(began) });
    moments.filter(|moment| moment.seconds >= 0.0).min_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

/// Each recording with its player, for those who may listen. The one with the moment begins there.
pub(super) fn recordings(visit: &Visit<'_>, files: &[MediaDetail], at: Option<Moment>) -> Markup {
    html! {
        @for file in files {
            @let begins = at.filter(|moment| moment.media == file.id).map(|moment| moment.seconds);
            section.player[begins.is_some()] {
                (parts::facts(&[
                    ("Recording", Some(html! { code { (file.owner_id) } })),
                    ("State", Some(html! { (file.state) })),
                    ("Why", file.error.as_deref().map(|error| html! { (mask::phones_in(error)) })),
                    ("From", begins.map(|seconds| html! { (clock(seconds)) })),
                ]))
                (player(visit, file, begins))
            }
        }
    }
}

/// A file to be listened to, from some seconds into it on.
pub(super) fn player(visit: &Visit<'_>, file: &MediaDetail, begins: Option<f64>) -> Markup {
    let fragment = begins.map(|seconds| format!("#t={seconds:.1}")).unwrap_or_default();
    html! {
        @if file.servable().is_none() {
            p.note { "It is not there to be listened to." }
        } @else if visit.caller.scopes.has(Scope::Pii) {
            audio controls preload="metadata" autoplay[begins.is_some()]
                src=(format!("/api/v1/media/{}/content?redirect=false{fragment}", file.id)) {}
        } @else {
            p.note { "To listen, your key needs the scope " code { "pii" } "." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(media: Option<i64>, started_at: Option<&str>) -> Recorded {
        let started_at = started_at.map(|time| format!("2026-03-02T09:{time}Z").parse().unwrap());
        Recorded { recording: "RE".to_owned(), started_at, duration_ms: None, media, state: None }
    }

    #[test]
    fn a_moment_is_in_the_last_recording_that_had_begun() {
        let two = [
            recorded(Some(2), Some("01:30")),
            recorded(Some(1), Some("00:00")),
            recorded(None, Some("00:10")),
        ];
        for (at, media, seconds) in
            [(0.0, 1, 0.0), (62.0, 1, 62.0), (90.0, 2, 0.0), (95.5, 2, 5.5), (-3.0, 1, 0.0)]
        {
            assert_eq!(moment(&two, at), Some(Moment { media, seconds }), "{at}");
        }
        let untold = [recorded(None, None), recorded(Some(7), None)];
        assert_eq!(moment(&untold, 62.0), Some(Moment { media: 7, seconds: 62.0 }));
        assert_eq!(moment(&[recorded(None, None)], 1.0), None);
    }
}
