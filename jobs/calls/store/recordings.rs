//! The recordings of a call.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};
use trunkline_openphone::event::Recording;
use trunkline_platform::db::{DbError, Rows, Session, sql_time};
use url::Url;

use super::call::milliseconds;
use crate::media::{Link, Owner, Sha256Hash};

trunkline_platform::statements! {
    KEEP_RECORDINGS = parts {
        "INSERT INTO call_recordings AS kept (call_id, recording, started_at, duration_ms)
         SELECT $1, r.recording, r.started_at, r.duration_ms
         FROM " (rows "$2" as r (recording TEXT, started_at TIMESTAMPTZ, duration_ms BIGINT))
        " WHERE true ORDER BY r.recording
         ON CONFLICT (call_id, recording) DO UPDATE SET
             started_at = CASE WHEN excluded.started_at < kept.started_at
                 THEN excluded.started_at ELSE COALESCE(kept.started_at, excluded.started_at) END,
             duration_ms = CASE WHEN excluded.duration_ms > kept.duration_ms
                 THEN excluded.duration_ms ELSE COALESCE(kept.duration_ms, excluded.duration_ms) END"
    }
}

/// A recording under the key that it has in every telling.
#[derive(Debug)]
pub(super) struct Keyed<'r> {
    owner_id: String,
    recording: &'r Recording,
}

#[derive(Serialize)]
struct Line<'r> {
    recording: &'r str,
    started_at: Option<String>,
    duration_ms: Option<i64>,
}

/// The recordings by their keys. One that nothing can be told by is left out.
pub(super) fn keyed<'r>(call_id: &str, recordings: &'r [Recording]) -> BTreeMap<String, Keyed<'r>> {
    let keyed = recordings.iter().filter_map(|recording| {
        let key = key(recording)?;
        let owner_id = format!("{call_id}/{key}");
        Some((key, Keyed { owner_id, recording }))
    });
    keyed.collect()
}

/// The provider's id; where none is told, the start; where that is missing too, the link without its query,
/// which is signed anew each time.
pub(crate) fn key(recording: &Recording) -> Option<String> {
    if let Some(id) = &recording.id {
        return Some(id.clone());
    }
    if let Some(started_at) = recording.started_at {
        return Some(format!("at:{}", sql_time(started_at)));
    }
    let url = recording.url.as_deref()?;
    let path = Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.path().to_owned());
    let hash: [u8; 32] = Sha256::digest(path).into();
    Some(format!("link:{}", Sha256Hash::from(hash)))
}

pub(super) fn links<'k>(recordings: &'k BTreeMap<String, Keyed<'_>>) -> impl Iterator<Item = Link<'k>> {
    recordings.values().filter_map(|Keyed { owner_id, recording }| {
        Some(Link {
            owner: Owner::Recording(owner_id),
            position: 0,
            url: recording.url.as_deref()?,
            declared_type: recording.declared_type.as_deref(),
        })
    })
}

pub(super) async fn keep(
    tx: &mut Session,
    call_id: &str,
    recordings: &BTreeMap<String, Keyed<'_>>,
) -> Result<(), DbError> {
    if recordings.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = recordings
        .iter()
        .map(|(key, Keyed { recording, .. })| Line {
            recording: key,
            started_at: recording.started_at.map(sql_time),
            duration_ms: recording.duration.map(milliseconds),
        })
        .collect();
    KEEP_RECORDINGS.bind(call_id).bind(Rows::of(&lines)?).execute(tx).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(id: Option<&str>, started_at: Option<&str>, url: Option<&str>) -> Recording {
        Recording {
            id: id.map(str::to_owned),
            url: url.map(str::to_owned),
            declared_type: None,
            duration: None,
            started_at: started_at.map(|time| time.parse().unwrap()),
            status: None,
        }
    }

    #[test]
    fn a_recording_goes_by_the_best_name_it_has() {
        let (start, url) = (Some("2026-10-09T15:20:06Z"), Some("https://media.example/rec/1.mp3"));
        assert_eq!(key(&recording(Some("RE1"), start, url)).as_deref(), Some("RE1"));
        assert_eq!(key(&recording(None, start, url)).as_deref(), Some("at:2026-10-09T15:20:06+00:00"));
        assert!(key(&recording(None, None, url)).is_some_and(|key| key.starts_with("link:")));
        assert_eq!(key(&recording(None, None, None)), None);
    }

    #[test]
    fn a_link_signed_anew_is_the_same_recording() {
        let key = |url| key(&recording(None, None, Some(url)));
        assert_eq!(
            key("https://media.example/rec/1.mp3?sig=a"),
            key("https://media.example/rec/1.mp3?sig=b")
        );
        assert_ne!(key("https://media.example/rec/1.mp3"), key("https://media.example/rec/2.mp3"));
        assert!(key("not a url").is_some());
    }

    #[test]
    fn a_recording_told_twice_in_one_event_is_one() {
        let told = [recording(Some("RE1"), None, None), recording(Some("RE1"), None, None)];
        assert_eq!(keyed("AC1", &told).len(), 1);
    }
}
