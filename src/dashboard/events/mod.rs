//! Events: finding them, one with its tasks, and having them done once more. What a replay would be is shown before it
//! begins.

pub(super) mod act;
pub(super) mod list;
pub(super) mod replays;
pub(super) mod show;
mod wanted;
