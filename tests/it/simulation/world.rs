//! What happens: a seed chooses the steps, the real [`Tasks`] carries them out, the [`Model`] says what must come
//! of them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use trunkline_platform::clock::Clock;
use trunkline_platform::db::{DbError, Stmt, Text};
use trunkline_platform::job::{Job, Priority, Queue};
use trunkline_platform::task::{
    ClaimedRow, Enqueued, Finish, LeaseRow, NewTask, OnConflict, TaskId, TaskState, Tasks, Verdict, WorkerId,
};

use super::model::{Coming, Model, Row};
use crate::harness::Play;

const STEPS: usize = 22;
const LEASE: TimeDelta = TimeDelta::seconds(30);
const QUEUES: [Queue; 2] = [Play::QUEUE, Queue::new("other")];
const KEYS: [&str; 2] = ["a", "b"];
const PRIORITIES: [Priority; 3] = [Priority::URGENT, Priority::NORMAL, Priority::LOW];

static CLEAR: [Stmt; 4] = [
    Stmt { name: "CLEAR", text: Text::Same("DELETE FROM task_attempts") },
    Stmt { name: "CLEAR", text: Text::Same("DELETE FROM tasks") },
    Stmt { name: "CLEAR", text: Text::Same("DELETE FROM workers") },
    Stmt { name: "CLEAR", text: Text::Same("DELETE FROM unique_periods") },
];

static ROWS: Stmt = Stmt {
    name: "ROWS",
    text: Text::Same(
        "SELECT id, state, attempt, refunds, crashes, run_at, worker, payload,
                finished_at IS NOT NULL AS ended, died_at IS NOT NULL AS died,
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

fn failed(error: DbError) -> String {
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
            90..91 => self.resign().await,
            91..92 => self.expire_all().await,
            92..97 => self.wait(),
            _ => self.compare().await,
        }
    }

    /// Whatever happened: with time and one worker that works, every task ends.
    async fn end(&mut self) -> Outcome {
        for _ in 0..10 {
            if self.model.unfinished() == 0 {
                break;
            }
            self.advance(TimeDelta::hours(3));
            self.look().await?;
            self.end_leases(1.0).await?;
            self.take_over().await?;
            self.register().await?;
            let worker = self.workers[self.workers.len() - 1].clone();
            for queue in
                QUEUES.into_iter().filter(|queue| self.model.has_work(queue.name())).collect::<Vec<_>>()
            {
                let due = self.claim_due_as(&worker, queue, 100).await?;
                self.complete(due).await?;
                while self.model.has_work(queue.name()) {
                    let suspect = self.claim_suspect_as(&worker, queue).await?;
                    if suspect.is_empty() {
                        break;
                    }
                    self.complete(suspect).await?;
                }
            }
        }
        same("tasks that never end", self.model.unfinished(), 0)?;
        // Those who come back from the dead have nothing left to say.
        let stale: Vec<Finish> = self.claims.clone().iter().map(|claim| self.verdict(claim)).collect();
        self.write(stale).await?;
        self.compare().await?;
        same("a task with two ends", self.model.ended_twice(), None)
    }

    async fn complete(&mut self, claims: Vec<Claim>) -> Outcome {
        let done = claims
            .iter()
            .map(|claim| Finish { follow_ups: Vec::new(), ..self.finish_as(claim, Verdict::Done) });
        let done: Vec<Finish> = done.collect();
        if done.is_empty() { Ok(()) } else { self.write(done).await }
    }

    // --- enqueue ---

    fn new_task(&mut self) -> NewTask {
        self.made += 1;
        let now = self.clock.now();
        let random = &mut self.random;
        let mut task = NewTask {
            queue: *QUEUES.choose(random).unwrap(),
            payload: format!("{{\"n\":{}}}", self.made),
            max_attempts: random.random_range(1..5),
            ..NewTask::of(&Play::default()).unwrap()
        }
        .priority(*PRIORITIES.choose(random).unwrap());
        if random.random_bool(0.3) {
            task = task.at(now + TimeDelta::seconds(random.random_range(-60..120)));
        }
        if random.random_bool(0.4) {
            task.unique_key = Some((*KEYS.choose(random).unwrap()).to_owned());
            task.unique_for =
                random.random_bool(0.4).then(|| Duration::from_secs(random.random_range(1..90)));
            let conflicts = [OnConflict::Keep, OnConflict::ReplacePayload, OnConflict::PushTime];
            task = task.on_conflict(*conflicts.choose(random).unwrap());
        }
        task
    }

    fn new_tasks(&mut self, most: usize) -> Vec<NewTask> {
        let count = self.random.random_range(0..=most);
        (0..count).map(|_| self.new_task()).collect()
    }

    async fn enqueue(&mut self) -> Outcome {
        let new = self.new_tasks(3);
        let now = self.clock.now();
        let answers = self.tasks.enqueue(&new).await.map_err(failed)?;
        self.story.push(format!("enqueue {} -> {answers:?}", brief(&new)));
        same("answers", answers.len(), new.len())?;
        for (new, answer) in new.iter().zip(answers) {
            let last = self.model.last_id();
            let coming = match answer {
                Enqueued::New(_) => Coming::New,
                Enqueued::Existing(id) => Coming::Existing(id.0),
                Enqueued::Replaced(id) => Coming::Replaced(id.0),
                Enqueued::Pushed(id) => Coming::Pushed(id.0),
            };
            same("what became of a new task", coming, self.model.enqueue(new, now))?;
            if answer.is_new() {
                same("an id was used before", answer.id().0 > last, true)?;
                self.model.insert(answer.id().0, new, now);
            }
        }
        Ok(())
    }

    /// What follows from an attempt is enqueued with its verdict, and gets its ids in order.
    async fn follow(&mut self, follow_ups: Vec<NewTask>) -> Outcome {
        let last = self.model.last_id();
        let mut session = self.tasks.db().read().await.map_err(failed)?;
        let made: Vec<NewId> = NEW_IDS.bind(last).all(&mut session).await.map_err(failed)?;
        let mut made = made.into_iter();
        let now = self.clock.now();
        for new in follow_ups {
            if self.model.enqueue(&new, now) == Coming::New {
                let id = made.next().ok_or("a task that should follow is not there")?;
                self.model.insert(id.id, &new, now);
            }
        }
        same("tasks that follow from nothing", made.count(), 0)
    }

    // --- claim ---

    fn any_worker(&mut self) -> WorkerId {
        self.workers.choose(&mut self.random).unwrap().clone()
    }

    fn took(
        &mut self,
        what: &str,
        worker: &WorkerId,
        rows: Vec<ClaimedRow>,
        must_be: Vec<(i64, i32)>,
    ) -> Result<Vec<Claim>, String> {
        let got: Vec<(i64, i32)> = rows.iter().map(|row| (row.id.0, row.attempt)).collect();
        self.story.push(format!("{} {what} -> {got:?}", worker.as_str()));
        same("claimed", got, must_be)?;
        let claims: Vec<Claim> = rows
            .iter()
            .map(|row| Claim { id: row.id, attempt: row.attempt, worker: worker.clone() })
            .collect();
        self.claims.extend(claims.iter().cloned());
        Ok(claims)
    }

    async fn claim_due(&mut self) -> Outcome {
        let worker = self.any_worker();
        let queue = *QUEUES.choose(&mut self.random).unwrap();
        let limit = self.random.random_range(1..5);
        self.claim_due_as(&worker, queue, limit).await.map(drop)
    }

    async fn claim_due_as(
        &mut self,
        worker: &WorkerId,
        queue: Queue,
        limit: usize,
    ) -> Result<Vec<Claim>, String> {
        let rows = self.tasks.claim_due(worker, queue, limit).await.map_err(failed)?;
        let must_be = self.model.claim_due(worker.as_str(), queue.name(), limit, self.clock.now());
        self.took(&format!("claims {limit} of {}", queue.name()), worker, rows, must_be)
    }

    async fn claim_ids(&mut self) -> Outcome {
        let worker = self.any_worker();
        let queue = *QUEUES.choose(&mut self.random).unwrap();
        let mut known = self.model.ids();
        known.push(self.model.last_id() + 1_000);
        let count = self.random.random_range(1..5);
        // The ring may tell of a task twice, of one that has ended, and of one that never was.
        let ids: Vec<i64> = (0..count).map(|_| *known.choose(&mut self.random).unwrap()).collect();
        let rows = self.tasks.claim(&worker, queue, ids.clone()).await.map_err(failed)?;
        let must_be = self.model.claim_ids(worker.as_str(), queue.name(), &ids, self.clock.now());
        self.took(&format!("claims {ids:?} of {}", queue.name()), &worker, rows, must_be).map(drop)
    }

    async fn claim_suspect(&mut self) -> Outcome {
        let worker = self.any_worker();
        let queue = *QUEUES.choose(&mut self.random).unwrap();
        self.claim_suspect_as(&worker, queue).await.map(drop)
    }

    async fn claim_suspect_as(&mut self, worker: &WorkerId, queue: Queue) -> Result<Vec<Claim>, String> {
        let row = self.tasks.claim_suspect(worker, queue).await.map_err(failed)?;
        let must_be = self.model.claim_suspect(worker.as_str(), queue.name(), self.clock.now());
        self.took(
            &format!("claims a suspect of {}", queue.name()),
            worker,
            row.into_iter().collect(),
            must_be,
        )
    }

    // --- finish ---

    fn verdict(&mut self, claim: &Claim) -> Finish {
        let at = self.clock.now() + TimeDelta::seconds(self.random.random_range(-5..300));
        let verdict = match self.random.random_range(0..10) {
            0..4 => Verdict::Done,
            4..6 => Verdict::Retry { at },
            6 => Verdict::Snooze { at },
            7 => Verdict::GiveBack,
            8 => Verdict::Dead,
            _ => Verdict::Discarded,
        };
        let follow_ups = if verdict == Verdict::Done { self.new_tasks(2) } else { Vec::new() };
        Finish { follow_ups, ..self.finish_as(claim, verdict) }
    }

    fn finish_as(&self, claim: &Claim, verdict: Verdict) -> Finish {
        Finish {
            id: claim.id,
            attempt: claim.attempt,
            verdict,
            error: None,
            label: "simulated",
            worker: claim.worker.as_str().to_owned(),
            started_at: self.clock.now(),
            duration_ms: 1,
            follow_ups: Vec::new(),
        }
    }

    /// Holders write verdicts, those whose lease is long gone as well; some write one a second time.
    async fn finish(&mut self) -> Outcome {
        let mut batch: Vec<Finish> = Vec::new();
        for _ in 0..self.random.random_range(1..5) {
            let Some(index) =
                (!self.claims.is_empty()).then(|| self.random.random_range(0..self.claims.len()))
            else {
                break;
            };
            let claim = self.claims[index].clone();
            if batch.iter().any(|finish| (finish.id, finish.attempt) == (claim.id, claim.attempt)) {
                continue;
            }
            batch.push(self.verdict(&claim));
            if self.random.random_bool(0.8) {
                self.claims.swap_remove(index);
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch).await }
    }

    async fn write(&mut self, batch: Vec<Finish>) -> Outcome {
        if batch.is_empty() {
            return Ok(());
        }
        let finished = self.tasks.finish(&batch).await.map_err(failed)?;
        let counts = self.model.finish(&batch, self.clock.now());
        let told: Vec<_> =
            batch.iter().map(|f| (f.id.0, f.attempt, &f.verdict, brief(&f.follow_ups))).collect();
        self.story.push(format!("verdicts {told:?} -> lost {:?}", finished.lost));
        let lost = batch.iter().zip(&counts).filter(|(_, counts)| !**counts).map(|(finish, _)| finish.id);
        same("lost verdicts", finished.lost, lost.collect())?;
        let counted = batch.into_iter().zip(counts).filter(|(_, counts)| *counts);
        self.follow(counted.flat_map(|(finish, _)| finish.follow_ups).collect()).await
    }

    // --- leases ---

    async fn register(&mut self) -> Outcome {
        let worker = WorkerId::new(format!("wk_{}_{}", self.seed, self.workers.len()));
        self.tasks.register_worker(&worker, "simulated", LEASE).await.map_err(failed)?;
        self.model.register(worker.as_str(), self.clock.now() + LEASE);
        self.story.push(format!("{} registers", worker.as_str()));
        self.workers.push(worker);
        Ok(())
    }

    async fn heartbeat(&mut self) -> Outcome {
        let worker = self.any_worker();
        let alive = self.tasks.heartbeat(&worker, LEASE).await.map_err(failed)?;
        self.story.push(format!("{} renews its lease -> {alive}", worker.as_str()));
        same("lease", alive, self.model.heartbeat(worker.as_str(), self.clock.now() + LEASE))
    }

    /// A process is gone with what it knew; nobody is told.
    fn die(&mut self) -> Outcome {
        let worker = self.any_worker();
        self.story.push(format!("{} dies", worker.as_str()));
        self.claims.retain(|claim| claim.worker != worker);
        Ok(())
    }

    async fn resign(&mut self) -> Outcome {
        let worker = self.any_worker();
        self.story.push(format!("{} resigns", worker.as_str()));
        self.tasks.resign_worker(&worker).await.map_err(failed)?;
        self.model.resign(worker.as_str());
        Ok(())
    }

    /// Somebody looks at the leases, and ends some of them, perhaps much later.
    async fn look(&mut self) -> Outcome {
        self.seen = self.tasks.leases().await.map_err(failed)?;
        self.story.push(format!("{} leases are looked at", self.seen.len()));
        Ok(())
    }

    async fn end_leases(&mut self, odds: f64) -> Outcome {
        for lease in self.seen.clone() {
            if !self.random.random_bool(odds) {
                continue;
            }
            let ended = self.tasks.end_lease(&lease).await.map_err(failed)?;
            self.story.push(format!("the lease of {} is ended -> {ended}", lease.id));
            same("ended lease", ended, self.model.end_lease(&lease))?;
        }
        Ok(())
    }

    async fn expire_all(&mut self) -> Outcome {
        let expired = self.tasks.expire_all_leases().await.map_err(failed)?;
        self.story.push(format!("all {expired} leases are ended"));
        same("ended leases", expired, self.model.expire_all())
    }

    async fn take_over(&mut self) -> Outcome {
        let taken = self.tasks.take_over().await.map_err(failed)?;
        self.story.push(format!("take-over -> {taken:?}"));
        let mut dead: Vec<i64> = taken.dead.iter().map(|(id, _)| id.0).collect();
        dead.sort_unstable();
        same("taken over", (taken.requeued, dead), self.model.take_over())
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
            rows.insert(row.id, Row { state, attempt, refunds, crashes, run_at, worker, payload, failures });
        }
        for (id, row) in &rows {
            same(&format!("task {id}"), Some(row), model.get(id))?;
        }
        same("a key held twice", self.model.key_held_twice(), None)
    }
}

fn brief(tasks: &[NewTask]) -> String {
    let one = |task: &NewTask| {
        let key = task.unique_key.as_deref().map(|key| match task.unique_for {
            Some(period) => format!(" {key} for {} s {:?}", period.as_secs(), task.on_conflict),
            None => format!(" {key} {:?}", task.on_conflict),
        });
        format!("{}/{}{}", task.queue.name(), task.priority.level(), key.unwrap_or_default())
    };
    format!("[{}]", tasks.iter().map(one).collect::<Vec<_>>().join(", "))
}
