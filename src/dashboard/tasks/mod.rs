//! Tasks: finding them, the life of one, and what can be done to it.

pub(super) mod act;
pub(super) mod edit;
mod grammar;
pub(super) mod list;
pub(super) mod show;
