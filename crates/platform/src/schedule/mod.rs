//! Schedules: what is to happen at which times, although nobody asks.
//!
//! * A file says what, when, and what becomes of ticks that were missed or that meet a task of an earlier one
//!   ([`Schedules::load`]).
//! * [`When`] is a cron expression on the wall clock of a time zone, daylight saving included.
//! * [`Scheduler`] fires ticks. Any number of processes may: each tick is one row, written in the transaction that
//!   enqueues its task and guarded by the schedule's own row, so it fires once.
//! * [`operate`] is what people do: pause, resume, trigger, read the history.

mod file;
mod judge;
mod metrics;
pub mod operate;
mod runner;
mod store;
mod when;

pub use file::{Missed, Overlap, Problem, Schedule, Schedules, Source};
pub use metrics::ScheduleMetrics;
pub use runner::Scheduler;
pub use store::{Outcome, ScheduleState, TickRow};
pub use when::{When, WhenError};

pub(crate) use store::STATEMENTS;
