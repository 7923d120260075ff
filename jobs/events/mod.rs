//! What the provider told us. A verified delivery is kept byte for byte and becomes exactly one task, in one
//! transaction; what was seen before is recognised by its key for as long as events are kept.

mod intake;
mod route;
mod store;
mod told;

pub use intake::{Accepted, Delivery, Source, accept};
pub use route::job_of;
pub use store::{EventCount, EventFilter, EventId, EventRow, EventSummary, count, list, show};
pub(crate) use store::{STATEMENTS, count_in};
pub(crate) use told::{Told, told};
