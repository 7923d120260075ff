//! The durable task table: the one source of truth for work.
//!
//! [`Tasks`] is the door. Everything that changes a task goes through it: [`TaskTx::enqueue`] inside a
//! caller's transaction, claims and verdicts by the workers, and the take-over of a dead worker's tasks.
//! Each state change compares what it must not overwrite (R2), and one that touched no row is told as such.

mod admit;
mod by_hand;
mod claim;
mod control;
pub mod dead;
mod enqueue;
mod finish;
mod inspect;
mod lease;
mod limits;
mod line;
mod model;
mod new_task;
mod progress;
mod rate;
mod shared;
mod stats;
mod unique;

use crate::clock::Clock;
use crate::crash_point;
use crate::db::{Db, DbError, Session, Stmt};
use crate::ring::{Bell, Ring};
use shared::Sharing;

pub(crate) use admit::{Admitted, Lane};
pub use claim::ClaimedRow;
pub use control::{Acted, CONTROL_BATCH, Change, Outcome, Unfinished};
pub use enqueue::Enqueued;
pub use finish::{Finish, Finished, Verdict};
pub use inspect::{AttemptRow, KindCount, TaskFilter, TaskRow};
pub use lease::{LeaseRow, TakenOver, WorkerId, WorkerRow};
pub use limits::{Limit, LimitError, LimitRow, Scope, ScopeError};
pub use model::{TaskId, TaskState};
pub use new_task::{NewTask, OnConflict};
pub use progress::{Progress, ProgressRow};
pub use rate::{Rate, RateError};
use stats::Counted;
pub(crate) use stats::Ended;
pub use stats::{Backlog, QueueDepth, QueueRate, Total, WINDOWS};

/// The task table with the bell that tells workers about new rows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks {
    db: Db,
    ring: Ring,
    clock: Clock,
    sharing: Sharing,
    counted: Counted,
}

impl Tasks {
    pub fn new(db: Db, ring: Ring, clock: Clock) -> Self {
        Self { db, ring, clock, sharing: Sharing::default(), counted: Counted::default() }
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Begins a transaction in which tasks can be enqueued beside what causes them.
    pub async fn begin(&self) -> Result<TaskTx, DbError> {
        Ok(self.wrap(self.db.write().await?))
    }

    async fn begin_pinned(&self) -> Result<TaskTx, DbError> {
        Ok(self.wrap(self.db.write_pinned().await?))
    }

    /// For one statement that is its own transaction.
    async fn begin_one(&self) -> Result<TaskTx, DbError> {
        Ok(self.wrap(self.db.write_one().await?))
    }

    fn wrap(&self, session: Session) -> TaskTx {
        TaskTx { session, ring: self.ring.clone(), clock: self.clock.clone(), bells: Vec::new() }
    }
}

/// A transaction that can enqueue. The bell rings only after the commit.
#[derive(Debug)]
pub struct TaskTx {
    session: Session,
    ring: Ring,
    clock: Clock,
    bells: Vec<Bell>,
}

impl TaskTx {
    /// The transaction, for the caller's own statements.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Commits, then tells the workers. When it fails nothing was enqueued, or the answer was lost on the
    /// way: enqueue again under a unique key.
    pub async fn commit(self) -> Result<(), DbError> {
        self.session.commit().await?;
        if !self.bells.is_empty() {
            crash_point!("bell.before_ring");
        }
        self.ring.push(self.bells);
        Ok(())
    }
}

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[
    admit::STATEMENTS,
    claim::STATEMENTS,
    control::STATEMENTS,
    dead::STATEMENTS[0],
    dead::STATEMENTS[1],
    dead::STATEMENTS[2],
    dead::STATEMENTS[3],
    dead::STATEMENTS[4],
    enqueue::STATEMENTS,
    finish::STATEMENTS,
    inspect::STATEMENTS,
    lease::STATEMENTS,
    limits::STATEMENTS,
    line::STATEMENTS,
    progress::STATEMENTS,
    stats::STATEMENTS,
    unique::STATEMENTS,
];
