//! Conversations: between which numbers, and since when. Messages and calls happen in one and tell of it.

mod numbers;
mod place;

pub(crate) use numbers::number_rows;
pub(crate) use place::{Place, STATEMENTS};
