//! Keys: who may come in, for administrators. A key is shown on the answer to the form that made it, and never again.

pub(super) mod act;
pub(super) mod list;
pub(super) mod show;
