//! Canary replays that were begun over HTTP. Nobody holds a connection for ten minutes, so a replay goes on by itself
//! in the process that began it, can be looked at and stopped there, and ends with the process. Nothing is lost by
//! that: the table knows what is left, and a replay can be begun again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::db::DbError;
use trunkline_platform::task::Tasks;
use trunkline_platform::task::dead::{Canary, DeadFilter, Replayed, Stopped, replay};

/// Replays that run at a time in one process.
const MOST_RUNNING: usize = 3;
/// Replays that are remembered.
const MOST_KEPT: usize = 50;

/// The replays of this process. Cheap to clone.
#[derive(Clone)]
pub struct Replays {
    tasks: Tasks,
    stop: CancellationToken,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    last: u64,
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    now: ReplayNow,
    stop: CancellationToken,
}

/// How far a replay has come.
#[derive(Clone, Debug)]
pub struct ReplayNow {
    pub id: u64,
    pub by: String,
    pub filter: DeadFilter,
    pub began_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub counts: ReplayCounts,
    pub stopped: Option<Stopped>,
    /// The database failed it.
    pub failed: Option<String>,
}

/// What became of the letters of a replay.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ReplayCounts {
    pub retried: u64,
    pub done: u64,
    /// Failed of something else.
    pub failed_otherwise: u64,
    /// Ended without effect.
    pub ended_otherwise: u64,
    /// Not seen to end yet.
    pub open: u64,
    pub refused: u64,
}

#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{} replays run in this process already: wait for one to end, or stop it", MOST_RUNNING)]
pub struct TooMany;

impl Replays {
    /// `stop` ends all of them.
    pub fn new(tasks: Tasks, stop: CancellationToken) -> Self {
        Self { tasks, stop, book: Arc::default() }
    }

    /// Begins a replay of what the filter finds and answers its number.
    ///
    /// # Errors
    /// When too many run already.
    pub fn begin(&self, filter: DeadFilter, actor: Actor) -> Result<u64, TooMany> {
        let stop = self.stop.child_token();
        let id = self.book().add(&filter, &actor, self.tasks.clock().now(), stop.clone())?;
        let (this, runtime) = (self.clone(), Handle::current());
        // A replay borrows what it waits by, so it cannot wander between the threads of the runtime.
        tokio::task::spawn_blocking(move || runtime.block_on(this.run(id, filter, actor, stop)));
        Ok(id)
    }

    pub fn show(&self, id: u64) -> Option<ReplayNow> {
        self.book().entries.get(&id).map(|entry| entry.now.clone())
    }

    /// The newest first.
    pub fn list(&self) -> Vec<ReplayNow> {
        self.book().entries.values().rev().map(|entry| entry.now.clone()).collect()
    }

    /// Ends a replay between two steps. False: there is none of this number.
    ///
    /// # Errors
    /// When it cannot be written down who did; then it goes on.
    pub async fn stop(&self, id: u64, actor: &Actor) -> Result<bool, DbError> {
        let stop = self.book().entries.get(&id).map(|entry| entry.stop.clone());
        let Some(stop) = stop else { return Ok(false) };
        let subject = format!("dead-replay:{id}");
        let act = Act { action: "dead.replay-stop", subject, before: None, after: None };
        let mut tx = self.tasks.db().write().await?;
        audit::record(&mut tx, self.tasks.clock().now(), actor, &[act]).await?;
        tx.commit().await?;
        stop.cancel();
        Ok(true)
    }

    async fn run(self, id: u64, filter: DeadFilter, actor: Actor, stop: CancellationToken) {
        let wait = async |length: Duration| {
            tokio::select! {
                () = tokio::time::sleep(length) => true,
                () = stop.cancelled() => false,
            }
        };
        let progress = |told: &Replayed| self.change(id, |now| now.counts = ReplayCounts::of(told));
        let ended = replay(&self.tasks, &filter, &Canary::default(), &actor, wait, progress).await;
        let at = self.tasks.clock().now();
        self.change(id, |now| {
            now.ended_at = Some(at);
            match &ended {
                Ok(told) => {
                    now.counts = ReplayCounts::of(told);
                    now.stopped.clone_from(&told.stopped);
                }
                Err(error) => {
                    tracing::error!(error = error as &dyn std::error::Error, "a replay failed");
                    now.failed = Some(error.to_string());
                }
            }
        });
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut ReplayNow)) {
        if let Some(entry) = self.book().entries.get_mut(&id) {
            change(&mut entry.now);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn add(
        &mut self,
        filter: &DeadFilter,
        actor: &Actor,
        began_at: DateTime<Utc>,
        stop: CancellationToken,
    ) -> Result<u64, TooMany> {
        let runs = |entry: &&Entry| entry.now.ended_at.is_none();
        if self.entries.values().filter(runs).count() >= MOST_RUNNING {
            return Err(TooMany);
        }
        while self.entries.len() >= MOST_KEPT {
            let Some(oldest) = self.entries.values().find(|entry| !runs(entry)).map(|entry| entry.now.id)
            else {
                break;
            };
            self.entries.remove(&oldest);
        }
        self.last += 1;
        let now = ReplayNow {
            id: self.last,
            by: actor.name.clone(),
            filter: filter.clone(),
            began_at,
            ended_at: None,
            counts: ReplayCounts::default(),
            stopped: None,
            failed: None,
        };
        self.entries.insert(self.last, Entry { now, stop });
        Ok(self.last)
    }
}

impl ReplayCounts {
    fn of(told: &Replayed) -> Self {
        Self {
            retried: told.retried,
            done: told.done,
            failed_otherwise: told.failed_otherwise,
            ended_otherwise: told.ended_otherwise,
            open: told.open as u64,
            refused: told.refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_keeps_the_newest_and_refuses_more_than_run_at_a_time() {
        let mut book = Book::default();
        let actor = Actor { name: "operator:ana".to_owned(), reason: None };
        let mut add = |end: bool| {
            let id = book.add(&DeadFilter::default(), &actor, DateTime::UNIX_EPOCH, CancellationToken::new());
            if let (Ok(id), true) = (id, end) {
                book.entries.get_mut(&id).unwrap().now.ended_at = Some(DateTime::UNIX_EPOCH);
            }
            (id, book.entries.len())
        };
        for number in 1..=60 {
            assert_eq!(add(true), (Ok(number), MOST_KEPT.min(number as usize)));
        }
        for _ in 0..MOST_RUNNING {
            assert!(add(false).0.is_ok());
        }
        assert_eq!(add(false).0, Err(TooMany));
    }
}
