//! Drives the real program and its parts against real servers; see `harness` for how a test is set up.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;
mod servers;

mod admin;
mod attempts;
mod bell;
mod call_stats;
mod calls;
mod calls_cli;
mod campaigns;
mod claims;
mod commands;
mod commits;
mod contacts;
mod control;
mod conversations;
mod db_limits;
mod dead_cli;
mod dead_letters;
mod deadlines;
mod experiments;
mod faults;
mod kept;
mod keys;
mod kills;
mod leases;
mod limits;
mod lines;
mod listening;
mod media;
mod media_checks;
mod media_fresh;
mod media_kills;
mod media_memory;
mod media_orphans;
mod media_purge;
mod media_scan;
mod media_store;
mod optouts;
mod outages;
mod plans;
mod pools;
mod processes;
mod provider;
mod read_plans;
mod receiver;
mod schedules;
mod schema;
mod search;
mod simulation;
mod stats;
mod texts_wanted;
mod unique;
mod upkeep;
