//! The limits as one claim finds and uses them: who may come in, who is passed over, and who is put off until when.
//! Plain arithmetic; the statements are around it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::super::limits::{Limit, Scope, Stored};
use super::super::{Rate, TaskId};
use crate::job::{Priority, Queue};

#[derive(sqlx::FromRow)]
pub(super) struct Due {
    pub(super) id: TaskId,
    pub(super) kind: String,
    pub(super) priority: i32,
    pub(super) rate_key: Option<String>,
    /// It was put off before.
    pub(super) waited: bool,
}

/// The rate of a scope and key, and what this claim takes of it.
pub(super) struct RateState {
    pub(super) rate: Rate,
    pub(super) tat: DateTime<Utc>,
    pub(super) taken: u32,
    /// What was stored is not believed: it is written anew, or time would never catch up with it.
    pub(super) mended: bool,
    /// The last turn that somebody waits for: who comes while there is nothing to be had lines up behind it.
    pub(super) tail: DateTime<Utc>,
    /// Turns given to those who need not line up.
    pub(super) ahead: u32,
}

/// The limits as this claim finds and uses them.
pub(super) struct Doorman {
    pub(super) now: DateTime<Utc>,
    pub(super) queue_scope: String,
    pub(super) limits: BTreeMap<String, Limit>,
    pub(super) running: BTreeMap<String, u32>,
    pub(super) rates: BTreeMap<(String, String), RateState>,
    /// Kinds that are full or paused and of which tasks are due.
    pub(super) shut: BTreeSet<String>,
}

/// What the doorman says of one task.
pub(super) enum Answer {
    In,
    /// Its kind is full or paused.
    KindShut,
    /// Its kind's rate is used up until then.
    Later(DateTime<Utc>),
}

impl RateState {
    pub(super) fn left(&self, now: DateTime<Utc>) -> u32 {
        self.rate.available(self.tat, now).saturating_sub(self.taken)
    }

    pub(super) fn after(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.rate.take(self.tat, self.taken, now)
    }

    /// When the next token is to be had.
    pub(super) fn next(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.rate.due(self.after(now), self.ahead + 1, now)
    }

    /// A turn for who comes while there is nothing to be had. The urgent, and those whose turn had come when somebody
    /// urgent took it, wait for the next token; all others line up, so that each is put off about once.
    pub(super) fn turn(&mut self, jumps: bool, now: DateTime<Utc>) -> DateTime<Utc> {
        let next = self.next(now);
        if jumps {
            self.ahead += 1;
            return next;
        }
        self.tail = next.max(self.tail + self.rate.spacing());
        self.tail
    }
}

impl Doorman {
    pub(super) fn new(queue: Queue, stored: &[Stored], now: DateTime<Utc>) -> Self {
        Self {
            now,
            queue_scope: Scope::Queue(queue.name().to_owned()).to_string(),
            limits: stored.iter().map(|row| (row.scope.clone(), row.limit())).collect(),
            running: BTreeMap::new(),
            rates: BTreeMap::new(),
            shut: BTreeSet::new(),
        }
    }

    pub(super) fn queue(&self) -> Limit {
        self.limits.get(&self.queue_scope).copied().unwrap_or_default()
    }

    /// Places left in a scope.
    pub(super) fn places(&self, scope: &str) -> u32 {
        let most = self.limits.get(scope).and_then(|limit| limit.max_running).unwrap_or(u32::MAX);
        most.saturating_sub(self.running.get(scope).copied().unwrap_or(0))
    }

    pub(super) fn queue_rate(&self) -> Option<&RateState> {
        self.rates.get(&(self.queue_scope.clone(), String::new()))
    }

    /// How many the queue's own limits let in.
    pub(super) fn allowed(&self) -> usize {
        let tokens = self.queue_rate().map_or(u32::MAX, |state| state.left(self.now));
        usize::try_from(tokens.min(self.places(&self.queue_scope))).unwrap_or(usize::MAX)
    }

    /// When the queue's rate lets the next one in, if that is not now.
    pub(super) fn queue_again_at(&self) -> Option<DateTime<Utc>> {
        self.queue_rate().filter(|state| state.left(self.now) == 0).map(|state| state.next(self.now))
    }

    /// Takes what the queue's own limits want for tasks that were claimed.
    pub(super) fn count_in(&mut self, tasks: usize) {
        let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
        if let Some(state) = self.rates.get_mut(&(self.queue_scope.clone(), String::new())) {
            state.taken += tasks;
        }
        *self.running.entry(self.queue_scope.clone()).or_default() += tasks;
    }

    /// Whether due tasks wait for one that runs to end, as far as this claim saw.
    pub(super) fn is_full(&self) -> bool {
        let full = |kind: &String| self.places(&Scope::Kind(kind.clone()).to_string()) == 0;
        self.places(&self.queue_scope) == 0 || self.shut.iter().any(full)
    }

    pub(super) fn has_kind_rate(&self) -> bool {
        self.limits.iter().any(|(scope, limit)| limit.rate.is_some() && *scope != self.queue_scope)
    }

    pub(super) fn rate_of(&self, task: &Due) -> Option<(String, String)> {
        let scope = Scope::Kind(task.kind.clone()).to_string();
        self.limits.get(&scope).and_then(|limit| limit.rate)?;
        Some((scope, task.rate_key.clone().unwrap_or_default()))
    }

    pub(super) fn ask(&mut self, task: &Due) -> Answer {
        let scope = Scope::Kind(task.kind.clone()).to_string();
        let Some(limit) = self.limits.get(&scope).copied() else { return Answer::In };
        if limit.paused || self.places(&scope) == 0 {
            self.shut.insert(task.kind.clone());
            return Answer::KindShut;
        }
        let now = self.now;
        if let Some(state) = self.rate_of(task).and_then(|key| self.rates.get_mut(&key)) {
            if state.left(now) == 0 {
                let jumps = task.waited || task.priority < i32::from(Priority::NORMAL.level());
                return Answer::Later(state.turn(jumps, now));
            }
            state.taken += 1;
        }
        if limit.max_running.is_some() {
            *self.running.entry(scope).or_default() += 1;
        }
        Answer::In
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: Queue = Queue::new("q");

    fn door(limits: &[(&str, Limit)]) -> Doorman {
        let mut door = Doorman::new(QUEUE, &[], DateTime::UNIX_EPOCH);
        door.limits = limits.iter().map(|(scope, limit)| ((*scope).to_owned(), *limit)).collect();
        for (scope, limit) in limits {
            if let Some(rate) = limit.rate {
                let (tat, tail) = (door.now, door.now);
                let state = RateState { rate, tat, taken: 0, mended: false, tail, ahead: 0 };
                door.rates.insert(((*scope).to_owned(), String::new()), state);
            }
        }
        door
    }

    fn due(kind: &str, priority: Priority) -> Due {
        let priority = i32::from(priority.level());
        Due { id: TaskId(1), kind: kind.to_owned(), priority, rate_key: None, waited: false }
    }

    fn seconds(answer: &Answer) -> i64 {
        match answer {
            Answer::Later(time) => (*time - DateTime::UNIX_EPOCH).num_seconds(),
            Answer::In | Answer::KindShut => 0,
        }
    }

    #[test]
    fn a_kind_has_so_many_places_and_the_others_as_many_as_the_queue() {
        let most = |most| Limit { max_running: Some(most), ..Limit::default() };
        let mut door = door(&[("queue:q", most(3)), ("kind:a", most(1))]);
        assert_eq!(door.allowed(), 3);
        assert!(matches!(door.ask(&due("a", Priority::NORMAL)), Answer::In));
        assert!(!door.is_full(), "nobody waits for the place");
        assert!(matches!(door.ask(&due("a", Priority::NORMAL)), Answer::KindShut));
        assert!(matches!(door.ask(&due("b", Priority::NORMAL)), Answer::In));
        assert!(door.is_full());
    }

    #[test]
    fn who_finds_no_token_lines_up_and_the_urgent_take_the_next() {
        let rate = Limit { rate: Some(Rate::per_second(1).burst(1)), ..Limit::default() };
        let mut door = door(&[("kind:a", rate)]);
        assert!(matches!(door.ask(&due("a", Priority::NORMAL)), Answer::In));
        let turns = [Priority::NORMAL, Priority::NORMAL, Priority::URGENT, Priority::NORMAL]
            .map(|priority| seconds(&door.ask(&due("a", priority))));
        assert_eq!(turns, [1, 2, 1, 3]);
    }

    #[test]
    fn a_queues_rate_says_when_the_next_one_may_come() {
        let rate = Limit { rate: Some(Rate::per_second(2).burst(2)), ..Limit::default() };
        let mut door = door(&[("queue:q", rate)]);
        assert_eq!((door.allowed(), door.queue_again_at()), (2, None));
        door.count_in(2);
        let half_a_second = DateTime::UNIX_EPOCH + chrono::TimeDelta::milliseconds(500);
        assert_eq!((door.allowed(), door.queue_again_at()), (0, Some(half_a_second)));
    }
}
