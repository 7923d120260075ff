//! Who listens to what. A player asks for a recording in many ranges; the audit is to tell that somebody listened,
//! not how the player read. So the first request writes an entry, before a byte is handed out, and those of the same
//! key and file that follow belong to it until half an hour has passed without one.
//!
//! This is kept in memory, in bounds. A restart, another process or an overflow writes one entry too many, never one
//! too few.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use trunkline_jobs::media::inspect::MediaDetail;
use trunkline_platform::audit::Act;

use super::super::granted::{Granted, ReadPersonal};
use super::super::problem::Problem;
use crate::access::KeyId;

const PAUSE: TimeDelta = TimeDelta::minutes(30);
const MOST: usize = 10_000;

#[derive(Clone, Debug, Default)]
pub struct Listeners(Arc<Mutex<LastHeard>>);

/// When each key last heard each file.
type LastHeard = HashMap<(KeyId, i64), DateTime<Utc>>;

impl Listeners {
    pub(super) async fn enter(&self, by: &Granted<ReadPersonal>, row: &MediaDetail) -> Result<(), Problem> {
        let now = by.access().clock().now();
        let key = &by.caller().key;
        if self.goes_on(key, row.id, now) {
            return Ok(());
        }
        let act = Act {
            action: "media.read",
            subject: format!("media:{}", row.id),
            before: None,
            after: Some(json!({ "owner": format!("{}:{}", row.owner_type, row.owner_id) })),
        };
        by.access().record_look(by.caller(), act).await?;
        self.begun(key, row.id, now);
        Ok(())
    }

    /// Whether this belongs to a listening that is in the audit.
    fn goes_on(&self, key: &KeyId, media: i64, now: DateTime<Utc>) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get_mut(&(key.clone(), media)) {
            Some(at) if now - *at < PAUSE => {
                *at = now;
                true
            }
            _ => false,
        }
    }

    fn begun(&self, key: &KeyId, media: i64, now: DateTime<Utc>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= MOST {
            last.retain(|_, at| now - *at < PAUSE);
        }
        if last.len() < MOST {
            last.insert((key.clone(), media), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_lasts_until_a_pause_and_is_one_persons_with_one_file() {
        let listeners = Listeners::default();
        let (ana, bob) = (KeyId::parse("00000000000a").unwrap(), KeyId::parse("00000000000b").unwrap());
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        assert!(!listeners.goes_on(&ana, 1, at(0)));
        listeners.begun(&ana, 1, at(0));
        assert!(listeners.goes_on(&ana, 1, at(29)));
        assert!(listeners.goes_on(&ana, 1, at(58)));
        assert!(!listeners.goes_on(&bob, 1, at(58)));
        assert!(!listeners.goes_on(&ana, 2, at(58)));
        assert!(!listeners.goes_on(&ana, 1, at(88)));
    }

    #[test]
    fn its_memory_is_bounded() {
        let listeners = Listeners::default();
        let ana = KeyId::parse("00000000000a").unwrap();
        for id in 0..2 * MOST as i64 {
            listeners.begun(&ana, id, DateTime::UNIX_EPOCH);
        }
        assert_eq!(listeners.0.lock().unwrap().len(), MOST);
    }
}
