//! Search over what people wrote and said: messages, transcripts, summaries, voicemails.
//!
//! The engines keep an index of terms and answer one question: which are the newest documents with all of these terms?
//! What makes a word, whether a phrase or a speaker really fits, how hits are ranked and what is shown of them is
//! decided here, once, so that both engines find the same, in the same order.
//!
//! * `words`, `terms`: what a text is in the index.
//! * `source`, `index`: from the rows that jobs keep to documents, in the same transaction.
//! * `query`, `find`: what people type, and the one function that answers it.
//! * `rank`, `snippet`: how well a document fits, and what is shown of it.

mod find;
mod index;
mod query;
mod rank;
mod snippet;
mod source;
mod terms;
mod words;

use trunkline_platform::db::Stmt;

pub use find::{By, Cursor, CursorError, Hit, Order, Page, Query, WINDOW, search};
pub(crate) use index::{keep_call, keep_message, keep_voicemail};
pub use snippet::{Piece, Snippet};
pub use source::{Kind, Side, Speaker};

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[find::STATEMENTS, index::STATEMENTS];
