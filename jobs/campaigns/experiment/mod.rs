//! Texts tried against each other: how they fare, when one has won, and what becomes of that.
//!
//! * [`sequential`]: the test, which may be looked at at any time.
//! * [`WinnerRule`], [`Standing`]: the stopping rule, as a pure function of what is counted.
//! * [`arms`]: what is counted, from the ledger.
//! * [`promote`]: those who wait get the winner, by hand or by [`DecideWinners`].

mod arms;
mod decide;
mod promote;
mod rule;
pub mod sequential;

use trunkline_platform::db::Stmt;

pub use arms::arms;
pub use decide::DecideWinners;
pub use promote::{evidence, promote};
pub use rule::{Arm, Metric, Pair, Standing, WinnerRule, pairs, standing};

pub(super) static ALL_STATEMENTS: &[&[&Stmt]] = &[arms::STATEMENTS, decide::STATEMENTS, promote::STATEMENTS];
