//! Upkeep: what keeps the database small and quick while nobody looks. One job per file, each scheduled by a file of
//! `schedules/`, each bounded: small transactions, so many rows a run, and the rest in a task that follows.
//!
//! * [`Upkeep`]: what the jobs are handed, the retention times among it.
//! * [`Chore`] and [`Run`]: what a job does, and within what bounds; [`UpkeepJob`] makes a job of it. Each run leaves a row in `upkeep_runs` with the rows and
//!   bytes it freed, and the same as metrics and a line in the log.

mod attempts;
mod audit;
mod counts;
mod database;
mod events;
mod history;
mod keys;
mod media;
mod metrics;
mod orphans;
mod purge;
mod retention;
mod ring;
mod run;
mod search;
mod tasks;

use trunkline_platform::db::Stmt;
use trunkline_platform::task::Tasks;

use crate::media::MediaStore;

pub use attempts::RemoveAttempts;
pub use audit::RemoveAudit;
pub use counts::{CountStored, Stored, stored};
pub use database::TidyDatabase;
pub use events::RemoveEvents;
pub use history::RemoveHistory;
pub use keys::RemoveKeys;
pub use media::RequeueMedia;
pub use metrics::UpkeepMetrics;
pub use orphans::RemoveOrphans;
pub use purge::PurgeMedia;
pub use retention::{KEEP_EVENTS_AT_LEAST, KEEP_ORPHANS_AT_LEAST, MediaRetention, Retention};
pub use ring::TrimRing;
pub use run::{CHORES, Chore, ChoreError, Freed, Run, RunRow, UpkeepJob, history, run_now};
pub use search::IndexLeftOut;
pub use tasks::RemoveTasks;

/// What upkeep needs.
#[derive(Clone, Debug)]
pub struct Upkeep {
    pub tasks: Tasks,
    pub store: MediaStore,
    pub retention: Retention,
    pub metrics: UpkeepMetrics,
}

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[
    attempts::STATEMENTS,
    audit::STATEMENTS,
    counts::STATEMENTS,
    database::STATEMENTS,
    events::STATEMENTS,
    history::STATEMENTS,
    keys::STATEMENTS,
    media::STATEMENTS,
    ring::STATEMENTS,
    run::STATEMENTS,
    search::STATEMENTS,
    tasks::STATEMENTS,
];
