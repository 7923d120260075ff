//! WHO asks and WHO looks: the program `trunkline` around the jobs.
//!
//! * [`receiver`]: the door for webhooks.
//! * [`cli`]: the command line, one file per command.
//! * [`app`]: builds everything once from the configuration; the only place that knows it all.
//! * [`config`], [`schedules`], [`telemetry`], [`mask`], [`schema`]: what they share.
//!
//! `receiver` and `cli` never import one another.

pub mod app;
pub mod cli;
pub mod config;
pub mod mask;
pub mod receiver;
pub mod schedules;
pub mod schema;
pub mod telemetry;
