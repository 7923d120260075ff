//! HOW work is done: a durable task table, its delivery, and apalis workers, on PostgreSQL or SQLite.
//!
//! * [`db`]: two engines behind one SQL text.
//! * [`task`]: the task table, the one source of truth. Enqueue, claim, finish, leases.
//! * [`commit`]: many callers share one transaction.
//! * [`ring`]: the bell that tells workers about new tasks, in Redis or in process. Losing it loses nothing.
//! * [`job`]: what a job is, and the registry of the jobs an application knows.
//! * [`worker`]: pools of apalis workers, one per queue, and what keeps them alive.
//! * [`schedule`]: what is to happen at which times.
//! * [`audit`]: the book of what people did.
//! * [`clock`], [`duration`], [`metrics`]: time as a value, and what is counted.
//! * [`testkit`]: running jobs in tests, without waiting.
//! * [`mod@crash`], [`ahead`]: named places to die at, and a clock that can be set, in test builds.
//!
//! Knows nothing of phones; could be published on its own.

pub mod ahead;
pub mod audit;
mod chain;
pub mod clock;
pub mod commit;
pub mod crash;
pub mod db;
pub mod duration;
pub mod job;
pub mod metrics;
pub mod ring;
pub mod schedule;
pub mod task;
pub mod testkit;
pub mod worker;

pub use chain::chain;

/// Every statement of the platform, for the test that prepares them all on both engines.
pub fn statements() -> impl Iterator<Item = &'static db::Stmt> {
    task::STATEMENTS
        .iter()
        .copied()
        .chain([db::STATEMENTS, audit::STATEMENTS, schedule::STATEMENTS, testkit::STATEMENTS])
        .flatten()
        .copied()
}
