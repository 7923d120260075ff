//! Contacts: those whom campaigns can text. A number stands in the address of its own page only, so lists lead to it only where
//! numbers are shown anyway; otherwise it is asked for.

pub(super) mod act;
pub(super) mod list;
pub(super) mod reviews;
pub(super) mod show;
