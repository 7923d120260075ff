//! Texts: one file per job, and how a message's row is put together.

mod delivered;
mod failed;
mod known;
mod received;
mod status;
mod store;
mod undelivered;
mod updated;

pub use delivered::MessageDelivered;
pub use failed::MessageFailed;
pub(crate) use known::missing;
pub use received::MessageReceived;
pub(crate) use store::record;
pub use undelivered::MessageUndelivered;
pub use updated::MessageUpdated;

use trunkline_platform::db::Stmt;

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[known::STATEMENTS, store::STATEMENTS];
