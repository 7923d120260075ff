//! Dead letters: groups first, then the letters of one, then what can be done to them. What an act would do is shown
//! before it is done.

pub(super) mod act;
pub(super) mod list;
pub(super) mod replay;
mod wanted;
