//! What is written down of many requests at a time: when keys were last used, and who was refused. Both are collected
//! in bounded memory and written once a minute, so that neither a busy key nor somebody who tries a million keys
//! makes the database grow or slow.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::json;
use trunkline_platform::audit::Act;

use super::secret::KeyId;

/// Keys that are told apart; refusals of more are counted together.
const MOST_KEYS: usize = 100;
/// Sources that one entry names.
const MOST_SOURCES: usize = 10;

#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    used: HashMap<KeyId, DateTime<Utc>>,
    refused: BTreeMap<Option<KeyId>, Refused>,
}

#[derive(Debug, Default)]
struct Refused {
    reasons: BTreeMap<&'static str, u64>,
    sources: BTreeSet<IpAddr>,
    more_sources: bool,
}

impl Notes {
    /// Only of keys that exist, which is what bounds it.
    pub(super) fn used(&self, key: &KeyId, now: DateTime<Utc>) {
        let mut pages = self.pages();
        match pages.used.get_mut(key) {
            Some(at) => *at = now.max(*at),
            None => drop(pages.used.insert(key.clone(), now)),
        }
    }

    pub(super) fn refused(&self, key: Option<&KeyId>, reason: &'static str, source: IpAddr) {
        let mut pages = self.pages();
        let known = key.filter(|key| {
            pages.refused.len() < MOST_KEYS || pages.refused.contains_key(&Some((*key).clone()))
        });
        let refused = pages.refused.entry(known.cloned()).or_default();
        *refused.reasons.entry(reason).or_default() += 1;
        if refused.sources.len() < MOST_SOURCES {
            refused.sources.insert(source);
        } else {
            refused.more_sources |= !refused.sources.contains(&source);
        }
    }

    /// The uses since the last time, in the order of the keys' ids.
    pub(super) fn take_uses(&self) -> Vec<(KeyId, DateTime<Utc>)> {
        let mut uses: Vec<_> = std::mem::take(&mut self.pages().used).into_iter().collect();
        uses.sort();
        uses
    }

    /// The refusals since the last time, one act for each key and one for those of no key.
    pub(super) fn take_refusals(&self) -> Vec<Act> {
        let refused = std::mem::take(&mut self.pages().refused);
        let act = |(key, refused): (Option<KeyId>, Refused)| Act {
            action: "access.refuse",
            subject: key.map_or_else(|| "access".to_owned(), |key| format!("key:{key}")),
            before: None,
            after: Some(json!({
                "reasons": refused.reasons,
                "sources": refused.sources,
                "more_sources": refused.more_sources,
            })),
        };
        refused.into_iter().map(act).collect()
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn key(number: usize) -> KeyId {
        KeyId::parse(&format!("{number:012x}")).unwrap()
    }

    #[test]
    fn a_million_refusals_are_a_bounded_number_of_entries() {
        let notes = Notes::default();
        for number in 0..1_000_u32 {
            let source = IpAddr::V4(Ipv4Addr::from_bits(number));
            notes.refused(None, "unknown", source);
            notes.refused(Some(&key(number as usize)), "wrong_secret", source);
        }
        let acts = notes.take_refusals();
        assert!(acts.len() <= MOST_KEYS + 1, "{}", acts.len());
        let of_none = acts.iter().find(|act| act.subject == "access").unwrap().after.as_ref().unwrap();
        assert_eq!(of_none["reasons"]["unknown"], 1_000);
        assert_eq!(of_none["sources"].as_array().unwrap().len(), MOST_SOURCES);
        assert_eq!(of_none["more_sources"], true);
        assert!(notes.take_refusals().is_empty(), "each is told once");
    }

    #[test]
    fn only_the_last_use_of_a_key_is_written() {
        let notes = Notes::default();
        let later = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(5);
        notes.used(&key(1), later);
        notes.used(&key(1), DateTime::UNIX_EPOCH);
        assert_eq!(notes.take_uses(), [(key(1), later)]);
    }
}
