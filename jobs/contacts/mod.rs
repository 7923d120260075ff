//! The provider's address book.

mod deleted;
mod store;
mod updated;

pub use deleted::ContactDeleted;
pub(crate) use store::STATEMENTS;
pub use updated::ContactUpdated;
