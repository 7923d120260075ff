//! Asking the provider for what webhooks missed: a subscription that was disabled, an endpoint that was down for a day, a
//! delivery that nobody tried again.
//!
//! A run reads the provider's own log of its deliveries to us (`log`), and walks our numbers, their conversations, the texts
//! and calls in them, and what was made of the calls, page by page (`walk`, `look`). What it has still to ask for are rows (`pages`). A page that was read gives way to those that
//! follow from it, in one transaction with what it repaired; whoever dies goes on from there. What we lack is told as an event
//! through the door that webhooks come by, so the same jobs run and nothing is there twice.
//!
//! [`StartReconcile`] is the schedule's job; people begin a run by [`begin_by_hand`]. There is one run at a time.

mod kind;
mod log;
mod look;
mod metrics;
mod pages;
mod read;
mod runs;
mod start;
mod walk;

use trunkline_platform::db::Stmt;

pub use kind::{Kind, UnknownKind};
pub use metrics::ReconcileMetrics;
pub use read::{CountRow, Details, Next, RunRow, Status, list, show, status};
pub use runs::{BeginError, Order, begin_by_hand};
pub use start::{OVERLAP_MINUTES, StartReconcile};
pub use walk::ReconcilePage;

pub(crate) static STATEMENTS: &[&[&Stmt]] =
    &[look::STATEMENTS, pages::STATEMENTS, read::STATEMENTS, runs::STATEMENTS];
