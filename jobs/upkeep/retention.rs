//! How long things are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_platform::task::TaskState;

/// A delivery must be known again for as long as the provider may repeat it.
pub const KEEP_EVENTS_AT_LEAST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A file that a download has stored and not noted yet is no orphan.
pub const KEEP_ORPHANS_AT_LEAST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long files are kept, from when they were stored. Absent: for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct MediaRetention {
    /// Those of messages.
    pub attachments: Option<Duration>,
    pub recordings: Option<Duration>,
    pub voicemails: Option<Duration>,
}

/// How long things are kept, from their end on. Absent: for ever.
#[derive(Clone, Debug)]
pub struct Retention {
    pub done: Option<Duration>,
    pub cancelled: Option<Duration>,
    pub discarded: Option<Duration>,
    pub dead: Option<Duration>,
    /// Instead of `done`, `cancelled` and `discarded`, for tasks of one kind.
    pub kinds: BTreeMap<String, Duration>,
    pub attempts: Option<Duration>,
    pub events: Option<Duration>,
    pub audit: Option<Duration>,
    pub history: Option<Duration>,
    pub media: MediaRetention,
    /// Files of the media store that no row names.
    pub orphans: Option<Duration>,
    /// Rows of one transaction.
    pub batch: u32,
    /// Rows of one run.
    pub rows_per_run: u64,
}

impl Retention {
    /// How long an ended task is kept.
    pub(super) fn of_task(&self, kind: &str, state: TaskState) -> Option<Duration> {
        let by_kind = || self.kinds.get(kind).copied();
        match state {
            TaskState::Pending | TaskState::Running => None,
            TaskState::Dead => self.dead,
            TaskState::Done => by_kind().or(self.done),
            TaskState::Cancelled => by_kind().or(self.cancelled),
            TaskState::Discarded => by_kind().or(self.discarded),
        }
    }

    /// The least that any ended task is kept.
    pub(super) fn shortest_of_tasks(&self) -> Option<Duration> {
        let by_state = [self.done, self.cancelled, self.discarded, self.dead];
        by_state.into_iter().flatten().chain(self.kinds.values().copied()).min()
    }
}

/// What ended before this is older than `kept`.
pub(super) fn before(now: DateTime<Utc>, kept: Duration) -> DateTime<Utc> {
    let kept = TimeDelta::from_std(kept).unwrap_or(TimeDelta::MAX);
    now.checked_sub_signed(kept).unwrap_or(DateTime::UNIX_EPOCH).max(DateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_kind_s_own_time_holds_for_all_but_its_dead_letters() {
        let retention = Retention {
            done: Some(DAY * 7),
            cancelled: Some(DAY * 7),
            discarded: None,
            dead: Some(DAY * 90),
            kinds: BTreeMap::from([("call.ringing".to_owned(), DAY)]),
            attempts: None,
            events: None,
            audit: None,
            history: None,
            media: MediaRetention::default(),
            orphans: None,
            batch: 1,
            rows_per_run: 1,
        };
        assert_eq!(retention.of_task("call.ringing", TaskState::Done), Some(DAY));
        assert_eq!(retention.of_task("call.ringing", TaskState::Dead), Some(DAY * 90));
        assert_eq!(retention.of_task("media.download", TaskState::Done), Some(DAY * 7));
        assert_eq!(retention.of_task("media.download", TaskState::Discarded), None);
        assert_eq!(retention.of_task("call.ringing", TaskState::Running), None);
        assert_eq!(retention.shortest_of_tasks(), Some(DAY));
    }

    #[test]
    fn keeping_for_longer_than_time_goes_back_is_keeping_all() {
        assert_eq!(before(DateTime::UNIX_EPOCH + TimeDelta::days(1), Duration::MAX), DateTime::UNIX_EPOCH);
    }
}
