//! What must hold: the task table as it should be, in plain Rust. Each method says what a call must answer, and
//! takes the change on.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_platform::task::{Finish, LeaseRow, NewTask, OnConflict, Outcome, TaskState, Verdict};

/// After so many dead workers a task is a dead letter.
const MAX_CRASHES: i32 = 3;
/// After so many it runs in the isolation lane only.
const SUSPECT: i32 = 2;

/// One row, as far as the state machine decides it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) state: TaskState,
    pub(super) attempt: i32,
    pub(super) refunds: i32,
    pub(super) crashes: i32,
    pub(super) run_at: DateTime<Utc>,
    pub(super) worker: Option<String>,
    pub(super) payload: String,
    /// Attempts that left a row.
    pub(super) failures: i64,
    /// Its ordering key.
    pub(super) line: Option<String>,
    /// Waits in its line.
    pub(super) blocked: bool,
    /// Somebody wants it to end.
    pub(super) cancel_requested: bool,
}

/// The limit of a queue, and who has a place under it.
#[derive(Clone, Debug, Default)]
struct QueueLimit {
    paused: bool,
    max_running: Option<u32>,
    places: HashSet<(i64, i32)>,
}

#[derive(Debug)]
struct Task {
    row: Row,
    queue: &'static str,
    priority: u8,
    max_attempts: i32,
    unique_key: Option<String>,
    /// How often it was written as done.
    completions: u32,
}

/// What the enqueue of one task must come to.
#[derive(Debug, PartialEq)]
pub(super) enum Coming {
    New,
    Existing(i64),
    Replaced(i64),
    Pushed(i64),
}

#[derive(Debug, Default)]
pub(super) struct Model {
    tasks: BTreeMap<i64, Task>,
    /// Leases, by worker: until when, and how often renewed.
    leases: BTreeMap<String, (DateTime<Utc>, i64)>,
    /// Keys held for a period: until when, and by which task.
    periods: HashMap<String, (DateTime<Utc>, i64)>,
    /// By queue; absent where there is none.
    limits: HashMap<&'static str, QueueLimit>,
}

impl Task {
    fn unfinished(&self) -> bool {
        matches!(self.row.state, TaskState::Pending | TaskState::Running)
    }

    fn due(&self, now: DateTime<Utc>) -> bool {
        self.row.state == TaskState::Pending && self.row.run_at <= now
    }

    fn used_up(&self) -> bool {
        self.row.attempt - self.row.refunds >= self.max_attempts
    }
}

impl Model {
    pub(super) fn rows(&self) -> BTreeMap<i64, Row> {
        let row = |id: i64, task: &Task| Row { blocked: self.is_blocked(id), ..task.row.clone() };
        self.tasks.iter().map(|(id, task)| (*id, row(*id, task))).collect()
    }

    /// Whether an earlier task of its line has not left it: one that has not ended, or a dead letter.
    fn is_blocked(&self, id: i64) -> bool {
        let task = &self.tasks[&id];
        let in_line = |other: &Task| other.unfinished() || other.row.state == TaskState::Dead;
        let stands_before = |other: &Task| in_line(other) && other.row.line == task.row.line;
        task.unfinished()
            && task.row.line.is_some()
            && self.tasks.range(..id).any(|(_, other)| stands_before(other))
    }

    /// Two tasks of one line that run at once.
    pub(super) fn line_at_work_twice(&self) -> Option<&str> {
        let mut at_work = HashSet::new();
        let running = self.tasks.values().filter(|task| task.row.state == TaskState::Running);
        running.filter_map(|task| task.row.line.as_deref()).find(|line| !at_work.insert(*line))
    }

    pub(super) fn ids(&self) -> Vec<i64> {
        self.tasks.keys().copied().collect()
    }

    pub(super) fn last_id(&self) -> i64 {
        self.tasks.keys().next_back().copied().unwrap_or_default()
    }

    pub(super) fn unfinished(&self) -> usize {
        self.tasks.values().filter(|task| task.unfinished()).count()
    }

    pub(super) fn has_work(&self, queue: &str) -> bool {
        self.tasks.values().any(|task| task.queue == queue && task.unfinished())
    }

    /// One live attempt ends a task: a done one was written once, and no other at all.
    pub(super) fn ended_twice(&self) -> Option<i64> {
        let once = |task: &Task| task.completions == u32::from(task.row.state == TaskState::Done);
        self.tasks.iter().find(|(_, task)| !once(task)).map(|(id, _)| *id)
    }

    /// Two unfinished tasks under one key.
    pub(super) fn key_held_twice(&self) -> Option<&str> {
        let mut held = std::collections::HashSet::new();
        let keys = self.tasks.values().filter(|task| task.unfinished());
        keys.filter_map(|task| task.unique_key.as_deref()).find(|key| !held.insert(*key))
    }

    /// A task comes in.
    pub(super) fn enqueue(&mut self, new: &NewTask, now: DateTime<Utc>) -> Coming {
        let Some(key) = new.unique_key.as_deref() else { return Coming::New };
        let holder = if new.unique_for.is_some() {
            self.periods.get(key).filter(|(until, _)| *until > now).map(|(_, id)| *id)
        } else {
            let held = |task: &Task| task.unfinished() && task.unique_key.as_deref() == Some(key);
            self.tasks.iter().find(|(_, task)| held(task)).map(|(id, _)| *id)
        };
        let Some(id) = holder else { return Coming::New };
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.row.state == TaskState::Pending) else {
            return Coming::Existing(id);
        };
        match new.on_conflict {
            OnConflict::Keep => Coming::Existing(id),
            OnConflict::ReplacePayload => {
                task.row.payload.clone_from(&new.payload);
                Coming::Replaced(id)
            }
            OnConflict::PushTime => {
                task.row.run_at = new.run_at.unwrap_or(now);
                Coming::Pushed(id)
            }
        }
    }

    /// A new task got this id.
    pub(super) fn insert(&mut self, id: i64, new: &NewTask, now: DateTime<Utc>) {
        let row = Row {
            state: TaskState::Pending,
            attempt: 0,
            refunds: 0,
            crashes: 0,
            run_at: new.run_at.unwrap_or(now),
            worker: None,
            payload: new.payload.clone(),
            failures: 0,
            line: new.ordering_key.clone(),
            blocked: false,
            cancel_requested: false,
        };
        let unique_key = new.unique_key.clone().filter(|_| new.unique_for.is_none());
        if let (Some(key), Some(period)) = (&new.unique_key, new.unique_for) {
            self.periods.insert(key.clone(), (now + TimeDelta::from_std(period).unwrap(), id));
        }
        let task = Task {
            row,
            queue: new.queue.name(),
            priority: new.priority.level(),
            max_attempts: i32::from(new.max_attempts),
            unique_key,
            completions: 0,
        };
        self.tasks.insert(id, task);
    }

    fn claim(&mut self, worker: &str, mut ids: Vec<i64>, limit: usize) -> Vec<(i64, i32)> {
        if !self.leases.contains_key(worker) {
            return Vec::new();
        }
        let order = |id: &i64| (self.tasks[id].priority, self.tasks[id].row.run_at, *id);
        ids.sort_by_key(order);
        ids.truncate(limit);
        ids.iter()
            .map(|id| {
                let row = &mut self.tasks.get_mut(id).unwrap().row;
                row.state = TaskState::Running;
                row.attempt += 1;
                row.worker = Some(worker.to_owned());
                (*id, row.attempt)
            })
            .collect()
    }

    fn ready(&self, queue: &str, now: DateTime<Utc>, suspects: bool) -> Vec<i64> {
        let ready = |id: i64, task: &Task| {
            task.queue == queue
                && task.due(now)
                && (task.row.crashes >= SUSPECT) == suspects
                && !self.is_blocked(id)
        };
        self.tasks.iter().filter(|(id, task)| ready(**id, task)).map(|(id, _)| *id).collect()
    }

    /// The ids and fencing tokens a claim from the table must get.
    pub(super) fn claim_due(
        &mut self,
        worker: &str,
        queue: &'static str,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Vec<(i64, i32)> {
        let ready = self.ready(queue, now, false);
        let Some(mut rule) = self.limits.remove(queue) else { return self.claim(worker, ready, limit) };
        rule.places.retain(|(id, attempt)| {
            let row = &self.tasks[id].row;
            row.state == TaskState::Running && row.attempt == *attempt
        });
        let places = rule.max_running.map(|most| (most as usize).saturating_sub(rule.places.len()));
        let most = if rule.paused { 0 } else { places.map_or(limit, |places| places.min(limit)) };
        let claimed = self.claim(worker, ready, most);
        if rule.max_running.is_some() {
            rule.places.extend(&claimed);
        }
        self.limits.insert(queue, rule);
        claimed
    }

    /// Ids are of no use where somebody counts.
    pub(super) fn claim_ids(
        &mut self,
        worker: &str,
        queue: &str,
        ids: &[i64],
        now: DateTime<Utc>,
    ) -> Vec<(i64, i32)> {
        if self.limits.contains_key(queue) {
            return Vec::new();
        }
        let ready = self.ready(queue, now, false);
        self.claim(worker, ready.into_iter().filter(|id| ids.contains(id)).collect(), usize::MAX)
    }

    /// The isolation lane takes the one that waits longest, whatever its priority.
    pub(super) fn claim_suspect(&mut self, worker: &str, queue: &str, now: DateTime<Utc>) -> Vec<(i64, i32)> {
        if self.limits.get(queue).is_some_and(|limit| limit.paused) {
            return Vec::new();
        }
        let suspects = self.ready(queue, now, true);
        let first = suspects.into_iter().min_by_key(|id| (self.tasks[id].row.run_at, *id));
        self.claim(worker, first.into_iter().collect(), 1)
    }

    pub(super) fn is_limited(&self, queue: &str) -> bool {
        self.limits.contains_key(queue)
    }

    /// A queue's limit is set, or taken away.
    pub(super) fn set_limit(&mut self, queue: &'static str, paused: bool, max_running: Option<u32>) {
        let before = self.limits.remove(queue).unwrap_or_default();
        if !paused && max_running.is_none() {
            return;
        }
        let running = |task: &Task| task.queue == queue && task.row.state == TaskState::Running;
        let places = match (before.max_running, max_running) {
            (_, None) => HashSet::new(),
            (Some(_), Some(_)) => before.places,
            // Those who run already count as well.
            (None, Some(_)) => {
                let at_work = self.tasks.iter().filter(|(_, task)| running(task));
                at_work.map(|(id, task)| (*id, task.row.attempt)).collect()
            }
        };
        self.limits.insert(queue, QueueLimit { paused, max_running, places });
    }

    /// What a cancellation comes to: ended, told, or refused.
    pub(super) fn cancel(&mut self, id: i64) -> Outcome {
        let row = &mut self.tasks.get_mut(&id).unwrap().row;
        match row.state {
            TaskState::Pending => {
                row.state = TaskState::Cancelled;
                row.cancel_requested = true;
                Outcome::Done
            }
            TaskState::Running => {
                row.cancel_requested = true;
                Outcome::Told
            }
            _ => Outcome::Refused { why: String::new() },
        }
    }

    /// Takes a dead letter out of its line. Whether there was one to take.
    pub(super) fn skip(&mut self, id: i64) -> bool {
        let row = &mut self.tasks.get_mut(&id).unwrap().row;
        row.state == TaskState::Dead && row.line.take().is_some()
    }

    pub(super) fn dead(&self) -> Vec<i64> {
        self.tasks.iter().filter(|(_, task)| task.row.state == TaskState::Dead).map(|(id, _)| *id).collect()
    }

    /// Which verdicts of a batch count: those whose fencing token is the row's, while it runs.
    pub(super) fn finish(&mut self, batch: &[Finish], now: DateTime<Utc>) -> Vec<bool> {
        batch.iter().map(|finish| self.finish_one(finish, now)).collect()
    }

    fn finish_one(&mut self, finish: &Finish, now: DateTime<Utc>) -> bool {
        let task = self.tasks.get_mut(&finish.id.0).unwrap();
        let row = &mut task.row;
        if row.state != TaskState::Running || row.attempt != finish.attempt {
            return false;
        }
        let put_off = |row: &mut Row, at| (row.state, row.run_at) = (TaskState::Pending, at);
        match finish.verdict {
            Verdict::Done => {
                row.state = TaskState::Done;
                task.completions += 1;
            }
            Verdict::Retry { at } => put_off(row, at),
            Verdict::Snooze { at } => put_off(row, at),
            Verdict::GiveBack => put_off(row, now),
            Verdict::Dead => row.state = TaskState::Dead,
            Verdict::Discarded => row.state = TaskState::Discarded,
        }
        match finish.verdict {
            Verdict::Snooze { .. } | Verdict::GiveBack => row.refunds += 1,
            Verdict::Done => {}
            _ => row.failures += 1,
        }
        if row.cancel_requested && row.state != TaskState::Done {
            row.state = TaskState::Cancelled;
        }
        true
    }

    pub(super) fn register(&mut self, worker: &str, until: DateTime<Utc>) {
        self.leases.insert(worker.to_owned(), (until, 0));
    }

    /// Whether the worker still has a lease.
    pub(super) fn heartbeat(&mut self, worker: &str, until: DateTime<Utc>) -> bool {
        self.leases.get_mut(worker).map(|lease| *lease = (until, lease.1 + 1)).is_some()
    }

    pub(super) fn resign(&mut self, worker: &str) {
        self.leases.remove(worker);
    }

    /// Whether a lease ends that was read earlier: not if it was renewed since.
    pub(super) fn end_lease(&mut self, seen: &LeaseRow) -> bool {
        let same = self.leases.get(&seen.id).is_some_and(|(_, beat)| *beat == seen.beat);
        same && self.leases.remove(&seen.id).is_some()
    }

    pub(super) fn expire_all(&mut self) -> u64 {
        std::mem::take(&mut self.leases).len() as u64
    }

    /// How many tasks of workers without a lease go back, how many had been cancelled, and which become dead letters.
    pub(super) fn take_over(&mut self) -> (u64, u64, Vec<i64>) {
        let (mut requeued, mut cancelled, mut dead) = (0, 0, Vec::new());
        for (id, task) in &mut self.tasks {
            let lost = task.row.worker.as_deref().is_none_or(|worker| !self.leases.contains_key(worker));
            if task.row.state != TaskState::Running || !lost {
                continue;
            }
            task.row.crashes += 1;
            task.row.failures += 1;
            if task.row.cancel_requested {
                task.row.state = TaskState::Cancelled;
                cancelled += 1;
            } else if task.row.crashes >= MAX_CRASHES || task.used_up() {
                task.row.state = TaskState::Dead;
                dead.push(*id);
            } else {
                task.row.state = TaskState::Pending;
                requeued += 1;
            }
        }
        (requeued, cancelled, dead)
    }
}
