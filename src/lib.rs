//! WHO asks and WHO looks: the program `trunkline` around the jobs.
//!
//! * [`receiver`]: the door for webhooks.
//! * [`access`]: who may ask what: keys, sessions, and the door before everything but webhooks.
//! * [`admin`]: the API for operators and their programs.
//! * [`dashboard`]: the pages for people.
//! * [`cli`]: the command line, one file per command.
//! * [`app`]: builds everything once from the configuration; the only place that knows it all.
//! * [`campaign_rules`], [`health`], [`queues`], [`replays`], [`timeline`], [`troubles`]: what several of them tell or do.
//! * [`config`], [`correlation`], [`elapsed`], [`paths`], [`schedules`], [`event_words`], [`telemetry`], [`mask`], [`schema`], [`size`], [`source`]: what they share.
//!
//! `receiver`, `admin`, `dashboard` and `cli` never import one another.

pub mod access;
pub mod admin;
pub mod app;
pub mod campaign_rules;
pub mod cli;
pub mod config;
pub mod correlation;
pub mod dashboard;
pub mod elapsed;
pub mod event_words;
pub mod health;
pub mod mask;
pub mod paths;
pub mod queues;
pub mod receiver;
pub mod replays;
pub mod schedules;
pub mod schema;
pub mod size;
pub mod source;
pub mod telemetry;
pub mod timeline;
pub mod troubles;

/// Every statement of the program itself, for the test that prepares them all on both engines.
pub fn statements() -> impl Iterator<Item = &'static trunkline_platform::db::Stmt> {
    access::STATEMENTS.iter().copied().flatten().copied()
}
