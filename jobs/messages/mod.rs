//! Texts: one file per job, and how a message's row is put together.

mod delivered;
mod failed;
mod received;
mod status;
mod store;
mod undelivered;

pub use delivered::MessageDelivered;
pub use failed::MessageFailed;
pub use received::MessageReceived;
pub(crate) use store::{STATEMENTS, record};
pub use undelivered::MessageUndelivered;
