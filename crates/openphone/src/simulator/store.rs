//! What the API can be asked about: texts and calls, and who wants no more texts.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{AcceptedMessage, recent::Recent};
use crate::{
    event::{Direction, MessageStatus},
    factory::{Call, Record, Text},
};

/// How many of the texts and calls that happened by themselves can be asked for.
const REMEMBERED: usize = 20_000;
/// How many texts are accepted for sending. None is ever forgotten: the list is the judge.
const MOST_ACCEPTED: usize = 200_000;

const STOP: [&str; 6] = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"];
const START: [&str; 2] = ["START", "UNSTOP"];

pub(super) struct Store {
    texts: Recent<Text>,
    calls: Recent<Call>,
    accepted: Vec<Text>,
    accepted_by_id: HashMap<String, usize>,
    opted_out: HashSet<String>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            texts: Recent::new(REMEMBERED),
            calls: Recent::new(REMEMBERED),
            accepted: Vec::new(),
            accepted_by_id: HashMap::new(),
            opted_out: HashSet::new(),
        }
    }
}

impl Store {
    pub(super) fn remember(&mut self, record: &Record) {
        match record {
            Record::Text(text) if self.accepted_by_id.contains_key(&text.id) => {}
            Record::Text(text) => {
                self.note_opt_out(text);
                self.texts.insert(&text.id, (**text).clone());
            }
            Record::Call(call) => {
                self.calls.insert(&call.id, (**call).clone());
            }
        }
    }

    fn note_opt_out(&mut self, text: &Text) {
        if text.direction == Direction::Incoming {
            let word = text.text.trim().to_ascii_uppercase();
            if STOP.contains(&word.as_str()) {
                self.opted_out.insert(text.from.clone());
            } else if START.contains(&word.as_str()) {
                self.opted_out.remove(&text.from);
            }
        }
    }

    pub(super) fn has_opted_out(&self, number: &str) -> bool {
        self.opted_out.contains(number)
    }

    /// Whether there is room to accept one more text.
    pub(super) fn has_room(&self) -> bool {
        self.accepted.len() < MOST_ACCEPTED
    }

    pub(super) fn accept(&mut self, text: Text) {
        self.accepted_by_id.insert(text.id.clone(), self.accepted.len());
        self.accepted.push(text);
    }

    /// Notes how far an accepted text has come, and returns it.
    pub(super) fn advance(&mut self, id: &str, change: impl FnOnce(&mut Text)) -> Option<&Text> {
        let text = self.accepted.get_mut(*self.accepted_by_id.get(id)?)?;
        change(text);
        Some(text)
    }

    pub(super) fn accepted_count(&self) -> u64 {
        self.accepted.len() as u64
    }

    pub(super) fn accepted(&self) -> Vec<AcceptedMessage> {
        self.accepted.iter().map(AcceptedMessage::from).collect()
    }

    pub(super) fn text(&self, id: &str) -> Option<&Text> {
        match self.accepted_by_id.get(id) {
            Some(at) => self.accepted.get(*at),
            None => self.texts.get(id),
        }
    }

    /// Every text there is.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Text> {
        self.accepted.iter().chain(self.texts.iter())
    }

    /// Every call there is.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter()
    }

    pub(super) fn call(&self, id: &str) -> Option<&Call> {
        self.calls.get(id)
    }

    /// The texts of one thread, newest first.
    pub(super) fn thread(&self, line_id: &str, others: &BTreeSet<&str>) -> Vec<&Text> {
        let in_it = |text: &&Text| text.place.line.id == line_id && text.others() == *others;
        let mut texts: Vec<&Text> = self.texts().filter(in_it).collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.created_at));
        texts
    }

    /// The calls with one person, newest first.
    pub(super) fn calls_with(&self, line_id: &str, other: &str) -> Vec<&Call> {
        let with = |call: &&Call| call.place.line.id == line_id && call.place.other == other;
        let mut calls: Vec<&Call> = self.calls.iter().filter(with).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.created_at));
        calls
    }
}

impl From<&Text> for AcceptedMessage {
    fn from(text: &Text) -> Self {
        Self {
            id: text.id.clone(),
            from: text.from.clone(),
            to: text.to.clone(),
            content: text.text.clone(),
            accepted_at: text.created_at,
            status: text.status.clone(),
            error_code: text.error_code.clone(),
        }
    }
}

/// Notes what became of a text.
pub(super) fn settle(text: &mut Text, status: MessageStatus, error_code: Option<String>) {
    text.status = status;
    text.error_code = error_code;
}
