//! What happens: a seed chooses the steps, the real [`Tasks`] carries them out, the [`Model`] says what must come
//! of them.

mod leases;
mod work;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{DbError, Stmt, Text};
use trunkline_platform::job::{Job, Priority, Queue};
use trunkline_platform::task::{
    ClaimedRow, Enqueued, Finish, LeaseRow, Limit, NewTask, OnConflict, Scope, TaskId, TaskState, Tasks,
    Verdict, WorkerId,
};

use super::model::{Coming, Model, Row};
use crate::harness::Play;

const STEPS: usize = 22;
const LEASE: TimeDelta = TimeDelta::seconds(30);
const QUEUES: [Queue; 2] = [Play::QUEUE, Queue::new("other")];
const KEYS: [&str; 2] = ["a", "b"];
const LINES: [&str; 2] = ["x", "y"];
const PRIORITIES: [Priority; 3] = [Priority::URGENT, Priority::NORMAL, Priority::LOW];

const fn clear(text: &'static str) -> Stmt {
    Stmt { name: "CLEAR", text: Text::Same(text) }
}

static CLEAR: [Stmt; 7] = [
    clear("DELETE FROM task_attempts"),
    clear("DELETE FROM tasks"),
    clear("DELETE FROM workers"),
    clear("DELETE FROM unique_periods"),
    clear("DELETE FROM limits"),
    clear("DELETE FROM task_slots"),
    clear("DELETE FROM audit"),
];

static ROWS: Stmt = Stmt {
    name: "ROWS",
    text: Text::Same(
        "SELECT id, state, attempt, refunds, crashes, run_at, worker, payload,
                finished_at IS NOT NULL AS ended, died_at IS NOT NULL AS died,
                ordering_key AS line, blocked, cancel_requested_at IS NOT NULL AS cancel_requested,
                (SELECT COUNT(*) FROM task_attempts WHERE task_id = tasks.id) AS failures
         FROM tasks ORDER BY id",
    ),
};

static NEW_IDS: Stmt =
    Stmt { name: "NEW_IDS", text: Text::Same("SELECT id FROM tasks WHERE id > $1 ORDER BY id") };

#[derive(sqlx::FromRow)]
struct Stored {
    id: i64,
    #[sqlx(try_from = "String")]
    state: TaskState,
    attempt: i32,
    refunds: i32,
    crashes: i32,
    run_at: DateTime<Utc>,
    worker: Option<String>,
    payload: String,
    ended: bool,
    died: bool,
    line: Option<String>,
    blocked: bool,
    cancel_requested: bool,
    failures: i64,
}

#[derive(sqlx::FromRow)]
struct NewId {
    id: i64,
}

/// A claim as its holder remembers it, whether or not it still counts.
#[derive(Clone)]
struct Claim {
    id: TaskId,
    attempt: i32,
    worker: WorkerId,
}

pub(super) struct World<'t> {
    tasks: &'t Tasks,
    clock: &'t Clock,
    seed: u64,
    random: StdRng,
    model: Model,
    /// Every process that ever was; those without a lease go on as if they had one.
    workers: Vec<WorkerId>,
    claims: Vec<Claim>,
    /// Leases as somebody saw them.
    seen: Vec<LeaseRow>,
    /// Makes each payload different.
    made: u32,
    story: Vec<String>,
}

type Outcome = Result<(), String>;

fn failed(error: impl std::error::Error + 'static) -> String {
    format!("the database failed: {}", trunkline_platform::chain(&error))
}

fn same<T: PartialEq + Debug>(what: &str, is: T, must_be: T) -> Outcome {
    if is == must_be { Ok(()) } else { Err(format!("{what}: is {is:?}, must be {must_be:?}")) }
}

impl<'t> World<'t> {
    pub(super) fn new(tasks: &'t Tasks, clock: &'t Clock, seed: u64) -> Self {
        Self {
            tasks,
            clock,
            seed,
            random: StdRng::seed_from_u64(seed),
            model: Model::default(),
            workers: Vec::new(),
            claims: Vec::new(),
            seen: Vec::new(),
            made: 0,
            story: Vec::new(),
        }
    }

    pub(super) fn story(&self) -> String {
        self.story.join("\n")
    }

    pub(super) async fn play(&mut self) -> Outcome {
        self.clear().await.map_err(failed)?;
        self.register().await?;
        self.enqueue().await?;
        for _ in 0..STEPS {
            self.step().await?;
        }
        self.end().await
    }

    async fn clear(&self) -> Result<(), DbError> {
        let mut session = self.tasks.db().write().await?;
        for stmt in &CLEAR {
            stmt.query().execute(&mut session).await?;
        }
        session.commit().await
    }

    async fn step(&mut self) -> Outcome {
        match self.random.random_range(0..100) {
            0..16 => self.enqueue().await,
            16..34 => self.claim_due().await,
            34..42 => self.claim_ids().await,
            42..48 => self.claim_suspect().await,
            48..66 => self.finish().await,
            66..72 => self.heartbeat().await,
            72..76 => self.die(),
            76..79 => self.look().await,
            79..82 => self.end_leases(0.5).await,
            82..88 => self.take_over().await,
            88..90 => self.register().await,
            90 => self.resign().await,
            91 => self.expire_all().await,
            92 => self.cancel().await,
            93 => self.skip().await,
            94 => self.limit().await,
            95..98 => self.wait(),
            _ => self.compare().await,
        }
    }

    /// Whatever happened: with time, one worker that works and nobody who forbids it, every task ends.
    async fn end(&mut self) -> Outcome {
        for queue in QUEUES {
            if self.model.is_limited(queue.name()) {
                self.set_limit(queue, Limit::default()).await?;
            }
        }
        for _ in 0..10 {
            if self.model.unfinished() == 0 {
                break;
            }
            self.advance(TimeDelta::hours(3));
            self.look().await?;
            self.end_leases(1.0).await?;
            self.take_over().await?;
            for dead in self.model.dead() {
                self.skip_one(dead).await?;
            }
            self.register().await?;
            let worker = self.workers[self.workers.len() - 1].clone();
            while self.work_off(&worker).await? {}
        }
        same("tasks that never end", self.model.unfinished(), 0)?;
        // Those who come back from the dead have nothing left to say.
        let stale: Vec<Finish> = self.claims.clone().iter().map(|claim| self.verdict(claim)).collect();
        self.write(stale).await?;
        self.compare().await?;
        same("a task with two ends", self.model.ended_twice(), None)
    }

    /// Does whatever can be done now; whether there was anything.
    async fn work_off(&mut self, worker: &WorkerId) -> Result<bool, String> {
        let mut any = false;
        for queue in QUEUES {
            if self.model.has_work(queue.name()) {
                let mut claims = self.claim_due_as(worker, queue, 100).await?;
                claims.extend(self.claim_suspect_as(worker, queue).await?);
                any |= !claims.is_empty();
                self.complete(claims).await?;
            }
        }
        Ok(any)
    }

    async fn complete(&mut self, claims: Vec<Claim>) -> Outcome {
        let done = claims
            .iter()
            .map(|claim| Finish { follow_ups: Vec::new(), ..self.finish_as(claim, Verdict::Done) });
        let done: Vec<Finish> = done.collect();
        if done.is_empty() { Ok(()) } else { self.write(done).await }
    }

    // --- time, and the look at everything ---

    fn wait(&mut self) -> Outcome {
        let most = if self.random.random_bool(0.2) { 600 } else { 40 };
        let seconds = self.random.random_range(0..most);
        self.advance(TimeDelta::seconds(seconds));
        Ok(())
    }

    fn advance(&mut self, by: TimeDelta) {
        self.story.push(format!("{} s pass", by.num_seconds()));
        self.clock.advance(by);
    }

    async fn compare(&mut self) -> Outcome {
        let mut session = self.tasks.db().read().await.map_err(failed)?;
        let stored: Vec<Stored> = ROWS.query().all(&mut session).await.map_err(failed)?;
        drop(session);
        let model = self.model.rows();
        same("number of rows", stored.len(), model.len())?;
        let mut rows = BTreeMap::new();
        for row in stored {
            let unfinished = matches!(row.state, TaskState::Pending | TaskState::Running);
            same("finished_at is set when it has ended", row.ended, !unfinished)?;
            same("died_at is set when it is a dead letter", row.died, row.state == TaskState::Dead)?;
            let Stored { state, attempt, refunds, crashes, run_at, worker, payload, failures, .. } = row;
            let Stored { line, blocked, cancel_requested, .. } = row;
            let stored = Row {
                state,
                attempt,
                refunds,
                crashes,
                run_at,
                worker,
                payload,
                failures,
                line,
                blocked,
                cancel_requested,
            };
            rows.insert(row.id, stored);
        }
        for (id, row) in &rows {
            same(&format!("task {id}"), Some(row), model.get(id))?;
        }
        same("a key held twice", self.model.key_held_twice(), None)?;
        same("a line at work in two places", self.model.line_at_work_twice(), None)
    }
}

fn actor() -> Actor {
    Actor { name: "operator:simulated".to_owned(), reason: None }
}

fn brief(tasks: &[NewTask]) -> String {
    let one = |task: &NewTask| {
        let key = task.unique_key.as_deref().map(|key| match task.unique_for {
            Some(period) => format!(" {key} for {} s {:?}", period.as_secs(), task.on_conflict),
            None => format!(" {key} {:?}", task.on_conflict),
        });
        let line = task.ordering_key.as_deref().map(|line| format!(" in line {line}"));
        let (key, line) = (key.unwrap_or_default(), line.unwrap_or_default());
        format!("{}/{}{key}{line}", task.queue.name(), task.priority.level())
    };
    format!("[{}]", tasks.iter().map(one).collect::<Vec<_>>().join(", "))
}
