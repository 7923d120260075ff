//! What the provider told us. A verified delivery is kept byte for byte and becomes exactly one task, in one
//! transaction; what was seen before is recognised by its key for as long as events are kept.
//!
//! [`find`] and [`survey`] look through what is kept ([`EventFilter`] says for what); [`replay`] has the jobs of events
//! done once more.

pub mod feed;
mod filter;
mod find;
mod intake;
pub mod replay;
mod route;
mod scan;
mod store;
mod told;

use trunkline_platform::db::Stmt;

pub use filter::{EventFilter, EventState, FilterError, UnknownEventState};
pub use find::{Found, Reading, Survey, TypeCount, find, state_of, survey, tasks_of};
pub(crate) use intake::came;
pub use intake::{Accepted, Delivery, Source, accept};
pub use route::job_of;
pub(crate) use store::count_in;
pub use store::{EventCount, EventId, EventRow, EventSummary, FoundEvent, count, show};
pub(crate) use told::{Told, told};

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[
    feed::STATEMENTS,
    intake::STATEMENTS,
    replay::STATEMENTS[0],
    replay::STATEMENTS[1],
    scan::STATEMENTS,
    store::STATEMENTS,
];
