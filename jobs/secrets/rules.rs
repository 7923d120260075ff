//! When a version moves on. A version is in use once a delivery was signed with it. What came before goes when enough were,
//! and when nothing was signed with it alone for a while: until then the provider may still be using it somewhere.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::kind::{Purpose, State};
use super::table::SecretRow;

/// How long an answer of the provider that should name a secret may be on its way.
const ANSWER: TimeDelta = TimeDelta::minutes(5);
/// How long the provider goes on trying a delivery, and a little more: a secret that was never told can sign none of those
/// after that.
const TRIES: TimeDelta = TimeDelta::hours(28);

/// How long what was signed before a change may be on its way.
const ON_THE_WAY: TimeDelta = TimeDelta::seconds(30);

/// When an old secret goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RotationRules {
    /// Deliveries under the new one that must have been seen.
    pub deliveries: u32,
    /// How long nothing may have come under the old one alone.
    pub quiet: Duration,
    /// A rotation that takes longer is overdue.
    pub overdue: Duration,
    /// A secret that has been in use for so long is changed by itself; the API key, which only a person can change, is overdue.
    pub every: Option<Duration>,
}

impl Default for RotationRules {
    fn default() -> Self {
        Self {
            deliveries: 10,
            quiet: Duration::from_secs(24 * 3_600),
            overdue: Duration::from_secs(72 * 3_600),
            every: None,
        }
    }
}

/// Something that is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// It was seen in use: it takes the place of those before it.
    Activate(i64),
    /// Its successor has proved itself.
    Retire(i64),
}

/// Why a version is still needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needed {
    /// There is none after it that is in use.
    NoSuccessor,
    /// So many deliveries under its successor are to be seen still.
    Deliveries(i64),
    /// Something came under it alone; nothing may until then.
    Quiet(DateTime<Utc>),
}

/// What is due among the versions of one secret, from the oldest on.
pub(super) fn due(versions: &[SecretRow], rules: &RotationRules, now: DateTime<Utc>) -> Vec<Step> {
    let seen = |row: &&SecretRow| row.state == State::Incoming && row.deliveries > 0;
    if let Some(newest) = versions.iter().rev().find(seen) {
        return vec![Step::Activate(newest.id)];
    }
    let retiring = versions.iter().filter(|row| row.state == State::Retiring);
    retiring
        .filter(|row| needed(row, versions, rules, now).is_none())
        .map(|row| Step::Retire(row.id))
        .collect()
}

/// Why a version cannot go yet; `None` when it can.
pub(super) fn needed(
    row: &SecretRow,
    versions: &[SecretRow],
    rules: &RotationRules,
    now: DateTime<Utc>,
) -> Option<Needed> {
    if row.is_awaited() {
        return None;
    }
    let after = |other: &&SecretRow| other.version > row.version && other.state == State::Active;
    let Some(successor) = versions.iter().find(after).filter(|_| row.state == State::Retiring) else {
        return Some(Needed::NoSuccessor);
    };
    let missing = i64::from(rules.deliveries) - successor.deliveries;
    if missing > 0 {
        return Some(Needed::Deliveries(missing));
    }
    let last = row.retiring_at.max(row.last_delivery_at).unwrap_or(row.created_at);
    let quiet = last + TimeDelta::from_std(rules.quiet).unwrap_or(TimeDelta::MAX);
    (quiet > now).then_some(Needed::Quiet(quiet))
}

/// Since when the change of a version has been under way, if it is.
pub(super) fn under_way(row: &SecretRow) -> Option<DateTime<Utc>> {
    match row.state {
        State::Incoming => Some(row.created_at),
        State::Retiring => Some(row.retiring_at.unwrap_or(row.created_at)),
        State::Active | State::Retired => None,
    }
}

/// Whether a change has taken too long. An answer that never came is known at once to have gone wrong.
pub(super) fn is_overdue(row: &SecretRow, rules: &RotationRules, now: DateTime<Utc>) -> bool {
    if row.is_awaited() {
        return row.announced_at.unwrap_or(row.created_at) + ANSWER < now;
    }
    let is_over = |since: DateTime<Utc>, length: Duration| {
        let length = TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX);
        since.checked_add_signed(length).is_some_and(|end| end < now)
    };
    let by_hand = rules.every.filter(|_| row.purpose == Purpose::ApiKey && row.state == State::Active);
    under_way(row).is_some_and(|since| is_over(since, rules.overdue))
        || by_hand.is_some_and(|every| is_over(row.activated_at.unwrap_or(row.created_at), every))
}

/// Whether a signature nobody knows may be by this version, of which the provider has told nothing; or by one that was made
/// just before it and whose answer was lost, until what was signed with that is signed anew.
pub(super) fn may_be_used_unknown(row: &SecretRow, now: DateTime<Utc>) -> bool {
    let length = if row.is_awaited() { TRIES } else { ON_THE_WAY };
    row.state != State::Retired && row.announced_at.is_some_and(|at| now < at + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn version(version: i32, state: State, deliveries: i64) -> SecretRow {
        SecretRow {
            id: i64::from(version),
            purpose: Purpose::Standard,
            name: "4127".to_owned(),
            version,
            state,
            sealed: None,
            sealed_with: None,
            fingerprint: Some(version.to_string()),
            deliveries,
            last_delivery_at: None,
            created_at: at(0),
            created_by: "operator:ana".to_owned(),
            announced_at: None,
            activated_at: None,
            retiring_at: (state == State::Retiring).then_some(at(0)),
            retired_at: None,
        }
    }

    const RULES: RotationRules = RotationRules {
        deliveries: 3,
        quiet: Duration::from_secs(600),
        overdue: Duration::from_secs(3_600),
        every: None,
    };

    #[test]
    fn the_newest_that_was_seen_in_use_takes_the_place_of_all_before_it() {
        let versions = [
            version(1, State::Active, 9),
            version(2, State::Incoming, 0),
            version(3, State::Incoming, 1),
            version(4, State::Incoming, 0),
        ];
        assert_eq!(due(&versions, &RULES, at(1)), [Step::Activate(3)]);
        assert_eq!(due(&versions[..2], &RULES, at(1)), [], "nothing was seen of it");
    }

    #[test]
    fn the_old_one_goes_when_enough_came_under_the_new_one_and_nothing_under_it_alone() {
        let mut versions = [version(1, State::Retiring, 9), version(2, State::Active, 2)];
        let why = |versions: &[SecretRow], now| needed(&versions[0], versions, &RULES, now);
        assert_eq!(why(&versions, at(60)), Some(Needed::Deliveries(1)));
        versions[1].deliveries = 3;
        assert_eq!(why(&versions, at(9)), Some(Needed::Quiet(at(10))));
        assert_eq!(due(&versions, &RULES, at(10)), [Step::Retire(1)]);
        versions[0].last_delivery_at = Some(at(8));
        assert_eq!(why(&versions, at(10)), Some(Needed::Quiet(at(18))));
        assert_eq!(why(&versions[..1], at(60)), Some(Needed::NoSuccessor));
    }

    #[test]
    fn the_one_in_use_never_goes_by_itself() {
        let versions = [version(1, State::Active, 900)];
        assert_eq!(due(&versions, &RULES, at(1_000_000)), []);
        assert_eq!(needed(&versions[0], &versions, &RULES, at(1_000_000)), Some(Needed::NoSuccessor));
    }

    #[test]
    fn what_takes_too_long_is_overdue_and_an_answer_that_never_came_soon_is() {
        assert!(!is_overdue(&version(2, State::Incoming, 0), &RULES, at(60)));
        assert!(is_overdue(&version(2, State::Incoming, 0), &RULES, at(61)));
        assert!(is_overdue(&version(1, State::Retiring, 0), &RULES, at(61)));
        assert!(!is_overdue(&version(1, State::Active, 0), &RULES, at(1_000_000)));
        let api_key = SecretRow { purpose: Purpose::ApiKey, ..version(1, State::Active, 0) };
        let monthly = RotationRules { every: Some(Duration::from_secs(30 * 86_400)), ..RULES };
        assert!(!is_overdue(&api_key, &RULES, at(1_000_000)), "nobody said how long a key is good for");
        assert!(
            !is_overdue(&api_key, &monthly, at(30 * 1_440))
                && is_overdue(&api_key, &monthly, at(30 * 1_440 + 1))
        );
        assert!(
            !is_overdue(&version(1, State::Active, 0), &monthly, at(1_000_000)),
            "it is changed by itself"
        );
        let awaited =
            SecretRow { fingerprint: None, announced_at: Some(at(0)), ..version(2, State::Incoming, 0) };
        assert!(!is_overdue(&awaited, &RULES, at(5)) && is_overdue(&awaited, &RULES, at(6)));
        assert!(may_be_used_unknown(&awaited, at(27 * 60)) && !may_be_used_unknown(&awaited, at(28 * 60)));
        let told = SecretRow { fingerprint: Some("2".to_owned()), ..awaited };
        assert!(may_be_used_unknown(&told, at(0)) && !may_be_used_unknown(&told, at(1)));
    }
}
