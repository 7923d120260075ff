//! Calls: found again and counted (`list`, `search`, `figures`, `heat`), and one with all that was said (`show`, `player`).
//! `wanted`: which are meant, as an address says it.

pub(super) mod figures;
mod heat;
pub(super) mod list;
mod player;
pub(super) mod search;
pub(super) mod show;
mod wanted;

use super::form;

/// Where the page of a call is. Its id is what others chose.
fn path(id: &str) -> String {
    format!("/calls/{}", form::segment(id))
}
