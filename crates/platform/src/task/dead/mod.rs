//! Dead letters: tasks that are not tried again unless a person says so.
//!
//! * [`normal_error`] and the fingerprint made of it say which of them died of the same thing.
//! * `list` looks: groups, lists, how many of a kind.
//! * `act` is what a person does to them: retry, edit and retry, discard; each act in the audit. `plan` says to which it
//!   can be done, `edit` what becomes of a payload.
//! * `replay` retries many with care: one, then ten, then the rest, and stops when they die of the same again.

mod act;
mod edit;
mod fingerprint;
mod list;
mod normal;
mod plan;
mod replay;

pub use act::{Batch, BatchOutcome, DeadAct, Edited, Target};
pub use edit::Edit;
pub use fingerprint::fingerprint;
pub use list::{Cursor, DeadCount, DeadFilter, DeadGroup, DeadRow, Order};
pub use normal::normal_error;
pub use plan::{Refusal, Refused};
pub use replay::{Canary, Pace, Replayed, Stopped, replay};

use crate::db::Stmt;

pub(super) static STATEMENTS: [&[&Stmt]; 5] =
    [act::STATEMENTS, fingerprint::STATEMENTS, list::STATEMENTS, plan::STATEMENTS, replay::STATEMENTS];
