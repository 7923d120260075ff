//! What a fault costs: time, and nothing else. Each fault is a file; the longer run of all of them at random is
//! `ops/chaos`.

mod clocks;
pub(crate) mod crash_points;
mod database;
mod disk;
