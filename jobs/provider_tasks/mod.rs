//! The to-do items in the provider's app. Only that they changed is told of most; the last telling is kept.

mod changed;

pub use changed::ProviderTaskChanged;
pub(crate) use changed::STATEMENTS;
