//! Search over what people wrote and said.

#![expect(clippy::too_many_arguments, reason = "an argument is a parameter of the operation")]

use chrono::{DateTime, Utc};
use poem_openapi::param::Query;
use poem_openapi::{Enum, Object, OpenApi};
use trunkline_jobs::search::{self, By, Cursor, Hit, Kind, Order, Piece, Side};

use super::granted::{Granted, Read, View};
use super::page::{Listing, Page};
use super::problem::Problem;
use super::{Answer, Desk, Tag};

pub(super) struct SearchApi(pub(super) Desk);

/// What a text was
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "FoundKind", remote = "Kind", rename_all = "snake_case")]
enum FoundKind {
    Message,
    Transcript,
    Summary,
    Voicemail,
}

/// Something that was found
#[derive(Debug, Object)]
struct Found {
    kind: FoundKind,
    /// The message, the call, or the voicemail
    id: String,
    call_id: Option<String>,
    conversation_id: Option<String>,
    at: DateTime<Utc>,
    direction: Option<String>,
    from: Option<String>,
    to: Vec<String>,
    /// Of two on one page the greater fits better
    score: f64,
    /// `ours` or `theirs`: whose side said what is shown
    side: Option<String>,
    user_id: Option<String>,
    /// Who said it, where no user of ours did
    speaker: Option<String>,
    /// When in the call it was said, in seconds
    start: Option<f64>,
    snippet: Snippet,
}

/// The words around what was looked for, in pieces
///
/// Texts, and no HTML: escape each as the place needs where it is shown.
#[derive(Debug, Object)]
struct Snippet {
    /// The text begins before it
    cut_before: bool,
    /// The text goes on after it
    cut_after: bool,
    pieces: Vec<SnippetPiece>,
}

/// A part of a snippet
#[derive(Debug, Object)]
struct SnippetPiece {
    text: String,
    /// This was looked for
    hit: bool,
}

/// How many are found at a time unless somebody says otherwise.
fn usual() -> u32 {
    20
}

#[OpenApi(tag = "Tag::Calls")]
impl SearchApi {
    /// Search messages, transcripts, summaries and voicemails
    ///
    /// Every word must be there, in any form of its letters. `"Words in quotes"` must stand in this order; `techn*` stands
    /// for every word that begins so, from three letters on. Without words it lists what the filters leave. The best of the
    /// newest 200 come first; a page can be short, or empty, and not the last. Numbers and texts are masked; `unmask`
    /// takes the scope `pii` and is in the audit.
    #[oai(path = "/search", method = "get", operation_id = "search")]
    async fn search(
        &self,
        by: Granted<Read>,
        /// What to look for
        q: Query<Option<String>>,
        /// Only these; give it more than once for more than one
        kind: Query<Option<Vec<FoundKind>>>,
        /// Somebody who took part: `+12125550101`
        number: Query<Option<String>>,
        /// Who said it: `us`, `them`, a user's id or a number
        speaker: Query<Option<String>>,
        /// Only in this conversation
        conversation: Query<Option<String>>,
        since: Query<Option<DateTime<Utc>>>,
        /// Before that time
        until: Query<Option<DateTime<Utc>>>,
        /// The newest first, not the best
        #[oai(default)]
        newest: Query<bool>,
        #[oai(default)] unmask: Query<bool>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "100")))] limit: Query<u32>,
    ) -> Answer<Page<Found>> {
        let kinds: Vec<Kind> = kind.0.unwrap_or_default().into_iter().map(Kind::from).collect();
        let narrowed = (&q.0, &kinds, &number.0, &speaker.0, &conversation.0, since.0, until.0, newest.0);
        let listing = Listing::of("search", &narrowed);
        let after: Option<String> = listing.after(cursor.0.as_deref())?;
        let cursor = after.map(|place| place.parse()).transpose();
        let cursor: Option<Cursor> =
            cursor.map_err(|error: search::CursorError| Problem::invalid(error.to_string()))?;
        let view = by.view(unmask.0, "search").await?;
        let query = search::Query {
            text: q.0.unwrap_or_default(),
            kinds,
            number: number.0,
            speaker: speaker.0.as_deref().map(By::from),
            conversation: conversation.0,
            since: since.0,
            until: until.0,
            order: if newest.0 { Order::Newest } else { Order::Best },
            limit: limit.0,
            cursor,
        };
        let page = search::search(self.0.tasks.db(), &query).await?;
        if page.cut {
            return Err(Problem::invalid("the query is too long: look for fewer words"));
        }
        let found = page.hits.into_iter().map(|hit| Found::of(hit, view)).collect();
        Ok(listing.page_until(found, page.next.map(|next| next.to_string())))
    }
}

impl Found {
    fn of(hit: Hit, view: View) -> Self {
        let piece = |piece: Piece| SnippetPiece { text: view.said(&piece.text), hit: piece.hit };
        let number = |number: String| view.number(&number);
        Self {
            kind: hit.kind.into(),
            id: hit.id,
            call_id: hit.call_id,
            conversation_id: hit.conversation_id,
            at: hit.at,
            direction: hit.direction,
            from: hit.from.map(number),
            to: hit.to.into_iter().map(number).collect(),
            score: hit.score,
            side: hit.speaker.side.map(|side| match side {
                Side::Ours => "ours".to_owned(),
                Side::Theirs => "theirs".to_owned(),
            }),
            user_id: hit.speaker.user_id,
            speaker: hit.speaker.number.map(number),
            start: hit.start,
            snippet: Snippet {
                cut_before: hit.snippet.cut_before,
                cut_after: hit.snippet.cut_after,
                pieces: hit.snippet.pieces.into_iter().map(piece).collect(),
            },
        }
    }
}
