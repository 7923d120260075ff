//! Events, done once more at somebody's word: after a mistake in a job was mended, after an upgrade that knows a type the
//! release before did not, or to be sure.
//!
//! A replay enqueues the jobs of stored events through the door that webhooks come by. The rows that they keep are joins,
//! so telling them twice leaves what telling them once left; nothing is texted because of it, since whoever is to get a
//! text is looked up in the ledger and in the book of who spoke, which a second telling finds as the first left them.
//!
//! It is a row and a task at a time: `page` enqueues a page of events and moves the row forward, in one transaction.
//! Whoever dies goes on from there, in whatever process. [`begin`] and [`cancel`] are what people do, [`show`] and [`list`]
//! how they see how far it is. There is one at a time.

mod page;
mod read;
mod runs;

use trunkline_platform::db::Stmt;

use super::store::EventId;

pub use page::ReplayEvents;
pub use read::{ReplayRow, list, show};
pub use runs::{LARGEST_PACE, MOST_COUNTED, Order, ReplayError, USUAL_PACE, begin, cancel, resume};

/// What the task of a replayed event names as its cause.
pub(super) fn cause(event: EventId) -> String {
    format!("replay:{event}")
}

pub(super) static STATEMENTS: &[&[&Stmt]] = &[read::STATEMENTS, runs::STATEMENTS];
